//! What a verified token allows. Pure: the time is an argument, nothing is read or written.
//!
//! Source: RFC 3231, "How the registry server will validate an asymmetric token", made stricter in two places: the
//! issue time is bounded on both sides, and a mutation token is good for the one thing it names and nothing else.

use std::time::Duration;

use asymmetric_token::{Checksum, Claims, CrateName, Mutation, Verified};
use jiff::{SignedDuration, Timestamp};
use semver::Version;

use crate::challenge::{Challenges, Issuer, Unfit};
use crate::keys::{Key, Role};

/// What this registry asks of every token.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The index URL as cargo has it: `sparse+http…/index/`. Compared byte for byte.
    pub url: String,
    /// How old a token may be.
    pub window: Duration,
    /// How far in the future a token may be dated.
    pub skew: Duration,
    /// Whether mutation tokens have a challenge.
    pub challenges: Challenges,
    /// Whose challenge it must be.
    pub issuer: Issuer,
}

/// What a request wants to do, as far as its method and path say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Index, download, search.
    Read,
    /// Upload; crate, version and checksum are in the body.
    Publish,
    /// Take a version out of resolution.
    Yank {
        /// The crate.
        name: CrateName,
        /// The version.
        version: Version,
    },
    /// Put it back.
    Unyank {
        /// The crate.
        name: CrateName,
        /// The version.
        version: Version,
    },
    /// List or change the owners.
    Owners {
        /// The crate.
        name: CrateName,
        /// The HTTP method: cargo sends one token on up to three requests.
        method: &'static str,
    },
}

/// Why a token is not enough for a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no token.
    #[error("this request needs a token; is a credential provider configured for this registry?")]
    NoToken,
    /// `Bearer …` or another scheme, or a header that is no text.
    #[error("send the asymmetric token alone, without a scheme such as `Bearer`")]
    Scheme,
    /// Not an asymmetric token.
    #[error("not a usable asymmetric token: {0}")]
    Syntax(asymmetric_token::Error),
    /// No such key here.
    #[error("the key {0} is not known here; an administrator adds it with `registry-gateway key add`")]
    UnknownKey(String),
    /// The key was known once.
    #[error("the key {id} was revoked at {at:.0}; enroll a new one")]
    RevokedKey {
        /// The key's id.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// The key was registered for a time, which is over.
    #[error("the key {id} expired at {at:.0}; enroll a new one")]
    ExpiredKey {
        /// The key's id.
        id: String,
        /// When.
        at: Timestamp,
    },
    /// The signature is another key's, or over other bytes.
    #[error("the token's signature does not verify")]
    Signature,
    /// Issued too long ago.
    #[error(
        "the token was issued at {issued_at:.0} and is good for {window} s, and it is {now:.0} here; is the clock right?"
    )]
    TooOld {
        /// `iat`.
        issued_at: Timestamp,
        /// Seconds.
        window: u64,
        /// The server's time.
        now: Timestamp,
    },
    /// Issued later than now.
    #[error("the token is dated {issued_at:.0}, but it is {now:.0} here; is the clock right?")]
    InFuture {
        /// `iat`.
        issued_at: Timestamp,
        /// The server's time.
        now: Timestamp,
    },
    /// Made for another registry, or for another spelling of this one.
    #[error("the token is for {token}, this registry is {ours}")]
    Url {
        /// The footer's.
        token: String,
        /// Ours.
        ours: String,
    },
    /// A challenge that this registry has not issued.
    #[error("the token answers a challenge that this registry has not issued")]
    Challenge,
    /// A challenge of ours that is too old.
    #[error(
        "the challenge in the token ran out, and it is {now:.0} here; run the command again for a new one"
    )]
    ChallengeExpired {
        /// The server's time.
        now: Timestamp,
    },
    /// A mutation token without a challenge, where every one needs it.
    #[error(
        "this registry wants a challenge in every {0} token; run `yk-cargo enroll REGISTRY --refresh`, and the command again"
    )]
    ChallengeMissing(&'static str),
    /// Another token answered this challenge before.
    #[error("the challenge in the token was used before; run the command again for a new one")]
    ChallengeUsed,
    /// A mutation token was used before.
    #[error("this {0} token was used before; run the command again for a new one")]
    Replayed(&'static str),
    /// A read key signed a mutation, or a publish key a read.
    #[error("the key has the role `{role}` here, a {wanted} token needs another")]
    Role {
        /// What the key may do.
        role: Role,
        /// `read`, `publish`, `yank`, `unyank` or `owners`.
        wanted: &'static str,
    },
    /// `sub` is not the registered one.
    #[error("the token's subject is {token}, registered with the key is {registered}")]
    Subject {
        /// In words: quoted, or "none".
        token: String,
        /// In words: quoted, or "none".
        registered: String,
    },
    /// A token for one thing, a request for another.
    #[error("a {token} token cannot {request}")]
    Kind {
        /// `read`, `publish`, `yank`, `unyank` or `owners`.
        token: &'static str,
        /// What the request wants, as a verb.
        request: &'static str,
    },
    /// The right kind of token, for another crate, version or file.
    #[error("the token is for the {what} {token}, the request for {request}")]
    Claim {
        /// `crate`, `version` or `checksum`.
        what: &'static str,
        /// What was signed.
        token: String,
        /// What was asked.
        request: String,
    },
    /// The crate is somebody else's.
    #[error("the crate `{name}` belongs to {owner} here, the key to {user}")]
    NotOwner {
        /// The crate.
        name: String,
        /// Its owner.
        owner: String,
        /// The key's user.
        user: String,
    },
    /// The signature of an owners token covers neither the people nor the direction.
    #[error("owners are not changed over this API: an owners token does not say whom to add or remove")]
    OwnersOff,
}

impl Refusal {
    /// 401 where another token could help, 403 where the token is good and the request not allowed.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        match self {
            Self::NoToken
            | Self::Scheme
            | Self::Syntax(_)
            | Self::UnknownKey(_)
            | Self::RevokedKey { .. }
            | Self::ExpiredKey { .. }
            | Self::Signature
            | Self::TooOld { .. }
            | Self::InFuture { .. }
            | Self::Url { .. }
            | Self::Challenge
            | Self::ChallengeExpired { .. }
            | Self::ChallengeMissing(_)
            | Self::ChallengeUsed
            | Self::Replayed(_) => true,
            Self::Role { .. }
            | Self::Subject { .. }
            | Self::Kind { .. }
            | Self::Claim { .. }
            | Self::NotOwner { .. }
            | Self::OwnersOff => false,
        }
    }
}

