//! Every error and its next step, as they were read and approved. To approve a change: `SNAPSHOTS=overwrite`.

use std::error::Error as _;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use asymmetric_token::strict_json::StrictJsonError;
use snapbox::{Assert, Data};

use super::Error;
use crate::cargo_config::{Clash, Detour, IncludeProblem, Origin, Owner};
use crate::index_url::{self, IndexUrl};
use crate::piv::certificate::CertificateError;
use crate::piv::pin;
use crate::piv::{ManagementAlgorithm, Serial, Slot, Status, TransportError};
use crate::process::secret_program::{self, Secret};
use crate::reader::Waiting;
use crate::registry::{enrollment as registration, greeting, staged};
use crate::ui::{AskError, Nobody};
use crate::{
    cargo_config, enrollment, folder, lock_file, piv, proof, reader, sealed, sealed_files, settings, trust,
};

/// One or more examples of each variant; one that is missing does not compile.
macro_rules! every {
    ($error:ty { $($variant:pat => [$($example:expr),+ $(,)?]),+ $(,)? }) => {{
        let _is_complete = |error: &$error| match error { $($variant => ()),+ };
        let examples: Vec<$error> = vec![$($($example),+),+];
        examples
    }};
}

#[test]
fn every_error_is_as_approved() {
    let mut text = String::new();
    for error in all() {
        text += &shown(&error);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error/messages.txt");
    let approved = Data::read_from(&file, None).raw();
    Assert::new().action_env("SNAPSHOTS").eq(text, approved);
}

/// As [`crate::ui::Ui::error`] shows it.
fn shown(error: &Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in crate::text::causes(error) {
        text += &format!("caused by: {cause}\n");
    }
    if let Some(hint) = error.hint() {
        text += &format!("hint: {hint}\n");
    }
    text + "\n"
}

#[test]
fn errors_begin_small_and_end_without_a_full_stop() {
    for error in all() {
        let mut texts = vec![error.to_string()];
        texts.extend(error.hint());
        for text in texts {
            assert!(!text.ends_with('.'), "{text}");
            assert!(!text.starts_with("Error"), "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
        assert!(error.source().is_none_or(|source| source.to_string() != error.to_string()), "{error}");
    }
}

const SERIAL: Serial = Serial(12_345_678);

fn folder_error(path: &str) -> folder::Error {
    folder::Error::Io { action: "lock", path: path.into(), source: denied() }
}

fn slot() -> Slot {
    "82".parse().unwrap()
}

fn denied() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "permission denied")
}

fn refused(status: u16, detail: &str) -> Error {
    let detail = format!("it says\n{}", crate::text::quoted(detail));
    registration::Error::Refused { status, detail }.into()
}

fn all() -> Vec<Error> {
    let index = || "sparse+https://registry.example/".parse::<IndexUrl>().unwrap();
    let mut errors = every!(Error {
        Error::AlreadySealed { .. } => [Error::AlreadySealed { registry: "my-reg".into() }],
        Error::Ask(_) => [AskError::Nothing.into()],
        Error::BearerToken(_) => [sealed::TokenError::Empty.into()],
        Error::CargoConfig(_) => [cargo_config::Error::NoName.into()],
        Error::CargoRequest(_) => [Error::CargoRequest(asymmetric_token::Error::CrateName)],
        Error::CardSignature(_) => [Error::CardSignature(asymmetric_token::Error::BadSignature)],
        Error::Certificate(_) => [CertificateError::Label(65).into()],
        Error::BegunElsewhere { .. } => [Error::BegunElsewhere { serial: SERIAL, slot: slot() }],
        Error::Challenge { .. } => [Error::Challenge {
            registry: "my-reg".into(),
            source: crate::registry::greeting::Error::Status { url: "https://registry.example/".into(), status: 500 },
        }],
        Error::Declined => [Error::Declined],
        Error::Detour { .. } => [Error::Detour {
            registry: "my-reg".into(),
            detours: vec![
                Detour { key: "http.proxy".into(), origin: in_project() },
                Detour { key: "http.cainfo".into(), origin: in_project() },
            ],
        }],
        Error::BacksUpNone { .. } => [Error::BacksUpNone { registry: "my-reg".into(), proofs: false }],
        Error::BacksUpItself { .. } => [Error::BacksUpItself { serial: SERIAL }],
        Error::DefaultPin { .. } => [Error::DefaultPin { serial: SERIAL }],
        Error::EnrolledElsewhere { .. } => [
            Error::EnrolledElsewhere { serial: SERIAL, role: enrollment::Role::Read, slot: slot() },
        ],
        Error::Enrollments(_) => [content(enrollment::Problem::NoVersion { version: 1 })],
        Error::Fetch { .. } => [Error::Fetch {
            what: "the proof of hello 1.0.0".into(),
            source: Box::new(crate::registry::greeting::Error::LessProtected { url: "http://registry.example/".into() }),
        }],
        Error::File { .. } => [Error::File { file: "alpha-0.1.0.crate".into(), source: denied() }],
        Error::KeyFile { .. } => [Error::KeyFile { file: "stage.key".into() }],
        Error::FileExists { .. } => [Error::FileExists { file: "alpha-0.1.0.json".into() }],
        Error::ForSomethingElse { .. } =>
            [Error::ForSomethingElse { proofs: true }, Error::ForSomethingElse { proofs: false }],
        Error::IndexFile { .. } => [Error::IndexFile {
            name: "alpha".into(),
            problem: crate_file::index::NotServed::Twice,
        }],
        Error::NotListed { .. } => [Error::NotListed { version: "alpha 0.1.0".into() }],
        Error::NotProving { .. } => [Error::NotProving { registry: "crates-io".into() }],
        Error::NotFromSource { .. } => [Error::NotFromSource { why: "the file names no commit of git".into() }],
        Error::ProofWithheld { .. } => [Error::ProofWithheld { why: "https://p.example/ answers with status 500".into() }],
        Error::ProofPending { .. } => [Error::ProofPending { version: "alpha 0.1.0".into() }],
        Error::NotSignedHere { .. } => [Error::NotSignedHere { version: "alpha 0.1.0".into() }],
        Error::ProofNotSaved { .. } => [Error::ProofNotSaved { why: "the index does not have this version".into() }],
        Error::Folder(_) => [folder_error("/home/me/.cargo/yk-cargo/last-pin").into()],
        Error::KeyGone { .. } => [Error::KeyGone { serial: SERIAL, slot: slot() }],
        Error::LastTry { .. } => [Error::LastTry { serial: SERIAL }],
        Error::ManagementKeyNeeded { .. } => [Error::ManagementKeyNeeded { serial: SERIAL }],
        Error::ManagementKeySyntax => [Error::ManagementKeySyntax],
        Error::NoCard { .. } => [Error::NoCard { wanted: "YubiKey 12345678 (laptop key)".into() }],
        Error::NoOtherCard => [Error::NoOtherCard],
        Error::NoEmptySlot { .. } => [Error::NoEmptySlot { serial: SERIAL, wanted: 2 }],
        Error::NothingToAdopt { .. } => [Error::NothingToAdopt { serial: SERIAL, index: index() }],
        Error::NoKeyForRole { .. } => [Error::NoKeyForRole { registry: "my-reg".into(), role: "publish" }],
        Error::NoPin { .. } => [
            Error::NoPin { serial: SERIAL, nobody: Nobody::AtATerminal },
            Error::NoPin { serial: SERIAL, nobody: Nobody::InForeground },
        ],
        Error::NoToken { .. } => [
            Error::NoToken { nobody: Nobody::AtATerminal },
            Error::NoToken { nobody: Nobody::InForeground },
        ],
        Error::Staging(_) => [
            staged::Error::NotOffered { url: "https://registry.example/api/v1/staged".into() }.into(),
            staged::Error::Refused { status: 403, detail: "status 403".into() }.into(),
        ],
        Error::NoStagingToken { .. } => [
            Error::NoStagingToken { registry: "my-reg".into(), is_there: false },
            Error::NoStagingToken { registry: "my-reg".into(), is_there: true },
        ],
        Error::NotAmongTheFirst { .. } => [Error::NotAmongTheFirst {
            version: "hello 1.0.0".into(),
            registry: "my-reg".into(),
            cut: "1001 versions are staged there, and only the first 1000 of them are read".into(),
        }],
        Error::NotStaged { .. } =>
            [Error::NotStaged { version: "hello 1.0.0".into(), registry: "my-reg".into() }],
        Error::StagedTwice { .. } =>
            [Error::StagedTwice { version: "hello 1.0.0".into(), ids: "17, 18".into() }],
        Error::NotTheStaged { .. } => [Error::NotTheStaged {
            version: "hello 1.0.0".into(),
            why: "its Cargo.toml is not TOML".into(),
        }],
        Error::NotOpen { .. } => [Error::NotOpen { version: "hello 1.0.0".into(), state: "rejected" }],
        Error::Restaged { .. } => [Error::Restaged { version: "hello 1.0.0".into() }],
        Error::ApprovedAlready { .. } => [Error::ApprovedAlready { version: "hello 1.0.0".into() }],
        Error::MayNotApprove { .. } => [Error::MayNotApprove { version: "hello 1.0.0".into() }],
        Error::Circle { .. } => [Error::Circle { versions: "one 1.0.0, two 1.0.0".into() }],
        Error::DependencyFirst { .. } => [Error::DependencyFirst {
            version: "two 1.0.0".into(),
            dependency: "one 1.0.0".into(),
            next: "yk-cargo stage approve --registry my-reg 2 1".into(),
        }],
        Error::DependencyWaits { .. } =>
            [Error::DependencyWaits { version: "two 1.0.0".into(), dependency: "one 1.0.0".into() }],
        Error::Stopped { .. } => [
            Error::Stopped {
                version: "two 1.0.0".into(),
                done: vec!["one 1.0.0".into()],
                of: 2,
                source: Box::new(Error::NotTouched { serial: SERIAL }),
            },
            Error::Stopped {
                version: "one 1.0.0".into(),
                done: Vec::new(),
                of: 2,
                source: Box::new(Error::Declined),
            },
        ],
        Error::NotSealed { .. } => [Error::NotSealed { registry: "my-reg".into() }],
        Error::NoProof { .. } => [Error::NoProof { version: "hello 1.0.0".into() }],
        Error::NoSuchVersion { .. } => [Error::NoSuchVersion {
            registry: "my-reg".into(),
            version: "one_thing 1.0.0".into(),
            spelling: "One_Thing".into(),
        }],
        Error::NoTile { .. } => [Error::NoTile { path: "tile/0/000".into() }],
        Error::GivenUp { .. } => [Error::GivenUp { registry: "my-reg".into(), why: "did not answer" }],
        Error::Log { .. } => [Error::Log { registry: "my-reg".into(), code: 13, next: "try again" }],
        Error::NotEnrolled { .. } => [
            Error::NotEnrolled { registry: "my-reg".into() },
            Error::NotEnrolled { registry: "\u{1b}[31m".into() },
        ],
        Error::NotOneOfItsCards { .. } => [
            Error::NotOneOfItsCards {
                serial: SERIAL,
                index: index(),
                enrolled: "YubiKey 23456789 (safe)".into(),
            },
            Error::NotOneOfItsCards { serial: SERIAL, index: index(), enrolled: String::new() },
        ],
        Error::NotACrate { .. } => [
            Error::NotACrate { file: "alpha.zip".into(), reason: "it has no Cargo.toml".into() },
        ],
        Error::NotProven { .. } => [Error::NotProven { failed: 1 }, Error::NotProven { failed: 2 }],
        Error::NotTouched { .. } => [Error::NotTouched { serial: SERIAL }],
        Error::OnlyLooksEmpty { .. } => [Error::OnlyLooksEmpty {
            serial: SERIAL,
            firmware: piv::Version::new(5, 2, 7),
            slots: "82,83".into(),
        }],
        Error::OtherIndex { .. } => [Error::OtherIndex {
            name: "my-reg".into(),
            asked: "sparse+https://evil.example/".parse().unwrap(),
            known: index(),
        }],
        Error::OtherCardEnrolled { .. } => [
            Error::OtherCardEnrolled { serial: SERIAL, enrolled: "YubiKey 23456789 (safe)".into() },
        ],
        Error::OtherKeysEnrolled { .. } => [Error::OtherKeysEnrolled { serial: SERIAL }],
        Error::OtherSubject { .. } => [Error::OtherSubject { enrolled: "me@work".into() }],
        Error::Pin(_) => [pin::PinError::TooShort.into()],
        Error::SecretProgram(_) => [secret_program::Error::Empty { program: Secret::Pin }.into()],
        Error::Pinentry(_) => [crate::ui::pinentry::PinentryError::Canceled.into()],
        Error::Piv(_) => [piv::Error::PinBlocked.into()],
        Error::Proof(_) => [proof::Error::Newer { version: 2 }.into()],
        Error::Reader(_) => [reader::Error::NoService.into()],
        Error::ProviderArguments { .. } => [Error::ProviderArguments { arguments: "--evil".into() }],
        Error::Registration(_) => [
            registration::Error::Answer { url: "https://registry.example/api/v1/enroll".into() }.into(),
            registration::Error::Api(crate::registry::greeting::Error::GitIndex).into(),
            registration::Error::Nonce { bytes: 3000 }.into(),
            registration::Error::NotACode.into(),
            registration::Error::Http(crate::registry::http::Error::UnknownIssuer { url: "https://r.example/".into() })
                .into(),
            registration::Error::Api(crate::registry::greeting::Error::Status {
                url: "https://r.example/config.json".into(),
                status: 404,
            })
            .into(),
            registration::Error::NotOffered { url: "https://registry.example/api/v1/enroll".into() }.into(),
            registration::Error::OtherIndex {
                ours: "sparse+https://localhost/index/".into(),
                theirs: "sparse+https://registry.example/index/".into(),
            }
            .into(),
            refused(401, "this invite is not known here"),
            refused(403, "the YubiKey has firmware 5.4.3, this registry wants 5.7.0 or later"),
            refused(409, "the key k3.pid.x is registered already, for bob"),
        ],
        Error::ReplacesItself { .. } => [Error::ReplacesItself { serial: SERIAL }],
        Error::Sealed(_) => [sealed_file(sealed::FileError::NotOpened).into()],
        Error::SealedForChanges { .. } => [
            Error::SealedForChanges { registry: "my-reg".into(), is_crates_io: false },
            Error::SealedForChanges { registry: "crates-io".into(), is_crates_io: true },
        ],
        Error::SealedForOthers { .. } => [Error::SealedForOthers { registry: "my-reg".into() }],
        Error::SealedIsAnother { .. } => [Error::SealedIsAnother { registry: "my-reg".into() }],
        Error::SealingKeyGone { .. } => [Error::SealingKeyGone { serial: SERIAL, slot: slot() }],
        Error::SerialNeeded => [Error::SerialNeeded],
        Error::AnotherRun { .. } => [Error::AnotherRun { serial: SERIAL, slot: slot() }],
        Error::NoIndex { .. } => [Error::NoIndex {
            source: greeting::Error::Status { url: "https://registry.example/".into(), status: 404 },
        }],
        Error::NotRefreshed { .. } => [Error::NotRefreshed {
            registry: "my-reg".into(),
            known: enrollment::ChallengeSource::Api,
            source: greeting::Error::Status { url: "https://registry.example/".into(), status: 502 },
        }],
        Error::AsksMore { .. } => [Error::AsksMore { serial: SERIAL }],
        Error::ManagementKeyNotTouched { .. } => [Error::ManagementKeyNotTouched { serial: SERIAL }],
        Error::NotAsMade { .. } => [Error::NotAsMade { serial: SERIAL, slot: slot(), what: "says that it was imported" }],
        Error::NoTouchOverNfc { .. } => [Error::NoTouchOverNfc { serial: SERIAL }],
        Error::PinBlocked { .. } => [Error::PinBlocked { serial: SERIAL }],
        Error::UseAnother { .. } => [
            Error::UseAnother { error: Box::new(Error::PinBlocked { serial: SERIAL }), others: "YubiKey 23456789 (safe)".into() },
            Error::UseAnother { error: Box::new(Error::NotTouched { serial: SERIAL }), others: "YubiKey 23456789 (safe)".into() },
        ],
        Error::SeveralCards { .. } => [Error::SeveralCards { found: vec![SERIAL, Serial(23_456_789)] }],
        Error::Settings(_) => [unusable_settings()],
        Error::Signs { .. } => [Error::Signs { registry: "my-reg".into() }],
        Error::Trust(_) => [signers(enrollment::Problem::NoVersion { version: 2 })],
        Error::WriteFile { .. } => [Error::WriteFile { file: "proofs".into(), source: denied() }],
        Error::LockFile(_) => [lock(lock_file::Problem::Version { version: 5 })],
        Error::NotAsLocked { .. } => [Error::NotAsLocked { key: "source.\u{1b}.replace-with".into(), origin: in_project() }],
        Error::NotTrusted { .. } => [
            Error::NotTrusted { packages: 1, worst: "unsigned", code: 11, next: "ask them" },
            Error::NotTrusted { packages: 2, worst: "bad", code: 16, next: "do not build it" },
        ],
        Error::SlotTaken { .. } => [Error::SlotTaken { serial: SERIAL, slot: slot() }],
        Error::Stdio(_) => [Error::Stdio(denied())],
        Error::Token(_) => [
            asymmetric_token::Error::NoFooter.into(),
            asymmetric_token::Error::TooLong { bytes: 5000 }.into(),
        ],
        Error::Unprotected { .. } => [Error::Unprotected { index: "sparse+http://registry.example/".parse().unwrap() }],
        Error::Unwell { .. } => [Error::Unwell { failed: 1 }, Error::Unwell { failed: 2 }],
        Error::Usage(_) => [Error::Usage("--slot takes one slot with --single-key")],
        Error::WeakerKey { .. } => [Error::WeakerKey {
            serial: SERIAL,
            slot: slot(),
            pin: piv::PinPolicy::Never,
            touch: piv::TouchPolicy::Cached,
        }],
        Error::NotTheChosenCard { .. } => [
            Error::NotTheChosenCard { found: vec![Serial(23_456_789)], wanted: SERIAL },
            Error::NotTheChosenCard { found: Vec::new(), wanted: SERIAL },
        ],
        Error::WrongCard { .. } => [
            Error::WrongCard { found: vec![Serial(23_456_789)], wanted: "YubiKey 12345678 (laptop key)".into() },
        ],
        Error::WrongPin { .. } => [Error::WrongPin { tries: 2 }, Error::WrongPin { tries: 1 }],
    });
    errors.extend(of_people());
    errors.extend(of_sealed_tokens(index().to_string()));
    errors.extend(of_pinentry());
    errors.extend(of_the_registry());
    errors.extend(of_cargo_config(index()));
    errors.extend(of_enrollments());
    errors.extend(of_files());
    errors.extend(of_proofs());
    errors.extend(of_lock_files());
    errors.extend(of_the_reader());
    errors.extend(of_the_card());
    errors
}

fn of_people() -> Vec<Error> {
    let limit = Duration::from_secs(60);
    let ask = every!(AskError {
        AskError::InBackground => [AskError::InBackground],
        AskError::NobodyThere => [AskError::NobodyThere],
        AskError::NotUtf8 => [AskError::NotUtf8],
        AskError::Nothing => [AskError::Nothing],
        AskError::TooLate(_) => [AskError::TooLate(limit)],
        AskError::Terminal(_) => [AskError::Terminal(denied())],
    });
    let pin = every!(pin::PinError {
        pin::PinError::TooShort => [pin::PinError::TooShort],
        pin::PinError::TooLong => [pin::PinError::TooLong],
        pin::PinError::TooManyBytes { .. } => [pin::PinError::TooManyBytes { bytes: 9 }],
        pin::PinError::LooksLikeOtp => [pin::PinError::LooksLikeOtp],
        pin::PinError::NotPrintable => [pin::PinError::NotPrintable],
    });
    use secret_program::Error as E;
    let (program, status) = (Secret::Pin, ExitStatus::from_raw(3 << 8));
    let command = every!(E {
        E::Declined { .. } => [
            E::Declined { program, status },
            E::Declined { program: Secret::ManagementKey, status },
        ],
        E::Empty { .. } => [E::Empty { program }],
        E::Start { .. } => [
            E::Start { program, name: "pin.sh".into(), has_blanks: false, source: denied() },
            E::Start {
                program,
                name: r"C:\Program".into(),
                has_blanks: true,
                source: io::Error::new(io::ErrorKind::NotFound, "program not found"),
            },
        ],
        E::Unclosed { .. } => [E::Unclosed { program }],
        E::TooLate { .. } => [E::TooLate { program, limit }],
        E::NotUtf8 { .. } => [E::NotUtf8 { program }],
        E::Unreadable { .. } => [E::Unreadable { program }],
    });
    let ask = ask.into_iter().map(Error::from);
    ask.chain(pin.into_iter().map(Error::from)).chain(command.into_iter().map(Error::from)).collect()
}

fn of_pinentry() -> Vec<Error> {
    use crate::ui::pinentry::PinentryError as E;
    let errors = every!(E {
        E::Canceled => [E::Canceled],
        E::Gone => [E::Gone],
        E::NotAssuan => [E::NotAssuan],
        E::NotUtf8 => [E::NotUtf8],
        E::Refused { .. } => [E::Refused { reason: "Inappropriate ioctl for device".into() }],
        E::Start { .. } => [E::Start { program: "pinentry-gnome3".into(), source: denied() }],
        E::TooLate(_) => [E::TooLate(Duration::from_secs(60))],
    });
    errors.into_iter().map(Error::from).collect()
}

/// Nothing here comes from a person, so every URL is one that could drive a terminal if it were not escaped.
fn of_the_registry() -> Vec<Error> {
    use crate::registry::greeting::Error as E;
    use crate::registry::http::Error as H;
    use crate::registry::network::Error as N;
    let url = || "https://registry.example/\u{1b}[2J".to_owned();
    let cause = || Box::new(ureq::Error::HostNotFound);
    let http = every!(H {
        H::Network(_) => [
            N::Certificates { path: "/etc/ca.pem".into(), source: denied() }.into(),
            N::Proxy { source: Box::new(ureq::Error::InvalidProxyUrl) }.into(),
        ],
        H::Elsewhere { .. } => [H::Elsewhere { url: url(), to: "https://evil.example/".into() }],
        H::NotHttp { .. } => [H::NotHttp { url: url(), source: Box::new(ureq::Error::StatusCode(99)) }],
        H::NotTls { .. } => [H::NotTls { url: url() }],
        H::UnknownIssuer { .. } => [H::UnknownIssuer { url: url() }],
        H::TooLong { .. } => [H::TooLong { url: url() }],
        H::TooSlow { .. } => [H::TooSlow { url: url(), limit: Duration::from_secs(10) }],
        H::Unreachable { .. } => [H::Unreachable { url: url(), source: cause() }],
    });
    let not_json = || serde_json::from_str::<u8>("no").unwrap_err();
    let asked = every!(E {
        E::LessProtected { .. } => [E::LessProtected { url: url() }],
        E::NoApi { .. } => [E::NoApi { url: url() }],
        E::TokenElsewhere { .. } => [E::TokenElsewhere { url: url() }],
        E::CargoConfig(_) => [E::CargoConfig(shape())],
        E::Config { .. } => [E::Config { url: url(), source: not_json() }],
        E::GitIndex => [E::GitIndex],
        E::Header { .. } => [E::Header { url: url(), source: asymmetric_token::ChallengeError::Ambiguous }],
        E::Http(_) => [E::Http(H::Unreachable { url: url(), source: Box::new(ureq::Error::ConnectionFailed) })],
        E::Status { .. } => [E::Status { url: url(), status: 502 }],
    });
    let http = http.into_iter().map(E::from);
    asked
        .into_iter()
        .chain(http)
        .map(|source| Error::Challenge { registry: "my-reg".into(), source })
        .collect()
}

fn of_sealed_tokens(index: String) -> Vec<Error> {
    use sealed::{FileError as F, TokenError as T};
    let file = every!(F {
        F::Damaged => [F::Damaged],
        F::Missing => [F::Missing],
        F::TooLong => [F::TooLong],
        F::NotOpened => [F::NotOpened],
        F::Contents => [F::Contents],
        F::OtherRegistry { .. } => [F::OtherRegistry { index }],
        F::Encryption => [F::Encryption],
    });
    let token = every!(T {
        T::Empty => [T::Empty],
        T::TooLong => [T::TooLong],
        T::NotPrintable => [T::NotPrintable],
        T::HeaderName => [T::HeaderName],
        T::Asymmetric => [T::Asymmetric],
    });
    let kept = every!(sealed_files::Error {
        sealed_files::Error::Folder(_) => [folder_error("/home/me/.cargo/yk-cargo/sealed/x.age").into()],
        sealed_files::Error::Unusable { .. } => [sealed_file(F::Missing)],
    });
    let file = file.into_iter().map(sealed_file).chain(kept).map(Error::from);
    file.chain(token.into_iter().map(Error::from)).collect()
}

fn sealed_file(problem: sealed::FileError) -> sealed_files::Error {
    let file = "/home/me/.cargo/yk-cargo/sealed/registry.example-0123456789abcdef.age".into();
    sealed_files::Error::Unusable { registry: "my-reg".into(), file, problem }
}

const PROJECT: &str = "/home/me/project/.cargo/config.toml";

fn in_project() -> Origin {
    Origin::File { path: PROJECT.into(), owner: Owner::Project }
}

fn shape() -> cargo_config::Error {
    let origin = Origin::File { path: "/home/me/.cargo/config.toml".into(), owner: Owner::Home };
    cargo_config::Error::Shape { key: "registries".into(), origin, wanted: "a table" }
}

fn of_cargo_config(index: IndexUrl) -> Vec<Error> {
    use cargo_config::Error as E;
    let errors = every!(E {
        E::AsksAnother { .. } => [
            E::AsksAnother { name: "my-reg".into(), provider: "cargo:libsecret".into() },
        ],
        E::Changed { .. } => [E::Changed { file: "/home/me/.cargo/credentials.toml".into() }],
        E::CratesIo => [E::CratesIo],
        E::CredentialsNameAProvider { .. } => [E::CredentialsNameAProvider {
            file: "/home/me/.cargo/credentials.toml".into(),
            name: "my-reg".into(),
        }],
        E::Include { .. } => [
            E::Include { file: PROJECT.into(), problem: IncludeProblem::Again },
            E::Include { file: PROJECT.into(), problem: IncludeProblem::NotToml { path: "more".into() } },
            E::Include { file: PROJECT.into(), problem: IncludeProblem::Pattern { path: "*.toml".into() } },
            E::Include { file: PROJECT.into(), problem: IncludeProblem::TooMany },
        ],
        E::Merge(_) => [E::Merge(Box::new(Clash {
            key: "registries.my-reg.credential-provider".into(),
            one: in_project(),
            other: Origin::Variable("CARGO_X".into()),
        }))],
        E::NoProgram { .. } => [E::NoProgram {
            key: "registries.my-reg.credential-provider".into(),
            origin: in_project(),
        }],
        E::OnlyInProject { .. } => [E::OnlyInProject {
            name: "my-reg".into(),
            origin: in_project(),
            index: "sparse+https://evil.example/".parse().unwrap(),
        }],
        E::RegistryIndex { .. } => [E::RegistryIndex { origin: Origin::Variable("CARGO_REGISTRY_INDEX".into()) }],
        E::SeveralNames { .. } => [E::SeveralNames { names: vec!["my-reg".into(), "twin".into()] }],
        E::Folder(_) => [folder_error("/home/me/.cargo/config.toml").into()],
        E::IndexUrl { .. } => [E::IndexUrl { index: index.to_string(), problem: index_url::Error::NoFinalSlash }],
        E::NoSparsePrefix { .. } => [E::NoSparsePrefix { index }],
        E::Io { .. } => [E::Io { action: "read", file: "/home/me/.cargo/config.toml".into(), source: denied() }],
        E::NoName => [E::NoName],
        E::NotOurs { .. } => [
            E::NotOurs { file: "/home/me/.cargo/credentials.toml".into(), problem: "is read-only" },
        ],
        E::ProjectDisagrees { .. } => [E::ProjectDisagrees {
            name: "my-reg".into(),
            own: "sparse+https://good.example/".parse().unwrap(),
            origin: Box::new(in_project()),
            theirs: "sparse+https://evil.example/".parse().unwrap(),
        }],
        E::Shape { .. } => [shape()],
        E::Toml { .. } => [
            E::Toml { file: "/home/me/.cargo/config.toml".into(), reason: "invalid table header".into() },
        ],
        E::UnknownRegistry { .. } => [
            E::UnknownRegistry { name: "my-reg".into(), like: None },
            E::UnknownRegistry { name: "my-rge".into(), like: Some("my-reg".into()) },
        ],
    });
    errors.into_iter().map(Error::from).collect()
}

fn content(problem: enrollment::Problem) -> Error {
    enrollment::Error::Content { path: "/home/me/.cargo/yk-cargo/enrollments.toml".into(), problem }.into()
}

fn of_files() -> Vec<Error> {
    use folder::{Error as E, Others};
    let path = || "/home/me/my cargo/yk-cargo/enrollments.toml".into();
    let errors = every!(E {
        E::Io { .. } => [E::Io { action: "write", path: path(), source: io::ErrorKind::StorageFull.into() }],
        E::Locked { .. } => [E::Locked { path: "/home/me/.cargo/yk-cargo/enrollments.lock".into() }],
        E::NoFile { .. } => [E::NoFile { path: path() }],
        E::TooLong { .. } => [E::TooLong { path: path() }],
        E::Unsafe { .. } => [
            E::Unsafe { path: path(), problem: Others::Own },
            E::Unsafe { path: path(), problem: Others::NotRoot },
            E::Unsafe { path: path(), problem: Others::MayWrite },
        ],
    });
    errors.into_iter().map(Error::from).collect()
}

fn of_enrollments() -> Vec<Error> {
    use enrollment::{Error as E, Problem as P};
    let path = || "/home/me/.cargo/yk-cargo/enrollments.toml".into();
    let problems = every!(P {
        P::Duplicate(_) => [P::Duplicate("sparse+https://registry.example/".into())],
        P::Newer { .. } => [P::Newer { version: 2 }],
        P::NoVersion { .. } => [P::NoVersion { version: 1 }],
        P::Toml(_) => [P::Toml("missing field `index`".into())],
        P::Value { .. } => [P::Value { key: "firmware", reason: "is not three numbers".into() }],
    });
    let errors = every!(E {
        E::Folder(_) => [
            folder_error("/home/me/.cargo/yk-cargo/enrollments.toml").into(),
        ],
        E::Content { .. } => [E::Content { path: path(), problem: P::NoVersion { version: 1 } }],
    });
    problems.into_iter().map(content).chain(errors.into_iter().map(Error::from)).collect()
}

fn signers(problem: enrollment::Problem) -> Error {
    trust::Error::Content { path: "/home/me/.cargo/yk-cargo/signers.toml".into(), problem }.into()
}

fn lock(problem: lock_file::Problem) -> Error {
    lock_file::Error::Content { file: "pro\u{1b}ject/Cargo.lock".into(), problem }.into()
}

fn of_lock_files() -> Vec<Error> {
    use lock_file::Problem as P;
    let text = || "\u{1b}[31m".to_owned();
    let problems = every!(P {
        P::Metadata { .. } => [P::Metadata { key: text() }],
        P::Package { .. } => [P::Package { package: text(), reason: text() }],
        P::Toml(_) => [P::Toml(text())],
        P::Twice { .. } => [P::Twice { package: text() }],
        P::TwoVersions => [P::TwoVersions],
        P::Version { .. } => [P::Version { version: 0 }],
    });
    use lock_file::Error as E;
    let errors = every!(E {
        E::File { .. } => [E::File { file: "Cargo.lock".into(), source: io::Error::new(io::ErrorKind::NotFound, "no such file") }],
        E::Content { .. } => [E::Content { file: "Cargo.lock".into(), problem: P::Version { version: 5 } }],
    });
    problems.into_iter().map(lock).chain(errors.into_iter().map(Error::from)).collect()
}

fn of_proofs() -> Vec<Error> {
    use proof::Error as P;
    let proofs = every!(P {
        P::Json(_) => [P::Json(StrictJsonError::DuplicateName("na\u{1b}me".into()))],
        P::Newer { .. } => [P::Newer { version: 3 }],
        P::Shape(_) => [P::Shape("missing field `token`".into())],
        P::Saved(_) => [P::Saved(transparency_log::Error::TlogProofSyntax)],
        P::Field { .. } => [P::Field { field: "cksum", reason: "is wrong: \u{1b}".into() }],
    });
    use trust::Error as S;
    let projects = || "pro\u{1b}ject/signers.toml".into();
    let signers = every!(S {
        S::Folder(_) => [S::Folder(folder_error("/home/me/.cargo/yk-cargo/signers.toml"))],
        S::Project { .. } => [S::Project { path: projects(), source: denied() }],
        S::ProjectContent { .. } => [S::ProjectContent {
            path: projects(),
            problem: enrollment::Problem::Value { key: "crate", reason: "is wrong".into() },
        }],
        S::Content { .. } => [S::Content {
            path: "/home/me/.cargo/yk-cargo/signers.toml".into(),
            problem: enrollment::Problem::Newer { version: 3 },
        }],
    });
    proofs.into_iter().map(Error::from).chain(signers.into_iter().map(Error::from)).collect()
}

fn of_the_reader() -> Vec<Error> {
    use reader::Error as E;
    let errors = every!(E {
        E::NoService => [E::NoService],
        E::AccessDenied => [E::AccessDenied],
        E::NoReader => [E::NoReader],
        E::Busy => [E::Busy],
        E::Gone => [E::Gone],
        E::Reset => [E::Reset],
        E::PivDisabled { .. } => [E::PivDisabled { contactless: false }, E::PivDisabled { contactless: true }],
        E::Select(_) => [E::Select(piv::Error::Malformed { what: "application property template" })],
        E::Timeout { .. } => [
            E::Timeout { waiting: Waiting::ForService },
            E::Timeout { waiting: Waiting::ForCard },
            E::Timeout { waiting: Waiting::ForWork },
        ],
        E::Stopped => [E::Stopped],
        E::Senseless { .. } => [E::Senseless { text: "unknown PCSC error code: 0xbeef".into() }],
        E::Other { .. } => [E::Other { code: 0x8010_000F, text: "the protocols do not match".into() }],
    });
    errors.into_iter().map(Error::from).collect()
}

fn of_the_card() -> Vec<Error> {
    use piv::Error as E;
    let errors = every!(E {
        E::Transport(_) => [E::Transport(TransportError::new(reader::Error::Gone))],
        E::NotAvailable => [E::NotAvailable],
        E::WrongPin { .. } => [E::WrongPin { tries: 2 }, E::WrongPin { tries: 1 }],
        E::PinBlocked => [E::PinBlocked],
        E::NotAuthenticated => [E::NotAuthenticated],
        E::WrongManagementKey => [E::WrongManagementKey],
        E::ManagementKeyLength { .. } => [
            E::ManagementKeyLength { algorithm: ManagementAlgorithm::Aes256, expected: 32, given: 24 },
        ],
        E::CardNotGenuine => [E::CardNotGenuine],
        E::NoSuchKey { .. } => [E::NoSuchKey { slot: slot() }],
        E::NotAttestable { .. } => [E::NotAttestable { slot: slot() }],
        E::AttestationSlot => [E::AttestationSlot],
        E::Unsupported { .. } => [E::Unsupported { operation: "GET METADATA" }],
        E::CardFull => [E::CardFull],
        E::Refused { .. } => [
            E::Refused { operation: "GENERATE ASYMMETRIC", status: Status::ConditionsNotSatisfied },
        ],
        E::Malformed { .. } => [E::Malformed { what: "signature" }],
        E::Random(_) => [E::Random(getrandom::Error::UNSUPPORTED)],
    });
    let certificate = every!(CertificateError {
        CertificateError::Label(_) => [CertificateError::Label(65)],
        CertificateError::Index => [CertificateError::Index],
        CertificateError::TooLong { .. } => [CertificateError::TooLong { bytes: 4000 }],
        CertificateError::Key => [CertificateError::Key],
        CertificateError::Random(_) => [CertificateError::Random(getrandom::Error::UNSUPPORTED)],
        CertificateError::Encoding(_) => [CertificateError::Encoding("a date".into())],
    });
    errors.into_iter().map(Error::from).chain(certificate.into_iter().map(Error::from)).collect()
}

fn unusable_settings() -> Error {
    let path = "/home/me/.cargo/yk-cargo/config.toml".into();
    settings::Error::Content { path, line: 3, reason: "unknown field `pinentri`".into() }.into()
}
