//! The cards themselves: firmware, PIN, PUK, management key, and the enrolled keys.

use asymmetric_token::PublicKey;

use super::surroundings::Surroundings;
use super::{Findings, name, sentence};
use crate::card::plugged_in::{CardState, PluggedIn};
use crate::enrollment::{Card, Enrollments, Key};
use crate::error::Error;
use crate::piv::{
    self, EUCLEAK_MENDED, METADATA_SINCE, ManagementKeyMetadata, P384, PinState, Piv, QUERY_FORGETS_PIN,
};
use crate::reader::{self, Readers};
use crate::text::escape;

/// The end of policy "once": pcscd takes the power from an idle card, and some programs reset it or select another
/// application.
const UNTIL: &str = "until the card has been idle for some seconds or another program has used it";

/// Programs that hold a card exclusively for longer than a moment, and how to have them let go.
const HOLDERS: [(&str, &str); 3] = [
    ("scdaemon", "gpgconf --kill scdaemon"),
    ("yubikey-agent", "killall -HUP yubikey-agent"),
    ("piv-agent", "systemctl --user stop piv-agent.socket piv-agent.service"),
];

pub(super) fn check(
    readers: &Readers,
    found: &[PluggedIn],
    enrollments: &Enrollments,
    surroundings: &Surroundings,
    findings: &mut Findings,
) {
    for plugged_in in found {
        match &plugged_in.card {
            Err(error) => cannot_be_read(plugged_in, error, surroundings, findings),
            Ok(state) => {
                firmware(state, findings);
                pin(state, findings);
                match readers.look(&plugged_in.reader, defaults) {
                    Ok(defaults) => report_defaults(state, &defaults, findings),
                    Err(error) => findings.failed_with("card", &error),
                }
                keys(readers, plugged_in, state, enrollments, findings);
            }
        }
    }
    not_plugged_in(found, enrollments, findings);
}

fn cannot_be_read(
    plugged_in: &PluggedIn,
    error: &Error,
    surroundings: &Surroundings,
    findings: &mut Findings,
) {
    let text = format!("{}: {}", escape(&plugged_in.reader.to_string()), sentence(error));
    let busy = matches!(
        error,
        Error::Reader(reader::Error::Busy | reader::Error::Timeout { waiting: reader::Waiting::ForCard })
    );
    let holder = HOLDERS.iter().find(|(program, _)| busy && surroundings.runs(program));
    match (holder, error) {
        (Some((program, release)), _) => {
            findings.fail("card", format!("{text}; {program} is running"), *release);
        }
        (None, error) => {
            findings.fail("card", text, error.hint().unwrap_or_else(|| "ykman piv info".into()));
        }
    }
}

fn firmware(state: &CardState, findings: &mut Findings) {
    let firmware = state.firmware;
    let text = format!("{} has firmware {firmware}", state.name());
    if firmware == QUERY_FORGETS_PIN {
        findings.note(
            "firmware",
            format!("{text}, which forgets its PIN often: expect to be asked for it each time"),
        );
    } else if firmware < EUCLEAK_MENDED {
        findings.note(
            "firmware",
            format!(
                "{text}: who holds it in a laboratory can extract its keys (YSA-2024-03); keep it in sight"
            ),
        );
    } else {
        findings.ok("firmware", text);
    }
}

fn pin(state: &CardState, findings: &mut Findings) {
    let card = state.name();
    let unblock = state.ykman("piv access unblock-pin");
    match state.pin {
        PinState::Verified => findings.ok("PIN", format!("{card} has been given it, {UNTIL}")),
        PinState::Tries(1) => {
            findings.warn("PIN", format!("{card} has one try left before it is blocked"), unblock);
        }
        PinState::Tries(tries) => {
            findings.ok("PIN", format!("{card} has {tries} tries; once given, it lasts {UNTIL}"));
        }
        PinState::Blocked => findings.fail("PIN", format!("the PIN of {card} is blocked"), unblock),
    }
}

/// What still is as it left the factory; `None` where the card does not tell.
#[derive(Clone, Copy, Debug)]
struct Defaults {
    pin: bool,
    puk: bool,
    puk_blocked: bool,
    management_key: ManagementKeyMetadata,
}

