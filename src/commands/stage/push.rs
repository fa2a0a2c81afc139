//! `stage push`: stages crate files, as `cargo publish` does with a staging token where the index shows it what it has staged.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use asymmetric_token::Mutation;
use clap::Args;
use crate_file::CrateFile;
use crate_file::metadata::{self, Metadata};

use super::order;
use crate::cargo_config::Scope;
use crate::commands::print;
use crate::commands::token;
use crate::commands::verify::fetch::LONGEST_CRATE;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::folder;
use crate::registry::staged::{Staging, is_staging_token};
use crate::text::{escape, quoted, sentence};

/// Arguments of `stage push`.
#[derive(Debug, Args)]
pub struct Push {
    /// Crate files, as `cargo package` makes them. They are sent in the order in which they depend on each other.
    #[arg(value_name = "FILE.crate", required = true)]
    pub files: Vec<PathBuf>,
    /// The registry's name in cargo's configuration.
    #[arg(long)]
    pub registry: String,
}

/// Runs `yk-cargo stage push`.
///
/// # Errors
/// [`Error::NoStagingToken`]; a file is no crate; the registry refuses.
pub(super) fn run(arguments: &Push, context: &Context) -> Result<(), Error> {
    let enrollments = Enrollments::load(context.cargo.home())?;
    let registry = context.registry(&arguments.registry, &enrollments)?;
    let found = context.cargo.read_own()?.token_of(Scope::Own, &registry)?;
    let missing = |is_there| Error::NoStagingToken { registry: arguments.registry.clone(), is_there };
    let token = found.ok_or_else(|| missing(false))?;
    // With any other the registry would publish at once.
    if !is_staging_token(&token) {
        return Err(missing(true));
    }
    let files = arguments.files.iter().map(|path| read(path, &registry.index)).collect::<Result<_, _>>()?;
    let depends = |one: &Packaged, other: &Packaged| {
        order::requirement(&one.metadata, other.publish.name(), version(other)).is_some()
    };
    let files = order::sorted(files, depends).map_err(|circle| Error::Circle {
        versions: circle.iter().map(|file| called(&file.publish)).collect::<Vec<_>>().join(", "),
    })?;
    let staging = Staging::open(&registry.index, &token, &context.settings)?;
    for file in files {
        let words = staging.push(&file.metadata.to_publish_json(), &file.bytes, &token)?;
        print(format_args!("staged {}", called(&file.publish)))?;
        words.iter().try_for_each(|words| print(quoted(words)))?;
    }
    Ok(())
}

/// A crate file that is to be staged.
struct Packaged {
    publish: Mutation,
    metadata: Metadata,
    bytes: Vec<u8>,
}

fn read(path: &Path, index: &str) -> Result<Packaged, Error> {
    let publish = token::publish(path)?;
    let io = |source| Error::File { file: path.to_owned(), source };
    let bytes = folder::read_foreign_up_to(path, LONGEST_CRATE).map_err(io)?;
    let not_a_crate = |reason: String| Error::NotACrate { file: path.to_owned(), reason: escape(&reason) };
    let [name, version] =
        [publish.name().to_string(), publish.version().map(ToString::to_string).unwrap_or_default()];
    let mut file = CrateFile::open(Cursor::new(&bytes[..]), bytes.len() as u64, &name, &version)
        .map_err(|error| not_a_crate(sentence(&error)))?;
    let metadata = metadata::of_file(&mut file, index).map_err(|error| not_a_crate(sentence(&error)))?;
    Ok(Packaged { publish, metadata, bytes })
}

fn version(file: &Packaged) -> &semver::Version {
    file.publish.version().expect("a publish is one of a version")
}

fn called(publish: &Mutation) -> String {
    publish.version().map_or_else(String::new, |version| format!("{} {version}", publish.name()))
}
