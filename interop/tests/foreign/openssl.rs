//! OpenSSL's command line, which judges what the other programs got out of the card, and makes keys to import.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mock_card::{Authority, authorities};

use crate::desk::{Desk, Step};

/// A private key in PEM as `NAME.pem`; the parameters are `openssl genpkey`'s.
pub(crate) fn make_key(desk: &Desk, name: &str, parameters: &[&str]) {
    let out = format!("{name}.pem");
    desk.run("openssl", &[&["genpkey", "-out", &out], parameters].concat()).succeeds();
}

/// A certificate for a key, by itself: `NAME.crt` for `NAME.pem`.
pub(crate) fn make_certificate(desk: &Desk, name: &str) {
    let (key, out, subject) = (format!("{name}.pem"), format!("{name}.crt"), format!("/CN={name}"));
    let arguments = ["req", "-x509", "-new", "-key", &key, "-subj", &subject, "-days", "10", "-out", &out];
    desk.run("openssl", &arguments).succeeds();
}

/// The public half of `PRIVATE.pem` as the file `out`.
pub(crate) fn public_half(desk: &Desk, private: &str, out: &str) {
    desk.run("openssl", &["pkey", "-in", private, "-pubout", "-out", out]).succeeds();
}

/// The certified key as the file `out`. The certificate may be PEM or DER.
pub(crate) fn certified_key<'a>(desk: &'a Desk, certificate: &str, out: &str) -> Step<'a> {
    let pem = desk.run("openssl", &["x509", "-in", certificate, "-pubkey", "-noout"]).succeeds();
    desk.write(out, pem.stdout());
    pem
}

/// A signature over a file, which is no signature over another.
pub(crate) fn signature_is_good(desk: &Desk, digest: &str, public: &str, signature: &str, message: &str) {
    let check = |message: &str| {
        desk.run("openssl", &["dgst", digest, "-verify", public, "-signature", signature, message])
    };
    check(message).succeeds().says("Verified OK");
    desk.write("another message", "not what was signed");
    check("another message").fails().says("Verification failure");
}

/// An attestation stands below the certificate of slot F9, and that below the mock's own authorities.
pub(crate) fn chain_is_good(desk: &Desk, attestation: &str, attesting: &str) {
    desk.write("authorities.pem", authorities().iter().map(pem).collect::<String>());
    let arguments = ["verify", "-CAfile", "authorities.pem", "-untrusted", attesting, attestation];
    desk.run("openssl", &arguments).succeeds().says("OK");
}

fn pem(authority: &Authority) -> String {
    let text = BASE64_STANDARD.encode(&authority.certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}
