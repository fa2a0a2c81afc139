//! ykcs11, Yubico's PKCS #11 module (Debian 12: 2.2.0), under OpenSC's pkcs11-tool.

use mock_card::{Firmware, MockCard};

use crate::desk::{Desk, MANAGEMENT_KEY, Step};
use crate::openssl;

/// Where the dynamic linker finds it.
pub(crate) const MODULE: &str = "libykcs11.so.2";

fn tool<'a>(desk: &'a Desk, arguments: &str) -> Step<'a> {
    let arguments: Vec<_> = ["--module", MODULE].into_iter().chain(arguments.split(' ')).collect();
    desk.run("pkcs11-tool", &arguments)
}

fn generate(desk: &Desk, id: &str, kind: &str) {
    let officer = format!("--login --login-type so --so-pin {MANAGEMENT_KEY}");
    tool(desk, &format!("{officer} --keypairgen --id {id} --key-type {kind}"))
        .succeeds()
        .says("Key pair generated");
}

#[test]
fn generates_signs_and_verifies() {
    let desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)));
    desk.write("message", "what is signed");
    let slots = tool(&desk, "--list-slots").succeeds();
    slots.says("token label        : YubiKey PIV #7654321").says("serial num         : 7654321");

    for (id, kind, digest) in [("1", "EC:prime256v1", "256"), ("2", "EC:secp384r1", "384")] {
        generate(&desk, id, kind);
        let common = format!("--login --pin 123456 --id {id} -m ECDSA-SHA{digest} -i message");
        let common = format!("{common} --signature-format openssl");
        tool(&desk, &format!("{common} --sign -o signature")).succeeds();
        tool(&desk, &format!("{common} --verify --signature-file signature"))
            .succeeds()
            .says("Signature is valid");
        tool(&desk, &format!("--read-object --type cert --id {id} -o certificate")).succeeds();
        openssl::certified_key(&desk, "certificate", "public");
        openssl::signature_is_good(&desk, &format!("-sha{digest}"), "public", "signature", "message");
    }
    let objects = tool(&desk, "--list-objects").succeeds().does_not_say("Private key");
    objects.says("Public key for PIV Authentication").says("X.509 Certificate for PIV Attestation 9a");
    tool(&desk, "--login --pin 123456 --list-objects").succeeds().says("Private key for Digital Signature");
}

#[test]
fn decrypts() {
    let desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)));
    generate(&desk, "3", "rsa:2048");
    tool(&desk, "--read-object --type cert --id 3 -o certificate").succeeds();
    openssl::certified_key(&desk, "certificate", "public");
    desk.write("secret", "what is secret");
    let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", "public", "-in", "secret", "-out", "encrypted"];
    desk.run("openssl", &encrypt).succeeds();
    tool(&desk, "--login --pin 123456 --decrypt --id 3 -m RSA-PKCS -i encrypted -o decrypted")
        .succeeds()
        .writes("decrypted", "what is secret");
}

#[test]
fn counts_wrong_pins_and_changes_them() {
    let desk = Desk::with(MockCard::builder().firmware(Firmware::new(5, 4, 3)));
    tool(&desk, "--login --pin 999999 --list-objects").fails().says("CKR_PIN_INCORRECT").leaves_tries(2);
    tool(&desk, "--login --pin 123456 --change-pin --new-pin 222222")
        .succeeds()
        .says("PIN successfully changed");
    tool(&desk, "--login --pin 222222 --list-objects").succeeds();
    desk.card().set_pin_tries(0);
    tool(&desk, "--login --pin 222222 --list-objects").fails().says("CKR_PIN_LOCKED");
    let random = tool(&desk, "--generate-random 16").succeeds();
    random.check(random.stdout().len() == 16, "not 16 bytes");
}
