//! ykman, Yubico's manager (PyPI: yubikey-manager 5.9.2).

use std::path::PathBuf;

use mock_card::{Firmware, MockCard};

use crate::desk::{Desk, MANAGEMENT_KEY, Step};
use crate::openssl;

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ykman/requirements.txt");
const LONG_KEY: &str = "0102030405060708010203040506070801020304050607080102030405060708";

fn python() -> PathBuf {
    yk_cargo_interop::cache::python("ykman-5.9.2", REQUIREMENTS)
}

pub(crate) fn ykman<'a>(desk: &'a Desk, arguments: &str) -> Step<'a> {
    let arguments: Vec<_> = ["-m", "ykman._cli"].into_iter().chain(arguments.split(' ')).collect();
    desk.run(python(), &arguments)
}

/// With the factory's management key.
fn managed<'a>(desk: &'a Desk, arguments: &str) -> Step<'a> {
    ykman(desk, &format!("piv {arguments} -m {MANAGEMENT_KEY}"))
}

#[test]
fn lists_every_generation() {
    for (firmware, name) in [
        (Firmware::new(5, 7, 4), "(5.7.4) [OTP+FIDO+CCID] Serial: 7654321"),
        (Firmware::new(5, 4, 3), "(5.4.3) [OTP+FIDO+CCID] Serial: 7654321"),
        (Firmware::new(5, 2, 7), "(5.2.7) [OTP+FIDO+CCID] Serial: 7654321"),
        (Firmware::new(4, 3, 7), "(4.3.7) [OTP+FIDO+CCID] Serial: 7654321"),
        (Firmware::new(5, 7, 4).fips(), "(5.7.4) [OTP+FIDO+CCID] Serial: 7654321"),
    ] {
        let desk = Desk::with(MockCard::builder().firmware(firmware));
        ykman(&desk, "list").succeeds().says(name);
        let version = name[1..].split(')').next().expect("a version");
        ykman(&desk, "info")
            .succeeds()
            .says("Serial number: 7654321")
            .says(&format!("Firmware version: {version}"));
        ykman(&desk, "piv info").succeeds().says(&format!("PIV version:              {version}"));
    }
}

#[test]
fn makes_moves_and_deletes_keys() {
    let desk = Desk::with(MockCard::builder());
    let policies = "--pin-policy ONCE --touch-policy CACHED";
    managed(&desk, &format!("keys generate -a ECCP384 {policies} 82 public")).succeeds();
    let info = ykman(&desk, "piv keys info 82").succeeds().says("Algorithm:              ECCP384");
    info.says("Origin:                 GENERATED").says("Touch required for use: CACHED");
    ykman(&desk, "piv keys export --verify -P 123456 82 exported")
        .succeeds()
        .writes("exported", desk.read("public"));

    ykman(&desk, "piv keys attest 82 attestation").succeeds();
    openssl::certified_key(&desk, "attestation", "attested").writes("attested", desk.read("public"));
    ykman(&desk, "piv certificates export f9 attesting").succeeds();
    openssl::chain_is_good(&desk, "attestation", "attesting");

    managed(&desk, "keys move 82 83").succeeds();
    ykman(&desk, "piv keys info 82").fails();
    ykman(&desk, "piv info").succeeds().says("Slot 83 (RETIRED2):");
    managed(&desk, "keys delete 83").succeeds();
    ykman(&desk, "piv info").succeeds().does_not_say("Slot 83");

    openssl::make_key(&desk, "ed25519", &["-algorithm", "ED25519"]);
    managed(&desk, "keys import --pin-policy NEVER 9e ed25519.pem").succeeds();
    let info = ykman(&desk, "piv keys info 9e").succeeds();
    info.says("ED25519").says("Origin:                 IMPORTED");
    ykman(&desk, "piv keys attest 9e -").fails();
}

#[test]
fn makes_certificates() {
    let desk = Desk::with(MockCard::builder());
    for (slot, algorithm) in [("9a", "ECCP256"), ("82", "ECCP384"), ("83", "ED25519"), ("84", "RSA2048")] {
        managed(&desk, &format!("keys generate -a {algorithm} {slot} public")).succeeds();
        ykman(&desk, &format!("piv certificates request -P 123456 -s CN=judged {slot} public request"))
            .succeeds();
        desk.run("openssl", &["req", "-in", "request", "-verify", "-noout"]).succeeds().says("verify OK");
        managed(&desk, &format!("certificates generate -P 123456 -s CN=judged {slot} public")).succeeds();
        ykman(&desk, &format!("piv certificates export {slot} certificate")).succeeds();
        let verify = ["verify", "-check_ss_sig", "-CAfile", "certificate", "certificate"];
        desk.run("openssl", &verify).succeeds().says("certificate: OK");
        openssl::certified_key(&desk, "certificate", "certified").writes("certified", desk.read("public"));
    }
    managed(&desk, "certificates delete 84").succeeds();
    ykman(&desk, "piv certificates export 84 -").fails();
    managed(&desk, "certificates import --verify -P 123456 84 certificate").succeeds();
    managed(&desk, "certificates import --verify -P 123456 83 certificate").fails();
    ykman(&desk, "piv info").succeeds().says("Subject DN:       CN=judged");
}

#[test]
fn changes_codes_and_keys() {
    let desk = Desk::with(MockCard::builder());
    ykman(&desk, "piv info")
        .succeeds()
        .says("WARNING: Using default PIN!")
        .says("Management key algorithm: AES192");
    ykman(&desk, "piv access change-pin -P 999999 -n 654123").fails().says("2 tries left");
    ykman(&desk, "piv access change-pin -P 123456 -n 654123").succeeds();
    ykman(&desk, "piv access change-puk -p 12345678 -n 87651234").succeeds();
    ykman(&desk, "piv access unblock-pin -p 87651234 -n 135790").succeeds();
    let change = "access change-management-key -P 135790 -a AES256";
    managed(&desk, &format!("{change} -n {LONG_KEY}")).succeeds();
    ykman(&desk, "piv info").succeeds().says("AES256").does_not_say("WARNING");
    managed(&desk, "objects generate CHUID").fails();
    ykman(
        &desk,
        &format!("piv access change-management-key -P 135790 -m {LONG_KEY} --generate --protect -t"),
    )
    .succeeds();
    ykman(&desk, "piv info").succeeds().says("Management key is stored on the YubiKey, protected by PIN");
    ykman(&desk, "piv keys generate -a X25519 -P 135790 9d -").succeeds().says("BEGIN PUBLIC KEY");
    ykman(&desk, "piv access set-retries -P 135790 -f 4 5").succeeds();
    ykman(&desk, "piv info").succeeds().says("4/4").says("5/5");
}

#[test]
fn writes_objects_and_resets() {
    let desk = Desk::with(MockCard::builder());
    for object in ["CHUID", "CCC"] {
        ykman(&desk, &format!("piv objects export {object} -")).fails();
        managed(&desk, &format!("objects generate {object}")).succeeds();
        ykman(&desk, &format!("piv objects export {object} -")).succeeds();
    }
    let value: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
    desk.write("value", &value);
    managed(&desk, "objects import -P 123456 0x5fc108 value").succeeds();
    ykman(&desk, "piv objects export -P 123456 0x5fc108 read").succeeds().writes("read", value);

    ykman(&desk, "apdu -a piv 00fd0000").succeeds().says("05 07 04");
    ykman(&desk, "piv reset -f").succeeds().says("All PIV data has been cleared");
    ykman(&desk, "piv info").succeeds().says("WARNING: Using default PIN!").says("CHUID: No data available");
}
