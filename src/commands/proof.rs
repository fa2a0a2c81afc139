//! `proof`: the proof of one version, saved as a file.
//!
//! What does not hold is not saved: whoever keeps a proof keeps it for the day on which the registry is gone.

use std::path::PathBuf;
use std::time::Instant;

use asymmetric_token::{Checksum, CrateName};
use clap::Args;
use semver::Version;

use crate::commands::arguments::name_and_version;
use crate::commands::candidates;
use crate::commands::verify::fetch::Remote;
use crate::commands::verify::log::{Keeping, LogState, Registry};
use crate::commands::verify::patience::Patience;
use crate::commands::verify::{in_log, place};
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::error::Error;
use crate::folder;
use crate::index_url::{CRATES_IO, IndexUrl};
use crate::proof::{self, Kept, Pending, PendingProof, Proof, Saved};
use crate::text::{escape, escape_path, sentence};
use crate::trust::Trust;
use crate::ui::Ui;

/// Arguments of `proof`.
#[derive(Debug, Args)]
pub struct SaveProof {
    /// The crate and its version.
    #[arg(value_name = "NAME@VERS", value_parser = name_and_version)]
    pub version: (CrateName, Version),
    /// The registry's name in cargo's configuration, or its index URL.
    #[arg(long, default_value = "crates-io", add = candidates::registries())]
    pub registry: String,
    /// Where it is written.
    #[command(flatten)]
    pub to: To,
}

/// Where a proof is written.
#[derive(Debug, Args)]
pub struct To {
    /// The file to write. [default: NAME-VERS.json in this folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
}

/// Runs `yk-cargo proof`.
///
/// # Errors
/// [`Error::ProofNotSaved`] if it does not hold, [`Error::FileExists`], and why it cannot be had.
pub fn run(arguments: &SaveProof, context: &Context) -> Result<(), Error> {
    let (name, version) = &arguments.version;
    let enrollments = Enrollments::load(context.cargo.home())?;
    let index = context.registry(&arguments.registry, &enrollments)?.index;
    if index == CRATES_IO || enrollments.proving(&index).is_some() {
        return own(&index, arguments, &enrollments, context);
    }
    let remote = Remote::open(&index, enrollments.registry(&index), context)?;
    let bytes = remote.proof(name, version)?;
    let proof = Proof::parse(&bytes)?;
    holds(&proof, &index, name, version).map_err(not_saved)?;
    match remote.listed(name, version)? {
        Some(checksum) => is_of(&proof, checksum)?,
        None => return Err(not_saved("the index does not have this version".to_owned())),
    }
    let patience = Patience::from(Instant::now());
    let shown = escape(&arguments.registry);
    let registry = Registry { index: &index, shown, remote: &remote, patience: &patience };
    match in_log(&registry, &proof, &bytes, context)? {
        Some(saved) => arguments.to.write(&proof, saved.to_string().as_bytes()),
        None => arguments.to.write(&proof, &bytes),
    }
}

/// The proof with what shows its place in the registry's log, if that log is known.
fn in_log(
    registry: &Registry<'_>,
    proof: &Proof,
    bytes: &[u8],
    context: &Context,
) -> Result<Option<Saved>, Error> {
    let trust = Trust::load(context.cargo.home(), &[], None)?;
    let keeping = Keeping { context, proofs: None, save: None, remember: false, yes: false };
    let logged = proof.logged().and_then(Result::ok);
    let size = logged.as_ref().map(place::end).unwrap_or_default();
    let seen = match keeping.look(registry, &trust, size)? {
        LogState::KeyUnknown => return Ok(None),
        LogState::Seen(seen) => seen,
        state => return Err(not_saved(state.in_words())),
    };
    let inclusion = in_log::find_one(&seen, registry, logged.as_ref());
    let inclusion = inclusion.map_err(|other| not_saved(other.why().to_owned()))?;
    let index = logged.map_or(0, |logged| logged.index);
    let json = String::from_utf8_lossy(bytes);
    Ok(Some(Saved::in_log(&json, index, inclusion, seen.checkpoint.signed.clone())?))
}

