//! `inspect`: what a token says. It proves nothing, and says so.

use std::io::Read as _;

use asymmetric_token::{Claims, Enrollment, Footer, MAX_TOKEN_BYTES, Untrusted, enrollment};
use clap::Args;
use serde_json::json;

use crate::commands::{print, print_json};
use crate::error::Error;
use crate::text::escape;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The token, or `-` for standard input.
    #[arg(default_value = "-")]
    pub token: String,
    /// One JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Runs `yk-cargo inspect`.
///
/// # Errors
/// [`Error::Token`] with the reason a verifier would give for not reading it.
pub fn run(arguments: &Inspect) -> Result<(), Error> {
    let token = if arguments.token == "-" { from_stdin()? } else { arguments.token.clone() };
    let untrusted = Untrusted::parse(token.trim())?;
    if let Ok(enrollment) = untrusted.unverified_enrollment() {
        return if arguments.json {
            print_json(&enrollment_as_json(&enrollment, untrusted.footer()))
        } else {
            print(enrollment_as_text(&enrollment, untrusted.footer()))
        };
    }
    let claims = untrusted.unverified_claims()?;
    if arguments.json {
        print_json(&as_json(&claims, untrusted.footer()))
    } else {
        print(as_text(&claims, untrusted.footer()))
    }
}

fn from_stdin() -> Result<String, Error> {
    let mut token = String::new();
    let most = MAX_TOKEN_BYTES as u64 + 64;
    std::io::stdin().lock().take(most).read_to_string(&mut token).map_err(Error::Stdio)?;
    Ok(token)
}

fn as_json(claims: &Claims, footer: &Footer) -> serde_json::Value {
    let mutation = claims.mutation.as_ref();
    json!({
        "version": 1,
        "verified": false,
        "index": footer.url,
        "key-id": footer.key_id.to_string(),
        "issued-at": claims.issued_at.to_string(),
        "subject": claims.subject,
        "operation": mutation.map_or("read", |mutation| mutation.kind()),
        "name": mutation.map(|mutation| mutation.name().as_str()),
        "vers": mutation.and_then(|mutation| mutation.version()).map(ToString::to_string),
        "cksum": mutation.and_then(|mutation| mutation.checksum()).map(|checksum| checksum.to_string()),
        "challenge": claims.challenge,
        "custom": claims.custom,
    })
}

fn enrollment_as_json(enrollment: &Enrollment, footer: &Footer) -> serde_json::Value {
    json!({
        "version": 1,
        "verified": false,
        "index": footer.url,
        "key-id": footer.key_id.to_string(),
        "issued-at": enrollment.issued_at.to_string(),
        "operation": enrollment::KIND,
        "role": enrollment.role.as_str(),
        "keys": enrollment::sorted(&enrollment.keys),
        "challenge": enrollment.challenge,
    })
}

fn enrollment_as_text(enrollment: &Enrollment, footer: &Footer) -> String {
    let mut lines = vec![
        ("registry", escape(&footer.url)),
        ("key", footer.key_id.to_string()),
        ("issued", enrollment.issued_at.to_string()),
        ("good for", enrollment::KIND.to_owned()),
        ("role", enrollment.role.to_string()),
    ];
    lines.extend(enrollment::sorted(&enrollment.keys).into_iter().map(|id| ("enrolls", id)));
    lines.push(("challenge", escape(&enrollment.challenge)));
    aligned(lines)
}

fn as_text(claims: &Claims, footer: &Footer) -> String {
    let mutation = claims.mutation.as_ref();
    let mut lines = vec![
        ("registry", escape(&footer.url)),
        ("key", footer.key_id.to_string()),
        ("issued", claims.issued_at.to_string()),
        ("good for", mutation.map_or("read", |mutation| mutation.kind()).to_owned()),
    ];
    if let Some(mutation) = mutation {
        lines.push(("crate", mutation.name().to_string()));
        lines.extend(mutation.version().map(|version| ("version", version.to_string())));
        lines.extend(mutation.checksum().map(|checksum| ("checksum", checksum.to_string())));
    }
    lines.extend(claims.subject.as_deref().map(|subject| ("subject", escape(subject))));
    lines.extend(claims.challenge.as_deref().map(|challenge| ("challenge", escape(challenge))));
    lines.extend(
        claims
            .custom
            .as_ref()
            .map(|custom| ("custom", escape(&serde_json::Value::from(custom.clone()).to_string()))),
    );
    aligned(lines)
}

fn aligned(mut lines: Vec<(&str, String)>) -> String {
    lines.push((
        "verified",
        "no: anybody can write this, and only the registry's copy of the key can verify it".into(),
    ));
    lines.iter().map(|(name, value)| format!("{name:<10}{value}")).collect::<Vec<_>>().join("\n")
}
