//! What to do next, for each error where that is known.

use super::Error;
use crate::process::secret_program::PIN_COMMAND;
use crate::registry::{greeting, http};
use crate::text::foreign_word;
use crate::ui::{AskError, Nobody};
use crate::{proof, settings};

/// Shells start a job in the foreground unless `&` ends the line; programs that give a command a job of its own do not.
const FOREGROUND: &str = "bring it to the foreground with `fg`; where another program runs cargo, have it stay there, as `timeout --foreground` does";

impl Error {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::CargoConfig(error) => return error.hint(),
            Self::Enrollments(error) => error.hint(),
            Self::Folder(error) => error.hint(),
            Self::Piv(error) => return error.hint().map(str::to_owned),
            Self::Reader(error) => error.hint().to_owned(),
            Self::Registration(error) => error.hint().to_owned(),
            Self::CardSignature(_) => {
                "if another program replaced the key: `yk-cargo forget REGISTRY`, then `yk-cargo enroll REGISTRY`; if none did, do not use this card".into()
            },
            Self::Challenge { source: greeting::Error::CargoConfig(error), .. } => return error.hint(),
            Self::Challenge {
                source: greeting::Error::Http(http::Error::Network(_)),
                ..
            } => {
                "mend it in `[http]` of $CARGO_HOME/config.toml, or in CARGO_HTTP_PROXY, HTTPS_PROXY, CARGO_HTTP_CAINFO".into()
            }
            Self::Challenge { registry, .. } => {
                format!("try again when the registry answers; if it works differently now: yk-cargo enroll {} --refresh", foreign_word(registry))
            }
            Self::DefaultPin { .. } => {
                "choose a PIN: `ykman piv access change-pin` (or accept the risk: --allow-default-pin)".into()
            }
            Self::KeyGone { .. } => {
                "if the key was deleted or PIV was reset: `yk-cargo forget REGISTRY`, then `yk-cargo enroll REGISTRY`".into()
            }
            Self::LastTry { .. } => {
                "run the command in a terminal, or set a new PIN with the PUK: `ykman piv access unblock-pin`".into()
            }
            Self::ManagementKeyNeeded { .. } => {
                "give a command that prints it in hexadecimal: --management-key-command 'PROGRAM ARGUMENT…'".into()
            }
            Self::NoCard { .. } => "plug it in and try again".into(),
            Self::WrongCard { .. } => {
                "plug in the right one, or add this one too: yk-cargo enroll REGISTRY --backup (for sealed tokens: yk-cargo seal --add-card)".into()
            }
            Self::NotTheChosenCard { .. } => {
                "plug in the one you mean; `yk-cargo status` shows the numbers of those that are plugged in".into()
            }
            Self::NoEmptySlot { .. } => {
                "`ykman piv info` lists what is there; `ykman piv keys delete SLOT` (firmware 5.7) makes room".into()
            }
            Self::NoKeyForRole { .. } => "enroll again: `yk-cargo forget REGISTRY`, then `yk-cargo enroll REGISTRY`".into(),
            Self::Ask(AskError::NobodyThere) => {
                "run the command in a terminal; `yk-cargo enroll` and `yk-cargo forget` ask nothing with --yes".into()
            }
            Self::Ask(AskError::InBackground) => {
                format!("{FOREGROUND}; `yk-cargo enroll` and `yk-cargo forget` ask nothing with --yes")
            }
            Self::Ask(AskError::NotUtf8) => "use a terminal whose encoding is UTF-8".into(),
            Self::NoPin { nobody: Nobody::InForeground, .. } => {
                format!("{FOREGROUND}, or let a program give the PIN: {PIN_COMMAND}='PROGRAM ARGUMENT…'")
            }
            Self::NoPin { .. } => format!(
                "run the command in a terminal, or let a program give the PIN: {PIN_COMMAND}='PROGRAM ARGUMENT…'; where there is a display, pinentry will do"
            ),
            Self::Pinentry(_) => {
                "run the command in a terminal, or name another program: pinentry = \"…\" in $CARGO_HOME/yk-cargo/config.toml".into()
            }
            Self::NotEnrolled { registry } => format!("yk-cargo enroll {}", foreign_word(registry)),
            Self::NotOneOfItsCards { enrolled, .. } if enrolled.is_empty() => {
                "`yk-cargo list` shows what is enrolled".into()
            }
            Self::NotOneOfItsCards { enrolled, .. } => format!("it is enrolled with {enrolled}"),
            Self::NotACrate { .. } => "`cargo package` makes one: target/package/NAME-VERSION.crate".into(),
            Self::NothingToAdopt { .. } => "enroll new keys: the same command without --existing".into(),
            Self::NotTouched { .. } => "start again, and touch the key when it blinks".into(),
            Self::OnlyLooksEmpty { slots, .. } => {
                format!("if you never imported a key there, name the slots: --slot {slots}")
            }
            Self::OtherCardEnrolled { .. } => "to use both: the same command with --backup".into(),
            Self::OtherSubject { .. } => {
                "to change it: `yk-cargo forget REGISTRY`, then enroll with --existing --subject".into()
            }
            Self::OtherKeysEnrolled { .. } => {
                "to change from two keys to one or back, or to those of another URL: `yk-cargo forget REGISTRY`, then enroll again".into()
            }
            Self::SecretProgram(error) => error.hint().into(),
            Self::ProviderArguments { .. } => {
                "a project can set them: look at its .cargo/config.toml; your own needs only credential-provider = \"yk-cargo\"".into()
            }
            Self::ReplacesItself { .. } => "plug in the new one; both may be plugged in".into(),
            Self::SeveralCards { .. } => "choose one: --serial NUMBER".into(),
            Self::OtherIndex { .. } => {
                "leave the project's folder and give the token there; a token belongs to one registry".into()
            }
            Self::AlreadySealed { registry } => {
                format!("to put another in its place: yk-cargo seal {} --rotate", foreign_word(registry))
            }
            Self::BearerToken(_) => "copy it again from the registry's page, and give nothing else".into(),
            Self::NoToken { nobody: Nobody::InForeground } => {
                format!("{FOREGROUND}, or give the token on standard input")
            }
            Self::NoToken { .. } => "run the command in a terminal, or give the token on standard input".into(),
            Self::NotSealed { registry } => format!("yk-cargo seal {}", foreign_word(registry)),
            Self::Sealed { registry, .. } | Self::SealedForOthers { registry } => format!(
                "make a new token at the registry and seal it: yk-cargo seal {} --rotate; then revoke the old one",
                foreign_word(registry)
            ),
            Self::SealedIsAnother { registry } => format!(
                "`yk-cargo seal {} --rotate` seals another; or revoke the one in clear, and remove it there",
                foreign_word(registry)
            ),
            Self::SealingKeyGone { .. } => {
                "if the key was deleted or PIV was reset: seal a new token with `yk-cargo seal REGISTRY --rotate`"
                    .into()
            }
            Self::Signs { registry } => {
                format!("to go back to a bearer token: yk-cargo forget {}", foreign_word(registry))
            }
            Self::BegunElsewhere { .. } => "leave out --slot to finish it there".into(),
            Self::EnrolledElsewhere { .. } => {
                "leave out --slot to go on with it; for new keys in other slots: `yk-cargo forget REGISTRY`, then enroll again".into()
            }
            Self::SerialNeeded => "it is printed on the key: --serial NUMBER".into(),
            Self::NoProof { .. } => {
                "only a registry-gateway keeps proofs, and only of what was published through it".into()
            }
            Self::NotProven { .. } => "each check says what it found".into(),
            Self::Proof(proof::Error::Newer { .. }) => "update yk-cargo".into(),
            Self::TrustedKeys(error) => error.hint(),
            Self::Settings(settings::Error::Folder(error)) => error.hint(),
            Self::Settings(_) => "mend the file, or remove it to have the defaults".into(),
            Self::SlotTaken { .. } => "run the command again, without --slot, to use the next empty one".into(),
            Self::WeakerKey { slot, .. } => format!(
                "give the policies it was made with (--pin-policy, --touch-policy), or be rid of it: `ykman piv keys delete {slot}` with firmware 5.7; on older firmware `ykman piv certificates delete {slot}`, then make one over it with `ykman piv keys generate --algorithm ECCP384 --pin-policy ONCE --touch-policy ALWAYS {slot} -`"
            ),
            Self::Unprotected { .. } => {
                "use its https URL; tokens and crates can be read and exchanged on the way (--insecure-http if you must)".into()
            }
            Self::Unwell { .. } => "each has its command after `next:`".into(),
            Self::WrongPin { tries: 1 } => {
                "if you are not sure of it, set a new one with the PUK: `ykman piv access unblock-pin`".into()
            }
            Self::WrongPin { .. } => {
                "run the command in a terminal to type the PIN, or mend what YK_CARGO_PIN_COMMAND prints".into()
            }
            _ => return None,
        })
    }
}
