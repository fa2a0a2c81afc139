//! The options of the command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::{ArgValueCandidates, CompletionCandidate, Shell};

use crate::applet::firmware::Firmware;
use crate::applet::key::{Algorithm, ImportedKey};
use crate::applet::policy::{PinPolicy, TouchPolicy};
use crate::hex;
use crate::settings::{CardSettings, Import, Settings, StartError, Touch};

/// A YubiKey in software that every PC/SC program takes for a real one.
///
/// It keeps its keys in the clear. It is for tests; do not put a valuable key into it.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) options: Options,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve until SIGTERM, SIGINT or the line `quit`; print the socket's name, then `ready`.
    Serve(Options),
    /// Print the certificates of the mock's attestation authorities, roots and intermediates, as PEM.
    Ca,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Write the man pages, for packagers.
    #[command(hide = true)]
    Man {
        /// The folder for the pages; it is created if necessary.
        directory: PathBuf,
    },
    /// Run a command with its own mock, and exit with the command's status.
    Exec {
        #[command(flatten)]
        options: Options,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The path of the daemon's socket, at most 107 bytes; by default in a new temporary folder.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
    /// Take control lines on this socket.
    #[arg(long, value_name = "PATH")]
    pub(super) control: Option<PathBuf>,
    /// Put the card into the virtual reader (vsmartcard) of a real pcscd. With exec, the command then uses that pcscd.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) vpcd: Option<String>,
    /// Append the trace of all calls to this file, as JSON lines.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Show PINs and keys in the trace.
    #[arg(long)]
    trace_secrets: bool,
    /// A card: serial, firmware, touch=auto|never|manual, touch-timeout (seconds; 15), pin, puk (12345678), management-key
    /// (hexadecimal; 0102030405060708 three times), state=FILE, reader=NAME, idle-off (seconds), attestation=new|old|legacy|none,
    /// attested-serial=on|off, pin-complexity=on|off, last-try=counted|blocked, failed-select=keep|drop,
    /// touch-first=on|off, short-le=rest|again, serial-hidden=on|off, transport=usb|nfc, piv=on|off, atr (hexadecimal),
    /// form-factor=keychain-a|nano-a|keychain-c|nano-c|lightning|bio-a|bio-c. May be given several times.
    #[arg(long = "card", value_name = "KEY=VALUE,…", conflicts_with_all = ["serial", "firmware", "touch", "pin", "state"])]
    cards: Vec<CardArgument>,
    /// The card's serial number [default: 12345678]
    #[arg(long)]
    serial: Option<u32>,
    /// The card's firmware version, from 4.3.0; `-fips` after it makes a YubiKey FIPS, `-bio` a YubiKey Bio
    /// [default: 5.7.4]
    #[arg(long)]
    firmware: Option<Firmware>,
    /// Who touches the card: auto, never or manual [default: auto]
    #[arg(long, value_parser = |word: &str| one_of::<Touch>("touch", word), add = touches())]
    touch: Option<Touch>,
    /// The card's PIN [default: 123456]
    #[arg(long)]
    pin: Option<String>,
    /// Keep the card's memory in this file, with every secret in the clear.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Put a PKCS#8 key (rsa1024 to rsa4096, p256, p384, ed25519, x25519; DER or PEM) into a slot of the card.
    #[arg(long = "import", value_name = "SLOT:ALG:FILE[:PIN:TOUCH]")]
    imports: Vec<ImportArgument>,
}

impl Options {
    /// The settings of the mock.
    pub(super) fn settings(&self) -> Result<Settings, StartError> {
        let mut cards: Vec<CardSettings> = self.cards.iter().map(|card| card.0.clone()).collect();
        if cards.is_empty() {
            cards.push(self.single_card());
        }
        match &mut cards[..] {
            [only] => {
                only.imports = self.imports.iter().map(ImportArgument::load).collect::<Result<_, _>>()?
            }
            _ if self.imports.is_empty() => {}
            _ => return Err(StartError::ImportIntoSeveral),
        }
        Ok(Settings {
            socket: self.socket.clone(),
            trace_file: self.trace.clone(),
            trace_secrets: self.trace_secrets,
            cards,
        })
    }

    fn single_card(&self) -> CardSettings {
        let usual = CardSettings::default();
        CardSettings {
            serial: self.serial.unwrap_or(usual.serial),
            firmware: self.firmware.unwrap_or(usual.firmware),
            touch: self.touch.unwrap_or(usual.touch),
            pin: self.pin.clone(),
            state: self.state.clone(),
            ..usual
        }
    }
}

/// The value of `--card`, such as `serial=7,touch=manual`.
#[derive(Clone, Debug)]
struct CardArgument(CardSettings);

