//! Errors and foreign text, written for a line of the log or of a report.

use std::cmp::Reverse;
use std::error::Error;

use crate_file::characters::is_hidden;

/// The shortest text that is taken for a secret, in bytes.
const SHORTEST_SECRET: usize = 6;

/// The error, followed by its causes.
pub(crate) fn with_causes(mut error: &dyn Error) -> String {
    let mut text = error.to_string();
    while let Some(cause) = error.source() {
        text.push_str(&format!(": {cause}"));
        error = cause;
    }
    text
}

/// No more than 2,000 characters of a text that may have words of others in it, such as a name of a megabyte.
pub(crate) fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(2000) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A text without the value of `Authorization`, and without what is in it beside the scheme: its words, and the values of its parameters.
/// What is too short to be a secret stays.
pub(crate) fn without_secret(text: &str, credential: &str) -> String {
    let whole = [credential.trim()].into_iter();
    let parts = whole.chain(credential.split(' ')).chain(credential.split([' ', ',', '=', '"', ';', ':']));
    let is_secret = |part: &&str| part.len() >= SHORTEST_SECRET && !part.eq_ignore_ascii_case("bearer");
    let mut secrets: Vec<&str> = parts.filter(is_secret).collect();
    // One can be the beginning of another.
    secrets.sort_unstable_by_key(|secret| Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

/// Names out of a request and words of others are in some sentences: a terminal must not obey them, nor show anything elsewhere
/// than it stands, nor nothing at all.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() || !c.is_ascii() && is_hidden(c) {
            escaped.extend(c.escape_default())
        } else {
            escaped.push(c)
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::without_secret;

    #[test]
    fn a_secret_is_not_repeated() {
        assert_eq!(without_secret("token abcdef is bad", "Bearer abcdef"), "token … is bad");
        assert_eq!(without_secret("token abcdef is bad", "Bearer abcdef "), "token … is bad");
        assert_eq!(without_secret("bad <Key k=abcdef, n=1>", " Key k=abcdef, n=1"), "bad <…>");
        assert_eq!(without_secret("key abcdef, bearer", "Bearer k=\"abcdef\";n=1"), "key …, bearer");
        assert_eq!(without_secret("abcdefgh", "abcdef, abcdefgh"), "…");
        assert_eq!(without_secret("bad a:b=c:d", "Bearer a:b=c:d"), "bad …");
        assert_eq!(without_secret("a", "a"), "a");
    }
}
