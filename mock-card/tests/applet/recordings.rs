//! Recordings of real cards, replayed on the mock.
//!
//! The files are in `tests/recordings`. Each names its source; nothing in them is from us. `> command` and `< answer` are an
//! exchange, in which `xx` stands for a byte that was random, secret, personal or not shown, and `[xx*N]` for N such bytes.
//! `# setup:` lines say what state the card was in. `! answer to reset` and `= reader` stand alone. Every file is replayed, or it
//! is in [`NOT_REPLAYED`] with the reason; every answer is the same, or it is in [`DIFFERENCES`] with the reason.

mod certificates;
mod notes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mock_card::{Card, Firmware, FormFactor, Traits, Transport, hex};

use crate::cards::{authenticate, bytes};

/// The card that a recording is replayed on. Where a recording does not tell its firmware, it is one that fits. The serial
/// numbers are those that the recorded certificates have in place of the real ones.
const CARDS: &[(&str, &str)] = &[
    ("age-plugin-135-5.4.3", "5.4.3"),
    ("attest-4.3.3-9e-p256", "4.3.3 serial=007ADA55"),
    ("attest-4.3.7-9a-p256", "4.3.7 no-serial"),
    ("attest-5.2.4-9c-rsa2048", "5.2.4 keychain-a serial=00BADA55"),
    ("attest-5.4.3-9a-p256", "5.4.3 nano-c serial=00BADA55"),
    ("attest-5.7.1-9c-p384", "5.7.1 serial=01BADA55"),
    ("attest-5.7.2-bio-9a-rsa2048", "5.7.2-bio serial=01BADA55"),
    ("attest-5.7.4-9a-rsa2048", "5.7.4 nano-c serial=01BADA55"),
    ("blinky-5.4.3", "5.4.3"),
    ("blinky-5.7.1-certificate", "5.7.1"),
    ("blinky-5.7.2-bio", "5.7.2-bio"),
    ("blinky-bio-verify", "5.7.2-bio"),
    ("blinky-ins-probe", "5.7.1"),
    ("device-info-5.1.2", "5.1.2 keychain-a"),
    ("device-info-5.2.7-nano", "5.2.7 nano-c"),
    ("device-info-5.4.3", "5.4.3 keychain-c"),
    ("device-info-5.7.4", "5.7.4 keychain-a"),
    ("keyroost-147-5.7.4", "5.7.4"),
    ("opensc-1230-yk4-select-p2-0c", "4.3.7"),
    ("opensc-1243-yk4-4.3.7", "4.3.7"),
    ("opensc-1243-yk4-general-authenticate", "4.3.7"),
    ("opensc-1710-discovery", "4.3.7"),
    ("piv-tool-215-5.1.2-serial-hidden", "5.1.2 serial-hidden"),
    ("piv-tool-63-neo", "4.3.7"),
    ("piv-tool-77-neo", "4.3.1"),
    ("pivy-52-yk4", "4.3.7"),
    ("sdk-auth-mgmt-wrong", "5.4.3"),
    ("sdk-auth-sign-rsa", "5.4.3"),
    ("sdk-get-data-chuid", "5.4.3"),
    ("sdk-management-select-5.7.2", "5.7.2"),
    ("sdk-metadata", "5.4.3"),
    ("sdk-otp-4.3.7", "4.3.7"),
    ("sdk-pin", "5.4.3"),
    ("sdk-reset", "5.4.3"),
    ("sdk-serial", "5.4.3"),
    ("sdk-version-5.2.4", "5.2.4"),
    ("solo-pcscd-4.3.4", "4.3.4"),
];

/// Files that are replayed in another way, or not at all.
const NOT_REPLAYED: &[(&str, &str)] = &[
    ("atrs", "has no exchanges; answers to reset are compared below"),
    ("readers", "has no exchanges; names of readers are compared below"),
    ("notes-status-words", "has no exchanges, but reports in words, each of which has a test of its own"),
    (
        "blinky-foreign-crescendo",
        "is not a YubiKey; the client of this workspace has a test with it (src/card/plugged_in.rs)",
    ),
];

