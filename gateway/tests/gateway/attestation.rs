//! Attestations: chains of every generation of cards, forged in every place, and what a registry asks of them.
#![cfg(unix)]

use asymmetric_token::PublicKey;
use jiff::Timestamp;
use mock_card::{Attestation, PinPolicy as Pin, TouchPolicy as Touch, Traits};
use registry_gateway::attestation::{
    AttestationError, Certificate, Firmware, Mode, Outcome, PinPolicy, Requirement, Rules, Statement,
    TouchPolicy, Trust, verify,
};
use registry_gateway::keys::Role;
use sha2::{Digest as _, Sha256};

use crate::common::SoftwareKey;
use crate::common::attested::{AttestedKey, card, mock_authorities, pem};

fn now() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// Yubico's authorities and the mock's.
fn trust() -> Trust {
    let mut trust = Trust::yubico();
    trust.add_pem(mock_authorities().as_bytes()).unwrap();
    trust
}

fn check(key: &AttestedKey, trust: &Trust) -> Result<Statement, AttestationError> {
    verify(&key.chain, &key.public, trust, now())
}

fn made_on(firmware: &str, attestation: Option<Attestation>) -> AttestedKey {
    AttestedKey::made(&mut card(firmware, attestation), 0x82, Pin::Once, Touch::Always)
}

/// The files are what Yubico publishes, and hang together.
#[test]
fn yubicos_certificates_are_the_published_ones() {
    let pinned = [
        ("piv-root-ca-263751", "63ece914e54dd87915f34033c85af4c0696ba1512f8add66ced738331207b546"),
        ("u2f-root-ca-457200631", "0fa1386f80eb8713263ae5c1d84deb455bdf08aea50ab05503cefee82b092d42"),
        ("attestation-root-1", "62760c6a6ef91679f454c8902b80fd009825b3f25da90f1fbace2ec6586cd5a8"),
        ("attestation-intermediate-a-1", "4698a1d3389c3ec60016c216250f1d0439922832d65142327436376dc2942b55"),
        ("attestation-intermediate-b-1", "d4cc3f456fdaf4e7812a21aab1dfe9d8e27d24e2fd2d6f21c9940109f0daa754"),
        ("piv-attestation-a-1", "6de693f05376f5d8ca29069261e1c8626c75d503bd2edbfd75354cad1f722870"),
        ("piv-attestation-b-1", "2d55b7998f4e42569d6d8fa382b6dc77d1dacf07358b19701163892922b17052"),
        ("piv-attestation-b2-1", "0c90b7d184a36edf50a35f9be935f0c5689bfdcfe5bdd073366cafb49061a440"),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/yubico");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut all = Vec::new();
    for (name, fingerprint) in pinned {
        let pem = std::fs::read(folder.join(format!("{name}.pem"))).unwrap();
        let [certificate] = &Certificate::parse_pem(&pem).unwrap()[..] else { panic!("{name}") };
        let found: String =
            Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, fingerprint, "{name}");
        assert!(readme.contains(&fingerprint.to_uppercase()), "{name}");
        all.push(certificate.clone());
    }
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, pinned.len() + 1, "a file that nothing pins");
    for certificate in &all {
        let issuers = all.iter().filter(|issuer| certificate.is_issued_by(issuer)).count();
        assert_eq!(issuers, 1, "{} has its issuer here", certificate.subject());
    }
}

#[test]
fn every_generation_of_cards() {
    for (firmware, attestation, has_form_factor) in [
        ("5.7.4", None, true),
        ("5.4.3", None, true),
        ("4.3.5", Some(Attestation::Old), false),
        ("5.7.4-fips", None, true),
    ] {
        let key = made_on(firmware, attestation);
        let statement = check(&key, &trust()).unwrap();
        assert_eq!(statement.key, key.public);
        assert_eq!(statement.firmware.to_string(), firmware.trim_end_matches("-fips"));
        assert_eq!(statement.serial, Some(12_345_678), "{firmware}");
        assert_eq!((statement.pin, statement.touch), (PinPolicy::Once, TouchPolicy::Always));
        assert_eq!(statement.form_factor.is_some(), has_form_factor, "{firmware}");
        let unknown = check(&key, &Trust::yubico());
        assert!(matches!(unknown, Err(AttestationError::UnknownIssuer { .. })), "{firmware}: {unknown:?}");
    }
    let traits =
        Traits { attestation: Some(Attestation::Old), attests_serial: Some(false), ..Traits::default() };
    let mut without_serial = card("4.3.5", None).with_traits(traits);
    let key = AttestedKey::made(&mut without_serial, 0x82, Pin::Once, Touch::Always);
    assert_eq!(check(&key, &trust()).unwrap().serial, None, "some YubiKeys 4 do not tell it");
    let mut card = card("5.7.4", None);
    for (pin, touch, expected) in [
        (Pin::Never, Touch::Never, (PinPolicy::Never, TouchPolicy::Never)),
        (Pin::Always, Touch::Cached, (PinPolicy::Always, TouchPolicy::Cached)),
    ] {
        let statement = check(&AttestedKey::made(&mut card, 0x83, pin, touch), &trust()).unwrap();
        assert_eq!((statement.pin, statement.touch), expected);
    }
}

