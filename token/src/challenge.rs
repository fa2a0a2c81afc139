//! What a registry says in `WWW-Authenticate`: where to log in, and the challenge that a mutation token is to carry.
//!
//! A header is a list of challenges of any scheme, with tokens, token68 and quoted strings (RFC 9110, 11.6.1 and 5.6);
//! the one meant for cargo has the scheme `Cargo` (Cargo book, "Registry Authentication"). RFC 3231 leaves open how its
//! challenge is spelled; here it is the parameter `challenge`. The answer may come from anybody, so its length is
//! bounded, and a header that can be read in two ways is refused.

/// The longest `WWW-Authenticate`, all its lines together, that is looked at, in bytes.
pub const MAX_HEADER_BYTES: usize = 8 << 10;

/// The longest challenge, in bytes: a token of [`MAX_TOKEN_BYTES`](crate::MAX_TOKEN_BYTES) has room for it.
pub const MAX_CHALLENGE_BYTES: usize = 1024;

/// The most challenges, of all schemes together. Real servers offer one to four.
const MAX_CHALLENGES: usize = 16;

/// The parameters of the scheme `Cargo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CargoChallenge {
    /// `login_url`: where a person gets a token or enrolls a key. As the server wrote it: escape it before showing it.
    pub login_url: Option<String>,
    /// `challenge`: goes into the next mutation token, byte for byte. Printable ASCII without blanks.
    pub challenge: Option<String>,
    /// `challenges`: whether mutations without one are refused; unknown words count as not said.
    pub requirement: Option<Requirement>,
    /// `enroll`: the API's URL, where keys are enrolled. As the server wrote it.
    pub enroll: Option<String>,
}

/// Whether a registry wants a challenge in each mutation token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// `required`
    Required,
    /// `optional`
    Optional,
}

/// Why a `WWW-Authenticate` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChallengeError {
    /// Two challenges for cargo that both have the parameter `challenge`, or a parameter that stands twice.
    #[error("it can be read in two ways")]
    Ambiguous,
    /// The challenge cannot stand in a token.
    #[error("the challenge is not 1 to 1024 printable ASCII characters without blanks")]
    NotPrintable,
    /// Not a list of challenges.
    #[error("it is not what RFC 9110 allows")]
    Syntax,
    /// More than 16 challenges.
    #[error("it has more than 16 challenges")]
    TooMany,
    /// More than 8 KiB.
    #[error("it is longer than 8 KiB")]
    TooLong,
}

impl CargoChallenge {
    /// Finds it in the values of all `WWW-Authenticate` lines of one answer. `None`: there is none for cargo.
    ///
    /// Of several challenges for cargo the one with a `challenge` is taken, else the first.
    ///
    /// # Errors
    /// [`ChallengeError`].
    pub fn find<V: AsRef<[u8]>>(
        values: impl IntoIterator<Item = V>,
    ) -> Result<Option<CargoChallenge>, ChallengeError> {
        let (mut bytes, mut challenges) = (0, 0);
        let mut found: Option<CargoChallenge> = None;
        for value in values {
            let value = value.as_ref();
            bytes += value.len();
            if bytes > MAX_HEADER_BYTES {
                return Err(ChallengeError::TooLong);
            }
            for challenge in list(value)? {
                challenges += 1;
                if challenges > MAX_CHALLENGES {
                    return Err(ChallengeError::TooMany);
                }
                if !challenge.scheme.eq_ignore_ascii_case(b"cargo") {
                    continue;
                }
                let challenge = CargoChallenge::from_parameters(challenge.parameters)?;
                match &found {
                    Some(earlier) if earlier.challenge.is_some() && challenge.challenge.is_some() => {
                        return Err(ChallengeError::Ambiguous);
                    }
                    Some(_) if challenge.challenge.is_none() => {}
                    _ => found = Some(challenge),
                }
            }
        }
        Ok(found)
    }

    fn from_parameters(parameters: Vec<(&[u8], Vec<u8>)>) -> Result<CargoChallenge, ChallengeError> {
        let mut cargo = CargoChallenge::default();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for (name, value) in parameters {
            let name = name.to_ascii_lowercase();
            if seen.contains(&name) {
                return Err(ChallengeError::Ambiguous);
            }
            match name.as_slice() {
                b"login_url" => cargo.login_url = Some(text(value)?),
                b"enroll" => cargo.enroll = Some(text(value)?),
                b"challenge" => cargo.challenge = Some(printable(value)?),
                b"challenges" if value.eq_ignore_ascii_case(b"required") => {
                    cargo.requirement = Some(Requirement::Required);
                }
                b"challenges" if value.eq_ignore_ascii_case(b"optional") => {
                    cargo.requirement = Some(Requirement::Optional);
                }
                _ => {}
            }
            seen.push(name);
        }
        Ok(cargo)
    }
}