/// Decides whether a verified token allows an operation now.
///
/// What a publish token says of the upload is compared later, by [`upload_is_signed`], when the upload is there.
///
/// # Errors
/// The first [`Refusal`] in the order key, time, URL, challenge, subject, role, claims.
pub fn decide(
    verified: &Verified,
    key: &Key,
    rules: &Rules,
    operation: &Operation,
    now: Timestamp,
) -> Result<(), Refusal> {
    let claims = &verified.claims;
    is_good(key, now)?;
    is_current(claims.issued_at, &verified.footer.url, rules, now)?;
    answers_challenge(claims, rules, now)?;
    if claims.subject != key.subject {
        let words =
            |subject: &Option<String>| subject.as_ref().map_or("none".to_owned(), |s| format!("`{s}`"));
        return Err(Refusal::Subject { token: words(&claims.subject), registered: words(&key.subject) });
    }
    let allowed = if claims.mutation.is_some() { key.role.may_mutate() } else { key.role.may_read() };
    if !allowed {
        return Err(Refusal::Role { role: key.role, wanted: kind(claims) });
    }
    matches_request(claims, operation)
}

/// Whether a key is good for anything now.
///
/// # Errors
/// [`Refusal::RevokedKey`], [`Refusal::ExpiredKey`].
pub fn is_good(key: &Key, now: Timestamp) -> Result<(), Refusal> {
    if let Some(at) = key.revoked {
        return Err(Refusal::RevokedKey { id: key.id().to_string(), at });
    }
    match key.expires.filter(|at| *at <= now) {
        Some(at) => Err(Refusal::ExpiredKey { id: key.id().to_string(), at }),
        None => Ok(()),
    }
}

/// Whether a token of this time and URL is one for us, now.
///
/// # Errors
/// [`Refusal::TooOld`], [`Refusal::InFuture`], [`Refusal::Url`].
pub fn is_current(issued_at: Timestamp, url: &str, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
    in_time(issued_at, rules, now)?;
    if url != rules.url {
        return Err(Refusal::Url { token: cut(url), ours: rules.url.clone() });
    }
    Ok(())
}

/// Decides whether an upload is the one that was signed: name, version and checksum byte for byte.
///
/// # Errors
/// [`Refusal::Claim`] naming the first difference; [`Refusal::Kind`] for any token but a publish token.
pub fn upload_is_signed(
    mutation: &Mutation,
    name: &str,
    version: &str,
    checksum: Checksum,
) -> Result<(), Refusal> {
    let Mutation::Publish { name: signed_name, version: signed_version, checksum: signed_checksum } =
        mutation
    else {
        return Err(Refusal::Kind { token: mutation.kind(), request: Operation::Publish.verb() });
    };
    same("crate", signed_name.as_str(), name)?;
    same("version", &signed_version.to_string(), version)?;
    same("checksum", &signed_checksum.to_string(), &checksum.to_string())
}

