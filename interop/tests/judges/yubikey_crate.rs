//! The `yubikey` crate reads what `enroll` wrote to a card, and signs with it.

use std::process::Output;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mock_card::{Firmware, MockCard};
use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{DerSignature, VerifyingKey};
use yk_cargo_interop::CardReport;
use yk_cargo_interop::computer::{Computer, EnrolledKey, PIN, shown};

const PEER: &str = env!("CARGO_BIN_EXE_yubikey-peer");
const INDEX: &str = "sparse+https://registry.example/index/";
const SERIAL: u32 = 7_654_321;

fn enrolled(firmware: Firmware, options: &[&str]) -> Computer {
    let computer = Computer::with(MockCard::builder().serial(SERIAL).firmware(firmware));
    computer.yk_cargo(&[&["enroll", INDEX, "--yes", "--label", "laptop key"], options].concat());
    computer
}

fn read(computer: &Computer) -> CardReport {
    let output = computer.run(PEER, &["read"], "");
    assert!(output.status.success(), "{}", shown(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn sign(computer: &Computer, key: &EnrolledKey, pin: &str, message: &str) -> Output {
    computer.run(PEER, &["sign", &key.slot], &format!("{pin}\n{message}"))
}

fn signature(output: &Output) -> DerSignature {
    assert!(output.status.success(), "{}", shown(output));
    let signature = BASE64_STANDARD.decode(output.stdout.trim_ascii_end()).unwrap();
    DerSignature::from_bytes(&signature).unwrap()
}

fn verifying_key(point: &str) -> VerifyingKey {
    VerifyingKey::from_sec1_bytes(&BASE64_STANDARD.decode(point).unwrap()).unwrap()
}

#[test]
fn reads_what_enroll_wrote() {
    // The management keys of the two are of different kinds, and only the newer tells of deleted keys.
    for firmware in [Firmware::new(5, 7, 4), Firmware::new(5, 4, 3)] {
        assert_enrolled(
            firmware,
            &[],
            &[("82", "read", "Never", "Never"), ("83", "publish", "Once", "Always")],
        );
        assert_enrolled(firmware, &["--single-key"], &[("82", "both", "Once", "Cached")]);
    }
}

fn assert_enrolled(firmware: Firmware, options: &[&str], expected: &[(&str, &str, &str, &str)]) {
    let computer = enrolled(firmware, options);
    let (ours, theirs) = (computer.enrolled_card(), read(&computer));
    assert_eq!((theirs.serial, theirs.firmware.as_str()), (SERIAL, firmware.to_string().as_str()));
    assert_eq!((ours.serial, &ours.firmware), (theirs.serial, &theirs.firmware));

    let slots: Vec<_> = theirs.slots.iter().map(|slot| slot.slot.as_str()).collect();
    assert_eq!(slots, expected.iter().map(|(slot, ..)| *slot).collect::<Vec<_>>(), "firmware {firmware}");
    for (slot, &(number, role, pin, touch)) in theirs.slots.iter().zip(expected) {
        assert_eq!((slot.algorithm.as_str(), slot.origin.as_str()), ("EccP384", "Generated"), "{slot:?}");
        assert_eq!((slot.pin.as_str(), slot.touch.as_str()), (pin, touch), "{slot:?}");

        let name = format!("CN=laptop key,OU={role},OU=v1,O=yk-cargo");
        assert_eq!(slot.certificate.subject, name);
        assert_eq!(slot.certificate.issuer, name);
        assert_eq!(slot.certificate.uris, [INDEX]);
        assert!(slot.certificate.critical.is_empty(), "{slot:?}");

        let key = ours.key.iter().find(|key| key.slot == number).expect("enrolled");
        assert_eq!((key.role.as_str(), key.pin.as_str()), (role, pin.to_lowercase().as_str()));
        assert_eq!(key.touch, touch.to_lowercase());
        assert_eq!(verifying_key(&slot.public), key.verifying_key(), "metadata of {number}");
        assert_eq!(verifying_key(&slot.certificate.public), key.verifying_key(), "certificate of {number}");
    }
}

#[test]
fn signs_with_the_enrolled_keys() {
    for firmware in [Firmware::new(5, 7, 4), Firmware::new(5, 4, 3)] {
        let computer = enrolled(firmware, &[]);
        let card = computer.enrolled_card();
        let key = |role| card.key.iter().find(|key| key.role == role).expect("enrolled");
        let (read, publish) = (key("read"), key("publish"));
        let message = "signed by another program";

        let by_read = signature(&sign(&computer, read, "", message));
        read.verifying_key().verify(message.as_bytes(), &by_read).unwrap();

        let unverified = sign(&computer, publish, "", message);
        assert!(!unverified.status.success(), "the publish key signed without the PIN");
        assert!(!sign(&computer, publish, "000000", message).status.success(), "a wrong PIN was taken");
        assert_eq!(computer.card().pin_tries(), 2);

        let by_publish = signature(&sign(&computer, publish, PIN, message));
        publish.verifying_key().verify(message.as_bytes(), &by_publish).unwrap();
        publish.verifying_key().verify(b"another message", &by_publish).unwrap_err();
        read.verifying_key().verify(message.as_bytes(), &by_publish).unwrap_err();
    }
}

/// A PIN counts until somebody resets the card, so whoever resets it on the way out costs the next program a
/// PIN.
#[test]
fn takes_turns_with_yk_cargo() {
    let computer = enrolled(Firmware::new(5, 7, 4), &[]);
    let card = computer.enrolled_card();
    let publish = card.key.iter().find(|key| key.role == "publish").expect("enrolled");
    let yank = || computer.yk_cargo(&["token", INDEX, "--yank", "foo@1.0.0"]);

    computer.card().clear_trace();
    yank();
    assert_eq!(pins_given(&computer), 1);
    signature(&sign(&computer, publish, "", "after yk-cargo was given the PIN"));

    computer.card().reset();
    assert!(!sign(&computer, publish, "", "after a reset").status.success());
    signature(&sign(&computer, publish, PIN, "with the PIN"));
    computer.card().clear_trace();
    yank();
    assert_eq!(pins_given(&computer), 0, "the PIN given to the other program still counts");
}

/// VERIFY without a PIN only asks.
fn pins_given(computer: &Computer) -> usize {
    let trace = computer.card().trace();
    trace.iter().filter(|entry| entry.ins.as_deref() == Some("VERIFY") && entry.redacted > 0).count()
}
