//! Attestations made by hand, wrong in one place each.
#![cfg(unix)]

use jiff::Timestamp;
use registry_gateway::attestation::{
    AttestationError, Mode, Outcome, PinPolicy, Requirement, Rules, Settings, Statement, TouchPolicy, Trust,
    verify,
};
use registry_gateway::keys::Role;

use crate::common::SoftwareKey;
use crate::common::attested::pem;
use crate::common::crafted::{
    Crafted, Key, P256, P384, Part, RSA, Signer, authority, basic_constraints, element, key_usage,
    public_info, raw_key_usage, unknown, yubico,
};

type Verdict = Result<Statement, AttestationError>;

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// Yubico's authorities and the root of a crafted chain.
fn trust(crafted: &Crafted) -> Trust {
    let mut trust = Trust::yubico();
    trust.add_pem(pem(&crafted.root()).as_bytes()).unwrap();
    trust
}

fn verdict(crafted: &Crafted) -> Verdict {
    verify(&crafted.chain(), &crafted.public(), &trust(crafted), now())
}

/// The verdict on the good chain with this change.
fn spoilt(change: impl FnOnce(&mut Crafted)) -> Verdict {
    verdict(&Crafted::with(change))
}

#[test]
fn unspoilt() {
    let statement = verdict(&Crafted::new()).unwrap();
    assert_eq!(statement.to_string(), "YubiKey 12345678, firmware 5.7.4");
    assert_eq!((statement.pin, statement.touch), (PinPolicy::Once, TouchPolicy::Always));
    assert_eq!((statement.serial, statement.form_factor), (Some(12_345_678), Some(1)));
}

#[test]
fn what_a_statement_must_say() {
    let stated = |at: usize, extension: Option<Vec<u8>>| {
        spoilt(|crafted| {
            crafted.statement.extensions.remove(at);
            crafted.statement.extensions.extend(extension);
        })
    };
    for (at, extension, missing) in [
        (0, None, "firmware"),
        (0, Some(yubico(3, &[5, 7])), "firmware"),
        (0, Some(yubico(3, &[5, 7, 4, 0])), "firmware"),
        (1, Some(yubico(7, &[12, 1, 0x31])), "serial number"),
        (1, Some(yubico(7, &[2, 5, 1, 0, 0, 0, 0])), "serial number"),
        (1, Some(yubico(7, &[2, 1, 1, 0])), "serial number"),
        (2, None, "PIN and touch policy"),
        (2, Some(yubico(8, &[2])), "PIN and touch policy"),
        (2, Some(yubico(8, &[2, 2, 2])), "PIN and touch policy"),
        (2, Some(yubico(8, &[0, 2])), "PIN policy"),
        (2, Some(yubico(8, &[6, 2])), "PIN policy"),
        (2, Some(yubico(8, &[2, 0])), "touch policy"),
        (2, Some(yubico(8, &[2, 4])), "touch policy"),
        (3, Some(yubico(9, &[])), "form factor"),
        (3, Some(yubico(9, &[1, 1])), "form factor"),
    ] {
        assert_eq!(stated(at, extension), Err(AttestationError::Statement(missing)), "{missing}, {at}");
    }
    assert_eq!(stated(1, None).unwrap().serial, None);
    assert_eq!(stated(3, None).unwrap().form_factor, None);
    // 4 and 5 are `match`: a fingerprint, in the place of a PIN.
    for (byte, pin) in [
        (1, PinPolicy::Never),
        (2, PinPolicy::Once),
        (3, PinPolicy::Always),
        (4, PinPolicy::Once),
        (5, PinPolicy::Always),
    ] {
        assert_eq!(stated(2, Some(yubico(8, &[byte, 1]))).unwrap().pin, pin);
    }
    for (byte, touch) in [(1, TouchPolicy::Never), (2, TouchPolicy::Always), (3, TouchPolicy::Cached)] {
        assert_eq!(stated(2, Some(yubico(8, &[1, byte]))).unwrap().touch, touch);
    }
}

#[test]
fn the_key_of_a_statement_is_a_point_of_p384() {
    const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
    let point = SoftwareKey::new(54).uncompressed();
    let mut off_curve = point.clone();
    off_curve[96] ^= 1;
    let with = |info: Vec<u8>| spoilt(|crafted| crafted.statement.public_info = Some(info));
    assert!(with(public_info(EC, Some(P384), &point)).is_ok());
    for info in [
        public_info(EC, Some(P256), &point),
        public_info(EC, None, &point),
        public_info(RSA, Some(P384), &point),
        public_info(EC, Some(P384), &point[..49]),
        public_info(EC, Some(P384), &off_curve),
    ] {
        assert_eq!(with(info), Err(AttestationError::Statement("P-384 key")));
    }
    let other = public_info(EC, Some(P384), &SoftwareKey::new(55).uncompressed());
    assert_eq!(with(other), Err(AttestationError::OtherKey));
}

