//! Programs of others use the mock: OpenSC and Yubico's own tool, in Debian's versions.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use mock_card::{Firmware, ImportedKey, MockCard, PinPolicy, TouchPolicy};
use p384::ecdsa::signature::Verifier as _;
use p384::pkcs8::{DecodePublicKey as _, EncodePrivateKey as _, LineEnding};

const DEFAULT_KEY: &str = "010203040506070801020304050607080102030405060708";

/// Runs a tool with the card, for at most 60 seconds.
fn run(card: &MockCard, program: &str, package: &str, arguments: &[&str]) -> Output {
    let output = Command::new("timeout")
        .args(["60", program])
        .args(arguments)
        .env("PCSCLITE_CSOCK_NAME", card.socket())
        .env("LC_ALL", "C")
        .output()
        .expect("coreutils are there");
    let missing = output.status.code() == Some(127);
    assert!(!missing, "{program} is not installed; on Debian and Ubuntu: apt-get install {package}");
    output
}

fn opensc_tool(card: &MockCard, arguments: &[&str]) -> String {
    text(run(card, "opensc-tool", "opensc", arguments))
}

fn yubico_piv_tool(card: &MockCard, arguments: &[&str]) -> Output {
    run(card, "yubico-piv-tool", "yubico-piv-tool", arguments)
}