/// The two middle levels are not on the card; who does not carry them cannot find the way.
#[test]
fn what_stands_between_may_come_along() {
    let key = made_on("5.7.4", None);
    let mut roots_only = Trust::yubico();
    for root in mock_card::authorities().iter().take(2) {
        roots_only.add_pem(pem(&root.certificate).as_bytes()).unwrap();
    }
    assert!(matches!(check(&key, &roots_only), Err(AttestationError::UnknownIssuer { .. })));
    let mut with_more = key;
    with_more.chain.extend(mock_card::authorities().drain(2..).map(|authority| authority.certificate));
    check(&with_more, &roots_only).unwrap();
}

#[test]
fn early_cards_are_let_in_on_request() {
    let key = made_on("4.3.5", Some(Attestation::Legacy));
    assert_eq!(check(&key, &trust()), Err(AttestationError::Legacy));
    let mut legacy = trust();
    legacy.legacy_devices = true;
    check(&key, &legacy).unwrap();
}

/// A key in a slot has a certificate from the card too, and its owner can sign with it what he likes. It must not count
/// as an issuer, whether early cards are let in or not.
#[test]
fn a_key_in_a_slot_attests_nothing() {
    for (firmware, attestation) in [
        ("5.7.4", None),
        ("5.4.3", None),
        ("4.3.5", Some(Attestation::Old)),
        ("4.3.5", Some(Attestation::Legacy)),
    ] {
        let mut card = card(firmware, attestation);
        let forger = AttestedKey::made(&mut card, 0x9A, Pin::Never, Touch::Never);
        let forged = forger.forge(&mut card, 0x9A, &SoftwareKey::new(9));
        for legacy_devices in [false, true] {
            let mut trust = trust();
            trust.legacy_devices = legacy_devices;
            let refused = check(&forged, &trust);
            assert!(
                matches!(refused, Err(AttestationError::Legacy | AttestationError::NotAuthority { .. })),
                "{firmware} {legacy_devices}: {refused:?}"
            );
        }
    }
}

#[test]
fn a_chain_that_was_tampered_with() {
    let good = made_on("5.4.3", None);
    let other = made_on("5.7.4", None);
    let with = |chain: Vec<Vec<u8>>| verify(&chain, &good.public, &trust(), now());
    let [leaf, f9] = &good.chain[..] else { panic!() };

    let another = verify(&good.chain, &SoftwareKey::new(1).public, &trust(), now());
    assert_eq!(another, Err(AttestationError::OtherKey));
    assert_eq!(with(vec![leaf.clone()]), Err(AttestationError::Length(1)));
    assert_eq!(with(vec![leaf.clone(); 7]), Err(AttestationError::Length(7)));
    assert_eq!(with(vec![leaf.clone(), vec![0x30, 0]]), Err(AttestationError::Certificate { position: 2 }));
    assert!(matches!(with(vec![f9.clone(), leaf.clone()]), Err(AttestationError::Statement(_))));
    let mismatched = with(vec![leaf.clone(), other.chain[1].clone()]);
    assert!(matches!(mismatched, Err(AttestationError::Signature { .. })), "{mismatched:?}");
    let trailing = [leaf.clone(), vec![0]].concat();
    assert_eq!(with(vec![trailing, f9.clone()]), Err(AttestationError::Certificate { position: 1 }));

    // Each byte of either certificate matters, or else the certificate cannot be read any more.
    for (place, certificate) in [leaf, f9].into_iter().enumerate() {
        for position in (0..certificate.len()).step_by(7) {
            let mut chain = good.chain.clone();
            chain[place][position] ^= 1;
            assert!(with(chain).is_err(), "certificate {place}, byte {position}");
        }
    }
}