/// An answer that is not the recorded one.
struct Difference {
    file: &'static str,
    /// The beginning of the command.
    command: &'static str,
    /// What the mock answers.
    mock: &'static str,
    why: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        file: "device-info-5.1.2",
        command: "001D00",
        mock: "2B 0102023F 0302023F 0204xxxxxxxx 040101 0503050102 06020000 07010F 080100 0D02023F 0E02023F 0A0100 9000",
        why: "the owner has switched applications off and changed timeouts (elements 03, 06, 08, 0E)",
    },
    Difference {
        file: "device-info-5.7.4",
        command: "001D0000",
        mock: "3B 0102033F 0302033F 0204xxxxxxxx 040101 0503050704 06020000 07010F 080100 0D02033F 0E02033F 0A0100 0F0100 2003000000 2103000000 100101 9000",
        why: "the owner has switched applications off (elements 03, 0E)",
    },
    Difference {
        file: "sdk-otp-4.3.7",
        command: "00A40400",
        mock: "040307 000000 000F0000 9000",
        why: "OTP slots are programmed on the recorded card (sequence number and flags)",
    },
    Difference {
        file: "sdk-otp-4.3.7",
        command: "00030000",
        mock: "040307 000000 9000",
        why: "OTP slots are programmed on the recorded card (sequence number and flags)",
    },
    Difference {
        file: "solo-pcscd-4.3.4",
        command: "00A4040008A000000527200101",
        mock: "040304 000000 000F0000 9000",
        why: "OTP slots are programmed on the recorded card (sequence number and flags)",
    },
];

/// A recording as its file has it.
struct Recording {
    name: String,
    setup: Vec<String>,
    exchanges: Vec<Exchange>,
    /// Lines that begin with `!` or `=`, without comments.
    singles: Vec<String>,
}

struct Exchange {
    command: Vec<u8>,
    /// Hexadecimal, with `XX` for any byte.
    answer: String,
}

impl Recording {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("# source: "), "{} has no source", path.display());
        let mut recording = Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            setup: Vec::new(),
            exchanges: Vec::new(),
            singles: Vec::new(),
        };
        let mut command = None;
        for line in text.lines() {
            let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
            match mark {
                "> " => command = Some(bytes(without_comment(rest))),
                "< " => recording.exchanges.push(Exchange {
                    command: command.take().expect("a command before its answer"),
                    answer: pattern(without_comment(rest)),
                }),
                "! " => recording.singles.push(without_comment(rest).trim().to_owned()),
                "= " => recording.singles.push(rest.to_owned()),
                "# " => recording.setup.extend(rest.strip_prefix("setup: ").map(str::to_owned)),
                _ => assert!(line.is_empty(), "{}: what is {line:?}?", path.display()),
            }
        }
        recording
    }

    fn has_setup(&self, wanted: &str) -> bool {
        self.setup.iter().any(|step| step == wanted)
    }
}

fn without_comment(text: &str) -> &str {
    text.split('#').next().unwrap()
}

/// `[xx*24] 9000` as `XXXX…9000`.
fn pattern(text: &str) -> String {
    let mut plain = String::new();
    for part in text.split('[') {
        match part.split_once(']') {
            Some((repeated, after)) => {
                let (byte, times) = repeated.split_once('*').unwrap();
                plain += &byte.repeat(times.parse().unwrap());
                plain += after;
            }
            None => plain += part,
        }
    }
    plain.split_whitespace().collect::<String>().to_uppercase()
}

fn fits(answer: &str, pattern: &str) -> bool {
    answer.len() == pattern.len()
        && answer.chars().zip(pattern.chars()).all(|(found, wanted)| wanted == 'X' || found == wanted)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

fn recordings() -> Vec<Recording> {
    let entries = std::fs::read_dir(folder()).unwrap();
    entries.map(|entry| Recording::read(&entry.unwrap().path())).collect()
}

fn recording(name: &str) -> Recording {
    Recording::read(&folder().join(name).with_extension("txt"))
}

/// A card of [`CARDS`], with what is special about it. All its random bytes are A5.
fn card_for(name: &str) -> Card {
    let (_, told) =
        CARDS.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("no card for {name}"));
    let (firmware, words) = told.split_once(' ').unwrap_or((told, ""));
    let mut traits = Traits::default();
    let mut serial = 1;
    for word in words.split_whitespace() {
        match word {
            "no-serial" => traits.attests_serial = Some(false),
            "serial-hidden" => traits.serial_hidden = true,
            "keychain-a" => traits.form_factor = Some(FormFactor::KeychainA),
            "keychain-c" => traits.form_factor = Some(FormFactor::KeychainC),
            "nano-c" => traits.form_factor = Some(FormFactor::NanoC),
            _ => serial = u32::from_str_radix(word.strip_prefix("serial=").expect(word), 16).unwrap(),
        }
    }
    let random = Box::new(|bytes: &mut [u8]| bytes.fill(0xA5));
    Card::with_random(firmware.parse().unwrap(), serial, random).unwrap().with_traits(traits)
}

