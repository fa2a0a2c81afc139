//! What is inside: a bearer token, and the registry that it belongs to.
//!
//! Two lines, each ended by a line feed: the token, then `index: ` and the index URL. So no token
//! goes to the wrong registry if somebody swaps two files, and a person who opens one with `age` sees what it is for.

use std::fmt;

use zeroize::Zeroizing;

/// A token longer than this is no token, in bytes.
const LONGEST_TOKEN: usize = 4096;

/// An index URL longer than this is none, in bytes.
const LONGEST_INDEX: usize = 2048;

/// The longest contents that are read, in bytes.
pub(super) const LONGEST: usize = LONGEST_TOKEN + LONGEST_INDEX + "\nindex: \n".len();

/// What a registry takes as proof of who somebody is: whoever sees it can use it. Wiped when dropped, never shown.
pub struct BearerToken(Zeroizing<String>);

/// Why some text is no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Nothing at all.
    #[error("the token is empty")]
    Empty,
    /// More than 4096 bytes.
    #[error("a token has at most {LONGEST_TOKEN} characters, and this is longer")]
    TooLong,
    /// Blanks at its ends, or what is not printable ASCII.
    #[error("a token consists of printable ASCII characters, with no spaces at either end")]
    NotPrintable,
    /// The name of the HTTP header came along.
    #[error("give the token alone, without `Authorization:`")]
    HeaderName,
    /// `k3.secret.…`, or `v3.public.…`
    #[error("this is a secret key or a signed token, not a bearer token")]
    Asymmetric,
}

impl TokenError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "copy it again from the registry's page, and paste only the token"
    }
}

impl BearerToken {
    /// Takes what a person typed or a file held, without the end of line, and wipes it. It may have a scheme before it
    /// (`Bearer …`): cargo sends it as it is.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn new(text: Zeroizing<String>) -> Result<Self, TokenError> {
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        if text.len() > LONGEST_TOKEN {
            return Err(TokenError::TooLong);
        }
        let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        if !printable || text.starts_with(' ') || text.ends_with(' ') {
            return Err(TokenError::NotPrintable);
        }
        if text.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("authorization:")) {
            return Err(TokenError::HeaderName);
        }
        if ["k3.secret.", "k3.public.", "v3.public."].iter().any(|start| text.starts_with(start)) {
            return Err(TokenError::Asymmetric);
        }
        Ok(Self(text))
    }

    /// The token itself, to be sent or stored.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

/// What is sealed.
pub(super) fn write(token: &BearerToken, index: &str) -> Zeroizing<Vec<u8>> {
    // Of the right size at once, so that no piece of it stays behind in memory.
    let mut contents = Zeroizing::new(Vec::with_capacity(LONGEST.max(token.0.len() + index.len() + 9)));
    for piece in [token.expose(), "\nindex: ", index, "\n"] {
        contents.extend_from_slice(piece.as_bytes());
    }
    contents
}

/// Why contents are not what they have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// Not two lines of this form.
    Form,
    /// Sealed for this registry.
    OtherIndex(String),
}

/// The token, if it belongs to this registry.
pub(super) fn read(contents: &[u8], index: &str) -> Result<BearerToken, Unfit> {
    let text = std::str::from_utf8(contents).map_err(|_| Unfit::Form)?;
    let (token, rest) = text.split_once('\n').ok_or(Unfit::Form)?;
    let sealed_for =
        rest.strip_prefix("index: ").and_then(|rest| rest.strip_suffix('\n')).ok_or(Unfit::Form)?;
    if sealed_for.is_empty() || sealed_for.contains(char::is_control) {
        return Err(Unfit::Form);
    }
    if sealed_for != index {
        return Err(Unfit::OtherIndex(sealed_for.to_owned()));
    }
    BearerToken::new(Zeroizing::new(token.to_owned())).map_err(|_| Unfit::Form)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::sealed) fn token(text: &str) -> BearerToken {
        BearerToken::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn what_is_no_token() {
        let new = |text: &str| BearerToken::new(Zeroizing::new(text.to_owned())).map(drop);
        for good in ["cioAbc123", "Bearer abc.def", "a", &"x".repeat(4096), "!~"] {
            assert_eq!(new(good), Ok(()), "{good}");
        }
        for (bad, error) in [
            ("", TokenError::Empty),
            (&"x".repeat(4097), TokenError::TooLong),
            (" a", TokenError::NotPrintable),
            ("a ", TokenError::NotPrintable),
            ("a\tb", TokenError::NotPrintable),
            ("a\r", TokenError::NotPrintable),
            ("tökën", TokenError::NotPrintable),
            ("AUTHORIZATION: a", TokenError::HeaderName),
            ("k3.secret.abc", TokenError::Asymmetric),
            ("v3.public.abc", TokenError::Asymmetric),
        ] {
            assert_eq!(new(bad), Err(error), "{bad}");
        }
        assert_eq!(format!("{:?}", token("secret")), "BearerToken(redacted)");
    }

    #[test]
    fn two_lines_and_nothing_else() {
        let index = "sparse+https://r.example/";
        let written = write(&token("abc"), index);
        assert_eq!(*written, b"abc\nindex: sparse+https://r.example/\n");
        assert_eq!(read(&written, index).unwrap().expose(), "abc");
        for other in ["sparse+https://r.example", "sparse+https://R.example/", ""] {
            assert_eq!(read(&written, other).unwrap_err(), Unfit::OtherIndex(index.into()), "{other}");
        }
        for form in [
            "",
            "abc",
            "abc\n",
            "abc\nindex: sparse+https://r.example/",
            "abc\r\nindex: sparse+https://r.example/\r\n",
            "abc\nIndex: sparse+https://r.example/\n",
            "abc\nindex: \n",
            "abc\nindex: sparse+https://r.example/\n\n",
            "abc\nindex: sparse+https://r.example/\nmore\n",
            "\nindex: sparse+https://r.example/\n",
        ] {
            assert_eq!(read(form.as_bytes(), index).unwrap_err(), Unfit::Form, "{form:?}");
        }
        assert_eq!(read(b"\xFF\nindex: x\n", "x").unwrap_err(), Unfit::Form);
    }
}