/// The statement, F9, what stands between; not the root, of which name and key are trusted and no more.
#[test]
fn every_link_is_looked_at() {
    let parts: [fn(&mut Crafted) -> &mut Part; 3] =
        [|crafted| &mut crafted.statement, |crafted| &mut crafted.f9, |crafted| &mut crafted.between];
    for (part, subject) in parts.into_iter().zip(["CN=statement", "CN=f9", "CN=between"]) {
        let with = |change: &dyn Fn(&mut Part)| spoilt(|crafted| change(part(crafted)));
        let subject = subject.to_owned();
        let invalid = Err(AttestationError::Validity { subject: subject.clone() });
        let early = |part: &mut Part| part.validity[0] = "261120120001Z";
        assert_eq!(with(&early), invalid);
        let late = |part: &mut Part| part.validity[1] = "261120115959Z";
        assert_eq!(with(&late), invalid);
        let just = |part: &mut Part| part.validity = ["261120120000Z"; 2];
        assert!(with(&just).is_ok(), "{subject}");

        let not_understood = Err(AttestationError::CriticalExtension { subject: subject.clone() });
        assert_eq!(with(&|part| part.extensions.push(unknown(true))), not_understood);
        assert_eq!(with(&|part| part.extensions.extend([unknown(false), unknown(false)])), not_understood);
        assert!(with(&|part| part.extensions.push(unknown(false))).is_ok(), "{subject}");
        let twice = |part: &mut Part| part.extensions.push(part.extensions[0].clone());
        assert_eq!(with(&twice), not_understood);
    }
    let old_root = spoilt(|crafted| crafted.root.validity[1] = "210101000000Z");
    assert!(old_root.is_ok(), "{old_root:?}");
}

/// The algorithm stands in a certificate twice, and only one of the two is signed.
#[test]
fn one_algorithm_in_two_places() {
    let sha256 = element(0x30, &[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2]);
    let position = |verdict| match verdict {
        Err(AttestationError::Certificate { position }) => position,
        other => panic!("{other:?}"),
    };
    let outer = || Some(sha256.clone());
    assert_eq!(position(spoilt(|crafted| crafted.statement.outer_algorithm = outer())), 1);
    assert_eq!(position(spoilt(|crafted| crafted.f9.outer_algorithm = outer())), 2);
    assert_eq!(position(spoilt(|crafted| crafted.between.outer_algorithm = outer())), 3);
}

#[test]
fn each_is_signed_by_the_one_above_it() {
    let good = Crafted::new();
    let (public, trust) = (good.public(), trust(&good));
    let other = Crafted::with(|crafted| {
        crafted.f9_key = Key::new(63, Signer::P384Sha384);
        crafted.between_key = Key::new(62, Signer::P384Sha384);
        crafted.root_key = Key::new(61, Signer::P384Sha384);
    });
    let (chain, forged) = (good.chain(), other.chain());
    let with = |parts: [&Vec<u8>; 3]| verify(&parts.map(Clone::clone), &public, &trust, now());
    let signature = |subject: &str, issuer: &str| {
        Err(AttestationError::Signature { subject: subject.to_owned(), issuer: issuer.to_owned() })
    };
    assert!(with([&chain[0], &chain[1], &chain[2]]).is_ok());
    assert_eq!(with([&forged[0], &chain[1], &chain[2]]), signature("CN=statement", "CN=f9"));
    assert_eq!(with([&forged[0], &forged[1], &chain[2]]), signature("CN=f9", "CN=between"));
    let unknown = |issuer: &str| Err(AttestationError::UnknownIssuer { issuer: issuer.to_owned() });
    assert_eq!(with([&forged[0], &forged[1], &forged[2]]), unknown("CN=root"));
    // Its own root may come along; that makes it no root.
    let whole = [&forged[..], &[other.root()]].concat();
    assert_eq!(verify(&whole, &public, &trust, now()), unknown("CN=root"));
    // The order above F9 is free, F9's place is not.
    assert_eq!(with([&chain[0], &chain[2], &chain[1]]), signature("CN=statement", "CN=between"));

    assert_eq!(spoilt(|crafted| crafted.statement.issuer = "f8"), signature("CN=statement", "CN=f9"));
    assert_eq!(spoilt(|crafted| crafted.f9.issuer = "nobody"), unknown("CN=nobody"));
    assert_eq!(spoilt(|crafted| crafted.between.issuer = "nobody"), unknown("CN=nobody"));
}

