//! Invites, and the enrollment of keys.

use asymmetric_token::{KeyId, PublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

use super::share::Account;
use super::spent::{self, MOST, Most, SpendError};
use super::sql::{Sql, values};
use super::{Store, StoreError, audit, keys, parsed, time, users};
use crate::enrollment::{EnrollmentError, INVITE_LASTS, InviteCode};
use crate::keys::{Key, NewKey, Role, User};
use crate::policy::{self, Refusal};

/// What entitles somebody to enroll keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// An invite, as its [hash](InviteCode::hash).
    Invite(String),
    /// The endorsement of an enrolled key.
    Endorsement(KeyId),
}

/// Keys to be enrolled together. Everything that can be checked without the database was checked.
#[derive(Clone, Debug)]
pub struct Enrolling {
    /// What entitles the person to enroll them.
    pub right: Right,
    /// The nonce that they signed, and how long it has to be remembered.
    pub nonce: (String, Timestamp),
    /// The person's name for the card.
    pub label: String,
    /// One to four keys.
    pub keys: Vec<ProvenKey>,
    /// The server's time.
    pub now: Timestamp,
}

/// A key that has signed its request.
#[derive(Clone, Debug)]
pub struct ProvenKey {
    /// The public key.
    pub public: PublicKey,
    /// What it may sign.
    pub role: Role,
    /// Its attestation, if it is kept: each certificate in DER.
    pub attestation: Option<Vec<Vec<u8>>>,
}

/// Keys that are enrolled now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The user they belong to.
    pub user: User,
    /// Whether they were enrolled before. The answer to the first request may have been lost.
    pub again: bool,
}