fn defaults(piv: &mut Piv<'_>) -> Result<Option<Defaults>, Error> {
    if piv.version()? < METADATA_SINCE {
        return Ok(None);
    }
    // A YubiKey Bio has no PUK.
    let puk = match piv.puk_metadata() {
        Ok(puk) => Some(puk),
        Err(piv::Error::Refused { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Some(Defaults {
        pin: piv.pin_metadata()?.default,
        puk: puk.is_some_and(|puk| puk.default),
        puk_blocked: puk.is_some_and(|puk| puk.tries_left == 0),
        management_key: piv.management_key_metadata()?,
    }))
}

fn report_defaults(state: &CardState, defaults: &Option<Defaults>, findings: &mut Findings) {
    let card = state.name();
    let Some(defaults) = defaults else {
        let text =
            format!("{card} does not tell whether PIN, PUK and management key are still the factory's");
        findings.note("defaults", text);
        return;
    };
    let change = |what: &str| state.ykman(&format!("piv access change-{what}"));
    if defaults.pin {
        let text = format!("{card} still has the default PIN 123456: whoever finds it could publish");
        findings.fail("PIN", text, change("pin"));
    }
    if defaults.puk {
        let text = format!("{card} still has the default PUK: whoever finds it can set a new PIN");
        findings.fail("PUK", text, change("puk"));
    } else if defaults.puk_blocked {
        findings.note("PUK", format!("the PUK of {card} is blocked: a blocked PIN could not be mended"));
    }
    let algorithm = defaults.management_key.algorithm;
    if defaults.management_key.default {
        let text = format!(
            "{card} still has the default management key ({algorithm}): any program can replace its keys while it is plugged in"
        );
        findings.warn("management key", text, change("management-key --generate --protect"));
    } else {
        findings.ok("management key", format!("{card} has one of its own ({algorithm})"));
    }
}

/// The enrolled keys are where they were.
fn keys(
    readers: &Readers,
    plugged_in: &PluggedIn,
    state: &CardState,
    enrollments: &Enrollments,
    findings: &mut Findings,
) {
    for registry in &enrollments.registries {
        let Some(enrolled) = state.serial.and_then(|serial| registry.card(serial)).cloned() else { continue };
        let (card, name) = (state.name(), name(registry));
        match readers.look(&plugged_in.reader, move |piv| missing(piv, &enrolled)) {
            Ok(None) => findings.note("keys", format!("{card} does not tell which keys it has")),
            Ok(Some(missing)) if missing.is_empty() => {
                findings.ok("keys", format!("{card} has its keys for `{name}`"));
            }
            Ok(Some(missing)) => {
                let slots: Vec<_> =
                    missing.iter().map(|key| format!("the {} key in slot {}", key.role, key.slot)).collect();
                let text = format!("{card} no longer has {} for `{name}`", slots.join(" and "));
                findings.fail("keys", text, format!("yk-cargo forget {name} && yk-cargo enroll {name}"));
            }
            Err(error) => findings.failed_with("keys", &error),
        }
    }
}

/// The enrolled keys that are not in their slots; `None` if the card does not tell.
fn missing(piv: &mut Piv<'_>, card: &Card) -> Result<Option<Vec<Key>>, Error> {
    if piv.version()? < METADATA_SINCE {
        return Ok(None);
    }
    let mut missing = Vec::new();
    for key in &card.keys {
        let point = match piv.metadata(key.slot)? {
            None => None,
            Some(metadata) => metadata.point(&P384)?,
        };
        let public = point.map(|point| PublicKey::from_uncompressed(&point)).transpose()?;
        if public != Some(key.public) {
            missing.push(*key);
        }
    }
    Ok(Some(missing))
}

fn not_plugged_in(found: &[PluggedIn], enrollments: &Enrollments, findings: &mut Findings) {
    let is_here = |card: &Card| {
        found
            .iter()
            .filter_map(|found| found.card.as_ref().ok())
            .any(|state| state.serial == Some(card.serial))
    };
    for registry in enrollments.registries.iter().filter(|registry| !registry.cards.iter().any(is_here)) {
        let text = format!("to sign for `{}`, plug in {}", name(registry), registry.cards_for_display());
        findings.note("card", text);
    }
}
