//! `audit`: verify, watch and export the audit log.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use registry_gateway::audit::Entry;
use registry_gateway::audit::watch::Watch;
use registry_gateway::inspection;
use registry_gateway::store::Store;
use transparency_log::TreeHead;
use transparency_log::note::MAX_NOTE_BYTES;

use super::{Outcome, say};

/// How many entries are read at a time.
const BATCH: u64 = 1000;

/// Follows the log, compares the tables with it and the index with the signed files, and says what that shows.
pub(super) fn verify(store: &Store, kept: Option<&Path>) -> Outcome {
    let kept = kept.map(|kept| kept_checkpoint(store, kept)).transpose()?;
    let log = store.verify_audit(kept.as_slice())?;
    let mut text = format!("entries      1 to {}, each as the tree has it\n", log.end.seq);
    match &log.newest {
        Some((size, key)) => text.push_str(&format!(
            "checkpoints  {}, all of this log; the last is of {size} entries\nkey          {key}\n",
            log.checkpoints
        )),
        None => text.push_str("checkpoints  none is signed yet\n"),
    }
    match kept {
        Some(kept) => text.push_str(&format!("kept         {} entries are as they were then\n", kept.size)),
        None => text.push_str(
            "kept         none was given: a log that was written anew with its checkpoints looks the same; keep checkpoints elsewhere, \
             and give one with --checkpoint\n",
        ),
    }
    text.push_str(&format!("end          {}\n", log.end));
    say(&text)?;
    let found = inspection::inspect(store, store.now())?;
    if let Some(first) = found.faults.first() {
        say(&found.faults.iter().map(|fault| format!("WRONG        {fault}\n")).collect::<String>())?;
        return Err(NotAsLogged { first: first.to_string(), more: found.faults.len() - 1 }.into());
    }
    let mut text = "tables       they hold what the log says\n".to_owned();
    match found.versions {
        0 => {}
        1 => text
            .push_str("versions     1: its file is the signed one, and the index says what the file says\n"),
        many => text.push_str(&format!(
            "versions     {many}: their files are the signed ones, and the index says what the files say\n"
        )),
    }
    if found.behind > 0 {
        text.push_str(&format!(
            "behind       {} on record that are in the registry behind, which was not asked: `registry-gateway doctor` does\n",
            found.behind
        ));
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A publish that was not expected was found.
const FOUND: u8 = 3;

/// Verifies the log, and prints a line for each publish that is not as expected.
pub(super) fn watch(store: &Store, mut watch: Watch, from: u64, kept: Option<&Path>) -> Outcome {
    let kept = kept.map(|kept| kept_checkpoint(store, kept)).transpose()?;
    let end = store.verify_audit(kept.as_slice())?.end.seq;
    for first in (1..=end).step_by(BATCH as usize) {
        for entry in store.audit_entries(first, end.min(first + BATCH - 1))? {
            watch.look(&Entry::parse(entry.as_bytes())?);
        }
    }
    let (versions, mut found) = watch.end();
    // An open publish is told until it has its outcome, whenever it was begun.
    found.retain(|sighting| sighting.seq >= from || sighting.is_open());
    say(&found.iter().map(|sighting| format!("{sighting}\n")).collect::<String>())?;
    say(&format!(
        "looked at    entries {from} to {end}; the crates have {versions} versions in the whole log\n\
         not seen     yanks and owners; what reached a registry behind past this gateway; a log that was written anew with its key{}\n",
        if kept.is_some() {
            " after the checkpoint that was given"
        } else {
            ": give a kept checkpoint with --checkpoint"
        },
    ))?;
    Ok(if found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

/// All faults are on standard output, a line each.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store was changed behind the log's back: {first}{}",
    if *.more == 0 { String::new() } else { format!("; and {more} more, listed above") }
)]
pub(crate) struct NotAsLogged {
    first: String,
    more: usize,
}

impl NotAsLogged {
    /// What to do next.
    pub(crate) const HINT: &str = "somebody or something else than registry-gateway has written there: stop the service, keep a copy of the folder, \
         restore the last backup that `audit verify` finds nothing wrong in, and see who can write the folder";
}

/// Prints the entries as they are stored. Each line, without its line break, is a leaf of the tree.
pub(super) fn export(store: &Store) -> Outcome {
    let end = store.audit_end()?.seq;
    for from in (1..=end).step_by(BATCH as usize) {
        let entries = store.audit_entries(from, end.min(from + BATCH - 1))?;
        say(&entries.iter().map(|entry| format!("{entry}\n")).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The tree that a kept checkpoint is of.
fn kept_checkpoint(store: &Store, path: &Path) -> Result<TreeHead, Box<dyn std::error::Error>> {
    store.kept_checkpoint(&note(path)?).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Reads a file with a checkpoint.
pub(super) fn note(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut note = String::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_NOTE_BYTES as u64 + 1).read_to_string(&mut note));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(note)
}
