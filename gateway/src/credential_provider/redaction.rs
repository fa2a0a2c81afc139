//! What a provider says, without what may be a secret. Nobody here knows what its secrets are, so whatever looks like one is left
//! out: better a word too many than a secret in the log.

/// The shortest text that is taken for a token by its look alone, in bytes.
const SHORTEST: usize = 16;
/// Names of secrets have one of these in them, as `aws_secret_access_key=` has.
const NAMES: [&str; 7] = ["password", "passwd", "passphrase", "secret", "token", "key", "credential"];
/// Schemes of `Authorization`: a secret follows.
const SCHEMES: [&str; 2] = ["basic", "bearer"];
const QUOTES: [char; 3] = ['"', '\'', '`'];

/// What the next word is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Judged by its look.
    Any,
    /// After `password` or the like: a secret, unless it could be a word of the sentence.
    Named,
    /// After a scheme, or after a name with `=` or `:`: a secret.
    Secret,
    /// More of a secret in these quotes.
    Quoted(char),
}

/// A text with `…` in the place of each secret.
pub(super) fn without_secrets(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut next = Next::Any;
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        if !word.is_empty() {
            let (shown, after) = shown(word, next);
            cleaned.push_str(&shown);
            next = after;
        }
        cleaned.push_str(&piece[word.len()..]);
    }
    cleaned
}

/// A word as it is shown, and what the next one is.
fn shown(word: &str, next: Next) -> (String, Next) {
    let name = last_name(word);
    let is_scheme = SCHEMES.contains(&name.as_str());
    match next {
        Next::Quoted(quote) => {
            return (String::new(), if word.contains(quote) { Next::Any } else { next });
        }
        Next::Named | Next::Secret if ["=", ":"].contains(&word) => return (word.to_owned(), Next::Secret),
        Next::Secret if !is_scheme => return ("…".to_owned(), after_secret(word)),
        Next::Named if !is_of_a_sentence(word) => return ("…".to_owned(), after_secret(word)),
        _ => {}
    }
    if let Some((name, value)) = assigned(word) {
        let name = without_tokens(name);
        return match (value, SCHEMES.contains(&last_name(value).as_str())) {
            ("", _) => (name, Next::Secret),
            (scheme, true) => (name + scheme, Next::Secret),
            (secret, false) => (name + "…", after_secret(secret)),
        };
    }
    let next = match is_scheme {
        true => Next::Secret,
        false if is_name(&name) => Next::Named,
        false => Next::Any,
    };
    (without_tokens(word), next)
}

/// The name with which a word ends, in lower case; quotes may follow it.
fn last_name(word: &str) -> String {
    let word = word.trim_end_matches(QUOTES);
    let begin = word
        .rfind(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c))
        .map_or(0, |at| at + word[at..].chars().next().map_or(0, char::len_utf8));
    word[begin..].to_ascii_lowercase()
}

fn is_name(name: &str) -> bool {
    NAMES.iter().any(|part| name.contains(part))
}

/// A name of a secret with its `=` or `:`, and what follows in the same word.
fn assigned(word: &str) -> Option<(&str, &str)> {
    let separators = word.match_indices(['=', ':']);
    separators
        .map(|(at, _)| word.split_at(at + 1))
        .find(|(name, _)| is_name(&last_name(&name[..name.len() - 1])))
}

/// A secret that begins with quotes goes on until they end.
fn after_secret(secret: &str) -> Next {
    let mut chars = secret.chars();
    match chars.next() {
        Some(quote) if QUOTES.contains(&quote) && !chars.as_str().contains(quote) => Next::Quoted(quote),
        _ => Next::Any,
    }
}

/// Lower-case letters, perhaps with punctuation after them.
fn is_of_a_sentence(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ',', ';', ':', '?', '!']);
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A word without what may be a token by its look, and without the user and password of a URL.
fn without_tokens(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://") {
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (login, host) = authority.rsplit_once('@').map_or(("", authority), |(_, host)| ("…@", host));
        return format!(
            "{}://{login}{}",
            without_runs(scheme, true),
            without_runs(&format!("{host}{path}"), false)
        );
    }
    without_runs(word, true)
}

/// Without long runs that look like a token. They may have `/` and `.` in them, but in a URL and in a path each part is judged alone.
fn without_runs(text: &str, with_slashes: bool) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-+=~".contains(c);
    let is_slash = |c: char| ['/', '.'].contains(&c);
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_plain(c) && !is_slash(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (run, after) = rest.split_at(end);
        if with_slashes && is_plain(first) {
            cleaned.push_str(if looks_like_a_token(run) { "…" } else { run });
        } else {
            for part in run.split_inclusive(is_slash) {
                let name = part.trim_end_matches(is_slash);
                cleaned.push_str(if looks_like_a_token(name) { "…" } else { name });
                cleaned.push_str(&part[name.len()..]);
            }
        }
        rest = after;
    }
    cleaned
}

/// With a digit, or in both cases; but names of errors, as `ExpiredTokenException`, are words of their own.
fn looks_like_a_token(run: &str) -> bool {
    let count = |is: fn(&char) -> bool| run.chars().filter(is).count();
    let (upper, lower) = (count(char::is_ascii_uppercase), count(char::is_ascii_lowercase));
    let is_error_name = upper + lower == run.len()
        && upper * 4 <= lower + upper
        && !run.as_bytes().windows(2).any(|two| two.iter().all(u8::is_ascii_uppercase));
    run.len() >= SHORTEST
        && (run.contains(|c: char| c.is_ascii_digit()) || upper > 0 && lower > 0 && !is_error_name)
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn what_looks_like_a_secret_is_left_out() {
        for (said, cleaned) in [
            (
                "error: 401 for eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0 at https://registry.example/v1 by cargo-credential-netrc",
                "error: 401 for … at https://registry.example/v1 by cargo-credential-netrc",
            ),
            ("", ""),
            ("0123456789abcdef", "…"),
            ("ünï 0123456789abcde", "ünï 0123456789abcde"),
            ("got wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY,", "got …,"),
            ("got AbCdEfGhIjKlMnOpQr\n", "got …\n"),
            ("correct.horse.battery9", "…"),
            ("password=correct.horse.battery", "password=…"),
            ("basic dXNlcjpwYXNz, and", "basic … and"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic …"),
            ("-H 'authorization:Bearer abcdef'", "-H 'authorization:Bearer …"),
            (r#"{"token": "Bearer abc", "x": 1}"#, r#"{"token": "Bearer … "x": 1}"#),
            (r#"{"SecretAccessKey":"abc","x":"y"} z"#, r#"{"SecretAccessKey":… z"#),
            ("aws_secret_access_key = wJalr", "aws_secret_access_key = …"),
            ("PASSWORD: 'correct horse battery' is wrong", "PASSWORD: …   is wrong"),
            ("the password hunter2 is wrong", "the password … is wrong"),
            ("https://bob:hunter@registry.example/a?token=abc&x=y", "https://…@registry.example/a?token=…"),
            // What remains readable.
            (
                "An error occurred (ExpiredTokenException): the security token included in the request is expired",
                "An error occurred (ExpiredTokenException): the security token included in the request is expired",
            ),
            (
                "cannot read /usr/local/share/registry-1/credentials.json: no such file",
                "cannot read /usr/local/share/registry-1/credentials.json: no such file",
            ),
        ] {
            assert_eq!(without_secrets(said), cleaned);
        }
    }
}