/// Why keys are not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The invite, the nonce or the endorsement is not good.
    #[error(transparent)]
    Refused(#[from] EnrollmentError),
    /// As much was spent lately as can be remembered, by all or by this user.
    #[error(transparent)]
    Full(SpendError),
    /// A key belongs to another user or was revoked, or the user was removed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Invites a user to enroll keys, once and within a day. An older invite that was not used becomes void. Only a
    /// hash of the code is kept.
    ///
    /// # Errors
    /// [`StoreError::UserUnknown`], [`StoreError::UserRemoved`].
    pub fn invite(&self, user: &User, now: Timestamp) -> Result<(InviteCode, Timestamp), StoreError> {
        let code = InviteCode::random();
        let lasts = SignedDuration::try_from(INVITE_LASTS).unwrap_or(SignedDuration::ZERO);
        let expires = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
        self.write(|transaction| {
            users::present(transaction, user)?;
            users::void_invites(transaction, user)?;
            transaction.execute(
                "INSERT INTO invite (hash, user, issued, expires) SELECT ?, id, ?, ? FROM user WHERE name = ?",
                values![&code.hash(), &now.to_string(), &expires.to_string(), user.as_str()],
            )?;
            audit::note(transaction, now, "invite", user, &[("expires", expires.to_string())])?;
            Ok((code, expires))
        })
    }

    /// Whom the invite with this hash lets enroll keys now. It is not used by that.
    ///
    /// # Errors
    /// Those about invites; [`StoreError::UserRemoved`].
    pub(crate) fn invited(&self, hash: &str, now: Timestamp) -> Result<User, EnrollError> {
        let reader = self.reader()?;
        let invite = find_invite(&reader, hash)?.ok_or(EnrollmentError::UnknownInvite)?;
        users::present(&reader, &invite.user)?;
        invite.is_good(now)?;
        Ok(invite.user)
    }

    /// Whether there is, or was, an invite with this hash.
    pub(crate) fn knows_invite(&self, hash: &str) -> Result<bool, StoreError> {
        self.reader()?.exists("SELECT 1 FROM invite WHERE hash = ?", values![hash])
    }

    /// Enrolls all keys or none, and spends the nonce and the invite in the same transaction. If all of them are
    /// enrolled already, for the same user and roles, that is no error and spends no invite. Keys that another key
    /// endorsed expire together with it, and their tokens have to carry the same subject.
    ///
    /// # Errors
    /// [`EnrollmentError::NonceUsed`], those about invites and endorsements; [`EnrollError::Full`];
    /// [`StoreError::KeyKnown`], [`StoreError::UserRemoved`].
    pub fn enroll(&self, enrolling: &Enrolling) -> Result<Enrolled, EnrollError> {
        self.write(|transaction| {
            let (user, invite, endorser) = match &enrolling.right {
                Right::Invite(hash) => {
                    let invite = find_invite(transaction, hash)?.ok_or(EnrollmentError::UnknownInvite)?;
                    (invite.user.clone(), Some((hash, invite)), None)
                }
                Right::Endorsement(id) => {
                    let endorser = endorser(transaction, *id, enrolling.now)?;
                    (endorser.user.clone(), None, Some(endorser))
                }
            };
            users::present(transaction, &user)?;
            use_nonce(transaction, enrolling, &user, MOST)?;
            let again = are_enrolled(transaction, enrolling, &user)?;
            if !again {
                if let Some((hash, invite)) = &invite {
                    invite.is_good(enrolling.now)?;
                    let used = enrolling.now.to_string();
                    let update = "UPDATE invite SET used = ? WHERE hash = ?";
                    transaction.execute(update, values![&used, hash.as_str()])?;
                }
                let right = match &enrolling.right {
                    Right::Invite(_) => "an invite".to_owned(),
                    Right::Endorsement(id) => id.to_string(),
                };
                audit::note(transaction, enrolling.now, "enroll", &user, &[("right", right)])?;
                for key in &enrolling.keys {
                    write(transaction, key, enrolling, &user, endorser.as_ref())?;
                }
            }
            Ok(Enrolled { user, again })
        })
    }

    /// The attestation that came with a key, each certificate in DER.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn attestation(&self, id: KeyId) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let sql = "SELECT attestation FROM key WHERE id = ?";
        let text: Option<Option<String>> =
            self.reader()?.optional(sql, values![&id.to_string()], |row| row.get(0))?;
        let damaged = || StoreError::Damaged(format!("attestation of {id}"));
        let Some(text) = text.flatten() else { return Ok(None) };
        let chain = text.split(' ').map(|one| STANDARD.decode(one)).collect::<Result<_, _>>();
        chain.map(Some).map_err(|_| damaged())
    }
}

/// Remembers the nonce among the single-use keys of mutations. They cannot be confused, because those begin with a key
/// id.
fn use_nonce(
    transaction: &Sql<'_>,
    enrolling: &Enrolling,
    user: &User,
    most: Most,
) -> Result<(), EnrollError> {
    let (nonce, kept_until) = &enrolling.nonce;
    let nonce = serde_json::json!(["enroll", nonce]).to_string();
    // It may have been used and be forgotten, if the clock was ahead and is put back.
    let is_forgotten = kept_until.as_second() < spent::forgotten_until(transaction)?;
    if is_forgotten || spent::is_spent(transaction, &nonce)? {
        return Err(EnrollmentError::NonceUsed.into());
    }
    let account = Account::of(transaction, user)?;
    let kept = (*kept_until, enrolling.now);
    spent::remember(transaction, (user, account), &[nonce], kept, most).map_err(|error| match error {
        SpendError::Store(error) => error.into(),
        full => EnrollError::Full(full),
    })
}

struct Invite {
    user: User,
    expires: Timestamp,
    used: Option<Timestamp>,
}

impl Invite {
    fn is_good(&self, now: Timestamp) -> Result<(), EnrollmentError> {
        if let Some(at) = self.used {
            return Err(EnrollmentError::UsedInvite { at });
        }
        if self.expires <= now {
            return Err(EnrollmentError::ExpiredInvite { at: self.expires, now });
        }
        Ok(())
    }
}

