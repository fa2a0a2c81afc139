//! Published vectors: RFC 3231's two tokens, and PASETO's for v3.public.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use asymmetric_token::paseto::{Frame, signed_bytes};
use asymmetric_token::{Claims, KeyIdField, Mutation, Prepared, PublicKey, Untrusted};
use p384::ecdsa::signature::{Verifier as _, hazmat::PrehashSigner as _};
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};

// RFC 3231, "Token Examples".
const SECRET: &str = "fNYVuMvBgOlljt9TDohnaYLblghqaHoQquVZwgR6X12cBFHZLFsaU3q7X3k1Zn36";
const PUBLIC: &str = "k3.public.AmDwjlyf8jAV3gm5Z7Kz9xAOcsKslt_Vwp5v-emjFzBHLCtcANzTaVEghTNEMj9PkQ";
const KEY_ID: &str = "k3.pid.QB3WNBP-5j-0XQV2MOuvuOcLlJ8uz-pmqtIZus1x3YTu";
const READ: &str = "v3.public.eyJpYXQiOiAiMjAyMi0wMi0yOFQxODozMzoyNCswMDowMCJ99q655qLlH5HYwCh86OGvPvY26X0rrd7Ibci3fmHz6MgAKK3RugUQ1rvNRjBEJZvfWqqq2WxEOrjMujkuk8jpmJ2B_i3BTIzYYZZRhjZeWAi0erCNqmtFZMeC3_2oqSka.eyJ1cmwiOiAiaHR0cHM6Ly9yZWdpc3RyeS5jb20vY3JhdGUtaW5kZXgiLCAia2lkIjogImszLnBpZC5RQjNXTkJQLTVqLTBYUVYyTU91dnVPY0xsSjh1ei1wbXF0SVp1czF4M1lUdSJ9";
const PUBLISH: &str = "v3.public.eyJjaGFsbGVuZ2UiOiAiY2hhbGxlbmdlIiwgIm11dGF0aW9uIjogInB1Ymxpc2giLCAibmFtZSI6ICJmb28iLCAidmVycyI6ICIwLjAuMCIsICJja3N1bSI6ICJmN2RiYjZhY2ZlZmYxZDQ5MGZiYTY5M2E0MDI0NTZmNzZiMzQ0ZmVhNzdhNWU3Y2FlNDNiNTk3MGMzMzMyYjhmIiwgInN1YiI6ICJwcml2YXRlLWtleS1zdWJqZWN0IiwgImlhdCI6ICIyMDIyLTAyLTI4VDE4OjMzOjI0KzAwOjAwIn36ifmVYCSBYcjHVjQ_JD6R16dcWPEjHYVFOR7QRx3riOLiH7o-m236uNs2NEu-NzOCDZZbsVXvxhop-aUKRc9D-jphV5KFuC8y6mNLklfg1PpH37QeDsyzJDZy604gZ5c.eyJ1cmwiOiAiaHR0cHM6Ly9yZWdpc3RyeS1jaGFsbGVuZ2Utc3ViamVjdC5jb20vY3JhdGUtaW5kZXgiLCAia2lkIjogImszLnBpZC5RQjNXTkJQLTVqLTBYUVYyTU91dnVPY0xsSjh1ei1wbXF0SVp1czF4M1lUdSJ9";

fn rfc_key() -> SigningKey {
    use base64::Engine as _;
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(SECRET).unwrap();
    SigningKey::from_slice(&secret).unwrap()
}

#[test]
fn the_rfcs_key_has_the_rfcs_names() {
    let secret = rfc_key();
    let public = PublicKey::from_uncompressed(
        secret.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap(),
    );
    assert_eq!(public.as_ref().unwrap().to_string(), PUBLIC);
    assert_eq!(public.unwrap().id().to_string(), KEY_ID);
    assert_eq!(PUBLIC.parse::<PublicKey>().unwrap().id(), KEY_ID.parse().unwrap());
}

#[test]
fn the_rfcs_read_token_verifies() {
    let verified = Untrusted::parse(READ).unwrap().verify(&PUBLIC.parse().unwrap()).unwrap();
    assert_eq!(verified.claims, Claims::read("2022-02-28T18:33:24Z".parse().unwrap()));
    assert_eq!(verified.footer.url, "https://registry.com/crate-index");
    assert_eq!(verified.footer.key_id.to_string(), KEY_ID);
    assert_eq!(verified.footer.field, KeyIdField::Kid);
}

