//! `audit`: verify and export the audit log.

use std::fs;
use std::process::ExitCode;

use registry_gateway::audit::{Head, Point};
use registry_gateway::inspection;
use registry_gateway::store::Store;

use super::{Outcome, say};
use crate::cli::KeptHead;

/// How many entries are read at a time.
const BATCH: u64 = 1000;

/// Follows the log, compares the tables with it and the index with the signed files, and says what that shows.
pub(super) fn verify(store: &Store, kept: Option<KeptHead>) -> Outcome {
    let heads = store.heads()?;
    let mut points: Vec<Point> = heads.iter().map(|head| head.point).collect();
    let kept = kept.map(|kept| point(kept, store)).transpose()?;
    points.extend(kept);
    let end = store.verify_audit(&points)?;
    let mut text = format!("entries    1 to {}, each follows the one before it\n", end.seq);
    match heads.last() {
        Some(last) => text.push_str(&format!(
            "heads      {}, all of this log; the last is of entry {}, signed {:.0} by {}\n",
            heads.len(),
            last.point.seq,
            last.time,
            last.key.id()
        )),
        None => text.push_str("heads      none is signed yet\n"),
    }
    match kept {
        Some(kept) => text.push_str(&format!("kept head  entry {} is as it was then\n", kept.seq)),
        None => text.push_str(
            "kept head  none was given: a log whose end was cut off, or that was written anew with its heads, \
             looks the same; keep heads elsewhere and give one with --head\n",
        ),
    }
    text.push_str(&format!("end        {end}\n"));
    say(&text)?;
    let found = inspection::inspect(store, store.now())?;
    if let Some(first) = found.faults.first() {
        say(&found.faults.iter().map(|fault| format!("WRONG      {fault}\n")).collect::<String>())?;
        return Err(NotAsLogged { first: first.to_string(), more: found.faults.len() - 1 }.into());
    }
    let mut text = "tables     they hold what the log says\n".to_owned();
    match found.versions {
        0 => {}
        1 => {
            text.push_str("versions   1: its file is the signed one, and the index says what the file says\n")
        }
        many => text.push_str(&format!(
            "versions   {many}: their files are the signed ones, and the index says what the files say\n"
        )),
    }
    if found.behind > 0 {
        text.push_str(&format!(
            "behind     {} on record that are in the registry behind, which was not asked: `registry-gateway doctor` does\n",
            found.behind
        ));
    }
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// All faults are on standard output, a line each.
#[derive(Debug, thiserror::Error)]
#[error(
    "the store was changed past the log: {first}{}",
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

/// Prints the entries as they are stored. `prev` of each is the SHA-256 of the line before, without its line break.
pub(super) fn export(store: &Store) -> Outcome {
    let end = store.audit_end()?.seq;
    for from in (1..=end).step_by(BATCH as usize) {
        let entries = store.audit_entries(from, end.min(from + BATCH - 1))?;
        say(&entries.iter().map(|entry| format!("{entry}\n")).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The place that a kept head is of. A head in a file counts only if this store's key has signed it.
fn point(kept: KeptHead, store: &Store) -> Result<Point, Box<dyn std::error::Error>> {
    let path = match kept {
        KeptHead::Point(point) => return Ok(point),
        KeptHead::File(path) => path,
    };
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {} (a place is written SEQ:HASH): {error}", path.display()))?;
    let head = Head::parse(&text)?;
    if store.head_key()? == Some(head.key) {
        return Ok(head.point);
    }
    Err(format!("{} was signed by another key than this store's: {}", path.display(), head.key.id()).into())
}