#[test]
fn who_may_issue() {
    let f9 = |extensions: Vec<Vec<u8>>| spoilt(|crafted| crafted.f9.extensions = extensions);
    let between = |extensions: Vec<Vec<u8>>| spoilt(|crafted| crafted.between.extensions = extensions);
    let no_authority = |subject: &str| Err(AttestationError::NotAuthority { subject: subject.to_owned() });
    let not_one = basic_constraints(&[0x30, 0]);
    let garbage = basic_constraints(&[0x30, 1, 0xFF]);
    let any_length = authority(None);
    for extensions in [
        vec![not_one.clone()],
        vec![garbage.clone()],
        vec![any_length.clone(), key_usage(0)],
        vec![any_length.clone(), raw_key_usage(&[5, 0])],
    ] {
        assert_eq!(f9(extensions.clone()), no_authority("CN=f9"), "{extensions:02X?}");
        assert_eq!(between(extensions.clone()), no_authority("CN=between"), "{extensions:02X?}");
    }
    assert!(f9(vec![any_length.clone(), key_usage(5)]).is_ok());
    assert!(between(vec![any_length.clone()]).is_ok());
    // What says nothing: an early card may, an authority may not.
    assert_eq!(f9(vec![]), Err(AttestationError::Legacy));
    assert_eq!(between(vec![]), no_authority("CN=between"));

    let path_length = Err(AttestationError::PathLength { subject: "CN=between".to_owned() });
    assert_eq!(between(vec![authority(Some(0))]), path_length);
    assert!(between(vec![authority(Some(1))]).is_ok());
    assert!(f9(vec![authority(Some(0))]).is_ok());
}

/// Such a card's F9 comes from a root, and says that it is a YubiKey's.
#[test]
fn early_cards_are_known_by_their_root_and_their_firmware() {
    let verdict = |legacy_devices, extensions: Vec<Vec<u8>>, issuer: &'static str| {
        let crafted = Crafted::with(|crafted| {
            crafted.f9.extensions = extensions;
            crafted.f9.issuer = issuer;
            if issuer == "root" {
                crafted.between_key = Key::new(51, Signer::P384Sha384);
            }
        });
        let mut trust = trust(&crafted);
        trust.legacy_devices = legacy_devices;
        verify(&crafted.chain()[..2], &crafted.public(), &trust, now()).map(drop)
    };
    let firmware = || vec![yubico(3, &[4, 3, 5])];
    assert_eq!(verdict(true, firmware(), "root"), Ok(()));
    assert_eq!(verdict(false, firmware(), "root"), Err(AttestationError::Legacy));
    assert_eq!(verdict(true, vec![], "root"), Err(AttestationError::Legacy));
    assert_eq!(verdict(true, firmware(), "between"), Err(AttestationError::Legacy));
}

/// An issuer that says nothing, with a card's firmware in it, is let pass as F9 alone.
#[test]
fn early_cards_have_nothing_between() {
    let crafted = Crafted::with(|crafted| crafted.between.extensions = vec![yubico(3, &[4, 3, 5])]);
    let mut trust = trust(&crafted);
    trust.legacy_devices = true;
    let refused = verify(&crafted.chain(), &crafted.public(), &trust, now());
    assert_eq!(refused, Err(AttestationError::NotAuthority { subject: "CN=between".to_owned() }));
}

/// Somebody's own authority, which issued itself, and so could be followed for ever.
#[test]
fn a_circle_ends() {
    let crafted = Crafted::with(|crafted| {
        crafted.between.issuer = "between";
        crafted.between.extensions = vec![authority(None)];
        crafted.root_key = Key::new(52, Signer::P384Sha384);
    });
    let refused = verify(&crafted.chain(), &crafted.public(), &Trust::yubico(), now());
    assert_eq!(refused, Err(AttestationError::UnknownIssuer { issuer: "CN=between".to_owned() }));
}

#[test]
fn algorithms() {
    for signer in [
        Signer::P256Sha256,
        Signer::P256Sha384,
        Signer::P384Sha256,
        Signer::P384Sha384,
        Signer::RsaSha256,
        Signer::RsaSha384,
        Signer::RsaSha512,
    ] {
        let signed = spoilt(|crafted| crafted.f9_key = Key::new(53, signer));
        assert!(signed.is_ok(), "{signer:?}: {signed:?}");
    }
}

/// A file of an administrator's: what issued itself is a root, the rest helps to find the way and is believed nothing.
#[test]
fn roots_in_a_file() {
    let crafted = Crafted::new();
    let chain = crafted.chain();
    let card = &chain[..2];
    let with = |files: &[&[u8]]| {
        let mut trust = Trust::yubico();
        let text: String = files.iter().map(|der| pem(der)).collect();
        trust.add_pem(text.as_bytes()).unwrap();
        verify(card, &crafted.public(), &trust, now()).map(drop)
    };
    let unknown = |issuer: &str| Err(AttestationError::UnknownIssuer { issuer: issuer.to_owned() });
    assert_eq!(with(&[&crafted.root(), &chain[2]]), Ok(()));
    assert_eq!(with(&[&chain[2]]), unknown("CN=root"));
    assert_eq!(with(&[&crafted.root()]), unknown("CN=between"));
}