#[test]
fn the_rfcs_publish_token_verifies() {
    let verified = Untrusted::parse(PUBLISH).unwrap().verify(&PUBLIC.parse().unwrap()).unwrap();
    let checksum = "f7dbb6acfeff1d490fba693a402456f76b344fea77a5e7cae43b5970c3332b8f";
    let expected = Claims {
        subject: Some("private-key-subject".into()),
        challenge: Some("challenge".into()),
        ..Claims::mutate(
            "2022-02-28T18:33:24Z".parse().unwrap(),
            Mutation::Publish {
                name: "foo".parse().unwrap(),
                version: "0.0.0".parse().unwrap(),
                checksum: checksum.parse().unwrap(),
            },
        )
    };
    assert_eq!(verified.claims, expected);
    assert_eq!(verified.footer.url, "https://registry-challenge-subject.com/crate-index");
}

/// The text of a token of ours is fixed: order, spelling and precision are what registries have seen from cargo.
#[test]
fn our_tokens_read_like_cargos() {
    use base64::Engine as _;
    let secret = rfc_key();
    let public: PublicKey = PUBLIC.parse().unwrap();
    let claims = Claims {
        subject: Some("sub".into()),
        ..Claims::mutate(
            "2026-11-20T12:00:00.1234567Z".parse().unwrap(),
            Mutation::Yank {
                name: "foo".parse().unwrap(),
                version: "1.2.3+b/1".replace('/', ".").parse().unwrap(),
            },
        )
    };
    let footer = asymmetric_token::Footer::new("sparse+https://r.example/index/", public.id());
    let prepared = Prepared::new(&public, &claims, &footer).unwrap();
    let signature: Signature = secret.sign_prehash(prepared.digest()).unwrap();
    let token = prepared.finish(&signature.to_bytes().into()).unwrap();

    let parts: Vec<_> = token.split('.').collect();
    let decode = |part: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    let payload = decode(parts[2]);
    assert_eq!(
        std::str::from_utf8(&payload[..payload.len() - 96]).unwrap(),
        r#"{"iat":"2026-11-20T12:00:00.123456Z","sub":"sub","mutation":"yank","name":"foo","vers":"1.2.3+b.1"}"#
    );
    assert_eq!(
        String::from_utf8(decode(parts[3])).unwrap(),
        format!(r#"{{"url":"sparse+https://r.example/index/","kip":"{KEY_ID}","kid":"{KEY_ID}"}}"#)
    );
}

/// github.com/paseto-standard/test-vectors, v3.json: 3-S-1, 3-S-2, 3-S-3. Their claims are not RFC 3231's, so they
/// go through framing and encoding only.
#[test]
fn paseto_v3_public_vectors_verify() {
    const KEY: &str =
        "02fbcb7c69ee1c60579be7a334134878d9c5c5bf35d552dab63c0140397ed14cef637d7720925c44699ea30e72874c72fb";
    const VECTORS: [(&str, &str); 3] = [
        (
            "v3.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9qqEwwrKHKi5lJ7b9MBKc0G4MGZy0ptUiMv3lAUAaz-JY_zjoqBSIxMxhfAoeNYiSyvfUErj76KOPWm1OeNnBPkTSespeSXDGaDfxeIrl3bRrPEIy7tLwLAIsRzsXkfph",
            "",
        ),
        (
            "v3.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9ZWrbGZ6L0MDK72skosUaS0Dz7wJ_2bMcM6tOxFuCasO9GhwHrvvchqgXQNLQQyWzGC2wkr-VKII71AvkLpC8tJOrzJV1cap9NRwoFzbcXjzMZyxQ0wkshxZxx8ImmNWP.eyJraWQiOiJkWWtJU3lseFFlZWNFY0hFTGZ6Rjg4VVpyd2JMb2xOaUNkcHpVSEd3OVVxbiJ9",
            "",
        ),
        (
            "v3.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ94SjWIbjmS7715GjLSnHnpJrC9Z-cnwK45dmvnVvCRQDCCKAXaKEopTajX0DKYx1Xqr6gcTdfqscLCAbiB4eOW9jlt-oNqdG8TjsYEi6aloBfTzF1DXff_45tFlnBukEX.eyJraWQiOiJkWWtJU3lseFFlZWNFY0hFTGZ6Rjg4VVpyd2JMb2xOaUNkcHpVSEd3OVVxbiJ9",
            r#"{"test-vector":"3-S-3"}"#,
        ),
    ];
    let mut compressed = [0; 49];
    for (byte, pair) in compressed.iter_mut().zip(KEY.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    let key = VerifyingKey::from_sec1_bytes(PublicKey::from_sec1(&compressed).unwrap().as_bytes()).unwrap();
    for (token, implicit) in VECTORS {
        let frame = Frame::parse(token).unwrap();
        let verifies = |implicit: &str| {
            let signed = signed_bytes(&compressed, &frame.payload, &frame.footer, implicit.as_bytes());
            key.verify(&signed, &Signature::from_slice(&frame.signature).unwrap()).is_ok()
        };
        assert!(verifies(implicit), "{token}");
        assert!(!verifies("other"), "{token}");
    }
}
