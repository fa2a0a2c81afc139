//! A registry's log in one run: one checkpoint, held against those that were kept, and every entry of the run against that one.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use transparency_log::{Hash, InclusionProof, Tile, Verifier};

use super::fetch::Remote;
use super::parallel;
use super::patience::{Patience, is_endless};
use crate::context::Context;
use crate::error::Error;
use crate::registry::http::AT_ONCE;
use crate::text::{escape, escape_path, sentence};
use crate::transparency::{Checkpoint, Kept, Lacking, Refused, Tree};
use crate::trust::{self, Log, Trust, Whose};
use crate::ui::Ui;

/// How long the log is waited for to sign its newest entries. It has a second.
const LAG: Duration = Duration::from_secs(3);

/// Between two questions for that.
const PAUSE: Duration = Duration::from_millis(250);

/// How a registry's log stands.
pub(in crate::commands) enum LogState {
    /// No list names its key, so that nothing it says would count.
    KeyUnknown,
    /// It is the one that is known, and continues what was seen of it.
    Seen(Box<Seen>),
    /// It cannot be looked at. Why is safe to show.
    Unreachable(String),
    /// It is another one.
    Refused(Refused),
}

/// How the logs of registries stand, by index URL.
pub(super) type Logs<'a> = Vec<(&'a str, LogState)>;

/// A log as it was seen in this run.
pub(in crate::commands) struct Seen {
    pub(in crate::commands) log: Log,
    pub(in crate::commands) whose: Whose,
    pub(in crate::commands) checkpoint: Checkpoint,
    /// The size of the newest checkpoint that was kept before.
    pub(in crate::commands) before: Option<u64>,
    kept: Kept,
}

/// A registry whose log is looked at.
pub(in crate::commands) struct Registry<'a> {
    pub(in crate::commands) index: &'a str,
    /// What the person calls it, safe to show.
    pub(in crate::commands) shown: String,
    pub(in crate::commands) remote: &'a Remote<'a>,
    pub(in crate::commands) patience: &'a Patience,
}

/// Where checkpoints are kept, and whether new keys are.
pub(in crate::commands) struct Keeping<'a> {
    pub(in crate::commands) context: &'a Context,
    /// The folder of `--proofs`.
    pub(in crate::commands) proofs: Option<&'a Path>,
    /// The folder of `--save-proofs`.
    pub(in crate::commands) save: Option<&'a Path>,
    pub(in crate::commands) remember: bool,
    pub(in crate::commands) yes: bool,
}

