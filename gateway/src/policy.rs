//! What a verified token allows. Nothing here reads or writes anything, and the time is an argument.
//!
//! Source: RFC 3231, "How the registry server will validate an asymmetric token", and stricter in two respects: the
//! issue time may not be in the future either, and a mutation token is good only for the one thing that it names.

use std::time::Duration;

use asymmetric_token::{Checksum, Claims, CrateName, Mutation, Verified};
use jiff::{SignedDuration, Timestamp};
use semver::Version;

use crate::challenge::{BadChallenge, Challenges, Issuer};
use crate::keys::{Key, Role};

/// What this registry requires of every token.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The index URL as cargo has it: `sparse+http…/index/`. It is compared byte for byte.
    pub url: String,
    /// How old a token may be.
    pub window: Duration,
    /// How far in the future a token may be dated.
    pub skew: Duration,
    /// Whether mutation tokens contain a challenge.
    pub challenges: Challenges,
    /// Recognises the challenges of this registry.
    pub issuer: Issuer,
}

/// What a request wants to do, as far as its method and path tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Operation {
    /// Read the index, download, or search.
    Read,
    /// Exchange a read token of a machine's key for a staging token.
    Exchange,
    /// Publish a version. Crate, version and checksum are in the body.
    Publish,
    /// Take a version out of resolution.
    Yank { name: CrateName, version: Version },
    /// Put it back.
    Unyank { name: CrateName, version: Version },
    /// List or change the owners.
    Owners {
        name: CrateName,
        /// The HTTP method, because cargo sends one token with up to three requests.
        method: &'static str,
    },
}

/// Why a token does not allow a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum Refusal {
    /// There is no token.
    #[error("this request needs a token; is a credential provider configured for this registry?")]
    NoToken,
    /// There is a scheme such as `Bearer`, or the field is not text.
    #[error("send the asymmetric token alone, without a scheme such as `Bearer`")]
    Scheme,
    /// It is not an asymmetric token.
    #[error("not a usable asymmetric token: {0}")]
    Syntax(asymmetric_token::Error),
    /// The key is not known here.
    #[error("the key {0} is not registered here; an administrator adds it with `registry-gateway key add`")]
    UnknownKey(String),
    /// The key was revoked.
    #[error("the key {id} was revoked at {at:.0}; enroll a new one")]
    RevokedKey { id: String, at: Timestamp },
    /// The key has expired.
    #[error("the key {id} expired at {at:.0}; enroll a new one")]
    ExpiredKey { id: String, at: Timestamp },
    /// The signature does not verify.
    #[error("the token's signature does not verify")]
    Signature,
    /// It was issued too long ago.
    #[error(
        "the token was issued at {issued_at:.0} and is valid for {window} s, but it is {now:.0} here; is the clock right?"
    )]
    TooOld {
        /// `iat`.
        issued_at: Timestamp,
        /// The window, in seconds.
        window: u64,
        /// The server's time.
        now: Timestamp,
    },
    /// It is dated in the future.
    #[error("the token is dated {issued_at:.0}, but it is {now:.0} here; is the clock right?")]
    InFuture { issued_at: Timestamp, now: Timestamp },
    /// It is for another registry, or for another spelling of this one's URL.
    #[error("the token is for {token}, but this registry is {ours}")]
    Url { token: String, ours: String },
    /// Its challenge was not issued by this registry.
    #[error("the token answers a challenge that this registry did not issue")]
    Challenge,
    /// Its challenge is too old.
    #[error(
        "the challenge in the token has expired (it is {now:.0} here); run the command again for a new one"
    )]
    ChallengeExpired { now: Timestamp },
    /// It has no challenge, although this registry requires one.
    #[error(
        "this registry requires a challenge in every {0} token; run `yk-cargo enroll REGISTRY --refresh`, then the command again"
    )]
    ChallengeMissing(&'static str),
    /// Another token has used this challenge.
    #[error("the challenge in the token was used before; run the command again for a new one")]
    ChallengeUsed,
    /// It may have been used before: tokens of its age are forgotten.
    #[error(
        "tokens of that time are no longer remembered here, because the clock was ahead; run the command again for a new token"
    )]
    Forgotten,
    /// It was used before.
    #[error("this {0} token was used before; run the command again for a new one")]
    Replayed(&'static str),
    /// A read key signed a mutation, or a publish key signed a read token.
    #[error("the key has the role `{role}` here, but a {wanted} token needs `{}` or `both`", if *wanted == "read" { "read" } else { "publish" })]
    Role {
        /// What the key may do.
        role: Role,
        /// `read`, `publish`, `yank`, `unyank` or `owners`.
        wanted: &'static str,
    },
    /// Only a key with the role `stage` gets a staging token.
    #[error("the key has the role `{role}` here, and only a key with the role `stage` gets a staging token")]
    NotForStaging { role: Role },
    /// No publisher is who asks.
    #[error(
        "no publisher of this registry matches this identity; an administrator adds one with `registry-gateway publisher add`"
    )]
    NoPublisher,
    /// There is no such staging token, or it is not good any more.
    #[error(
        "the staging token is unknown, revoked or expired: get a new one for this job, and run the command again"
    )]
    StagingToken,
    /// A staging token does not allow anything else.
    #[error("a staging token stages versions and cannot {request}")]
    OnlyStages {
        /// What the request wants, as a verb.
        request: &'static str,
    },
    /// A staging token is for other crates.
    #[error(
        "{stager} may not stage the crate `{name}` here: the registry's administrator says which crates it may stage"
    )]
    NotStagedBy { stager: String, name: String },
    /// A staging token is for existing crates of that pattern only.
    #[error(
        "there is no crate `{name}` yet, and {stager} may stage a new one only if the registry's administrator has named it in full"
    )]
    NewCrate { stager: String, name: String },
    /// Its `sub` is not the registered one.
    #[error("the token's subject is {token}, but the key is registered with {registered}")]
    Subject {
        /// It in quotes, or "none".
        token: String,
        /// It in quotes, or "none".
        registered: String,
    },
    /// It is another kind of token than the request needs.
    #[error("a {token} token cannot {request}")]
    Kind {
        /// `read`, `publish`, `yank`, `unyank` or `owners`.
        token: &'static str,
        /// What the request wants, as a verb.
        request: &'static str,
    },
    /// It is the right kind of token, but for another crate, version or file.
    #[error("the token is for the {what} {token}, but the request is for {request}")]
    Claim {
        /// `crate`, `version` or `checksum`.
        what: &'static str,
        /// The signed value.
        token: String,
        /// The value in the request.
        request: String,
    },
    /// The crate belongs to another user.
    #[error("the crate `{name}` belongs to {owner}, but the key belongs to {user}")]
    NotOwner { name: String, owner: String, user: String },
    /// Owners cannot be changed: an owners token covers neither the people nor the direction.
    #[error(
        "owners are not changed over this API, since an owners token does not say whom to add or remove: ask the registry's administrator"
    )]
    OwnersOff,
}

