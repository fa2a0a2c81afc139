//! Proofs: whether cargo has them signed when it publishes, and which are pending.

use super::Findings;
use crate::commands::proofs_shown::{self, Signed};
use crate::context::Context;
use crate::enrollment::Enrollments;

const PROOFS: &str = "proofs";

pub(super) fn check(context: &Context, enrollments: &Enrollments, findings: &mut Findings) {
    // That cargo refuses its configuration is said elsewhere.
    if let Ok(cargo) = context.cargo.read() {
        for registry in enrollments.registries.iter().filter(|registry| registry.proofs) {
            match Signed::of(registry, enrollments, &cargo) {
                Ok(Signed::ByPublishing { text }) => findings.ok(PROOFS, text),
                Ok(Signed::ByHand { text, next }) => findings.warn(PROOFS, text, next),
                Err(error) => findings.failed_with(PROOFS, &error.into()),
            }
        }
    }
    match proofs_shown::pending(context.cargo.home(), enrollments) {
        Ok(lines) => lines.into_iter().for_each(|line| findings.note(PROOFS, line)),
        Err(error) => findings.failed_with(PROOFS, &error),
    }
}