impl Keeping<'_> {
    /// Looks at a registry's log: one checkpoint, of a tree with at least `size` entries if there is one within some seconds.
    ///
    /// # Errors
    /// The person's list cannot be changed, or nobody is there to be asked.
    pub(in crate::commands) fn look(
        &self,
        registry: &Registry<'_>,
        trust: &Trust,
        size: u64,
    ) -> Result<LogState, Error> {
        let known = match trust.of_log(registry.index) {
            Ok(known) => known,
            Err(error) => return Ok(LogState::Refused(error.into())),
        };
        let remembered =
            if self.remember { self.remembered(registry, known.as_ref())? } else { Answer::Nothing };
        let (log, whose) = match (remembered, known) {
            (Answer::Log(log), _) => (log, Whose::Own),
            (Answer::State(state), _) => return Ok(state),
            (Answer::Nothing, Some(known)) => known,
            (Answer::Nothing, None) => return Ok(LogState::KeyUnknown),
        };
        Ok(self.seen(registry, log, whose, size).unwrap_or_else(|state| state))
    }

    fn seen(&self, registry: &Registry<'_>, log: Log, whose: Whose, size: u64) -> Result<LogState, LogState> {
        let home = self.context.cargo.home();
        let kept = Kept::in_cargo_home(home, &log);
        let beside = |folder: Option<&Path>| folder.map(|folder| Kept::beside_proofs(folder, &log));
        let (proofs, save) = (beside(self.proofs), beside(self.save));
        let newest = |kept: &Kept| kept.checkpoint().map_err(LogState::Refused);
        // Before the registry is asked: what another run keeps meanwhile may be newer than its answer.
        let mut before = Vec::new();
        for kept in [Some(&kept), proofs.as_ref(), save.as_ref()].into_iter().flatten() {
            before.extend(newest(kept)?.filter(|seen| !before.contains(seen)));
        }
        let checkpoint = registry.checkpoint(&log, size)?;
        let fetch = |tiles: &[Tile]| registry.tiles(tiles);
        let tree = Tree::new(&checkpoint, &kept, &fetch);
        for seen in &before {
            tree.continues(seen)?;
        }
        let unkept = |folder: &Path, error| {
            LogState::Unreachable(format!("cannot keep its checkpoint in {}: {error}", escape_path(folder)))
        };
        // Without it a fork would not be noticed in the next run.
        let lock = kept.lock().map_err(|error| unkept(home, error))?;
        for (kept_in, folder) in [(Some(&kept), Some(home)), (save.as_ref(), self.save)] {
            let (Some(kept_in), Some(folder)) = (kept_in, folder) else { continue };
            let newest = newest(kept_in)?;
            let size = newest.as_ref().map(|newest| newest.head.size);
            match newest.filter(|newest| !before.contains(newest)) {
                // Another run has kept it meanwhile.
                Some(newer) if newer.head.size > checkpoint.head.size => {
                    Tree::new(&newer, &kept, &fetch).continues(&checkpoint)?;
                }
                Some(other) => tree.continues(&other)?,
                None => {}
            }
            if size.is_none_or(|size| size < checkpoint.head.size) {
                kept_in.keep(&checkpoint).map_err(|error| unkept(folder, error))?;
            }
        }
        drop(lock);
        let before = before.iter().map(|seen| seen.head.size).max();
        Ok(LogState::Seen(Box::new(Seen { log, whose, checkpoint, before, kept })))
    }

    /// What a log that was begun anew still has of what was seen of the earlier one.
    fn what_is_left(
        &self,
        registry: &Registry<'_>,
        known: &Log,
        log: &Log,
        checkpoint: &Checkpoint,
    ) -> String {
        let kept = |log| Kept::in_cargo_home(self.context.cargo.home(), log);
        let fetch = |tiles: &[Tile]| registry.tiles(tiles);
        let Ok(Some(seen)) = kept(known).checkpoint() else {
            return "nothing of the earlier log is kept here for comparison".into();
        };
        let size = seen.head.size;
        match Tree::new(checkpoint, &kept(log), &fetch).begins_with(&seen) {
            Ok(true) => format!("it has all {size} entries that you saw in the earlier one"),
            Ok(false) => format!("it does not have all {size} entries that you saw in the earlier one"),
            Err(_) => {
                format!("cannot check whether it has the {size} entries that you saw in the earlier one")
            }
        }
    }

    /// The log whose key the registry says to be its, if it is new, and the person wants it recorded.
    fn remembered(&self, registry: &Registry<'_>, known: Option<&(Log, Whose)>) -> Result<Answer, Error> {
        let known = known.map(|(log, _)| log);
        let Registry { index, shown, remote, .. } = registry;
        let key = match remote.log_key() {
            Ok(Some(key)) => key,
            Ok(None) => return Ok(Answer::Nothing),
            Err(error) => return Ok(Answer::State(unreachable(&error))),
        };
        let key = str::from_utf8(&key).ok().and_then(|key| key.trim_end().parse::<Verifier>().ok());
        let Some(log) = key.and_then(|key| Log::new(index, key)) else {
            let why = format!("{shown} gives something that is not a key as its log's key");
            return Ok(Answer::State(LogState::Unreachable(why)));
        };
        // Another key for a log that is known is no news, but a lie.
        if known.is_some_and(|known| log.generation <= known.generation) {
            return Ok(Answer::Nothing);
        }
        let witnesses = known.map(|known| known.witnesses.clone()).unwrap_or_default();
        let log = Log { witnesses, ..log };
        let checkpoint = match registry.checkpoint(&log, 0) {
            Ok(checkpoint) => checkpoint,
            Err(state) => return Ok(Answer::State(state)),
        };
        let ui = Ui::asking();
        let question = match known {
            None => {
                ui.say(format_args!("log of {shown}  {}", escape(&log.key.to_string())));
                ui.note("the registry says that this key signs its log, but only the registry's administrator can confirm it");
                format!("Trust this key for the log of {shown}?")
            }
            Some(_) if self.yes => {
                ui.note("a log that was started anew is not accepted with --yes: run the command without it");
                return Ok(Answer::Nothing);
            }
            Some(known) => {
                ui.say(format_args!(
                    "log of {shown}, started anew\nfrom {}\nto   {}",
                    escape(&known.key.to_string()),
                    escape(&log.key.to_string())
                ));
                ui.note(self.what_is_left(registry, known, &log, &checkpoint));
                ui.note("entries that others have seen may be lost: ask the registry's administrator why the log was started anew, and which entries it lost");
                format!("Accept the log that {shown} has started anew?")
            }
        };
        if !self.yes && !ui.confirm(&question, self.context.settings.wait.pin_prompt())? {
            return Ok(Answer::Nothing);
        }
        trust::remember_log(self.context.cargo.home(), &log)?;
        Ok(Answer::Log(log))
    }
}

/// What came of asking for a new key.
enum Answer {
    Nothing,
    Log(Log),
    State(LogState),
}

