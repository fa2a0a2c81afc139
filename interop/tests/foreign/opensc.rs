//! OpenSC (Debian 12: 0.23.0), with its own PIV driver. It finds keys by their certificates, and has no way to put
//! either on a YubiKey, so yubico-piv-tool does.

use mock_card::{Firmware, MockCard};

use crate::desk::{Desk, MANAGEMENT_KEY};
use crate::openssl;

/// A P-256 key in 9A, an RSA-2048 key in 9D, both with certificates.
fn desk() -> Desk {
    let desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)));
    desk.write("message", "what is signed");
    let p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    for (slot, name, parameters) in [("9a", "authentication", &p256), ("9d", "management", &rsa)] {
        openssl::make_key(&desk, name, parameters);
        openssl::make_certificate(&desk, name);
        openssl::public_half(&desk, &format!("{name}.pem"), &format!("{name}.pub"));
        let (key, certificate) = (format!("{name}.pem"), format!("{name}.crt"));
        let management = format!("-k{MANAGEMENT_KEY}");
        for (action, file) in [("import-key", &key), ("import-certificate", &certificate)] {
            desk.run("yubico-piv-tool", &["-a", action, "-s", slot, "-i", file, &management]).succeeds();
        }
    }
    desk
}

#[test]
fn opensc_tool_sees_reader_and_card() {
    let desk = desk();
    let reader = desk.run("opensc-tool", &["--list-readers"]).succeeds();
    reader.says("0    Yes             Yubico YubiKey OTP+FIDO+CCID 00 00");
    let atr = "3b:fd:13:00:00:81:31:fe:15:80:73:c0:21:c0:57:59:75:62:69:4b:65:79:40";
    desk.run("opensc-tool", &["--atr"]).succeeds().says(atr);
    desk.run("opensc-tool", &["--name"]).succeeds().says("Personal Identity Verification Card");
    desk.run("opensc-tool", &["--send-apdu", "00:FD:00:00"]).succeeds().says("05 04 03");
}

#[test]
fn pkcs15_tool_lists_and_verifies() {
    let desk = desk();
    let dump = desk.run("pkcs15-tool", &["--dump"]).succeeds().says("Private EC Key [PIV AUTH key]");
    dump.says("Key ref        : 154 (0x9A)")
        .says("Private RSA Key [KEY MAN key]")
        .says("ModLength      : 2048");
    let read = desk.run("pkcs15-tool", &["--read-certificate", "01", "--output", "read"]);
    read.succeeds();
    openssl::certified_key(&desk, "read", "certified").writes("certified", desk.read("authentication.pub"));
    desk.run("pkcs15-tool", &["--read-ssh-key", "01"]).succeeds().says("ecdsa-sha2-nistp256 AAAA");

    desk.run("pkcs15-tool", &["--verify-pin", "--auth-id", "01", "--pin", "999999"])
        .fails()
        .says("incorrect")
        .leaves_tries(2);
    desk.run("pkcs15-tool", &["--verify-pin", "--auth-id", "01", "--pin", "123456"]).succeeds();
    let change = ["--change-pin", "--auth-id", "01", "--pin", "123456", "--new-pin", "222222"];
    desk.run("pkcs15-tool", &change).succeeds();
    let unblock = ["--unblock-pin", "--auth-id", "01", "--puk", "12345678", "--new-pin", "333333"];
    desk.run("pkcs15-tool", &unblock).succeeds();
    desk.run("pkcs15-tool", &["--verify-pin", "--auth-id", "01", "--pin", "333333"]).succeeds();
}

#[test]
fn pkcs11_tool_signs_verifies_and_decrypts() {
    let desk = desk();
    let login = ["--login", "--pin", "123456"];
    desk.run("pkcs11-tool", &["--list-slots"]).succeeds().says("token model        : PKCS#15 emulated");
    let common = ["--id", "01", "-m", "ECDSA-SHA256", "--signature-format", "openssl", "-i", "message"];
    let sign = [&login[..], &common, &["--sign", "-o", "signature"]].concat();
    desk.run("pkcs11-tool", &sign).succeeds();
    openssl::signature_is_good(&desk, "-sha256", "authentication.pub", "signature", "message");
    let verify = [&login[..], &common, &["--verify", "--signature-file", "signature"]].concat();
    desk.run("pkcs11-tool", &verify).succeeds().says("Signature is valid");

    desk.write("secret", "what is secret");
    let key = "management.pub";
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", key, "-in", "secret", "-out", "encrypted"];
    desk.run("openssl", &encrypt).succeeds();
    let decrypt = ["--decrypt", "--id", "03", "-m", "RSA-PKCS", "-i", "encrypted", "-o", "decrypted"];
    desk.run("pkcs11-tool", &[&login[..], &decrypt].concat())
        .succeeds()
        .writes("decrypted", "what is secret");

    let wrong = [&["--login", "--pin", "999999"][..], &common, &["--sign", "-o", "other"]].concat();
    desk.run("pkcs11-tool", &wrong).fails().says("CKR_PIN_INCORRECT").leaves_tries(2);
}