#[test]
fn outside_its_time() {
    let key = made_on("5.4.3", None);
    for (time, good) in [
        ("2016-03-13T23:59:59Z", false),
        ("2016-03-14T00:00:00Z", true),
        ("2052-04-17T00:00:00Z", true),
        ("2052-04-17T00:00:01Z", false),
        ("0001-01-01T00:00:00Z", false),
    ] {
        let checked = verify(&key.chain, &key.public, &trust(), time.parse().unwrap());
        assert_eq!(checked.is_ok(), good, "{time}: {checked:?}");
        assert!(good || matches!(checked, Err(AttestationError::Validity { .. })));
    }
}

#[test]
fn what_a_registry_asks() {
    let rules = |mode| Rules { mode, trust: trust(), ..Rules::default() };
    let require = rules(Mode::Require);
    let judge =
        |rules: &Rules, key: &AttestedKey, role| rules.judge(Some(&key.chain), &key.public, role, now());
    let strong = made_on("5.7.4", None);
    let weak = AttestedKey::made(&mut card("5.4.3", None), 0x82, Pin::Never, Touch::Never);
    let none = |rules: &Rules| rules.judge(None, &strong.public, Role::Publish, now());

    assert_eq!(none(&require), Err(AttestationError::Missing { role: Role::Publish }));
    assert_eq!(none(&rules(Mode::Record)), Ok(Outcome::Nothing));
    assert!(matches!(judge(&require, &strong, Role::Publish), Ok(Outcome::Attested(_))));
    assert!(matches!(judge(&require, &weak, Role::Read), Ok(Outcome::Attested(_))));
    for role in [Role::Publish, Role::Both] {
        let (found, wanted) = (PinPolicy::Never, PinPolicy::Once);
        assert_eq!(judge(&require, &weak, role), Err(AttestationError::Pin { role, found, wanted }));
        let no_pin = Requirement { pin: PinPolicy::Never, touch: TouchPolicy::Cached };
        let (found, wanted) = (TouchPolicy::Never, TouchPolicy::Cached);
        let touch = judge(&Rules { publish: no_pin, ..require.clone() }, &weak, role);
        assert_eq!(touch, Err(AttestationError::Touch { role, found, wanted }));
    }
    let strict_read = Requirement { pin: PinPolicy::Never, touch: TouchPolicy::Cached };
    let read = judge(&Rules { read: strict_read, ..require.clone() }, &weak, Role::Read);
    assert!(matches!(read, Err(AttestationError::Touch { role: Role::Read, .. })), "{read:?}");
    let minimum: Firmware = "5.7.0".parse().unwrap();
    let modern = Rules { minimum_firmware: Some(minimum), ..require };
    assert_eq!(
        judge(&modern, &weak, Role::Read),
        Err(AttestationError::Firmware { found: "5.4.3".parse().unwrap(), minimum })
    );
    assert!(judge(&modern, &strong, Role::Read).is_ok());

    // To record is not to require, but what is about another key is worth nothing.
    let record = Rules { mode: Mode::Record, ..Rules::default() };
    assert!(matches!(
        judge(&record, &strong, Role::Read),
        Ok(Outcome::Doubtful(AttestationError::UnknownIssuer { .. }))
    ));
    let other: PublicKey = SoftwareKey::new(1).public;
    let refused = record.judge(Some(&strong.chain), &other, Role::Read, now());
    assert_eq!(refused, Err(AttestationError::OtherKey));
    assert_eq!(rules(Mode::Off).judge(Some(&[]), &other, Role::Read, now()), Ok(Outcome::Nothing));
}

#[test]
fn files_that_are_no_certificates() {
    let mut trust = Trust::yubico();
    for bad in ["", "nothing", "-----BEGIN CERTIFICATE-----\nMAEB\n-----END CERTIFICATE-----\n"] {
        assert!(trust.add_pem(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["", "5", "5.7", "5.7.4.1", "5.7.x", "5.7.256"] {
        assert!(bad.parse::<Firmware>().is_err(), "{bad}");
    }
}
