//! `WWW-Authenticate` with anything in it: what is written is read, and nothing makes the parser fall.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use asymmetric_token::CargoChallenge;
use asymmetric_token::challenge::MAX_HEADER_BYTES;
use proptest::prelude::*;

/// Some other scheme's challenge, in every form of RFC 9110.
fn other() -> impl Strategy<Value = String> {
    prop_oneof![
        "(Basic|Bearer|Negotiate)".prop_map(|scheme| scheme),
        "Negotiate [A-Za-z0-9~+/._-]{1,30}={0,2}",
        "Digest [a-z]{1,8}[ \t]?=[ \t]?[a-zA-Z0-9]{1,8}",
        r#"Basic realm="([ !#-\[\]-~]|\\[ -~]){0,20}""#,
        "[ \t]?",
    ]
}

fn quoted(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '"' | '\\') { format!("\\{c}") } else { c.to_string() }).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        before in prop::collection::vec(other(), 0..4),
        challenge in "[!-~]{1,100}",
        login_url in "[ -~]{0,60}",
        after in prop::collection::vec(other(), 0..4),
    ) {
        let cargo = format!(
            r#"cArgO login_url="{}",challenge="{}""#, quoted(&login_url), quoted(&challenge)
        );
        let header = before.iter().chain([&cargo]).chain(&after).cloned().collect::<Vec<_>>().join(", ");
        let found = CargoChallenge::find([&header]).unwrap().unwrap();
        prop_assert_eq!(found.challenge, Some(challenge));
        prop_assert_eq!(found.login_url, Some(login_url));
    }

    #[test]
    fn any_bytes(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let _ = CargoChallenge::find(&values);
    }

    /// Nearer to the grammar, so that every branch is reached; what is found can stand in a token.
    #[test]
    fn nearly_a_header(value in r#"(Cargo|a|=|"|\\|,| |challenge|\x7f|b){0,40}"#) {
        if let Ok(Some(found)) = CargoChallenge::find([&value]) {
            let fits = |text: &String| (1..=MAX_HEADER_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            prop_assert!(found.challenge.iter().all(fits));
        }
    }
}
