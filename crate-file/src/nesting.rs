//! How deep foreign text may be nested, and how many values it may have. A parser calls itself once for each level, and makes of each
//! value of three bytes some hundred bytes in memory; so both are counted before it is called.
//!
//! The levels of JSON are not counted, because serde_json gives up after 128 of them.

use toml_parser::lexer::{Token, TokenKind};
use toml_parser::parser::{Event, EventKind, parse_document};
use toml_parser::{ParseError, Source};

/// The most levels of `all`, `any` and `not` in a platform; of tables and arrays below a header in TOML; and of names
/// in such a header. Real ones have up to five.
pub(crate) const MOST: u32 = 32;

/// The most names and values in a Cargo.toml, and in the JSON part of a publish request. Real ones have up to some ten thousand.
pub(crate) const MOST_VALUES: usize = 65_536;

/// Text is nested too deep to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is nested deeper than {MOST} levels")]
pub struct TooDeep;

/// Why TOML is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// It is nested too deep.
    #[error(transparent)]
    TooDeep(#[from] TooDeep),
    /// It has too many names and values.
    #[error("it has too many names and values")]
    TooMany,
    /// It is not TOML. This is the reason.
    #[error("{0}")]
    Syntax(String),
}

/// Counts the parentheses that are open at a time in a platform such as `cfg(all(unix, not(windows)))`. cargo-platform has
/// no limit of its own.
pub(crate) fn of_platform(platform: &str) -> Result<(), TooDeep> {
    let (mut open, mut quoted) = (0_u32, false);
    for c in platform.chars() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => open += 1,
            ')' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
        // The first level is `cfg` itself.
        if open > MOST + 1 {
            return Err(TooDeep);
        }
    }
    Ok(())
}

/// Counts the tables and arrays within each other in TOML, and the names and values. The toml crate bounds the brackets and the dots
/// of one key, but not their product: `{ a.b.c = { a.b.c = …` has as many levels as there are words in it. Nor does its bound of the
/// brackets hold after an error: a key in brackets where an inline table wants one, `{ [a] [a] …`, takes off a level that it has not
/// added.
///
/// # Errors
/// [`NotRead::TooDeep`] with more than 32 levels below a header, or in it; [`NotRead::TooMany`]; [`NotRead::Syntax`], after which
/// nobody is to parse it: its levels are not known.
pub fn of_toml(text: &str) -> Result<(), NotRead> {
    of_toml_up_to(text, MOST_VALUES)
}

/// The same, for up to so many names and values.
///
/// # Errors
/// As [`of_toml`].
pub fn of_toml_up_to(text: &str, most_values: usize) -> Result<(), NotRead> {
    let tokens = Source::new(text).lex().into_vec();
    brackets(&tokens)?;
    let mut levels = Levels::default();
    let mut count = |event: Event| levels.count(event.kind());
    let mut error: Option<ParseError> = None;
    parse_document(&tokens, &mut count, &mut error);
    if levels.deepest > MOST {
        return Err(TooDeep.into());
    }
    if levels.values > most_values {
        return Err(NotRead::TooMany);
    }
    // After a syntax error the levels cannot be trusted.
    error.map_or(Ok(()), |error| Err(NotRead::Syntax(error.description().to_owned())))
}

/// Counts the brackets of TOML that are open at a time: up to 32. A parser calls itself for some of them, and leaves that call at the
/// next bracket that closes its kind. Only such a one is counted as closing, so that no fewer are open here than there, whatever the
/// text is.
fn brackets(tokens: &[Token]) -> Result<(), TooDeep> {
    let mut open = Vec::new();
    for token in tokens {
        let opened_by = match token.kind() {
            kind @ (TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket) => {
                open.push(kind);
                if open.len() > MOST as usize {
                    return Err(TooDeep);
                }
                continue;
            }
            TokenKind::RightSquareBracket => TokenKind::LeftSquareBracket,
            TokenKind::RightCurlyBracket => TokenKind::LeftCurlyBracket,
            _ => continue,
        };
        open.pop_if(|last| *last == opened_by);
    }
    Ok(())
}

/// Counts what begins or goes on to a next value in JSON: whether there are no more names and values than may be. A parser makes
/// nothing of what comes after an error, so what is counted there does not matter.
pub(crate) fn has_few_values(json: &str) -> bool {
    let (mut values, mut quoted, mut escaped) = (0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'[' | b'{' | b':' | b',' if !quoted => values += 1,
            _ => {}
        }
    }
    values <= MOST_VALUES
}

