//! `token`: one token on stdout, for tools that do not run credential providers.

use std::io::{Read, Seek as _};
use std::path::{Path, PathBuf};

use asymmetric_token::{Checksum, CrateName, Mutation};
use clap::Args;
use crate_file::nesting;
use flate2::read::GzDecoder;
use semver::Version;

use crate::card::access;
use crate::commands::arguments::name_and_version;
use crate::commands::candidates;
use crate::commands::print;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::folder;
use crate::registry::staged::Staging;
use crate::signer::{KeyFile, Signer};
use crate::ui::Ui;

/// The longest Cargo.toml that is looked at, in bytes.
const LONGEST_MANIFEST: u64 = 1 << 20;

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct Token {
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(add = candidates::registries())]
    pub registry: String,
    /// What it is for.
    #[command(flatten)]
    pub purpose: Purpose,
    /// Sign with a machine's key in a file, as `yk-cargo stage new-key` makes it; `-` for standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["publish", "yank", "unyank", "owners"])]
    pub key_file: Option<PathBuf>,
    /// With --stage, have the registry exchange the token, and print the staging token that it gives.
    #[arg(long, requires = "stage")]
    pub exchange: bool,
}

/// What a token is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Purpose {
    /// Reading index and crates.
    #[arg(long)]
    pub read: bool,
    /// Publishing exactly this file.
    #[arg(long, value_name = "FILE.crate")]
    pub publish: Option<PathBuf>,
    /// Yanking a version.
    #[arg(long, value_name = "NAME@VERS", value_parser = name_and_version)]
    pub yank: Option<(CrateName, Version)>,
    /// Taking a yank back.
    #[arg(long, value_name = "NAME@VERS", value_parser = name_and_version)]
    pub unyank: Option<(CrateName, Version)>,
    /// Staging versions, by a machine with a key in a file: a read token, which the registry exchanges for a staging token.
    #[arg(long, requires = "key_file")]
    pub stage: bool,
    /// Listing or changing a crate's owners.
    #[arg(long, value_name = "NAME")]
    pub owners: Option<CrateName>,
}

/// Runs `yk-cargo token`.
///
/// # Errors
/// [`Error::NotEnrolled`], [`Error::NotACrate`], [`Error::KeyFile`], and everything that stops a signature.
pub fn run(arguments: &Token, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    if let Some(key_file) = &arguments.key_file {
        let index = context.registry(&arguments.registry, &enrollments)?.index;
        let token = KeyFile::read(key_file)?.read_token(&index)?;
        return print(match arguments.exchange {
            true => Staging::for_exchange(&index, &context.settings)?.exchange(&token)?,
            false => token,
        });
    }
    let registry = context.enrolled(&enrollments, &arguments.registry)?;
    let mutation = mutation(&arguments.purpose)?;
    let readers = access::readers(&context.settings.wait);
    let signed = Signer::new(&readers, &context.settings, Ui::asking()).sign(registry, mutation)?;
    print(signed.token)
}

fn mutation(purpose: &Purpose) -> Result<Option<Mutation>, Error> {
    if let Some(file) = &purpose.publish {
        return publish(file).map(Some);
    }
    let yank = purpose.yank.clone().map(|(name, version)| Mutation::Yank { name, version });
    let unyank = purpose.unyank.clone().map(|(name, version)| Mutation::Unyank { name, version });
    let owners = purpose.owners.clone().map(|name| Mutation::Owners { name });
    Ok(yank.or(unyank).or(owners))
}

/// The publish of a crate file. Name and version are those of the packaged manifest, because the file's own name may be
/// anything.
pub(super) fn publish(path: &Path) -> Result<Mutation, Error> {
    let io = |source| Error::File { file: path.to_owned(), source };
    let not_a_crate = |reason: String| Error::NotACrate { file: path.to_owned(), reason };
    let mut file = folder::open_foreign(path).map_err(io)?;
    let checksum = Checksum(super::sha256(&mut file).map_err(io)?);
    file.rewind().map_err(io)?;
    let manifest = manifest(&file).map_err(|error| not_a_crate(error.to_string()))?;
    let manifest = manifest.ok_or_else(|| not_a_crate("it has no Cargo.toml".into()))?;
    let manifest: toml_edit::DocumentMut = nesting::of_toml(&manifest)
        .ok()
        .and_then(|()| manifest.parse().ok())
        .ok_or_else(|| not_a_crate("its Cargo.toml is not TOML".into()))?;
    let field = |name: &str| {
        let value = manifest.get("package").and_then(|package| package.get(name)?.as_str());
        value.ok_or_else(|| not_a_crate(format!("its Cargo.toml has no package.{name}")))
    };
    Ok(Mutation::Publish {
        name: field("name")?.parse()?,
        version: field("version")?.parse().map_err(|_| asymmetric_token::Error::Version)?,
        checksum,
    })
}

/// The packaged manifest in a crate file; `None` if there is none.
pub(super) fn manifest(file: impl Read) -> std::io::Result<Option<String>> {
    for entry in tar::Archive::new(GzDecoder::new(file)).entries()? {
        let entry = entry?;
        let path = entry.path()?.into_owned();
        if path.components().count() == 2 && path.ends_with("Cargo.toml") {
            let mut text = String::new();
            entry.take(LONGEST_MANIFEST).read_to_string(&mut text)?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}
