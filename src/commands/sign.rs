//! `sign`: the proof of a version at a registry that gives none, where cargo has not asked for it: published by a build service, with a
//! token of its own, or before there was a key.
//!
//! What is signed is the ordinary publish token for the registry's index URL. A registry that takes such tokens gets none this way.

use std::io::Cursor;
use std::path::PathBuf;

use asymmetric_token::{Checksum, CrateName, Mutation};
use clap::{Args, ValueHint};
use crate_file::index::{NotServed, Served, served};
use crate_file::metadata;
use semver::Version;
use sha2::{Digest as _, Sha256};

use crate::card::access;
use crate::commands::arguments::name_and_version;
use crate::commands::candidates;
use crate::commands::proof::To;
use crate::commands::token;
use crate::commands::verify::fetch::{LONGEST_CRATE, Remote};
use crate::context::Context;
use crate::enrollment::{Enrollments, Registry};
use crate::error::Error;
use crate::folder;
use crate::index_url::CRATES_IO;
use crate::proof::{Kept, Proof};
use crate::signer::Signer;
use crate::text::{escape, escape_path, sentence, tame};
use crate::ui::Ui;

mod git;
mod source;

/// Arguments of `sign`.
#[derive(Debug, Args)]
pub struct Sign {
    /// The crate and its version, to be downloaded; or a crate file.
    #[arg(value_name = "NAME@VERS|FILE.crate", value_hint = ValueHint::FilePath)]
    pub what: String,
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(long, default_value = "crates-io", add = candidates::registries())]
    pub registry: String,
    /// Compare with a git repository, file for file, at the commit that the crate file names.
    #[arg(long, value_name = "DIR")]
    pub source: Option<PathBuf>,
    /// The cargo that packaged the crate, split at spaces outside double quotes: it makes Cargo.toml again from the one in git.
    #[arg(long, value_name = "PROGRAM", requires = "source")]
    pub cargo: Option<String>,
    /// Sign what the registry serves without comparing it with anything, and without asking.
    #[arg(long, conflicts_with = "source")]
    pub yes: bool,
    /// Where the proof is written.
    #[command(flatten)]
    pub to: To,
}

/// Runs `yk-cargo sign`.
///
/// # Errors
/// What does not hold, and everything that stops a signature.
pub fn run(arguments: &Sign, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let index = context.registry(&arguments.registry, &enrollments)?.index;
    let registry = match enrollments.registry(&index) {
        Some(registry) if registry.proofs => registry,
        Some(_) => return Err(Error::ForSomethingElse { proofs: false }),
        None => return Err(Error::NotProving { registry: arguments.registry.clone() }),
    };
    let Signing { file, name, version, is_served } = what(arguments, registry, context)?;
    arguments.to.may_write(&name, &version)?;
    let checksum = Checksum(Sha256::digest(&file).into());
    let in_index = in_index(&file, checksum, (&name, &version), registry, context)?;
    let ui = Ui::asking();
    ui.say(format_args!("{name} {version}, {} bytes, SHA-256 {checksum}", file.len()));
    ui.say(format_args!("for {}, {in_index}", escape(&index)));
    match &arguments.source {
        Some(repository) => {
            let of = (&name, &version);
            if !show_source(&file, of, repository, arguments.cargo.as_deref(), context)? {
                agreed("Is that expected? Sign the file?", context)?;
            }
        }
        None if is_served && !arguments.yes => {
            ui.note("this is the file that the registry serves, whoever made it; --source DIR compares it with a git repository");
            agreed("Sign it anyway?", context)?;
        }
        None => {}
    }
    let mutation = Mutation::Publish { name: name.clone(), version: version.clone(), checksum };
    let readers = access::readers(&context.settings.wait);
    let signed = Signer::new(&readers, &context.settings, ui).sign(registry, Some(mutation.clone()))?;
    let bytes = Proof::unlogged(&index, &mutation, &signed.token, &signed.public);
    let proof = Proof::parse(&bytes)?;
    arguments.to.write(&proof, &bytes)?;
    // So that `proof` finds it again; the file is what counts.
    let _ = Kept::in_cargo_home(context.cargo.home()).write(&index, &name, &version, &bytes);
    Ok(())
}

