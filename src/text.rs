//! Text for people: foreign text made safe to show, an error's causes, a mutation in words.

use std::fmt::{Display, Write as _};

use asymmetric_token::Mutation;

/// What lies behind an error, outermost first.
pub fn causes(error: &dyn std::error::Error) -> impl Iterator<Item = &dyn std::error::Error> {
    std::iter::successors(error.source(), |cause| cause.source())
}

/// An error and what lies behind it, in one sentence.
pub fn sentence(error: &dyn std::error::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A whole message, with its line breaks, and without anything that could drive a terminal: the last line of defence
/// behind [`escape`], for text that came along inside an error.
#[must_use]
pub fn tame(message: impl Display) -> String {
    let mut safe = String::new();
    for character in message.to_string().chars() {
        if character == '\n'
            || !character.escape_debug().to_string().starts_with("\\u") && !character.is_control()
        {
            safe.push(character);
        } else {
            let _ = write!(safe, "{}", character.escape_unicode());
        }
    }
    safe
}

/// Makes foreign text safe to show: whatever is not a plain letter, digit, ASCII sign or blank is written as
/// `\u{…}`, and the text is cut at 2000 characters.
#[must_use]
pub fn escape(text: &str) -> String {
    const LONGEST: usize = 2000;
    let mut safe = String::new();
    for (position, character) in text.chars().enumerate() {
        if position == LONGEST {
            safe.push('…');
            break;
        }
        if character.is_alphanumeric() || character.is_ascii_graphic() || character == ' ' {
            safe.push(character);
        } else {
            let _ = write!(safe, "{}", character.escape_unicode());
        }
    }
    safe
}

/// ``publish of `alpha 0.1.0` ``
pub fn in_words(mutation: &Mutation) -> String {
    match mutation.version() {
        Some(version) => format!("{} of `{} {version}`", mutation.kind(), mutation.name()),
        None => format!("a request about the owners of `{}`", mutation.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(escape("sparse+https://r.example/ü-1.0+b"), "sparse+https://r.example/ü-1.0+b");
        assert_eq!(escape("a\x1b[31m\r\nb"), r"a\u{1b}[31m\u{d}\u{a}b");
        assert_eq!(escape("evil\u{202e}lve"), r"evil\u{202e}lve");
        assert_eq!(
            tame("two\nlines: \x1b]0;x\x07 \u{202e} ü 'ok' \"ok\" \\"),
            "two\nlines: \\u{1b}]0;x\\u{7} \\u{202e} ü 'ok' \"ok\" \\"
        );
        assert_eq!(escape(&"x".repeat(3000)), format!("{}…", "x".repeat(2000)));
    }
}