/// The proof of a registry that gives none: one that was signed here.
fn own(
    index: &IndexUrl,
    SaveProof { version: (name, version), to, .. }: &SaveProof,
    enrollments: &Enrollments,
    context: &Context,
) -> Result<(), Error> {
    let home = context.cargo.home();
    let (pending, kept) = (Pending::in_cargo_home(home), Kept::in_cargo_home(home));
    let signed = pending.of(index, name, version)?;
    let listed = match listed(index, name, version, enrollments, context)? {
        Listed::File(checksum) => Some(checksum),
        Listed::Nothing if signed.is_empty() => return Err(no_proof(name, version)),
        Listed::Nothing => return Err(Error::ProofPending { version: format!("{name} {version}") }),
        Listed::Untold => None,
    };
    let is_of_it = |proof: &Proof| match (listed, &signed[..]) {
        (Some(checksum), _) => proof.checksum == checksum,
        (None, signed) => signed.iter().all(|other| other.proof.checksum == proof.checksum),
    };
    if let Some(PendingProof { proof, bytes, .. }) = signed.iter().find(|pending| is_of_it(&pending.proof)) {
        holds(proof, index, name, version).map_err(not_saved)?;
        to.write(proof, bytes)?;
        if listed.is_none() {
            Ui::silent().note("its index is a git repository, so it was not checked for this file");
            return Ok(());
        }
        kept.write(index, name, version, bytes)
            .map_err(|source| Error::WriteFile { file: kept.folder().to_owned(), source })?;
        return Ok(pending.remove(&signed)?);
    }
    if let Some(bytes) = kept.read(index, name, version)
        && let Ok(proof) = Proof::parse(&bytes)
        && is_of_it(&proof)
        && holds(&proof, index, name, version).is_ok()
    {
        return to.write(&proof, &bytes);
    }
    match (signed.first(), listed) {
        (Some(other), Some(listed)) => is_of(&other.proof, listed),
        (Some(_), None) => Err(not_saved("proofs for several files of this version exist".to_owned())),
        (None, _) => Err(no_proof(name, version)),
    }
}

/// What an index says of a version.
enum Listed {
    File(Checksum),
    Nothing,
    /// A git index cannot be asked.
    Untold,
}

fn listed(
    index: &IndexUrl,
    name: &CrateName,
    version: &Version,
    enrollments: &Enrollments,
    context: &Context,
) -> Result<Listed, Error> {
    if index.sparse_base().is_none() && *index != CRATES_IO {
        return Ok(Listed::Untold);
    }
    let remote = Remote::open(index, enrollments.registry(index), context)?;
    Ok(remote.listed(name, version)?.map_or(Listed::Nothing, Listed::File))
}

fn no_proof(name: &CrateName, version: &Version) -> Error {
    Error::NotSignedHere { version: format!("{name} {version}") }
}

/// Whether a proof is of this version, and all that is in it holds.
fn holds(proof: &Proof, index: &IndexUrl, name: &CrateName, version: &Version) -> Result<(), String> {
    if !proof.is_about(index, name, version) {
        let of = format!("{} {} of {}", proof.name, proof.version, proof.index);
        return Err(format!("it is one for {}", escape(&of)));
    }
    proof.signed().map_err(|error| sentence(&error))?;
    proof.logged().transpose().map_err(|error| sentence(&error))?;
    Ok(())
}

/// Whether a proof is of the file that the index has.
fn is_of(proof: &Proof, listed: Checksum) -> Result<(), Error> {
    if proof.checksum == listed {
        return Ok(());
    }
    Err(not_saved(format!(
        "it is one for a file with the checksum {}, and the index has one with {listed}",
        proof.checksum
    )))
}

fn not_saved(why: String) -> Error {
    Error::ProofNotSaved { why }
}

impl To {
    /// Whether a proof can be written there: better known before anybody signs it.
    pub(super) fn may_write(&self, name: &CrateName, version: &Version) -> Result<(), Error> {
        let file = self.file(name, version);
        if self.force || std::fs::symlink_metadata(&file).is_err() {
            return Ok(());
        }
        Err(Error::FileExists { file })
    }

    fn file(&self, name: &CrateName, version: &Version) -> PathBuf {
        self.out.clone().unwrap_or_else(|| proof::file_name(name, version).into())
    }

    /// Writes a proof that holds, and says whose it is.
    pub(super) fn write(&self, proof: &Proof, bytes: &[u8]) -> Result<(), Error> {
        let (name, version) = (&proof.name, &proof.version);
        let file = self.file(name, version);
        folder::write_new(&file, bytes, self.force).map_err(|source| match source.kind() {
            std::io::ErrorKind::AlreadyExists => Error::FileExists { file: file.clone() },
            _ => Error::WriteFile { file: file.clone(), source },
        })?;
        let ui = Ui::silent();
        ui.say(format_args!("saved the proof of {name} {version} in {}", escape_path(&file)));
        ui.note(format_args!("it is by {}; whether you trust that key was not checked", proof.public));
        Ok(())
    }
}