impl Registry<'_> {
    fn checkpoint(&self, log: &Log, size: u64) -> Result<Checkpoint, LogState> {
        let began = Instant::now();
        let mut said = false;
        loop {
            let note = self.remote.checkpoint().map_err(|error| unreachable(&error))?;
            let none =
                || LogState::Unreachable("the registry shows no log, although its log's key is known".into());
            let checkpoint = Checkpoint::served(&note.ok_or_else(none)?, log).map_err(LogState::Refused)?;
            if checkpoint.head.size >= size || began.elapsed() >= LAG {
                return Ok(checkpoint);
            }
            if began.elapsed() >= Duration::from_secs(1) && !std::mem::replace(&mut said, true) {
                Ui::silent()
                    .note(format_args!("waiting for {} to sign the newest entries of its log", self.shown));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The content of tiles, in their order.
    fn tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let mut progress = Ui::silent().progress(format!("reading the log of {}", self.shown), tiles.len());
        let at = |done| progress.at(done);
        let fetched = parallel::each(tiles, AT_ONCE, at, |tile| {
            if let Some(why) = self.patience.is_over(Instant::now()) {
                return Err(Error::GivenUp { registry: self.shown.clone(), why });
            }
            self.remote.tile(tile).inspect_err(|error| self.patience.failed(error))
        });
        fetched.into_iter().collect()
    }
}

impl Seen {
    /// The proofs that these entries, each an index and a hash, are in the log; `None` for one that is not. All indexes are below its
    /// size.
    pub(in crate::commands) fn inclusions(
        &self,
        registry: &Registry<'_>,
        entries: &[(u64, Hash)],
    ) -> Result<Vec<Option<InclusionProof>>, LogState> {
        let fetch = |tiles: &[Tile]| registry.tiles(tiles);
        Tree::new(&self.checkpoint, &self.kept, &fetch).inclusions(entries).map_err(LogState::from)
    }

    /// `1234 entries, continues the 1200 that were seen before; signed by witness.example, too`
    pub(in crate::commands) fn in_words(&self) -> String {
        let size = self.checkpoint.head.size;
        let entries = if size == 1 { "entry" } else { "entries" };
        let before = match self.before {
            None => "seen for the first time".to_owned(),
            Some(before) if before == size => "the same as before".to_owned(),
            Some(before) => format!("which continue the {before} seen before"),
        };
        let witnesses: Vec<_> = self.log.witnesses.iter().map(|witness| escape(&witness.name)).collect();
        let signed = if witnesses.is_empty() {
            "no witness is required".to_owned()
        } else {
            format!("also signed by {}", witnesses.join(", "))
        };
        let by = match self.whose {
            Whose::Own => "",
            Whose::Projects => "; its key is known by this project's own list",
        };
        let generation = match self.log.generation {
            1 => String::new(),
            generation => format!(" of generation {generation}"),
        };
        format!("{size} {entries}{generation}, {before}; {signed}{by}")
    }
}

impl LogState {
    /// What there is to say about it, safe to show; nothing where no key is known.
    pub(in crate::commands) fn in_words(&self) -> String {
        match self {
            Self::KeyUnknown => "its key is not in your list".into(),
            Self::Seen(seen) => seen.in_words(),
            Self::Unreachable(why) => why.clone(),
            Self::Refused(refused) => refused.to_string(),
        }
    }

    pub(in crate::commands) fn json(&self) -> Value {
        let (state, more) = match self {
            Self::KeyUnknown => ("key unknown", json!({})),
            Self::Seen(seen) => ("seen", seen.json()),
            Self::Unreachable(_) => ("unreachable", json!({})),
            Self::Refused(refused) => {
                let evidence = match refused {
                    Refused::Inconsistent { kept_in: Ok(file), .. } => Some(file.display().to_string()),
                    _ => None,
                };
                ("refused", json!({ "evidence": evidence }))
            }
        };
        let mut json = more;
        json["state"] = state.into();
        json["text"] = self.in_words().into();
        json
    }
}

impl Seen {
    fn json(&self) -> Value {
        json!({
            "origin": self.log.origin().as_str(),
            "generation": self.log.generation,
            "size": self.checkpoint.head.size,
            "root": self.checkpoint.head.root.to_string(),
            "seen-before": self.before,
            "vkey": self.log.key.to_string(),
            "witnesses": self.log.witnesses.iter().map(|witness| &witness.name).collect::<Vec<_>>(),
            "checkpoint": self.checkpoint.signed.to_string(),
        })
    }
}

impl From<Lacking<Error>> for LogState {
    fn from(lacking: Lacking<Error>) -> Self {
        match lacking {
            Lacking::Tile(error) => unreachable(&error),
            Lacking::Refused(refused) => Self::Refused(refused),
        }
    }
}

fn unreachable(error: &Error) -> LogState {
    let why = escape(&sentence(error));
    if is_endless(error) { LogState::Refused(Refused::Endless(why)) } else { LogState::Unreachable(why) }
}
