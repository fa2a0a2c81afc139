//! Authorization: from the `Authorization` field to a verified token that allows the request.
//!
//! The order is: syntax of the token, key id, rate limit, signature, then the rules of [`policy::decide`]. For a
//! mutation it is also checked, before the body is read, that the token is unspent and that the registry behind would
//! not refuse. Both are checked again when the change is made.

use std::sync::Arc;

use asymmetric_token::{Error as TokenError, KeyId, MAX_TOKEN_BYTES, Untrusted, Verified};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use jiff::Timestamp;
use tracing::{Span, field};

use super::client_address::ClientAddress;
use super::{App, Failure, work};
use crate::config::Reads;
use crate::connections::Place;
use crate::keys::{Key, User, is_signed};
use crate::policy::{self, Operation, Refusal};
use crate::publishers::PREFIX as STAGING_TOKEN;
use crate::store::{Contents, Revision, Signed, Store, StoreError};
use crate::upstream::{Reader, Upstream, UpstreamError};
use crate::verified_reads::{TokenHash, VerifiedRead};

/// The reader; `None` on an open registry, where tokens are ignored.
pub(super) async fn may_read(app: &Arc<App>, request: &Parts) -> Result<Option<Reader>, Failure> {
    match app.reads {
        Reads::Token => {}
        Reads::Open => return Ok(None),
        Reads::Bypass => return Err(Failure::nothing_here()),
    }
    who_asks(app, request).await.map(Some)
}

/// The reader, also where everybody may read.
pub(super) async fn who_asks(app: &Arc<App>, request: &Parts) -> Result<Reader, Failure> {
    let reader = app.store.in_time(reader(app, request)).await?;
    is_known(request);
    Ok(reader)
}

async fn reader(app: &Arc<App>, request: &Parts) -> Result<Reader, Failure> {
    let token = bare_token(&request.headers)?;
    let hash = TokenHash::of(token);
    let present = app.store.present().await?;
    if let Some(reader) = known_reader(app, hash, present).await? {
        return Ok(reader);
    }
    let (asked, token, client) = (app.clone(), token.to_owned(), client(request)?);
    work(app, move || {
        let (verified, key) = verified(&asked, &token, client, &Operation::Read, asked.store.now())?;
        let (revision, contents) = present;
        let reader = Reader { user: key.user.clone(), revision, contents };
        asked.verified_reads.remember(hash, VerifiedRead { verified, key, revision });
        Ok::<_, Failure>(reader)
    })
    .await
}

/// The request's token is good: its connection makes room for nobody as long as the request is worked on.
pub(super) fn is_known(request: &Parts) {
    if let Some(place) = request.extensions.get::<Arc<Place>>() {
        place.is_known();
    }
}

/// The reader of an answer without a crate's content. Where reads bypass the gateway anybody may have it: the index
/// behind is open to whoever reaches it, and cargo has no token for these requests.
pub(super) async fn may_ask(app: &Arc<App>, request: &Parts) -> Result<Option<Reader>, Failure> {
    match app.reads {
        Reads::Bypass => Ok(None),
        Reads::Open | Reads::Token => may_read(app, request).await,
    }
}

/// The reader, if the token's signature was verified before and it still allows reading. If it does not, the full
/// verification tells why.
async fn known_reader(
    app: &App,
    hash: TokenHash,
    (revision, contents): (Revision, Option<Contents>),
) -> Result<Option<Reader>, StoreError> {
    let Some(mut read) = app.verified_reads.find(&hash) else { return Ok(None) };
    if read.revision != revision {
        let id = read.key.id();
        let Some(key) = app.store.asked(move |store| store.key(id)).await? else { return Ok(None) };
        let verified = read.verified.clone();
        read = app.verified_reads.remember(hash, VerifiedRead { verified, key, revision });
    }
    let now = app.store.now();
    let allowed = policy::decide(&read.verified, &read.key, &app.rules, &Operation::Read, now).is_ok();
    Ok(allowed.then(|| {
        app.metrics.known_read();
        Reader { user: read.key.user.clone(), revision, contents }
    }))
}

/// Who asks for what is staged. They show a read token, also where index and crates are read without one.
pub(super) async fn person(app: &Arc<App>, request: &Parts) -> Result<User, Failure> {
    let reader = app.store.in_time(reader(app, request)).await?;
    is_known(request);
    Ok(reader.user)
}

/// A read token that is good now, and is to be spent.
pub(super) struct SpendableRead {
    pub(super) user: User,
    pub(super) key: KeyId,
    pub(super) single_use_key: String,
    pub(super) kept_until: Timestamp,
}

/// Verifies a read token that one request spends. It is not spent yet.
pub(super) async fn spendable_read(app: &Arc<App>, request: &Parts) -> Result<SpendableRead, Failure> {
    let (asked, token, client) = (app.clone(), bare_token(&request.headers)?.to_owned(), client(request)?);
    app.store.revision().await?;
    let read = work(app, move || {
        let (verified, key) = verified(&asked, &token, client, &Operation::Read, asked.store.now())?;
        let (key, user) = (key.id(), key.user);
        let single_use_key = policy::single_use_read_key(&verified);
        Ok::<_, Failure>(SpendableRead {
            user,
            key,
            single_use_key,
            kept_until: policy::kept_until(&verified.claims),
        })
    })
    .await?;
    is_known(request);
    Ok(read)
}

