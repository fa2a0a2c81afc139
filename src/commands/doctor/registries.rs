//! What the registries say: whether they take the enrolled keys, and what time it is there, since a token is good for minutes,
//! counted from the time in it.

use super::{Findings, name};
use crate::card::plugged_in::PluggedIn;
use crate::commands::registered::{self, Asked, Refusal};
use crate::enrollment::{Enrollments, Registry};
use crate::reader::Readers;
use crate::registry::clock::ClockError;
use crate::registry::greeting;
use crate::registry::visit::{Visit, Welcome};
use crate::settings::Settings;
use crate::text::{causes, escape, foreign_word};

const REGISTRY: &str = "registry";
const CLOCK: &str = "clock";
const STAGED: &str = "staged";

pub(super) fn check(
    enrollments: &Enrollments,
    found: &[PluggedIn],
    readers: &Readers,
    settings: &Settings,
    findings: &mut Findings,
) {
    let mut before = None;
    for asked in registered::ask(enrollments, found, readers, settings) {
        let index = Some(&asked.registry.index);
        match &asked.visit {
            Ok(visit) => {
                if before != index {
                    clock(asked.registry, visit.clock, findings);
                    if let Some(waiting) = asked.waiting_in_words() {
                        findings.note(STAGED, waiting);
                    }
                    if let Some(why) = asked.untold() {
                        findings.warn(STAGED, why, asked.list_command());
                    }
                }
                keys(&asked, visit, findings);
            }
            Err(error) if before != index => not_visited(asked.registry, error, findings),
            Err(_) => {}
        }
        before = index;
    }
}

fn clock(registry: &Registry, wrong: Option<ClockError>, findings: &mut Findings) {
    let name = name(registry);
    match wrong {
        None => findings.ok(CLOCK, format!("it agrees with the clock of `{name}`")),
        Some(wrong) => findings.fail(
            CLOCK,
            format!("{wrong} `{name}`: it refuses tokens whose time is too far off"),
            "sudo timedatectl set-ntp true",
        ),
    }
}

fn keys(asked: &Asked<'_>, visit: &Visit, findings: &mut Findings) {
    let name = name(asked.registry);
    match (asked.refusal(), asked.serial) {
        (Some(Refusal { text, words, next }), _) => findings.fail(REGISTRY, text + &words, next),
        (None, Some(serial)) if visit.welcome == Welcome::Taken => {
            let keys = if visit.changes == Welcome::Taken { "keys" } else { "read key" };
            findings.ok(REGISTRY, format!("`{name}` accepts the {keys} of YubiKey {serial}"));
        }
        (None, _) => findings.note(
            REGISTRY,
            format!("whether `{name}` accepts your keys was not tested: that needs a plugged-in card whose read key asks for neither PIN nor touch"),
        ),
    }
}

fn not_visited(registry: &Registry, error: &greeting::Error, findings: &mut Findings) {
    let name = name(registry);
    if let greeting::Error::GitIndex = error {
        let text = format!(
            "`{name}` cannot be asked for its time or whether it accepts your keys: its index is a git repository"
        );
        return findings.note(REGISTRY, text);
    }
    let reasons: Vec<_> = causes(error).map(|cause| format!(": {}", escape(&cause.to_string()))).collect();
    let url = format!("{}config.json", registry.index.trim_start_matches("sparse+"));
    let next = error.hint().unwrap_or_else(|| format!("curl -sSI {}", foreign_word(&url)));
    findings.warn(REGISTRY, format!("cannot ask `{name}`: {error}{}", reasons.concat()), next);
}