fn find_invite(sql: &Sql<'_>, hash: &str) -> Result<Option<Invite>, StoreError> {
    sql.optional(
        "SELECT user.name, expires, used FROM invite JOIN user ON user.id = invite.user WHERE hash = ?",
        values![hash],
        |row| {
            Ok(Invite {
                user: parsed(row.get(0)?)?,
                expires: time(row.get(1)?)?,
                used: row.get::<Option<&str>>(2)?.map(time).transpose()?,
            })
        },
    )
}

/// The endorsing key, if it may endorse now. It may have been revoked since the signature was verified.
fn endorser(sql: &Sql<'_>, id: KeyId, now: Timestamp) -> Result<Key, EnrollError> {
    let unknown = || EnrollmentError::Endorser(Refusal::UnknownKey(id.to_string()));
    let key = keys::find(sql, id)?.ok_or_else(unknown)?;
    policy::is_good(&key, now).map_err(EnrollmentError::Endorser)?;
    if !key.role.may_mutate() {
        let refusal = Refusal::Role { role: key.role, wanted: asymmetric_token::enrollment::KIND };
        return Err(EnrollmentError::Endorser(refusal).into());
    }
    Ok(key)
}

/// Writes a key. It has its endorser's subject and expiry. If it is known, it keeps its own subject, and its expiry unless an
/// invite lifts it.
fn write(
    transaction: &Sql<'_>,
    key: &ProvenKey,
    enrolling: &Enrolling,
    user: &User,
    endorser: Option<&Key>,
) -> Result<(), StoreError> {
    let known = keys::find(transaction, key.public.id())?;
    let terms = [endorser, known.as_ref().filter(|_| endorser.is_some())];
    let expires = terms.into_iter().flatten().filter_map(|key| key.expires).min();
    let subjects = [known.as_ref(), endorser].into_iter().flatten().filter_map(|key| key.subject.clone());
    let new = NewKey {
        public: key.public,
        user: user.clone(),
        role: key.role,
        label: Some(enrolling.label.clone()),
        subject: { subjects }.next(),
        expires,
    };
    keys::insert(transaction, new, enrolling.now)?;
    let attestation = key.attestation.as_deref().map(to_text);
    let update = "UPDATE key SET attestation = ? WHERE id = ?";
    transaction.execute(update, values![attestation.as_deref(), &key.public.id().to_string()]).map(drop)
}

fn are_enrolled(sql: &Sql<'_>, enrolling: &Enrolling, user: &User) -> Result<bool, StoreError> {
    for key in &enrolling.keys {
        match keys::find(sql, key.public.id())? {
            Some(known)
                if known.user == *user
                    && known.role == key.role
                    && policy::is_good(&known, enrolling.now).is_ok() => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn to_text(chain: &[Vec<u8>]) -> String {
    chain.iter().map(|one| STANDARD.encode(one)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One who enrolls again and again must not fill the table for those who change crates.
    #[test]
    fn nonces_have_the_bound_of_all_that_is_spent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let enrolling = |nonce: &str, now: Timestamp| Enrolling {
            right: Right::Invite(String::new()),
            nonce: (nonce.to_owned(), now),
            label: String::new(),
            keys: Vec::new(),
            now,
        };
        let alice = "alice".parse().unwrap();
        store.add_user(&alice, false, now).unwrap();
        let most = Most { of_all: 2, of_one: 1_000 };
        let spend = |enrolling: &Enrolling| {
            store.write(|transaction| use_nonce(transaction, enrolling, &alice, most))
        };
        for nonce in ["a", "b"] {
            spend(&enrolling(nonce, now)).unwrap();
        }
        assert!(matches!(spend(&enrolling("c", now)), Err(EnrollError::Full(_))));
        assert!(matches!(spend(&enrolling("a", now)), Err(EnrollError::Refused(EnrollmentError::NonceUsed))));
        let later = Timestamp::from_second(60).unwrap();
        spend(&enrolling("c", later)).unwrap();
        assert!(matches!(spend(&enrolling("a", now)), Err(EnrollError::Refused(EnrollmentError::NonceUsed))));
    }
}