fn text(output: Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

#[test]
fn opensc_lists_reader_and_atr() {
    let card = MockCard::builder().start().unwrap();
    let shown = opensc_tool(&card, &["-l", "-a"]);
    assert!(shown.contains("0    Yes             Yubico YubiKey OTP+FIDO+CCID 00 00"), "{shown}");
    assert!(
        shown.contains("3b:fd:13:00:00:81:31:fe:15:80:73:c0:21:c0:57:59:75:62:69:4b:65:79:40"),
        "{shown}"
    );
}

#[test]
fn opensc_takes_it_for_a_piv_card() {
    let card = MockCard::builder().start().unwrap();
    let shown = opensc_tool(&card, &["-n", "-s", "00:FD:00:00"]);
    assert!(shown.contains("Personal Identity Verification Card"), "{shown}");
    assert!(shown.contains("05 07 04"), "{shown}");
}

#[test]
fn yubico_reads_the_status() {
    let card = MockCard::builder().serial(7_654_321).start().unwrap();
    let shown = text(yubico_piv_tool(&card, &["-a", "status"]));
    for line in
        ["Version:\t5.7.4", "Serial Number:\t7654321", "CHUID:\tNo data available", "PIN tries left:\t3"]
    {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(card.trace().iter().any(|entry| entry.call == "disconnect" && entry.disposition == Some(1)));
}

#[test]
fn yubico_counts_wrong_pins() {
    let card = MockCard::builder().pin("654321").start().unwrap();
    let refused = yubico_piv_tool(&card, &["-a", "verify-pin", "-P", "123456"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("2 tries left"), "{refused:?}");
    assert_eq!(card.pin_tries(), 2);
    text(yubico_piv_tool(&card, &["-a", "verify-pin", "-P", "654321"]));
    assert_eq!(card.pin_tries(), 3);
    text(yubico_piv_tool(&card, &["-a", "change-pin", "-P", "654321", "-N", "111222"]));
    text(yubico_piv_tool(&card, &["-a", "verify-pin", "-P", "111222"]));
}

/// The tool in Debian 12 knows 3DES management keys only, so the firmware is one before AES.
#[test]
fn yubico_generates_a_key_and_signs_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let card = MockCard::builder().firmware(Firmware::new(5, 4, 3)).start().unwrap();
    let key = format!("-k{DEFAULT_KEY}");
    let (public, message, signature) = (file("public"), file("message"), file("signature"));
    std::fs::write(&message, "what is signed").unwrap();
    text(yubico_piv_tool(&card, &["-a", "generate", "-s", "9c", "-A", "ECCP384", &key, "-o", &public]));
    let sign = ["-a", "verify-pin", "-P", "123456", "--sign", "-s", "9c", "-A", "ECCP384", "-H", "SHA384"];
    text(yubico_piv_tool(&card, &[&sign[..], &["-i", &message, "-o", &signature]].concat()));
    let public = p384::PublicKey::from_public_key_pem(&std::fs::read_to_string(public).unwrap()).unwrap();
    let signature = p384::ecdsa::Signature::from_der(&std::fs::read(signature).unwrap()).unwrap();
    p384::ecdsa::VerifyingKey::from(public).verify(b"what is signed", &signature).unwrap();
}

#[test]
fn yubico_imports_a_key_and_signs_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let card = MockCard::builder().firmware(Firmware::new(5, 4, 3)).start().unwrap();
    let secret = p256::SecretKey::from_slice(&[0x42; 32]).unwrap();
    let (private, message, signature) = (file("private"), file("message"), file("signature"));
    std::fs::write(&private, secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    std::fs::write(&message, "what is signed").unwrap();
    let key = format!("-k{DEFAULT_KEY}");
    text(yubico_piv_tool(&card, &["-a", "import-key", "-s", "9e", &key, "-i", &private]));
    let sign = ["--sign", "-s", "9e", "-A", "ECCP256", "-H", "SHA256", "-i", &message, "-o", &signature];
    text(yubico_piv_tool(&card, &[&["-a", "version"], &sign[..]].concat()));
    let public = p256::ecdsa::VerifyingKey::from(secret.public_key());
    let signature = p256::ecdsa::Signature::from_der(&std::fs::read(signature).unwrap()).unwrap();
    public.verify(b"what is signed", &signature).unwrap();
}

#[test]
fn yubico_writes_and_reads_objects() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let card = MockCard::builder().firmware(Firmware::new(5, 4, 3)).start().unwrap();
    let (written, read) = (file("written"), file("read"));
    // So long that commands are chained and answers come in parts.
    let value: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
    std::fs::write(&written, &value).unwrap();
    let object = ["--id", "0x5fc105", "-f", "binary"];
    let key = format!("-k{DEFAULT_KEY}");
    text(yubico_piv_tool(&card, &[&["-a", "write-object", &key, "-i", &written], &object[..]].concat()));
    text(yubico_piv_tool(&card, &[&["-a", "read-object", "-o", &read], &object[..]].concat()));
    assert_eq!(std::fs::read(read).unwrap(), value);
    text(yubico_piv_tool(&card, &["-a", "set-chuid", &key]));
    let shown = text(yubico_piv_tool(&card, &["-a", "status"]));
    assert!(shown.contains("CHUID:\t3019"), "{shown}");
}

#[test]
fn yubico_resets_a_blocked_card() {
    let card = MockCard::builder().start().unwrap();
    card.set_pin_tries(0);
    let refused = yubico_piv_tool(&card, &["-a", "reset"]);
    assert!(!refused.status.success(), "the PUK is not blocked yet: {refused:?}");
    for _ in 0..3 {
        yubico_piv_tool(&card, &["-a", "unblock-pin", "-P", "87654321", "-N", "123456"]);
    }
    text(yubico_piv_tool(&card, &["-a", "reset"]));
    assert_eq!(card.pin_tries(), 3);
}

#[test]
fn a_key_loaded_at_start_is_there() {
    let secret = p384::SecretKey::from_slice(&[0x42; 48]).unwrap();
    let key = ImportedKey::from_pkcs8(secret.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes()).unwrap();
    let card = MockCard::builder().import(0x82, key, PinPolicy::Once, TouchPolicy::Never).start().unwrap();
    let shown = opensc_tool(&card, &["-n", "-s", "00:F7:00:82"]);
    assert!(shown.contains("01 01 14 02 02 02 01 03 01 02 04 63 86 61 04"), "{shown}");
}
