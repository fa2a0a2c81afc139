//! Transcripts of commands and the answers that the card has to give.
//!
//! A line in `transcripts/*.apdu` is one of these: `=== name`, which begins with a new card; `> command`; `< answer`,
//! in which one `..` stands for any bytes; `< touch SLOT`; `@ directive`; `# comment`. `[5A*16]` stands for sixteen
//! bytes 5A. All random bytes of the card are 5A. The transcripts in `transcripts/every` are played on every firmware.

use std::path::Path;
use std::time::Duration;

use mock_card::applet::Exchange;
use mock_card::{
    Attestation, Card, Firmware, FormFactor, LastTry, PinPolicy, ShortLe, TouchPolicy, Traits, Transport, hex,
};

use crate::cards::{FIRMWARES, authenticate, bytes, card, known_key};

#[test]
fn of_the_newest_firmware() {
    let answers = play_all("", Firmware::default());
    assert!(answers > 300, "only {answers} answers were found to check");
}

#[test]
fn of_every_firmware() {
    for firmware in FIRMWARES {
        let answers = play_all("every", firmware.parse().unwrap());
        assert!(answers > 90, "only {answers} answers were found to check");
    }
}

/// Plays all transcripts in a folder. The result is the number of answers that were compared.
fn play_all(folder: &str, firmware: Firmware) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(folder);
    let mut failures = Vec::new();
    let mut answers = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut play = Play::new(firmware);
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
        "firmware {firmware}: {} of {answers} answers are wrong\n{}",
        failures.len(),
        failures.join("\n")
    );
    answers
}

struct Play {
    firmware: Firmware,
    scenario: String,
    card: Card,
    now: Duration,
    exchange: Option<Exchange>,
}

impl Play {
    fn new(firmware: Firmware) -> Self {
        Self { firmware, scenario: String::new(), card: card(firmware), now: Duration::ZERO, exchange: None }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
        match mark {
            "" | "#" => {}
            "===" => *self = Self { scenario: rest.to_owned(), ..Self::new(self.firmware) },
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
            ["traits", words @ ..] => {
                let card = std::mem::replace(&mut self.card, card(self.firmware));
                self.card = card.with_traits(traits(words));
            }
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

/// Writes objects from 5F0000 on with this many bytes altogether.
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

fn traits(words: &[&str]) -> Traits {
    let mut traits = Traits::default();
    for word in words {
        match *word {
            "complexity" => traits.pin_complexity = Some(true),
            "last-try-blocked" => traits.last_try = LastTry::Blocked,
            "failed-select-deselects" => traits.failed_select_deselects = Some(true),
            "pin-first" => traits.touch_first = Some(false),
            "serial-hidden" => traits.serial_hidden = true,
            "nfc" => traits.transport = Transport::Nfc,
            "piv-off" => traits.piv_disabled = true,
            "nano-c" => traits.form_factor = Some(FormFactor::NanoC),
            "short-le-again" => traits.short_le = ShortLe::Again,
            "no-attestation" => traits.attestation = Some(Attestation::None),
            _ => panic!("{word}"),
        }
    }
    traits
}