/// Verifies the request's token, and decides whether it allows a change now, and whose. Nothing is spent yet.
pub(super) async fn authorize(
    app: &Arc<App>,
    request: &Parts,
    operation: Operation,
) -> Result<(User, Signed), Failure> {
    match &*app.upstream {
        Upstream::BuiltIn(_) => {
            let could_change = |store: &Store, user: &User, signed: &Signed| {
                store.could_change(user, signed)?.map_err(|refused| UpstreamError::from(refused).into())
            };
            authorize_with(app, request, operation, could_change).await
        }
        Upstream::Remote(remote) => {
            let (user, signed) = authorize_here(app, request, operation).await?;
            remote.refuses(&user).await?;
            Ok((user, signed))
        }
    }
}

/// The same without asking what the registry that is changed thinks of it.
pub(super) async fn authorize_here(
    app: &Arc<App>,
    request: &Parts,
    operation: Operation,
) -> Result<(User, Signed), Failure> {
    authorize_with(app, request, operation, |store, _, signed| Ok(store.is_unspent(signed)?)).await
}

/// The same, with what the store is asked of a verified token.
async fn authorize_with(
    app: &Arc<App>,
    request: &Parts,
    operation: Operation,
    ask: fn(&Store, &User, &Signed) -> Result<(), Failure>,
) -> Result<(User, Signed), Failure> {
    let (asked, token, client) = (app.clone(), bare_token(&request.headers)?.to_owned(), client(request)?);
    // A database that does not answer keeps no thread waiting.
    app.store.revision().await?;
    let (user, signed) = work(app, move || {
        let now = asked.store.now();
        let (verified, key) = verified(&asked, &token, client, &operation, now)?;
        let no_change = Refusal::Kind { token: "read", request: "change anything" };
        let signed = signed(token, &verified, &operation, now).ok_or(no_change)?;
        ask(&asked.store, &key.user, &signed)?;
        Ok::<_, Failure>((key.user, signed))
    })
    .await?;
    is_known(request);
    Ok((user, signed))
}

/// What a mutation spends; `None` for any other token.
fn signed(token: String, verified: &Verified, operation: &Operation, now: Timestamp) -> Option<Signed> {
    let claims = &verified.claims;
    Some(Signed {
        token,
        key: verified.footer.key_id,
        mutation: claims.mutation.clone()?,
        single_use_key: policy::single_use_key(verified, operation)?,
        challenge: claims.challenge.clone(),
        kept_until: policy::kept_until(claims),
        now,
    })
}

/// The address for which a request's verifications are counted.
pub(super) fn client(request: &Parts) -> Result<ClientAddress, Failure> {
    let client = request.extensions.get::<ClientAddress>().copied();
    client.ok_or_else(|| Failure::internal(std::io::Error::other("a request from nobody")))
}

/// The contents of a token and the key that signed it, if they allow the operation now.
pub(super) fn verified(
    app: &App,
    token: &str,
    client: ClientAddress,
    operation: &Operation,
    now: Timestamp,
) -> Result<(Verified, Key), Failure> {
    if token.starts_with(STAGING_TOKEN) {
        return Err(match app.store.stager(token)? {
            Some(_) => Refusal::OnlyStages { request: operation.verb() }.into(),
            None => Refusal::StagingToken.into(),
        });
    }
    let untrusted = Untrusted::parse(token).map_err(Refusal::Syntax)?;
    let id = untrusted.footer().key_id;
    let key = app.store.key(id)?;
    app.limits.count(client.0, key.as_ref().map(|_| id))?;
    app.metrics.verification();
    // The key id is only claimed here. The user is recorded once the signature is verified.
    Span::current().record("key", field::display(id));
    let Some(key) = key else {
        verify_nothing(token);
        return Err(Refusal::UnknownKey(id.to_string()).into());
    };
    let verified = untrusted.verify_with(&key.public, is_signed).map_err(|error| match error {
        TokenError::BadSignature => Refusal::Signature,
        other => Refusal::Syntax(other),
    })?;
    Span::current().record("user", key.user.as_str());
    policy::decide(&verified, &key, &app.rules, operation, now)?;
    Ok((verified, key))
}

/// Does as much work as verifying a signature, for a token that names an unknown key. Otherwise the time of an answer
/// would tell which keys exist.
fn verify_nothing(token: &str) {
    // The generator of the curve, compressed (SEC 2, 2.5.1). The two numbers of the signature are 1.
    const GENERATOR: [u8; 49] = [
        0x03, 0xaa, 0x87, 0xca, 0x22, 0xbe, 0x8b, 0x05, 0x37, 0x8e, 0xb1, 0xc7, 0x1e, 0xf3, 0x20, 0xad, 0x74,
        0x6e, 0x1d, 0x3b, 0x62, 0x8b, 0xa7, 0x9b, 0x98, 0x59, 0xf7, 0x41, 0xe0, 0x82, 0x54, 0x2a, 0x38, 0x55,
        0x02, 0xf2, 0x5d, 0xbf, 0x55, 0x29, 0x6c, 0x3a, 0x54, 0x5e, 0x38, 0x72, 0x76, 0x0a, 0xb7,
    ];
    let mut signature = [0; 96];
    (signature[47], signature[95]) = (1, 1);
    std::hint::black_box(is_signed(&GENERATOR, token.as_bytes(), &signature));
}

/// Cargo sends the token alone. `Bearer …` is another kind of credential, and two fields could be read in two ways.
pub(super) fn bare_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::Scheme);
    }
    if value.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Syntax(TokenError::TooLong { bytes: value.len() }));
    }
    let token = value.to_str().map_err(|_| Refusal::Scheme)?;
    if token.contains(' ') { Err(Refusal::Scheme) } else { Ok(token) }
}
