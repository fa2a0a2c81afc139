//! What the registry's log has of one version.

use serde_json::Value;

use super::super::found::Evidence;
use super::super::in_log;
use super::super::log::{Keeping, LogState, Registry};
use super::super::place::{self, Place};
use crate::commands::finding::{Finding, Verdict};
use crate::context::Context;
use crate::error::Error;
use crate::proof::{Proof, Saved};
use crate::transparency::Refused;
use crate::trust::Trust;

/// What the registry's log has of it.
pub(super) enum InLog {
    /// Nobody says that there is one.
    Nothing,
    /// This, or why it is not shown; safe to show.
    Place(Result<Place, String>),
    /// The log is refused.
    Refused(Refused),
}

impl InLog {
    /// Looks for the publish in the registry's log.
    pub(super) fn look(
        registry: &Registry<'_>,
        proof: &Proof,
        trust: &Trust,
        keeping: &Keeping<'_>,
    ) -> Result<Self, Error> {
        let logged = match proof.logged().transpose() {
            Ok(logged) => logged,
            Err(error) => return Ok(Self::Place(Err(error.to_string()))),
        };
        let size = logged.as_ref().map(place::end).unwrap_or_default();
        let state = keeping.look(registry, trust, size)?;
        Ok(match state {
            LogState::KeyUnknown if logged.is_none() => Self::Nothing,
            LogState::KeyUnknown => Self::Place(Ok(Place::KeyUnknown)),
            LogState::Unreachable(why) => Self::Place(Err(why)),
            LogState::Refused(refused) => Self::Refused(refused),
            LogState::Seen(seen) => {
                Self::of(in_log::find_one(&seen, registry, logged.as_ref()).map(|_| Place::Shown))
            }
        })
    }

    /// What a kept proof shows of it by itself.
    pub(super) fn by_what_is_kept(proof: &Proof, saved: &Saved, trust: &Trust, context: &Context) -> Self {
        let logged = match proof.logged().transpose() {
            Ok(logged) => logged,
            Err(error) => return Self::Place(Err(error.to_string())),
        };
        match trust.of_log(&proof.index) {
            Err(error) => Self::Refused(error.into()),
            Ok(None) if logged.is_none() => Self::Nothing,
            Ok(None) => Self::Place(Ok(Place::KeyUnknown)),
            Ok(Some((log, _))) => {
                Self::of(in_log::shown(&log, logged.as_ref(), Some(saved), context.cargo.home()))
            }
        }
    }

    /// What there is to say about it, if there is anything.
    pub(super) fn finding(&self, proof: &Proof) -> Option<Finding> {
        let (verdict, text, next) = match self {
            Self::Nothing => return None,
            Self::Place(Ok(place)) => {
                let is_shown = matches!(place, Place::Shown | Place::KeptProof);
                let verdict = if is_shown { Verdict::Ok } else { Verdict::Note };
                let logged = proof.logged().and_then(Result::ok);
                (verdict, place::in_words(logged.as_ref(), *place), None)
            }
            Self::Place(Err(why)) => (Verdict::Failed, why.clone(), None),
            Self::Refused(refused) => (Verdict::Failed, refused.to_string(), Some(refused.hint().to_owned())),
        };
        Some(Finding { check: "log", verdict, text, next })
    }

    /// The same for a program.
    pub(super) fn json(&self, proof: &Proof) -> Option<Value> {
        let Self::Place(Ok(place)) = self else { return None };
        proof.logged().and_then(Result::ok).map(|logged| place::json(&logged, *place))
    }

    fn of(place: Result<Place, Evidence>) -> Self {
        Self::Place(place.map_err(|other| other.why().to_owned()))
    }
}