impl FromStr for CardArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut card = CardSettings::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not KEY=VALUE"))?;
            set(&mut card, key, value)?;
        }
        Ok(Self(card))
    }
}

fn set(card: &mut CardSettings, key: &str, value: &str) -> Result<(), String> {
    let seconds = || {
        let seconds: Option<f64> = value.parse().ok();
        seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .ok_or_else(|| format!("{key} is a number of seconds"))
    };
    match key {
        "serial" => card.serial = value.parse().map_err(|_| "serial is a number below 2^32".to_owned())?,
        "firmware" => card.firmware = value.parse().map_err(|error| format!("{error}"))?,
        "touch" => card.touch = one_of(key, value)?,
        "touch-timeout" => card.touch_timeout = seconds()?,
        "pin" => card.pin = Some(value.to_owned()),
        "puk" => card.puk = Some(value.to_owned()),
        "management-key" => {
            card.management_key = Some(hex::decode(value).ok_or("management-key is hexadecimal")?);
        }
        "state" => card.state = Some(PathBuf::from(value)),
        "reader" => card.reader = Some(value.to_owned()),
        "attestation" => card.traits.attestation = Some(one_of(key, value)?),
        "pin-complexity" => card.traits.pin_complexity = Some(either(key, value, ["off", "on"])?),
        "last-try" => card.traits.last_try = one_of(key, value)?,
        "failed-select" => {
            card.traits.failed_select_deselects = Some(either(key, value, ["keep", "drop"])?);
        }
        "serial-hidden" => card.traits.serial_hidden = either(key, value, ["off", "on"])?,
        "attested-serial" => card.traits.attests_serial = Some(either(key, value, ["off", "on"])?),
        "form-factor" => card.traits.form_factor = Some(one_of(key, value)?),
        "transport" => card.traits.transport = one_of(key, value)?,
        "piv" => card.traits.piv_disabled = either(key, value, ["on", "off"])?,
        "atr" => card.atr = Some(hex::decode(value).ok_or("atr is hexadecimal")?),
        "touch-first" => card.traits.touch_first = Some(either(key, value, ["off", "on"])?),
        "short-le" => card.traits.short_le = one_of(key, value)?,
        "idle-off" => card.idle_off = Some(seconds()?),
        _ => return Err(format!("no such key `{key}`; --help has them all")),
    }
    Ok(())
}

/// The value that a word means. The words are the names of the values, written as `keychain-a`.
fn one_of<T: ValueEnum>(key: &str, word: &str) -> Result<T, String> {
    T::from_str(word, false).map_err(|_| {
        let possible = T::value_variants().iter().filter_map(T::to_possible_value);
        let words: Vec<String> = possible.map(|value| value.get_name().to_owned()).collect();
        let (last, others) = words.split_last().expect("no enum of ours is empty");
        format!("{key} is {} or {last}", others.join(", "))
    })
}

/// What the TAB key offers for `--touch`.
fn touches() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let touches = Touch::value_variants().iter().filter_map(Touch::to_possible_value);
        touches.map(|touch| CompletionCandidate::new(touch.get_name())).collect()
    })
}

/// Whether a value is the second of two words.
fn either(key: &str, value: &str, [first, second]: [&str; 2]) -> Result<bool, String> {
    match value {
        _ if value == first => Ok(false),
        _ if value == second => Ok(true),
        _ => Err(format!("{key} is {first} or {second}")),
    }
}

/// The value of `--import`, such as `9C:p384:key.pem:once:always`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ImportArgument {
    slot: u8,
    algorithm: Algorithm,
    file: PathBuf,
    pin: PinPolicy,
    touch: TouchPolicy,
}

impl ImportArgument {
    fn load(&self) -> Result<Import, StartError> {
        let file = std::fs::read(&self.file).map_err(|error| StartError::file(&self.file, error))?;
        let key = ImportedKey::from_pkcs8(&file).map_err(|_| self.wrong_key())?;
        if key.algorithm() != self.algorithm {
            return Err(self.wrong_key());
        }
        Ok(Import { slot: self.slot, key, pin: self.pin, touch: self.touch })
    }

    fn wrong_key(&self) -> StartError {
        StartError::Key { path: self.file.clone(), algorithm: self.algorithm }
    }
}