#[derive(Default)]
struct Levels {
    /// For each open bracket the number of levels that it adds: its own, and those of the dotted key before it.
    open: Vec<u32>,
    /// Their sum.
    around: u32,
    /// The dots of the present key.
    keys: u32,
    deepest: u32,
    /// Names, and values of any kind.
    values: usize,
}

impl Levels {
    fn count(&mut self, event: EventKind) {
        let is_value = matches!(
            event,
            EventKind::SimpleKey | EventKind::Scalar | EventKind::ArrayOpen | EventKind::InlineTableOpen
        );
        self.values += usize::from(is_value);
        match event {
            EventKind::KeySep => self.keys += 1,
            EventKind::ArrayOpen | EventKind::InlineTableOpen => {
                let added = std::mem::take(&mut self.keys) + 1;
                self.open.push(added);
                self.around += added;
            }
            EventKind::ArrayClose | EventKind::InlineTableClose => {
                self.around -= self.open.pop().unwrap_or(0);
                self.keys = 0;
            }
            EventKind::Scalar | EventKind::StdTableClose | EventKind::ArrayTableClose => self.keys = 0,
            _ => {}
        }
        self.deepest = self.deepest.max(self.around + self.keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(levels: u32) -> String {
        let levels = levels as usize;
        format!("cfg({}unix{})", "not(".repeat(levels), ")".repeat(levels))
    }

    #[test]
    fn levels_of_a_platform() {
        assert_eq!(of_platform(&platform(MOST)), Ok(()));
        assert_eq!(of_platform(&platform(MOST + 1)), Err(TooDeep));
        assert_eq!(of_platform(&format!("cfg(any({}))", "not(a),".repeat(1000))), Ok(()), "wide is not deep");
        assert_eq!(of_platform(&format!("cfg(a = \"{}\")", "(".repeat(1000))), Ok(()));
        let closed_in_quotes = "all(a=\")\",".repeat(1000);
        assert_eq!(of_platform(&format!("cfg({closed_in_quotes}")), Err(TooDeep));
    }

    #[test]
    fn levels_of_toml() {
        let most = MOST as usize;
        let array = |levels: usize| format!("a = {}{}", "[".repeat(levels), "]".repeat(levels));
        let table = |levels: usize| format!("{}a = 1", "a.".repeat(levels));
        let header = |levels: usize| format!("[{}a]\nb = 1", "a.".repeat(levels));
        let both = |levels: usize| format!("x = {}1{}", "{ a.b = ".repeat(levels), " }".repeat(levels));
        for (text, levels) in [(&array as &dyn Fn(usize) -> String, most), (&table, most), (&header, most)] {
            assert_eq!(of_toml(&text(levels)), Ok(()));
            assert_eq!(of_toml(&text(levels + 1)), Err(TooDeep.into()), "{}", text(levels + 1));
        }
        assert_eq!(of_toml(&both(most / 2)), Ok(()));
        assert_eq!(of_toml(&both(most / 2 + 1)), Err(TooDeep.into()));
        assert!(matches!(of_toml(&array(2).repeat(2)), Err(NotRead::Syntax(_))));
        for lead in ["[a]", "[a", "]", "}", "[{]", "{[}"] {
            let led = format!("x = {{ {} {}", lead.repeat(2000), "b = [{ b = [".repeat(2000));
            assert!(of_toml(&led).is_err(), "{lead}");
        }
        let many = |values: usize| format!("a = [{}]", "1,".repeat(values));
        assert_eq!(of_toml(&many(MOST_VALUES - 2)), Ok(()));
        for text in [
            many(MOST_VALUES - 1),
            "[[a]]\n".repeat(MOST_VALUES + 1),
            "a.b.c={d={}}\n".repeat(MOST_VALUES / 4),
        ] {
            assert_eq!(of_toml(&text), Err(NotRead::TooMany));
        }
        let wide = "[a.b.c]\nd = [[1], [2.5], { e = \"[[[.\" }] # [[[.\n[[f]]\ng.h = 1\n".repeat(100);
        assert_eq!(of_toml(&wide), Ok(()));
    }

    #[test]
    fn values_of_json() {
        let many = |values: usize| format!("[{}1]", "1,".repeat(values));
        assert!(has_few_values(&many(MOST_VALUES - 1)));
        assert!(!has_few_values(&many(MOST_VALUES)));
        assert!(!has_few_values(&format!("[{}{{}}]", "{\"\\\"\":0},".repeat(MOST_VALUES / 3 + 1))));
        assert!(has_few_values(&format!(
            "[\"{}\\\"{}\"]",
            "[,:{".repeat(MOST_VALUES),
            ",".repeat(MOST_VALUES)
        )));
    }
}
