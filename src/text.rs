//! Text for people: foreign text made safe to show, an error's causes, a mutation in words.

pub(crate) mod fitted;

use std::fmt::{Display, Write as _};
use std::path::Path;

use asymmetric_token::Mutation;
use icu_properties::props::{
    BidiClass, DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, Script,
};
use icu_properties::{CodePointMapData, CodePointSetData};

/// What lies behind an error, outermost first.
pub fn causes(error: &dyn std::error::Error) -> impl Iterator<Item = &dyn std::error::Error> {
    std::iter::successors(error.source(), |cause| cause.source())
}

/// An error and what lies behind it, in one sentence.
pub fn sentence(error: &dyn std::error::Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A whole message, with its line breaks, and without anything that could drive a terminal, hide or reorder what stands
/// there: the last line of defence behind [`escape`], for text that came along inside an error.
#[must_use]
pub fn tame(message: impl Display) -> String {
    shown(&message.to_string(), |character| character == '\n' || !is_letter(character) && !is_mark(character))
}

/// JSON that says the same, in ASCII without control characters (RFC 8259, section 7).
#[must_use]
pub fn in_ascii(value: &serde_json::Value) -> String {
    let mut safe = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() && !character.is_ascii_control() {
            safe.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

/// Makes foreign text safe to show: whatever is not a letter or digit that is written from left to right, an ASCII sign or
/// a blank is written as `\u{…}`, and the text is cut at 2000 characters. Letters that could be taken for Latin ones are
/// written so too where they share a word with them (UTS 39, "mixed-script confusables").
#[must_use]
pub fn escape(text: &str) -> String {
    const LONGEST: usize = 2000;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => shown(&text[..end], |_| false) + "…",
        None => shown(text, |_| false),
    }
}

/// A path, escaped: a project chooses the names of its folders, and what it includes.
#[must_use]
pub fn escape_path(path: &Path) -> String {
    escape(&path.display().to_string())
}

/// `may_stay` says what stays of the signs that are visible and keep their place, beside those of ASCII.
fn shown(text: &str, may_stay: impl Fn(char) -> bool) -> String {
    /// As many as a letter of a living language has.
    const MOST_MARKS: usize = 2;
    let mut safe = String::with_capacity(text.len());
    let mut marks = 0;
    for word in text.split_inclusive(|c| !is_letter(c) && !is_mark(c)) {
        let is_latin = word.contains(|c: char| c.is_ascii_alphabetic());
        for character in word.chars() {
            marks = if is_mark(character) { marks + 1 } else { 0 };
            let stays = match character {
                '\n' => may_stay('\n'),
                _ if character.is_ascii() => !character.is_ascii_control(),
                _ if is_hidden_or_reorders(character) => false,
                _ if is_mark(character) => (1..=MOST_MARKS).contains(&marks) && !safe.is_empty(),
                _ if is_letter(character) => !(is_latin && looks_latin(character)),
                _ => may_stay(character),
            };
            if stays {
                safe.push(character);
            } else {
                let _ = write!(safe, "{}", character.escape_unicode());
            }
        }
    }
    safe
}

fn is_letter(character: char) -> bool {
    character.is_alphanumeric() && !is_mark(character)
}

fn is_mark(character: char) -> bool {
    GeneralCategoryGroup::Mark.contains(category(character))
}

/// Letters of the two scripts whose letters are Latin ones to the eye.
fn looks_latin(character: char) -> bool {
    matches!(CodePointMapData::<Script>::new().get(character), Script::Cyrillic | Script::Greek)
}

/// What a terminal does not show, shows as nothing, or writes from right to left; and what Unicode knows nothing of.
fn is_hidden_or_reorders(character: char) -> bool {
    let direction = CodePointMapData::<BidiClass>::new().get(character);
    let is_in_place = matches!(
        direction,
        BidiClass::LeftToRight
            | BidiClass::EuropeanNumber
            | BidiClass::EuropeanSeparator
            | BidiClass::EuropeanTerminator
            | BidiClass::CommonSeparator
            | BidiClass::NonspacingMark
            | BidiClass::OtherNeutral
    );
    !is_in_place
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        || GeneralCategoryGroup::Other.union(GeneralCategoryGroup::Separator).contains(category(character))
        || matches!(character, '\u{2800}') // a braille sign without a dot
}

fn category(character: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(character)
}

/// Foreign text of several lines. Each row begins with a bar and is too short for the terminal to break it, so nothing in it
/// can be taken for a line of this program.
#[must_use]
pub fn quoted(text: &str) -> String {
    quoted_within(text, room())
}

/// How many columns a row may have. Cargo shows some of our words further to the right.
fn room() -> usize {
    const MOST: usize = 64;
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(std::io::stderr())
        && size.ws_col > 0
    {
        return usize::from(size.ws_col).saturating_sub(12).clamp(16, MOST);
    }
    MOST
}

/// Rows of so many columns; a character outside ASCII may have two.
fn quoted_within(text: &str, room: usize) -> String {
    const MOST_ROWS: usize = 20;
    let columns =
        |word: &str| word.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum::<usize>();
    let mut rows = Vec::new();
    for line in text.lines() {
        let (mut row, mut width) = (String::new(), 0);
        for word in escape(line).split_whitespace() {
            if width > 0 && width + 1 + columns(word) > room {
                rows.push(std::mem::take(&mut row));
                width = 0;
            }
            if width > 0 {
                row.push(' ');
                width += 1;
            }
            for character in word.chars() {
                let columns = if character.is_ascii() { 1 } else { 2 };
                if width + columns > room {
                    rows.push(std::mem::take(&mut row));
                    width = 0;
                }
                row.push(character);
                width += columns;
            }
        }
        rows.push(row);
        if rows.len() > MOST_ROWS {
            rows.truncate(MOST_ROWS);
            rows.push("…".to_owned());
            break;
        }
    }
    rows.iter().map(|row| format!("    | {row}")).collect::<Vec<_>>().join("\n")
}

/// A path as one word of a shell's command, so that what is pasted runs.
#[must_use]
pub fn shell_word(path: &Path) -> String {
    word(path.display().to_string())
}

/// Foreign text as one word of a shell's command, escaped: pasted, it runs nothing else.
#[must_use]
pub fn foreign_word(text: &str) -> String {
    word(escape(text))
}

fn word(text: String) -> String {
    if cfg!(windows) { windows_word(&text) } else { posix_word(text) }
}

/// For cmd.exe and PowerShell. They have one pair of quotes in common, in which both still act on some characters: those are not
/// shown.
fn windows_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || r"/\._-+:~".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace(['"', '$', '`', '%', '!'], "?"))
    }
}

