//! The applet alone: transcripts of commands and answers, and signatures checked by another hand.
//!
//! A line of `transcripts/*.apdu` is one of
//! `=== name` (a new card), `> command`, `< answer` (`..` stands for anything, once), `< touch SLOT`, `# comment`,
//! and `@ directive`. `[5A*16]` stands for sixteen bytes 5A. The card draws 5A bytes only.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use aes::Aes192;
use cipher::{Array, BlockCipherEncrypt as _, KeyInit as _};
use mock_card::applet::Exchange;
use mock_card::{Algorithm, Card, Firmware, ImportedKey, PinPolicy, TouchPolicy, hex};
use p256::pkcs8::EncodePrivateKey as _;

#[test]
fn transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut failures = Vec::new();
    let mut answers = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut play = Play::new();
        for (index, line) in text.lines().enumerate() {
            answers += usize::from(line.starts_with('<'));
            if let Err(failure) = play.line(line) {
                let file = path.file_name().unwrap().display();
                failures.push(format!(
                    "{file}:{}: in \"{}\": {line}\n    {failure}",
                    index + 1,
                    play.scenario
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {answers} answers are wrong\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(answers > 300, "only {answers} answers were found to check");
}

struct Play {
    scenario: String,
    card: Card,
    now: Duration,
    exchange: Option<Exchange>,
}

impl Play {
    fn new() -> Self {
        Self { scenario: String::new(), card: card(Firmware::default()), now: Duration::ZERO, exchange: None }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "" | "#" => {}
            "===" => *self = Self { scenario: rest.to_owned(), ..Self::new() },
            ">" => {
                self.exchange = Some(self.card.exchange(&bytes(rest.split('#').next().unwrap()), self.now))
            }
            "<" => return self.expect(rest.trim()),
            "@" => self.direct(&rest.split_whitespace().collect::<Vec<_>>()),
            _ => return Err("this line is none of a transcript".to_owned()),
        }
        Ok(())
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let found = match self.exchange.take() {
            Some(Exchange::Answer(answer)) => hex::encode(&answer),
            Some(Exchange::TouchWanted { slot }) => format!("touch {slot:02X}"),
            None => "nothing".to_owned(),
        };
        let as_hex = |part: &str| hex::encode(&bytes(part));
        let fits = match wanted.split_once("..") {
            _ if wanted.starts_with("touch") => found == wanted,
            Some((head, tail)) => {
                let (head, tail) = (as_hex(head), as_hex(tail));
                found.len() >= head.len() + tail.len() && found.starts_with(&head) && found.ends_with(&tail)
            }
            None => found == as_hex(wanted),
        };
        if fits { Ok(()) } else { Err(format!("the card answered {found}")) }
    }

    fn direct(&mut self, words: &[&str]) {
        match words {
            ["firmware", version] => self.card = card(version.parse().unwrap()),
            ["authenticate"] => authenticate(&mut self.card),
            ["power-cycle"] => self.card.power_cycle(),
            ["clock", seconds] => self.now = Duration::from_secs_f64(seconds.parse().unwrap()),
            ["pin-tries", left] => self.card.set_pin_tries(left.parse().unwrap()),
            ["touched"] => self.exchange = Some(Exchange::Answer(self.card.finish(true, self.now))),
            ["untouched"] => self.exchange = Some(Exchange::Answer(self.card.finish(false, self.now))),
            ["fill-objects", total] => fill_objects(&mut self.card, total.parse().unwrap()),
            ["import", slot, algorithm, pin, touch] => {
                let slot = u8::from_str_radix(slot, 16).unwrap();
                self.card.import(slot, known_key(algorithm), pin_policy(pin), touch_policy(touch)).unwrap();
            }
            _ => panic!("no such directive: {words:?}"),
        }
    }
}

fn card(firmware: Firmware) -> Card {
    Card::with_random(firmware, 12_345_678, Box::new(|bytes| bytes.fill(0x5A))).unwrap()
}

/// Hexadecimal with `[5A*16]` for repetitions.
fn bytes(text: &str) -> Vec<u8> {
    let mut plain = String::new();
    for part in text.split('[') {
        match part.split_once(']') {
            Some((repeated, after)) => {
                let (byte, times) = repeated.split_once('*').unwrap();
                plain.push_str(&byte.repeat(times.parse().unwrap()));
                plain.push_str(after);
            }
            None => plain.push_str(part),
        }
    }
    hex::decode(&plain).unwrap_or_else(|| panic!("not hexadecimal: {text}"))
}

/// Selects the application and proves the default management key, 3DES or AES-192.
fn authenticate(card: &mut Card) {
    const DEFAULT: &[u8; 24] = &[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    assert!(card.transmit(&bytes("00A4040005A000000308")).ends_with(&[0x90, 0]));
    let challenge = card.transmit(&bytes("00870A9B047C028100"));
    let command = if challenge.ends_with(&[0x90, 0]) {
        let mut block = Array::try_from(&challenge[4..20]).unwrap();
        Aes192::new(DEFAULT.into()).encrypt_block(&mut block);
        [bytes("00870A9B147C128210"), block.to_vec()].concat()
    } else {
        let challenge = card.transmit(&bytes("0087039B047C028100"));
        let mut block = Array::try_from(&challenge[4..12]).unwrap();
        des::TdesEde3::new(DEFAULT.into()).encrypt_block(&mut block);
        [bytes("0087039B0C7C0A8208"), block.to_vec()].concat()
    };
    assert_eq!(card.transmit(&command), [0x90, 0]);
}

/// Objects from 5F0000 on with this many bytes altogether.
fn fill_objects(card: &mut Card, total: usize) {
    let mut left = total;
    for number in 0_u16.. {
        let size = left.min(2_000);
        if size == 0 {
            return;
        }
        let value = [bytes("5382"), (size as u16).to_be_bytes().to_vec(), vec![0; size]].concat();
        let data = [bytes("5C035F"), number.to_be_bytes().to_vec(), value].concat();
        let command = [bytes("00DB3FFF00"), (data.len() as u16).to_be_bytes().to_vec(), data].concat();
        assert_eq!(card.transmit(&command), [0x90, 0]);
        left -= size;
    }
}

fn known_key(algorithm: &str) -> ImportedKey {
    let der = match algorithm {
        "p256" => p256::SecretKey::from_slice(&[0x5A; 32]).unwrap().to_pkcs8_der().unwrap(),
        "p384" => p384::SecretKey::from_slice(&[0x5A; 48]).unwrap().to_pkcs8_der().unwrap(),
        _ => panic!("{algorithm}"),
    };
    ImportedKey::from_pkcs8(der.as_bytes()).unwrap()
}

fn pin_policy(word: &str) -> PinPolicy {
    match word {
        "never" => PinPolicy::Never,
        "once" => PinPolicy::Once,
        "always" => PinPolicy::Always,
        _ => panic!("{word}"),
    }
}

fn touch_policy(word: &str) -> TouchPolicy {
    match word {
        "never" => TouchPolicy::Never,
        "always" => TouchPolicy::Always,
        "cached" => TouchPolicy::Cached,
        _ => panic!("{word}"),
    }
}

#[test]
fn signatures_hold_under_the_public_key() {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    for size in [48, 20] {
        let mut card = card(Firmware::default());
        card.import(0x9E, known_key("p384"), PinPolicy::Never, TouchPolicy::Never).unwrap();
        card.transmit(&bytes("00A4040005A000000308"));
        let template = [vec![0x7C, size + 4, 0x82, 0, 0x81, size], vec![0x77; size.into()]].concat();
        let command = [vec![0, 0x87, 0x14, 0x9E, template.len() as u8], template].concat();
        let answer = card.transmit(&command);
        assert!(answer.ends_with(&[0x90, 0]));
        let signature = p384::ecdsa::Signature::from_der(&answer[4..answer.len() - 2]).unwrap();
        let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(&known_key("p384").public_point()).unwrap();
        let digest = [vec![0; 48 - usize::from(size)], vec![0x77; size.into()]].concat();
        key.verify_prehash(&digest, &signature).unwrap();
    }
}

#[test]
fn what_is_saved_is_restored() {
    let mut before = card(Firmware::default());
    before.set_pin("654321").unwrap();
    before.import(0x82, known_key("p384"), PinPolicy::Once, TouchPolicy::Cached).unwrap();
    authenticate(&mut before);
    before.transmit(&bytes("00DB3FFF085C035FC1055301A1"));
    assert!(before.take_changed() && !before.take_changed());

    let mut after = card(Firmware::default());
    after.restore(&before.save()).unwrap();
    after.transmit(&bytes("00A4040005A000000308"));
    for question in ["00F70082", "00F70080", "00CB3FFF055C035FC105", "0020008008363534333231FFFF"] {
        let answer = after.transmit(&bytes(question));
        assert!(answer.ends_with(&[0x90, 0]), "{question}");
        assert_eq!(answer, before.transmit(&bytes(question)), "{question}");
    }
}

#[test]
fn a_state_that_fits_no_card_is_refused() {
    let mut card = card(Firmware::default());
    card.import(0x82, known_key("p384"), PinPolicy::Once, TouchPolicy::Cached).unwrap();
    let saved = card.save();
    for (good, bad) in [("\"version\": 1", "\"version\": 2"), (&"5A".repeat(48)[..], "5A"), ("{", "[")] {
        assert!(saved.contains(good), "{good} in {saved}");
        assert!(card.restore(&saved.replacen(good, bad, 1)).is_err(), "{bad}");
    }
}

#[test]
fn only_sensible_cards_are_made() {
    assert!(Card::new(Firmware::new(4, 3, 5), 1).is_err());
    let mut card = card(Firmware::default());
    assert!(card.set_pin("12345").is_err());
    assert!(card.set_puk("123456789").is_err());
    assert!(card.set_management_key(&[0; 16]).is_err());
    assert!(card.import(0x9B, known_key("p256"), PinPolicy::Never, TouchPolicy::Never).is_err());
    assert_eq!(known_key("p256").algorithm(), Algorithm::P256);
}