impl Refusal {
    /// True for 401: another token could help. False for 403: the token is good, but the request is not allowed.
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
            | Self::Forgotten
            | Self::StagingToken
            | Self::Replayed(_) => true,
            Self::Role { .. }
            | Self::NotForStaging { .. }
            | Self::NoPublisher
            | Self::OnlyStages { .. }
            | Self::NotStagedBy { .. }
            | Self::NewCrate { .. }
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
/// What a publish token says of the upload is checked later by [`upload_is_signed`].
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
    let is_exchange = *operation == Operation::Exchange && claims.mutation.is_none();
    if is_exchange && key.role != Role::Stage {
        return Err(Refusal::NotForStaging { role: key.role });
    }
    let allowed = match &claims.mutation {
        Some(_) => key.role.may_mutate(),
        None => is_exchange || key.role.may_read(),
    };
    if !allowed {
        return Err(Refusal::Role { role: key.role, wanted: kind(claims) });
    }
    matches_request(claims, operation)
}

/// Checks that a key is neither revoked nor expired.
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

/// Checks that a key may sign changes.
///
/// # Errors
/// As [`is_good`]; [`Refusal::Role`].
pub fn may_change(key: &Key, now: Timestamp) -> Result<(), Refusal> {
    is_good(key, now)?;
    if key.role.may_mutate() { Ok(()) } else { Err(Refusal::Role { role: key.role, wanted: "publish" }) }
}

/// Checks that a token of this time and URL is for this registry, and valid now.
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

/// Checks that an upload is the signed one: name, version and checksum, byte for byte.
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

/// The single-use key of a mutation. It is made from what the token says, by which key and when, and not from the bytes
/// of the token: with ECDSA, whoever sees the signature (r, s) can write (r, n − s), which is another valid token for
/// the same statement.
///
/// For an owners token the HTTP method is part of it, because cargo sends one token with up to three requests.
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

/// The same for a read token, for the one request that spends it. It cannot be confused with one of a mutation, which begins with a
/// key's id.
#[must_use]
pub fn single_use_read_key(verified: &Verified) -> String {
    let issued_at = verified.claims.issued_at.as_nanosecond().to_string();
    serde_json::json!(["read", verified.footer.key_id.to_string(), issued_at]).to_string()
}

/// The longest window that can be set: a day.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(86_400);
/// The longest skew that can be set: an hour.
pub const LONGEST_SKEW: Duration = Duration::from_secs(3600);

/// How long a single-use key is kept. After that its token is too old under any rules that can be set. If only the
/// present window counted, a wider one that is set later would let a spent token pass again.
#[must_use]
pub fn kept_until(claims: &Claims) -> Timestamp {
    claims
        .issued_at
        .checked_add(signed(LONGEST_WINDOW).saturating_add(signed(LONGEST_SKEW)))
        .unwrap_or(Timestamp::MAX)
}

impl Operation {
    /// The verb in "a read token cannot …".
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Exchange => "be exchanged for a staging token",
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

/// Cargo uses a read token many times, so it cannot contain a challenge.
fn answers_challenge(claims: &Claims, rules: &Rules, now: Timestamp) -> Result<(), Refusal> {
    let Some(mutation) = &claims.mutation else {
        return if claims.challenge.is_some() { Err(Refusal::Challenge) } else { Ok(()) };
    };
    match (&claims.challenge, rules.challenges) {
        (None, Challenges::Required) => Err(Refusal::ChallengeMissing(mutation.kind())),
        (None, _) => Ok(()),
        (Some(_), Challenges::Off) => Err(Refusal::Challenge),
        (Some(challenge), _) => rules.issuer.check(challenge, now).map(drop).map_err(|unfit| match unfit {
            BadChallenge::Foreign => Refusal::Challenge,
            BadChallenge::Expired => Refusal::ChallengeExpired { now },
        }),
    }
}

fn matches_request(claims: &Claims, operation: &Operation) -> Result<(), Refusal> {
    match (&claims.mutation, operation) {
        (None, Operation::Read | Operation::Exchange)
        | (Some(Mutation::Publish { .. }), Operation::Publish) => Ok(()),
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

/// The conversion saturates at 292 billion years.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Foreign text for a sentence, cut to a length at which it can still be recognised.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}