fn text(value: Vec<u8>) -> Result<String, ChallengeError> {
    String::from_utf8(value).map_err(|_| ChallengeError::Syntax)
}

fn printable(value: Vec<u8>) -> Result<String, ChallengeError> {
    if !(1..=MAX_CHALLENGE_BYTES).contains(&value.len()) || !value.iter().all(u8::is_ascii_graphic) {
        return Err(ChallengeError::NotPrintable);
    }
    text(value)
}

/// One challenge of any scheme. A token68 is no parameter and is dropped: cargo's scheme has none.
struct Challenge<'a> {
    scheme: &'a [u8],
    parameters: Vec<(&'a [u8], Vec<u8>)>,
}

/// RFC 9110, 11.6.1. A comma separates challenges and also their parameters: what follows a name tells which it was.
fn list(value: &[u8]) -> Result<Vec<Challenge<'_>>, ChallengeError> {
    let mut rest = Rest(value);
    let mut challenges: Vec<Challenge<'_>> = Vec::new();
    loop {
        rest.skip(b" \t,");
        if rest.0.is_empty() {
            return Ok(challenges);
        }
        let name = rest.token()?;
        if let Some(value) = rest.parameter_value()? {
            let challenge = challenges.last_mut().ok_or(ChallengeError::Syntax)?;
            challenge.parameters.push((name, value));
        } else {
            if challenges.len() == MAX_CHALLENGES {
                return Err(ChallengeError::TooMany);
            }
            challenges.push(Challenge { scheme: name, parameters: Vec::new() });
            let blanks = rest.skip(b" \t");
            if rest.token68() || blanks > 0 && !rest.at_separator() {
                // The first parameter needs no comma before it.
                continue;
            }
        }
        rest.skip(b" \t");
        if !rest.at_separator() {
            return Err(ChallengeError::Syntax);
        }
    }
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn skip(&mut self, bytes: &[u8]) -> usize {
        self.take(|byte| bytes.contains(&byte)).len()
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.0.iter().position(|byte| !wanted(*byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn at_separator(&self) -> bool {
        matches!(self.0.first(), None | Some(b','))
    }

    /// RFC 9110, 5.6.2.
    fn token(&mut self) -> Result<&'a [u8], ChallengeError> {
        let token = self.take(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if token.is_empty() { Err(ChallengeError::Syntax) } else { Ok(token) }
    }

    /// Takes a token68 if that is what stands here, up to the next comma: `dGhp==`, and not the `a` of `a=b`.
    fn token68(&mut self) -> bool {
        let mut ahead = Rest(self.0);
        let text = ahead.take(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        ahead.skip(b"=");
        ahead.skip(b" \t");
        let found = !text.is_empty() && ahead.at_separator();
        if found {
            self.0 = ahead.0;
        }
        found
    }

    /// The value behind `=`, with the bad whitespace of RFC 9110, 5.6.3 allowed; `None` if there is no `=`.
    fn parameter_value(&mut self) -> Result<Option<Vec<u8>>, ChallengeError> {
        let mut ahead = Rest(self.0);
        ahead.skip(b" \t");
        let Some(behind) = ahead.0.strip_prefix(b"=") else { return Ok(None) };
        self.0 = behind;
        self.skip(b" \t");
        match self.0.strip_prefix(b"\"") {
            Some(quoted) => {
                self.0 = quoted;
                self.quoted().map(Some)
            }
            None => Ok(Some(self.token()?.to_vec())),
        }
    }

    /// What follows the opening quote, without its escapes (RFC 9110, 5.6.4).
    fn quoted(&mut self) -> Result<Vec<u8>, ChallengeError> {
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first().ok_or(ChallengeError::Syntax)?;
            self.0 = rest;
            match byte {
                b'"' => return Ok(value),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first().ok_or(ChallengeError::Syntax)?;
                    self.0 = rest;
                    value.push(in_text(escaped)?);
                }
                _ => value.push(in_text(byte)?),
            }
        }
    }
}

fn in_text(byte: u8) -> Result<u8, ChallengeError> {
    if byte == b'\t' || byte >= b' ' && byte != 0x7F { Ok(byte) } else { Err(ChallengeError::Syntax) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(values: &[&str]) -> Result<Option<CargoChallenge>, ChallengeError> {
        CargoChallenge::find(values)
    }

    fn challenge(values: &[&str]) -> Option<String> {
        find(values).unwrap().unwrap().challenge
    }

    #[test]
    fn reads_what_registries_write() {
        let found =
            find(&[r#"Cargo login_url="https://r.example/me", challenge="abc-_1", challenges="required""#]);
        assert_eq!(
            found.unwrap().unwrap(),
            CargoChallenge {
                login_url: Some("https://r.example/me".into()),
                challenge: Some("abc-_1".into()),
                requirement: Some(Requirement::Required),
                enroll: None,
            }
        );
        for nothing in ["Cargo", "Cargo challenge=", "Cargo dGhpcw=="] {
            assert_eq!(
                find(&[nothing]).unwrap(),
                Some(CargoChallenge::default()),
                "a token68 is no parameter"
            );
        }
        assert_eq!(find(&[]).unwrap(), None);
        assert_eq!(find(&["", " ,, ,"]).unwrap(), None);
        let enroll = find(&[r#"Cargo enroll="https://r.example", challenges=optional"#]).unwrap().unwrap();
        assert_eq!(enroll.enroll.as_deref(), Some("https://r.example"));
        assert_eq!(enroll.requirement, Some(Requirement::Optional));
    }

    #[test]
    fn finds_it_among_others() {
        for value in [
            r#"Basic realm="a, Cargo challenge=\"no\"", Cargo challenge="yes""#,
            r#"Negotiate, NTLM dGhpcw==, cargo  challenge = yes , Bearer realm=x"#,
            r#",, Negotiate abc/def= ,CARGO ,, challenge="y\es",,"#,
            "Cargo\tchallenge=yes",
            r#"Digest nonce=no, challenge=no, Cargo login_url="x", challenge=yes"#,
        ] {
            assert_eq!(challenge(&[value]).as_deref(), Some("yes"), "{value}");
        }
        assert_eq!(challenge(&["Basic realm=x", "Cargo login_url=u", "Cargo challenge=yes"]).unwrap(), "yes");
        assert_eq!(challenge(&["Cargo challenge=yes", "Cargo login_url=u"]).unwrap(), "yes");
        assert_eq!(find(&["Basic challenge=no, Bearer"]).unwrap(), None);
    }

    #[test]
    fn refuses_what_can_be_read_in_two_ways() {
        for values in [
            &["Cargo challenge=a, challenge=b"][..],
            &["Cargo challenge=a, Challenge=a"],
            &["Cargo challenge=a", "Cargo challenge=b"],
            &["Cargo challenge=a, Cargo challenge=a"],
        ] {
            assert_eq!(find(values), Err(ChallengeError::Ambiguous), "{values:?}");
        }
    }

    #[test]
    fn refuses_what_is_no_list_of_challenges() {
        for value in [
            "=",
            "a=b",
            "\"Cargo\"",
            "Cargo challenge=\"a",
            "Cargo challenge=\"a\\",
            "Cargo challenge=\"a\" x=1",
            "Cargo challenge=\"a\nb\"",
            "Cargo challenge=\"\x1b[2J\"",
            "Cargo challenge=a/b",
            "Cargo (comment)",
            "Cargo;challenge=a",
        ] {
            assert_eq!(find(&[value]), Err(ChallengeError::Syntax), "{value:?}");
        }
        assert_eq!(CargoChallenge::find([b"Cargo login_url=\"\xFF\""]), Err(ChallengeError::Syntax));
    }

    #[test]
    fn a_challenge_fits_into_a_token() {
        let of = |length: usize| find(&[&format!("Cargo challenge={}", "c".repeat(length))]);
        assert!(of(MAX_CHALLENGE_BYTES).is_ok());
        assert_eq!(of(MAX_CHALLENGE_BYTES + 1), Err(ChallengeError::NotPrintable));
        for value in ["Cargo challenge=\"\"", "Cargo challenge=\"a b\"", "Cargo challenge=\"ä\""] {
            assert_eq!(find(&[value]), Err(ChallengeError::NotPrintable), "{value}");
        }
    }

    #[test]
    fn is_bounded() {
        assert_eq!(find(&[&"Cargo challenge=a,".repeat(5000)]), Err(ChallengeError::TooLong));
        assert_eq!(find(&[&"Basic,".repeat(17)]), Err(ChallengeError::TooMany));
        assert_eq!(find(&["Basic"; 17]), Err(ChallengeError::TooMany));
        assert_eq!(find(&["Basic"; 16]), Ok(None));
    }
}
