//! Sealed tokens: whether each can be opened at all, how old it is, and with how many cards it opens.

use jiff::Timestamp;

use super::Findings;
use crate::commands::sealed_tokens;
use crate::context::Context;
use crate::enrollment::Enrollments;
use crate::text::{escape, foreign_word, sentence};

const TOKEN: &str = "sealed token";

/// A token that has been around for longer is worth a new one, in days.
const OLD: i64 = 365;

pub(super) fn check(context: &Context, enrollments: &Enrollments, findings: &mut Findings) {
    let now = Timestamp::now();
    for token in &enrollments.sealed {
        let name = escape(token.display_name());
        let rotate = format!("yk-cargo seal {} --rotate", foreign_word(token.display_name()));
        let keys = match sealed_tokens::keys(token, enrollments, context.cargo.home()) {
            Ok(keys) => keys,
            Err(error) => {
                findings.fail(TOKEN, sentence(&error), rotate);
                continue;
            }
        };
        let text = format!(
            "the token of `{name}` was sealed {} and opens with {}",
            sealed_tokens::age(token, now),
            sealed_tokens::cards_for_display(&keys)
        );
        if sealed_tokens::age_in_days(token, now) > OLD {
            findings.warn(TOKEN, format!("{text}; it is old"), rotate);
        } else if keys.len() == 1 {
            findings.warn(TOKEN, format!("{text} only"), "yk-cargo seal --add-card");
        } else {
            findings.ok(TOKEN, text);
        }
    }
}