impl FromStr for ImportArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ':');
        let (Some(slot), Some(algorithm), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("write SLOT:ALG:FILE[:PIN:TOUCH]".to_owned());
        };
        let slot = u8::from_str_radix(slot, 16).map_err(|_| format!("`{slot}` is not a slot"))?;
        let algorithm =
            Algorithm::ALL.into_iter().find(|known| known.name() == algorithm).ok_or_else(|| {
                let known: Vec<_> = Algorithm::ALL.iter().map(|known| known.name()).collect();
                format!("ALG is one of {}", known.join(", "))
            })?;
        let (file, pin, touch) = match policies(rest) {
            Some((file, pin, touch)) => (file, pin, touch),
            None => (rest, PinPolicy::of_slot(slot), TouchPolicy::Never),
        };
        Ok(Self { slot, algorithm, file: Path::new(file).to_owned(), pin, touch })
    }
}

/// Separates the policies at the end. Without policies the whole text is the name of a file, which may have colons in
/// it.
fn policies(rest: &str) -> Option<(&str, PinPolicy, TouchPolicy)> {
    let (rest, touch) = rest.rsplit_once(':')?;
    let (file, pin) = rest.rsplit_once(':')?;
    Some((file, PinPolicy::from_str(pin, false).ok()?, TouchPolicy::from_str(touch, false).ok()?))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::applet::traits::{Attestation, FormFactor, LastTry, ShortLe, Traits, Transport};

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_has_the_defaults() {
        let usual = CardSettings::default();
        let help = Arguments::command().render_long_help().to_string();
        for default in
            [usual.serial.to_string(), usual.firmware.to_string(), "123456".to_owned(), "auto".to_owned()]
        {
            assert!(help.contains(&format!("[default: {default}]")), "no {default} in {help}");
        }
    }

    #[test]
    fn an_import_names_policies_or_takes_the_slots_own() {
        let import = |text: &str| text.parse::<ImportArgument>();
        let told = import("82:p384:a:b.pem:once:always").unwrap();
        assert_eq!((told.slot, told.file.to_str()), (0x82, Some("a:b.pem")));
        assert_eq!((told.pin, told.touch), (PinPolicy::Once, TouchPolicy::Always));
        let own = import("9C:p256:a:b.pem").unwrap();
        assert_eq!(
            (own.file.to_str(), own.pin, own.touch),
            (Some("a:b.pem"), PinPolicy::Always, TouchPolicy::Never)
        );
        for wrong in ["9C:p256", "9X:p256:a", "9C:rsa:a"] {
            assert!(import(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_card_is_key_and_value_pairs() {
        let card = "serial=7,firmware=5.4.3,touch=manual,touch-timeout=0.5,reader=Yubico YubiKey X"
            .parse::<CardArgument>();
        let card = card.unwrap().0;
        assert_eq!((card.serial, card.firmware), (7, Firmware::new(5, 4, 3)));
        assert_eq!((card.touch, card.touch_timeout), (Touch::Manual, Duration::from_millis(500)));
        assert_eq!(card.reader.as_deref(), Some("Yubico YubiKey X"));
        let card = "firmware=5.7.4-fips,attestation=old,pin-complexity=off,last-try=blocked,failed-select=drop,touch-first=on,short-le=again,serial-hidden=on,attested-serial=off,form-factor=nano-c,transport=nfc,piv=off,atr=3B8D"
            .parse::<CardArgument>();
        let card = card.unwrap().0;
        assert_eq!(card.firmware, Firmware::new(5, 7, 4).fips());
        let told = Traits {
            attestation: Some(Attestation::Old),
            pin_complexity: Some(false),
            last_try: LastTry::Blocked,
            failed_select_deselects: Some(true),
            touch_first: Some(true),
            short_le: ShortLe::Again,
            serial_hidden: true,
            attests_serial: Some(false),
            form_factor: Some(FormFactor::NanoC),
            transport: Transport::Nfc,
            piv_disabled: true,
        };
        assert_eq!(card.traits, told);
        assert_eq!(card.atr, Some(vec![0x3B, 0x8D]));
        for wrong in [
            "serial",
            "serial=x",
            "colour=red",
            "touch=maybe",
            "management-key=0",
            "attestation=yes",
            "last-try=1",
            "idle-off=-1",
            "transport=air",
            "form-factor=round",
            "atr=3",
        ] {
            assert!(wrong.parse::<CardArgument>().is_err(), "{wrong}");
        }
        for (wrong, told) in [
            ("touch=maybe", "touch is auto, never or manual"),
            ("attestation=yes", "attestation is new, old, legacy or none"),
            ("last-try=1", "last-try is counted or blocked"),
            (
                "form-factor=round",
                "form-factor is keychain-a, nano-a, keychain-c, nano-c, lightning, bio-a or bio-c",
            ),
        ] {
            assert_eq!(wrong.parse::<CardArgument>().unwrap_err(), told);
        }
    }
}
