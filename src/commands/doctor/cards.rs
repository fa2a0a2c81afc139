//! The cards themselves: firmware, PIN, PUK, management key, and the enrolled keys.

use super::surroundings::Surroundings;
use super::{Findings, name, sentence};
use crate::card::enrolled_keys::{self, Found};
use crate::card::plugged_in::{self, CardState, PluggedIn, Presence};
use crate::enrollment::{Card, Enrollments};
use crate::error::Error;
use crate::piv::{EUCLEAK_MENDED, METADATA_SINCE, ManagementKeyMetadata, PinState, Piv, QUERY_FORGETS_PIN};
use crate::reader::{self, Readers};
use crate::text::escape;

/// The end of policy "once": pcscd takes the power from an idle card, and some programs reset it or select another
/// application.
const UNTIL: &str = "until the card is idle for a few seconds or another program uses it";

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
            format!("{text}, which often forgets its PIN: expect to be asked for it each time"),
        );
    } else if firmware < EUCLEAK_MENDED {
        findings.note(
            "firmware",
            format!(
                "{text}: a laboratory that has the key can extract its private keys (YSA-2024-03); keep it in sight"
            ),
        );
    } else {
        findings.ok("firmware", text);
    }
}

fn pin(state: &CardState, findings: &mut Findings) {
    let card = state.name();
    let unblock = state.unblock();
    match state.pin {
        PinState::Verified => {
            findings.ok("PIN", format!("{card} has been given its PIN, which it remembers {UNTIL}"))
        }
        PinState::Tries(1) => {
            findings.warn("PIN", format!("{card} has one try left before its PIN is blocked"), unblock);
        }
        PinState::Tries(tries) => {
            findings.ok(
                "PIN",
                format!("{card} has {tries} tries left; once given, the PIN is remembered {UNTIL}"),
            );
        }
        PinState::Blocked => findings.fail("PIN", format!("the PIN of {card} is blocked"), unblock),
    }
}

/// What still is as it left the factory; `None` where the card does not tell.
#[derive(Clone, Copy, Debug)]
struct Defaults {
    pin: bool,
    puk: Puk,
    management_key: ManagementKeyMetadata,
}

/// What stands behind a blocked PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Puk {
    Default,
    Own,
    Blocked,
    /// A YubiKey Bio has none.
    Missing,
}

fn defaults(piv: &mut Piv<'_>) -> Result<Option<Defaults>, Error> {
    if piv.version()? < METADATA_SINCE {
        return Ok(None);
    }
    let puk = if plugged_in::has_puk(piv)? {
        match piv.puk_metadata()? {
            puk if puk.default => Puk::Default,
            puk if puk.tries_left == 0 => Puk::Blocked,
            _ => Puk::Own,
        }
    } else {
        Puk::Missing
    };
    Ok(Some(Defaults {
        pin: piv.pin_metadata()?.default,
        puk,
        management_key: piv.management_key_metadata()?,
    }))
}

fn report_defaults(state: &CardState, defaults: &Option<Defaults>, findings: &mut Findings) {
    let card = state.name();
    let Some(defaults) = defaults else {
        let text = format!(
            "{card} does not report whether PIN, PUK and management key are still the factory defaults"
        );
        findings.note("defaults", text);
        return;
    };
    let change = |what: &str| state.ykman(&format!("piv access change-{what}"));
    if defaults.pin {
        let text = format!("{card} still has the default PIN 123456: anyone who finds it could publish");
        findings.fail("PIN", text, change("pin"));
    }
    match defaults.puk {
        Puk::Default => {
            let text = format!("{card} still has the default PUK: anyone who finds it can set a new PIN");
            findings.fail("PUK", text, change("puk"));
        }
        Puk::Blocked => {
            findings.note(
                "PUK",
                format!("the PUK of {card} is blocked, so a blocked PIN could not be unblocked"),
            );
        }
        Puk::Missing => {
            findings.note("PUK", format!("{card} has no PUK, so a blocked PIN could not be unblocked"))
        }
        Puk::Own => {}
    }
    let algorithm = defaults.management_key.algorithm;
    if defaults.management_key.default {
        let text = format!(
            "{card} still has the default management key ({algorithm}): while it is plugged in, any program can replace its keys"
        );
        findings.warn("management key", text, change("management-key --generate --protect"));
    } else {
        findings.ok("management key", format!("{card} has its own management key ({algorithm})"));
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
        let serial = enrolled.serial;
        let (card, name) = (state.name(), name(registry));
        let compared = readers.look(&plugged_in.reader, move |piv| enrolled_keys::compare(piv, &enrolled));
        let compared = match compared {
            Ok(compared) => compared,
            Err(error) => {
                findings.failed_with("keys", &error);
                continue;
            }
        };
        let in_slots = |wanted: &[Found]| {
            let keys = compared.iter().filter(|(_, found)| wanted.contains(found));
            let keys: Vec<_> =
                keys.map(|(key, _)| format!("the {} key in slot {}", key.role, key.slot)).collect();
            (!keys.is_empty()).then(|| keys.join(" and "))
        };
        let again = format!("{} --serial {serial}", registry.enroll_command());
        if let Some(gone) = in_slots(&[Found::Gone]) {
            findings.fail("keys", format!("{card} no longer has {gone} for `{name}`"), again);
        } else if let Some(other) = in_slots(&[Found::OtherPolicies, Found::OtherRole]) {
            let text = format!(
                "enrollments.toml and {card} disagree about {other}: another program may have changed the file"
            );
            findings.fail("keys", text, format!("{again} --existing"));
        } else if in_slots(&[Found::Untold]).is_some() {
            findings.note("keys", format!("{card} does not report which keys it has"));
        } else {
            findings.ok("keys", format!("{card} has its keys for `{name}`"));
        }
    }
}

fn not_plugged_in(found: &[PluggedIn], enrollments: &Enrollments, findings: &mut Findings) {
    let is_away = |card: &Card| Presence::of(card.serial, found) == Presence::Away;
    for registry in enrollments.registries.iter().filter(|registry| registry.cards.iter().all(is_away)) {
        let text = format!("to sign for `{}`, plug in {}", name(registry), registry.cards_for_display());
        findings.note("card", text);
    }
}