/// A crate file that is to be signed.
struct Signing {
    file: Vec<u8>,
    name: CrateName,
    version: Version,
    /// Whether it was downloaded.
    is_served: bool,
}

fn what(arguments: &Sign, registry: &Registry, context: &Context) -> Result<Signing, Error> {
    let path = PathBuf::from(&arguments.what);
    if let (false, Ok((name, version))) = (path.exists(), name_and_version(&arguments.what)) {
        let remote = Remote::open(&registry.index, Some(registry), context)?;
        let missing = || Error::NotListed { version: format!("{name} {version}") };
        let listed = remote.listed(&name, &version)?.ok_or_else(missing)?;
        let file = remote.crate_file(&name, &version, listed)?;
        return Ok(Signing { file, name, version, is_served: true });
    }
    let Mutation::Publish { name, version, .. } = token::publish(&path)? else {
        return Err(Error::Usage("give NAME@VERS, or a crate file"));
    };
    let file = folder::read_foreign_up_to(&path, LONGEST_CRATE)
        .map_err(|source| Error::File { file: path.clone(), source })?;
    Ok(Signing { file, name, version, is_served: false })
}

/// What the index says of it, in words. If the index has something else, nothing is signed.
fn in_index(
    file: &[u8],
    checksum: Checksum,
    (name, version): (&CrateName, &Version),
    registry: &Registry,
    context: &Context,
) -> Result<&'static str, Error> {
    let index = &registry.index;
    let metadata =
        metadata::of_signed(Cursor::new(file), file.len() as u64, name.as_str(), &version.to_string(), index)
            .map_err(|error| Error::NotACrate {
                file: format!("{name}-{version}.crate").into(),
                reason: escape(&error.to_string()),
            })?;
    if index.sparse_base().is_none() && *index != CRATES_IO {
        return Ok("whose index is a git repository and was not asked");
    }
    let index_file =
        match Remote::open(index, Some(registry), context).and_then(|remote| remote.index_file(name)) {
            Ok(index_file) => index_file,
            Err(error) => {
                Ui::silent().warn(format_args!(
                    "cannot read the index, so nothing is compared with it: {}",
                    sentence(&error)
                ));
                return Ok("whose index was not asked");
            }
        };
    match served(&index_file, &metadata, checksum, index) {
        Ok(Served { yanked: false }) => Ok("which has this very file"),
        Ok(Served { yanked: true }) => Ok("which has this very file, yanked"),
        Err(NotServed::Absent) => Ok("which does not have this version yet"),
        Err(problem) => Err(Error::IndexFile { name: name.to_string(), problem }),
    }
}

/// Compares a crate file with a repository, and shows what only a person can judge. Whether there is nothing of that.
pub(in crate::commands) fn show_source(
    file: &[u8],
    (name, version): (&CrateName, &Version),
    repository: &std::path::Path,
    cargo: Option<&str>,
    context: &Context,
) -> Result<bool, Error> {
    let ui = Ui::asking();
    let named = (name.as_str(), &*version.to_string());
    let compared = source::compare(file, named, repository, cargo, context.cargo.home())
        .map_err(|why| Error::NotFromSource { why })?;
    ui.say(format_args!(
        "{} of its files are identical to those of commit {} in {}",
        compared.equal,
        compared.commit,
        escape_path(repository)
    ));
    for (said, text) in &compared.shown {
        ui.note(said);
        ui.say(text.lines().map(|line| format!("    | {}\n", tame(line))).collect::<String>().trim_end());
    }
    Ok(compared.shown.is_empty())
}

fn agreed(question: &str, context: &Context) -> Result<(), Error> {
    let yes = Ui::asking().confirm(question, context.settings.wait.pin_prompt())?;
    if yes { Ok(()) } else { Err(Error::Declined) }
}
