//! Whether the registry's log has a publish where the proof says: against the log's tree, or by a log proof that was kept.

use std::path::Path;

use transparency_log::{Hash, InclusionProof};

use super::found::{Evidence, NO_PROOF};
use super::log::{LogState, Registry, Seen};
use super::place::{Place, last};
use crate::lock_file::Package;
use crate::proof::{Logged, Saved};
use crate::text::{escape, sentence};
use crate::transparency::{Checkpoint, Kept, Lacking, Refused, Tree};
use crate::trust::{Log, Trust};

/// Looks for the entries of proofs in a log, all of which are good. Those that are not there become bad ones. The proofs of the others'
/// intents are returned, in their places.
pub(super) fn find(
    seen: &Seen,
    registry: &Registry<'_>,
    proofs: &mut [&mut Evidence],
) -> Result<Vec<Option<InclusionProof>>, LogState> {
    let mut entries: Vec<(u64, Hash)> = Vec::new();
    let mut wanted = Vec::new(); // for each proof, which of the entries are its
    for evidence in proofs.iter_mut() {
        let Evidence::Good(good) = &mut **evidence else {
            wanted.push(None);
            continue;
        };
        match named(seen, good.logged.as_ref()) {
            Ok(of_it) => {
                wanted.push(Some(entries.len()..entries.len() + of_it.len()));
                entries.extend(of_it);
            }
            Err(other) => {
                **evidence = other;
                wanted.push(None);
            }
        }
    }
    let found = seen.inclusions(registry, &entries)?;
    let mut inclusions = Vec::new();
    for (evidence, of_it) in proofs.iter_mut().zip(wanted) {
        let Some(of_it) = of_it else {
            inclusions.push(None);
            continue;
        };
        let lost = of_it.clone().find(|entry| found[*entry].is_none());
        if let (Evidence::Good(good), None) = (&mut **evidence, lost) {
            good.place = Place::Shown;
        }
        if let Some(lost) = lost {
            **evidence = Evidence::Bad(not_there(entries[lost].0));
        }
        inclusions.push(found[of_it.start].clone().filter(|_| lost.is_none()));
    }
    Ok(inclusions)
}

/// The same for a single proof, which holds.
pub(in crate::commands) fn find_one(
    seen: &Seen,
    registry: &Registry<'_>,
    logged: Option<&Logged>,
) -> Result<InclusionProof, Evidence> {
    let entries = named(seen, logged)?;
    let unknown = |state| under(&state).unwrap_or(Evidence::None(NO_PROOF));
    let found = seen.inclusions(registry, &entries).map_err(unknown)?;
    let mut inclusions = Vec::new();
    for ((index, _), inclusion) in entries.iter().zip(found) {
        inclusions.push(inclusion.ok_or_else(|| Evidence::Bad(not_there(*index)))?);
    }
    Ok(inclusions.swap_remove(0))
}

/// What is said of an entry that is not the one that the proof has.
fn not_there(index: u64) -> String {
    format!("entry {index} of the log is not what the proof says")
}

/// The entries that a proof which holds names of a log: that of the intent, and of the outcome if there is one. If they cannot be looked
/// for, what the proof is worth.
fn named(seen: &Seen, logged: Option<&Logged>) -> Result<Vec<(u64, Hash)>, Evidence> {
    let size = seen.checkpoint.head.size;
    let logged = logged.ok_or_else(|| Evidence::Bad(NOT_NAMED.into()))?;
    let last = last(logged);
    if last >= size {
        let text = format!("the log has {size} entries so far, and not yet entry {last}");
        return Err(Evidence::Withheld(text));
    }
    let outcome = logged.outcome.map(|outcome| (outcome.index, outcome.leaf));
    Ok([(logged.index, logged.leaf)].into_iter().chain(outcome).collect())
}

const NOT_NAMED: &str = "the proof names no entry of the registry's log";

/// What a good proof is worth under a log that is not [seen](LogState::Seen), if that is anything else.
pub(super) fn under(state: &LogState) -> Option<Evidence> {
    match state {
        LogState::KeyUnknown | LogState::Seen(_) => None,
        LogState::Unreachable(why) => {
            Some(Evidence::Withheld(format!("signed, but the log cannot be read: {why}")))
        }
        LogState::Refused(refused) => Some(Evidence::LogRefused(refused.to_string())),
    }
}

/// Where nobody is asked: what the log proof shows that is kept with a good proof.
pub(super) fn by_what_is_kept(
    evidence: &mut Evidence,
    bytes: &[u8],
    package: &Package,
    trust: &Trust,
    cargo_home: &Path,
) {
    let Evidence::Good(good) = evidence else { return };
    let log = match trust.of_log(&package.index) {
        Ok(None) => return,
        Ok(Some((log, _))) => log,
        Err(error) => {
            *evidence = Evidence::LogRefused(error.to_string());
            return;
        }
    };
    let saved = Saved::parse(bytes).ok();
    match shown(&log, good.logged.as_ref(), saved.as_ref(), cargo_home) {
        Ok(place) => good.place = place,
        Err(other) => *evidence = other,
    }
}

/// What a saved proof shows of an entry's place in the log.
pub(super) fn shown(
    log: &Log,
    logged: Option<&Logged>,
    saved: Option<&Saved>,
    cargo_home: &Path,
) -> Result<Place, Evidence> {
    let logged = logged.ok_or_else(|| Evidence::Bad(NOT_NAMED.into()))?;
    let Some(proof) = saved.and_then(Saved::log_proof) else {
        let text = "no proof of its place in the log is kept, and the registry was not asked";
        return Err(Evidence::Withheld(text.into()));
    };
    let refused = |refused: Refused| Evidence::LogRefused(refused.to_string());
    let checkpoint = match Checkpoint::of(proof.checkpoint(), log) {
        Err(Refused::OtherGeneration { known, served }) if served < known => {
            let text = "the log was started anew after this proof was kept, and the registry was not asked";
            return Err(Evidence::Withheld(text.into()));
        }
        checkpoint => checkpoint.map_err(refused)?,
    };
    if proof.index() != logged.index {
        return Err(Evidence::Bad(not_there(logged.index)));
    }
    let included = proof.verify(logged.leaf, &log.origin(), &log.key, &[]);
    included.map_err(|error| Evidence::Bad(escape(&sentence(&error))))?;
    // Of two checkpoints with one size no tile is needed to see that they contradict each other.
    let kept = Kept::in_cargo_home(cargo_home, log);
    if let Some(newest) = kept.checkpoint().map_err(refused)?
        && newest.head.size == checkpoint.head.size
    {
        let nobody = |_: &[transparency_log::Tile]| Err(());
        match Tree::new(&checkpoint, &kept, &nobody).continues(&newest) {
            Err(Lacking::Refused(error)) => return Err(refused(error)),
            Err(Lacking::Tile(())) | Ok(()) => {}
        }
    }
    Ok(Place::KeptProof)
}