/// The single-use key of a mutation: what it says, by which key and when, not the bytes in which it says so. With
/// ECDSA, whoever sees (r, s) can write (r, n − s), which is another valid token for the same statement.
///
/// An owners token also has the HTTP method here, because cargo sends one on up to three requests.
#[must_use]
pub fn single_use_key(verified: &Verified, operation: &Operation) -> Option<String> {
    let claims = &verified.claims;
    let mutation = claims.mutation.as_ref()?;
    let method = match operation {
        Operation::Owners { method, .. } => Some(*method),
        _ => None,
    };
    let parts = serde_json::json!([
        verified.footer.key_id.to_string(),
        mutation.kind(),
        mutation.name().as_str(),
        mutation.version().map(Version::to_string),
        mutation.checksum().map(|checksum| checksum.to_string()),
        claims.challenge,
        claims.issued_at.as_nanosecond().to_string(),
        method,
    ]);
    Some(parts.to_string())
}

/// The longest window that can be set: a day.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);
/// The longest skew that can be set: an hour.
pub const LONGEST_SKEW: Duration = Duration::from_secs(3600);

/// Until when a single-use key is kept: its token is too old afterwards, by whatever rules the gateway runs then. With
/// the present rules' window, a wider one set later would let a spent token pass again.
#[must_use]
pub fn kept_until(claims: &Claims) -> Timestamp {
    claims
        .issued_at
        .checked_add(signed(LONGEST_WINDOW).saturating_add(signed(LONGEST_SKEW)))
        .unwrap_or(Timestamp::MAX)
}

impl Operation {
    /// "a read token cannot …"
    fn verb(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Publish => "publish",
            Self::Yank { .. } => "yank",
            Self::Unyank { .. } => "unyank",
            Self::Owners { .. } => "list or change owners",
        }
    }
}

fn in_time(issued_at: Timestamp, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
    let age = now.duration_since(issued_at);
    if age > signed(rules.window) {
        return Err(Refusal::TooOld { issued_at, window: rules.window.as_secs(), now });
    }
    if -age > signed(rules.skew) {
        return Err(Refusal::InFuture { issued_at, now });
    }
    Ok(())
}

/// Cargo uses read tokens again, so they cannot answer anything.
fn answers_challenge(claims: &Claims, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
    let Some(mutation) = &claims.mutation else {
        return if claims.challenge.is_some() { Err(Refusal::Challenge) } else { Ok(()) };
    };
    match (&claims.challenge, rules.challenges) {
        (None, Challenges::Required) => Err(Refusal::ChallengeMissing(mutation.kind())),
        (None, _) => Ok(()),
        (Some(_), Challenges::Off) => Err(Refusal::Challenge),
        (Some(challenge), _) => rules.issuer.check(challenge, now).map(drop).map_err(|unfit| match unfit {
            Unfit::Foreign => Refusal::Challenge,
            Unfit::Expired => Refusal::ChallengeExpired { now },
        }),
    }
}

fn matches_request(claims: &Claims, operation: &Operation) -> Result<(), Refusal> {
    match (&claims.mutation, operation) {
        (None, Operation::Read) | (Some(Mutation::Publish { .. }), Operation::Publish) => Ok(()),
        (Some(Mutation::Yank { name, version }), Operation::Yank { name: n, version: v })
        | (Some(Mutation::Unyank { name, version }), Operation::Unyank { name: n, version: v }) => {
            same("crate", name.as_str(), n.as_str())?;
            same("version", &version.to_string(), &v.to_string())
        }
        (Some(Mutation::Owners { name }), Operation::Owners { name: n, .. }) => {
            same("crate", name.as_str(), n.as_str())
        }
        _ => Err(Refusal::Kind { token: kind(claims), request: operation.verb() }),
    }
}

fn same(what: &'static str, token: &str, request: &str) -> Result<(), Refusal> {
    if token == request {
        return Ok(());
    }
    Err(Refusal::Claim { what, token: token.to_owned(), request: cut(request) })
}

fn kind(claims: &Claims) -> &'static str {
    claims.mutation.as_ref().map_or("read", Mutation::kind)
}

/// A window of more than 292 billion years is no window; the conversion saturates.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Foreign text in a sentence: no longer than it takes to recognise it.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
