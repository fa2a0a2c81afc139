//! Rust source as words and signs: without comments and literals, and without what only tests are built from.

/// A word (an identifier, a keyword, a number) or a single sign, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// What the product is built from.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    without_tests(&Lexer { rest: source, line: 1 }.all())
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn all(mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        while let Some(first) = self.rest.chars().next() {
            let line = self.line;
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.skip(block_comment(self.rest));
            } else if let Some(length) = literal(self.rest) {
                self.skip(length);
            } else if is_word(first) {
                let word = self.skip(self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len()));
                tokens.push(Token { text: word.to_owned(), line });
            } else {
                let sign = self.skip(first.len_utf8());
                if !first.is_whitespace() {
                    tokens.push(Token { text: sign.to_owned(), line });
                }
            }
        }
        tokens
    }

    fn skip(&mut self, length: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(length);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
        skipped
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut end = 0;
    while end < text.len() {
        let rest = &text[end..];
        if rest.starts_with("/*") {
            depth += 1;
            end += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            end += 2;
            if depth == 0 {
                return end;
            }
        } else {
            end += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    end
}

/// The length of the string or character that the text begins with. A lifetime is neither.
fn literal(text: &str) -> Option<usize> {
    let marks = text.find(|c| !"bcr".contains(c)).filter(|marks| *marks <= 2)?;
    let (prefix, rest) = text.split_at(marks);
    if prefix.ends_with('r') {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        let content = rest[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(marks + hashes + 1 + content.find(&end).map_or(content.len(), |at| at + end.len()));
    }
    let content = match rest.chars().next()? {
        '"' => quoted(&rest[1..], '"'),
        '\'' if is_character(&rest[1..]) => quoted(&rest[1..], '\''),
        _ => return None,
    };
    Some(marks + 1 + content)
}

/// `'x'` or `'\n'`, and not `'static`.
fn is_character(after_quote: &str) -> bool {
    let mut characters = after_quote.chars();
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

/// The length up to and with the closing quote. A backslash takes the next character with it.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Leaves out each item after `#[cfg(test)]`, or after another `cfg` that is true in tests only.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if begins(&tokens[at..], &["#", "[", "cfg", "("]) {
            let end = at + group(&tokens[at + 1..]) + 1;
            let names = |name| tokens[at..end].iter().any(|token| token.text == name);
            if names("test") && !names("not") {
                at = end + item(&tokens[end..]);
                continue;
            }
        }
        kept.push(tokens[at].clone());
        at += 1;
    }
    kept
}

fn begins(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// The length of a group in brackets of any kind.
fn group(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The length of an item, its attributes included: to its closing brace, or to its semicolon.
fn item(tokens: &[Token]) -> usize {
    let mut at = 0;
    let mut ends_with_semicolon = false;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "use" | "const" | "static" | "type" => ends_with_semicolon = true,
            "fn" => ends_with_semicolon = false,
            ";" => return at + 1,
            "{" if !ends_with_semicolon => return at + group(&tokens[at..]),
            "(" | "[" | "{" => {
                at += group(&tokens[at..]);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn words(source: &str) -> String {
        let texts: Vec<_> = tokens(source).into_iter().map(|token| token.text).collect();
        texts.join(" ")
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        assert_eq!(words("a // crate::b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(words(r##"a("crate::b \" c", r#"d "e" "#, b"f", c"g", br"h") i"##), "a ( , , , , ) i");
        assert_eq!(words(r"a('b', '\'', b'c', '\u{64}') : &'static e"), "a ( , , , ) : & ' static e");
        assert_eq!(words("r#type bar"), "r # type bar");
    }

    #[test]
    fn lines_are_counted() {
        let lines: Vec<_> = tokens("a\n/* \n */ b\n\"\n\" c").into_iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 5]);
    }

    #[test]
    fn what_only_tests_are_built_from_is_left_out() {
        assert_eq!(words("a #[cfg(test)] mod tests { use crate::b; fn c() {} } d"), "a d");
        assert_eq!(words("a #[cfg(test)] #[allow(b)] mod tests; c"), "a c");
        assert_eq!(words("a #[cfg(test)] use crate::{b, c}; d"), "a d");
        assert_eq!(words("a #[cfg(test)] const B: [u8; 2] = [C { d: 1 }, e]; f"), "a f");
        assert_eq!(words("a #[cfg(all(test, unix))] fn b(c: [u8; 2]) -> D { e } f"), "a f");
        assert_eq!(words("#[cfg(test)] const fn a() { b } c"), "c");
        assert!(words("#[cfg(not(test))] mod a;").ends_with("mod a ;"));
        assert!(words("#[cfg(unix)] mod a;").ends_with("mod a ;"));
    }
}