/// A card in the state that the recording begins with.
fn prepared(recording: &Recording) -> Card {
    let mut card = card_for(&recording.name);
    let succeed = |card: &mut Card, command: &[u8]| {
        let answer = card.transmit(command);
        assert!(matches!(answer[..], [.., 0x90, 0] | [.., 0x61, _]), "{}: {answer:02X?}", recording.name);
    };
    for step in &recording.setup {
        match step.split_once(' ').unwrap_or((step, "")) {
            ("select", "") => succeed(&mut card, &bytes("00A4040005A000000308")),
            ("authenticate", "") => authenticate(&mut card),
            ("verify", "") => succeed(&mut card, &bytes("0020008008313233343536FFFF")),
            ("apdu", command) => succeed(&mut card, &bytes(command)),
            ("put", object) => {
                let (number, length) = object.split_once(' ').unwrap();
                succeed(&mut card, &put_certificate(number, length.parse().unwrap()));
            }
            ("change-management-key", "") => succeed(&mut card, &bytes("00FFFFFF1B 039B18 [AA*24]")),
            ("aes-management-key", "") => succeed(&mut card, &bytes("00FFFFFF1B 0A9B18 [AA*24]")),
            ("skip", "") => {}
            _ => panic!("{}: what is the setup {step:?}?", recording.name),
        }
    }
    more_setup(&recording.name, &mut card);
    card.power_cycle();
    if recording.has_setup("select") || recording.has_setup("skip") {
        succeed(&mut card, &bytes("00A4040005A000000308"));
    }
    card
}

/// The state of cards that their recordings tell in words.
fn more_setup(name: &str, card: &mut Card) {
    match name {
        "blinky-5.7.2-bio" => card.set_pin("654321").unwrap(),
        "piv-tool-77-neo" => {
            // Five PIN tries.
            authenticate(card);
            card.transmit(&bytes("0020008008313233343536FFFF"));
            assert_eq!(card.transmit(&bytes("00FA0503")), [0x90, 0]);
        }
        _ => {}
    }
}

/// PUT DATA of a certificate object with this many bytes.
fn put_certificate(number: &str, length: u16) -> Vec<u8> {
    let certificate = length - 9;
    let content = [&[0x70, 0x82][..], &certificate.to_be_bytes(), &vec![0xA5; certificate.into()]].concat();
    let content = [&content[..], &bytes("710100FE00")].concat();
    let object =
        [&bytes(&format!("5C03{number}"))[..], &[0x53, 0x82], &length.to_be_bytes(), &content].concat();
    [&bytes("00DB3FFF00")[..], &(object.len() as u16).to_be_bytes(), &object].concat()
}

#[test]
fn every_exchange_is_answered_as_by_the_real_card() {
    let mut different = BTreeSet::new();
    let mut unexpected = Vec::new();
    let mut same = 0;
    let replayed = recordings().into_iter().filter(|recording| {
        let listed = NOT_REPLAYED.iter().any(|(name, _)| *name == recording.name);
        !listed && !recording.has_setup("certificate")
    });
    for recording in replayed {
        let mut card = prepared(&recording);
        for Exchange { command, answer } in &recording.exchanges {
            let found = hex::encode(&card.transmit(command));
            if fits(&found, answer) {
                same += 1;
                continue;
            }
            let command = hex::encode(command);
            let known = DIFFERENCES.iter().position(|known| {
                known.file == recording.name
                    && command.starts_with(known.command)
                    && fits(&found, &pattern(known.mock))
            });
            match known {
                Some(known) => drop(different.insert(known)),
                None => unexpected
                    .push(format!("{}: > {command}\n  real {answer}\n  mock {found}", recording.name)),
            }
        }
    }
    assert!(
        unexpected.is_empty(),
        "{} answers differ, and {same} do not\n{}",
        unexpected.len(),
        unexpected.join("\n")
    );
    let stale = DIFFERENCES.iter().enumerate().filter(|(number, _)| !different.contains(number));
    let stale: Vec<_> =
        stale.map(|(_, known)| format!("{} > {}: {}", known.file, known.command, known.why)).collect();
    assert!(stale.is_empty(), "these answers do not differ any more: {stale:#?}");
    assert!(same > 120, "only {same} answers were compared");
}

/// No file is forgotten, and none is named that is not there.
#[test]
fn every_file_is_accounted_for() {
    let files: BTreeMap<_, _> = recordings().into_iter().map(|found| (found.name.clone(), found)).collect();
    let named = CARDS.iter().map(|(name, _)| *name).chain(NOT_REPLAYED.iter().map(|(name, _)| *name));
    assert_eq!(files.keys().map(String::as_str).collect::<BTreeSet<_>>(), named.collect());
    for (name, why) in NOT_REPLAYED {
        assert!(why.len() > 20, "{name}: why?");
    }
    for known in DIFFERENCES {
        assert!(files.contains_key(known.file) && known.why.len() > 20, "{}: why?", known.file);
    }
}