fn posix_word(text: String) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(escape("sparse+https://r.example/ü-1.0+b"), "sparse+https://r.example/ü-1.0+b");
        assert_eq!(escape("a\x1b[31m\r\nb"), r"a\u{1b}[31m\u{d}\u{a}b");
        assert_eq!(escape("evil\u{202e}lve"), r"evil\u{202e}lve");
        assert_eq!(
            tame("two\nlines: \x1b]0;x\x07 \u{202e} ü 'ok' \"ok\" \\ …"),
            "two\nlines: \\u{1b}]0;x\\u{7} \\u{202e} ü 'ok' \"ok\" \\ …"
        );
        assert_eq!(escape(&"x".repeat(3000)), format!("{}…", "x".repeat(2000)));
        assert_eq!(escape("a…b“"), r"a\u{2026}b\u{201c}");
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        for hidden in [
            '\u{3164}',
            '\u{115f}',
            '\u{ffa0}',
            '\u{200b}',
            '\u{feff}',
            '\u{ad}',
            '\u{2800}',
            '\u{e0041}',
            '\u{fe0f}',
            '\u{2028}',
            '\u{a0}',
            '\u{e000}',
            '\u{378}',
            '\u{2066}',
            '\u{61c}',
        ] {
            let written = hidden.escape_unicode().to_string();
            assert_eq!(escape(&format!("a{hidden}b")), format!("a{written}b"));
            assert_eq!(tame(format!("a{hidden}b")), format!("a{written}b"));
        }
    }

    #[test]
    fn what_is_written_from_right_to_left_is_written_out() {
        assert_eq!(escape("x\u{5d0}\u{5d1} 12 \u{639}"), r"x\u{5d0}\u{5d1} 12 \u{639}");
        assert_eq!(escape("\u{661}"), r"\u{661}", "an Arabic digit reorders what stands around it");
    }

    #[test]
    fn marks_do_not_pile_up() {
        assert_eq!(escape("Ame\u{301}lie, เก็บ, हिन्दी"), "Ame\u{301}lie, เก็บ, हिन्दी");
        let pile = format!("a{}", "\u{301}".repeat(60));
        assert_eq!(escape(&pile), format!("a\u{301}\u{301}{}", r"\u{301}".repeat(58)));
        assert_eq!(escape("\u{301}a"), r"\u{301}a", "there is nothing that it could stand on");
    }

    #[test]
    fn letters_of_two_scripts_in_one_word_are_told_apart() {
        assert_eq!(escape("Мой laptop"), "Мой laptop");
        assert_eq!(escape("my-r\u{435}g"), r"my-r\u{435}g");
        assert_eq!(escape("\u{3bf}range"), r"\u{3bf}range");
        assert_eq!(escape("東京tower"), "東京tower");
    }

    #[test]
    fn a_row_fits_a_narrow_terminal() {
        let text = "a word, aVeryLongWordThatDoesNotEnd and 漢字漢字漢字漢字漢字";
        for room in [16, 20, 40] {
            for row in quoted_within(text, room).lines() {
                let row = row.strip_prefix("    | ").unwrap();
                let columns: usize = row.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
                assert!(columns <= room, "{row}");
            }
        }
    }

    #[test]
    fn what_is_quoted_has_a_bar_before_every_row() {
        assert_eq!(quoted("one\r\ntwo\x1b[2J"), "    | one\n    | two\\u{1b}[2J");
        let words = "word ".repeat(30);
        assert_eq!(quoted(&words).replace("\n    | ", " "), format!("    | {}", words.trim_end()));
        let texts =
            ["added\nhint: x".to_owned(), "a".repeat(74) + "hint: x", "東".repeat(99), "\n".repeat(99)];
        for shown in texts.iter().map(|text| quoted(text)) {
            assert!(
                shown.lines().all(|row| row.starts_with("    | ") && row.chars().count() <= 70),
                "{shown}"
            );
            assert!(shown.lines().count() <= 21, "{shown}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_foreign_text_is_one_word_to_a_shell() {
        assert_eq!(foreign_word("sparse+https://r.example/index/"), "sparse+https://r.example/index/");
        assert_eq!(foreign_word("sparse+https://x/$(id)/;'x"), r"'sparse+https://x/$(id)/;'\''x'");
        assert_eq!(foreign_word("a\x1bb"), r"'a\u{1b}b'");
    }

    #[test]
    fn a_text_is_one_word_to_the_shells_of_windows() {
        for (text, word) in [
            ("sparse+https://r.example/index/", "sparse+https://r.example/index/"),
            (r"C:\Users\me\.cargo", r"C:\Users\me\.cargo"),
            (r"C:\Users\Jürgen Müller\.cargo", r#""C:\Users\Jürgen Müller\.cargo""#),
            ("$(calc)&\"`%COMSPEC%", r#""?(calc)&???COMSPEC?""#),
            ("", r#""""#),
        ] {
            assert_eq!(windows_word(text), word);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_is_one_word_to_a_shell() {
        for (path, word) in [
            ("/home/me/.cargo/config.toml", "/home/me/.cargo/config.toml"),
            ("/home/me/my cargo", "'/home/me/my cargo'"),
            ("/it's; rm -rf $HOME", r"'/it'\''s; rm -rf $HOME'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_visible_and_in_place(text in any::<String>()) {
            for safe in [escape(&text), tame(&text)] {
                let bad = |c: char| c != '\n' && (c.is_control() || !c.is_ascii() && is_hidden_or_reorders(c));
                prop_assert!(!safe.contains(bad), "{safe:?}");
            }
            prop_assert!(!escape(&text).contains('\n'));
        }
    }
}