/// The least is enough, and less is not.
#[test]
fn what_is_asked_is_the_least() {
    let judged = |least: Requirement, pin: u8, touch: u8, role| {
        let crafted = Crafted::with(|crafted| crafted.statement.extensions[2] = yubico(8, &[pin, touch]));
        let trust = trust(&crafted);
        let publish = if role == Role::Read { Rules::default().publish } else { least };
        let read = if role == Role::Read { least } else { Rules::default().read };
        let minimum_firmware = Some("5.7.4".parse().unwrap());
        let rules = Rules { mode: Mode::Require, trust, minimum_firmware, publish, read };
        rules.judge(Some(&crafted.chain()), &crafted.public(), role, now())
    };
    let least = Requirement { pin: PinPolicy::Once, touch: TouchPolicy::Cached };
    for role in [Role::Read, Role::Publish, Role::Both] {
        for (pin, touch) in [(2, 3), (3, 2), (2, 2), (4, 3)] {
            let outcome = judged(least, pin, touch, role);
            assert!(matches!(outcome, Ok(Outcome::Attested(_))), "{role} {pin} {touch}: {outcome:?}");
        }
        assert!(matches!(judged(least, 1, 2, role), Err(AttestationError::Pin { .. })), "{role}");
        assert!(matches!(judged(least, 3, 1, role), Err(AttestationError::Touch { .. })), "{role}");
        let most = Requirement { pin: PinPolicy::Always, touch: TouchPolicy::Always };
        assert!(matches!(judged(most, 2, 2, role), Err(AttestationError::Pin { .. })), "{role}");
        assert!(matches!(judged(most, 3, 3, role), Err(AttestationError::Touch { .. })), "{role}");
        assert!(judged(most, 3, 2, role).is_ok(), "{role}");
    }
}

#[test]
fn recorded_with_what_is_wrong_with_it() {
    let crafted = Crafted::with(|crafted| crafted.statement.extensions[2] = yubico(8, &[1, 1]));
    let rules = Rules { mode: Mode::Record, trust: trust(&crafted), ..Rules::default() };
    let judge = |role| rules.judge(Some(&crafted.chain()), &crafted.public(), role, now());
    assert!(matches!(judge(Role::Read), Ok(Outcome::Attested(_))));
    assert!(matches!(judge(Role::Publish), Ok(Outcome::Doubtful(AttestationError::Pin { .. }))));
}

/// What cannot be read as one is not kept for one.
#[test]
fn half_an_attestation_is_not_recorded() {
    let crafted = Crafted::new();
    let rules = Rules { mode: Mode::Record, trust: trust(&crafted), ..Rules::default() };
    let refused = rules.judge(Some(&crafted.chain()[..1]), &crafted.public(), Role::Read, now());
    assert_eq!(refused, Err(AttestationError::Length(1)));
}

/// Of a key that may publish a PIN in each session and a touch within 15 seconds; of a read key nothing.
#[test]
fn what_is_asked_where_nothing_is_set() {
    let judged = |pin: u8, touch: u8, role| {
        let crafted = Crafted::with(|crafted| crafted.statement.extensions[2] = yubico(8, &[pin, touch]));
        let rules = Rules { mode: Mode::Require, trust: trust(&crafted), ..Rules::default() };
        rules.judge(Some(&crafted.chain()), &crafted.public(), role, now()).map(drop)
    };
    assert_eq!(judged(1, 1, Role::Read), Ok(()));
    for role in [Role::Publish, Role::Both] {
        assert_eq!(judged(2, 3, role), Ok(()));
        assert!(matches!(judged(1, 3, role), Err(AttestationError::Pin { .. })));
        assert!(matches!(judged(2, 1, role), Err(AttestationError::Touch { .. })));
    }
}

/// As the configuration has them: beside it, unless their paths are absolute.
#[test]
fn roots_of_the_configuration() {
    let crafted = Crafted::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("roots.pem"), pem(&crafted.root())).unwrap();
    let read = Some(Requirement { pin: PinPolicy::Always, touch: TouchPolicy::Never });
    let (policy, roots) = (Mode::Require, vec!["roots.pem".into()]);
    let mut settings = Settings { policy, roots, read, ..Settings::default() };
    settings.relative_to(folder.path());
    let rules = settings.rules().unwrap();
    let judge = |role| rules.judge(Some(&crafted.chain()), &crafted.public(), role, now());
    assert!(matches!(judge(Role::Publish), Ok(Outcome::Attested(_))), "{:?}", judge(Role::Publish));
    assert!(matches!(judge(Role::Read), Err(AttestationError::Pin { .. })), "{:?}", judge(Role::Read));
}
