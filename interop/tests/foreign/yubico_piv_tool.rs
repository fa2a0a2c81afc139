//! yubico-piv-tool, as Debian 12 ships it (2.2.0). It knows 3DES management keys only, so the card is of the last
//! firmware that has one.

use mock_card::{Firmware, MockCard};

use crate::desk::{Desk, MANAGEMENT_KEY, Step};
use crate::openssl;

const NEW_KEY: &str = "aa02030405060708010203040506070801020304050607bb";

fn desk() -> Desk {
    let desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)));
    desk.write("message", "what is signed");
    desk
}

/// One or more actions in words, as in `-a status`.
fn tool<'a>(desk: &'a Desk, actions: &str) -> Step<'a> {
    let arguments: Vec<_> = actions.split(' ').collect();
    desk.run("yubico-piv-tool", &arguments)
}

/// With the factory's management key.
fn managed<'a>(desk: &'a Desk, actions: &str) -> Step<'a> {
    tool(desk, &format!("{actions} -k{MANAGEMENT_KEY}"))
}

/// With the factory's PIN.
fn verified<'a>(desk: &'a Desk, actions: &str) -> Step<'a> {
    tool(desk, &format!("-a verify-pin -P 123456 {actions}"))
}

#[test]
fn generates_signs_and_attests() {
    let desk = desk();
    tool(&desk, "-a status").succeeds().says("Version:\t5.4.3").says("Serial Number:\t7654321");
    for (slot, algorithm, digest) in
        [("9a", "ECCP256", "SHA256"), ("82", "ECCP384", "SHA384"), ("9c", "RSA2048", "SHA256")]
    {
        managed(&desk, &format!("-a generate -s {slot} -A {algorithm} -o public")).succeeds();
        let sign = format!("--sign -s {slot} -A {algorithm} -H {digest} -i message -o signature");
        tool(&desk, &format!("-a version {sign}")).fails().says("Failed signing");
        verified(&desk, &sign).succeeds();
        openssl::signature_is_good(&desk, &format!("-{digest}"), "public", "signature", "message");

        tool(&desk, &format!("-a attest -s {slot} -o attestation")).succeeds();
        openssl::certified_key(&desk, "attestation", "attested").writes("attested", desk.read("public"));
    }
    tool(&desk, "-a read-certificate -s f9 -o attesting").succeeds();
    openssl::chain_is_good(&desk, "attestation", "attesting");
    tool(&desk, "-a attest -s 9d").fails().says("Failed to attest");
}

#[test]
fn imports_signs_and_decrypts() {
    let desk = desk();
    let p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let p384 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    for (slot, name, parameters, signed, decrypted) in [
        ("9e", "p256", &p256[..], "Successful ECDSA verification", "Successfully performed ECDH exchange"),
        ("9d", "p384", &p384, "Successful ECDSA verification", "Successfully performed ECDH exchange"),
        ("95", "rsa", &rsa, "Successful RSA verification", "Successfully performed RSA decryption"),
    ] {
        openssl::make_key(&desk, name, parameters);
        openssl::make_certificate(&desk, name);
        let policies = "--pin-policy once --touch-policy cached";
        managed(&desk, &format!("-a import-key -s {slot} -i {name}.pem {policies}")).succeeds();
        managed(&desk, &format!("-a import-certificate -s {slot} -i {name}.crt")).succeeds();
        let read = tool(&desk, &format!("-a read-certificate -s {slot}")).succeeds();
        read.check(read.stdout() == desk.read(&format!("{name}.crt")), "another certificate");
        verified(&desk, &format!("-a test-signature -s {slot} -i {name}.crt")).succeeds().says(signed);
        verified(&desk, &format!("-a test-decipher -s {slot} -i {name}.crt")).succeeds().says(decrypted);
        tool(&desk, &format!("-a attest -s {slot}")).fails().says("Failed to attest");
    }
    tool(&desk, "-a status").succeeds().says("Slot 9e:").says("Subject DN:\tCN=p256").says("CN=rsa");
    managed(&desk, "-a delete-certificate -s 9e").succeeds();
    tool(&desk, "-a read-certificate -s 9e").fails().says("Failed fetching certificate");
}

/// With real keys, too, where OpenSSL is version 3 (Yubico/yubico-piv-tool issue 388). It gives up before it asks the
/// card to sign.
#[test]
fn fails_by_itself_at_certificates() {
    let desk = desk();
    managed(&desk, "-a generate -s 9a -A ECCP256 -o public").succeeds();
    for (action, complaint) in [
        ("selfsign-certificate", "Failed signing certificate"),
        ("request-certificate", "Failed signing request"),
    ] {
        desk.card().clear_trace();
        let step = verified(&desk, &format!("-a {action} -s 9a -S /CN=judged/ -i public -o out"));
        let step = step.fails().says("Successfully verified PIN").says(complaint);
        let refused =
            desk.card().trace().iter().any(|entry| entry.ins.as_deref() == Some("GENERAL AUTHENTICATE"));
        step.check(!refused, "asked the card: the tool has been repaired, so judge what it makes");
    }
}

#[test]
fn changes_pin_puk_and_management_key() {
    let desk = desk();
    tool(&desk, "-a verify-pin -P 999999").fails().says("2 tries left");
    tool(&desk, "-a change-pin -P 123456 -N 222222").succeeds();
    tool(&desk, "-a verify-pin -P 222222").succeeds();
    tool(&desk, "-a change-puk -P 12345678 -N 33333333").succeeds();
    tool(&desk, "-a unblock-pin -P 12345678 -N 444444").fails().says("2 tries left");
    tool(&desk, "-a unblock-pin -P 33333333 -N 444444").succeeds();
    tool(&desk, "-a verify-pin -P 444444").succeeds();

    managed(&desk, &format!("-a set-mgm-key -n {NEW_KEY}")).succeeds();
    managed(&desk, "-a set-chuid").fails().says("Failed authentication");
    tool(&desk, &format!("-a set-chuid -a set-ccc -k{NEW_KEY}")).succeeds();
    tool(&desk, "-a status").succeeds().says("CHUID:\t3019").says("CCC:\tf015");
    let retries =
        format!("-a verify-pin -P 444444 -k{NEW_KEY} -a pin-retries --pin-retries 5 --puk-retries 6");
    tool(&desk, &retries).succeeds().says("both codes have been reset to default");
    tool(&desk, "-a status").succeeds().says("PIN tries left:\t5");
}

#[test]
fn writes_objects_and_resets() {
    let desk = desk();
    // Long enough for chains of commands and for answers in parts.
    let value: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
    desk.write("value", &value);
    managed(&desk, "-a write-object --id 0x5fc105 -f binary -i value").succeeds();
    tool(&desk, "-a read-object --id 0x5fc105 -f binary -o read").succeeds().writes("read", value);

    tool(&desk, "-a reset").fails().says("Reset failed");
    for _ in 0..3 {
        tool(&desk, "-a verify-pin -P 999999").fails();
        tool(&desk, "-a unblock-pin -P 99999999 -N 123456").fails();
    }
    tool(&desk, "-a verify-pin -P 123456").fails().says("Pin code blocked");
    tool(&desk, "-a reset").succeeds();
    tool(&desk, "-a status").succeeds().says("PIN tries left:\t3");
    tool(&desk, "-a read-object --id 0x5fc105 -f binary").fails();
    managed(&desk, "-a set-chuid").succeeds();
}
