//! What people say of staged versions: an approval that waits for more, and a rejection. Each spends its token. The approval that
//! is the last one needed is an ordinary publish, of which the [ledger](super::ledger) knows.

use std::collections::HashMap;

use asymmetric_token::KeyId;
use jiff::Timestamp;
use serde_json::Value;

use super::audit;
use super::ledger;
use super::share::Account;
use super::spent::{self, MOST, Signed, SpendError};
use super::sql::{Sql, values};
use super::staged::{
    self, ApprovalError, ApprovalRule, Approving, Deciders, Given, Staged, State, approvable, decidable,
};
use super::{Store, StoreError, keys};
use crate::keys::User;
use crate::policy::{self, Refusal};

/// A rejection, by a read token.
#[derive(Clone, Debug)]
pub(crate) struct Rejection {
    /// Which version, and who may decide.
    pub(crate) approving: Approving,
    /// The key that signed the token.
    pub(crate) key: KeyId,
    /// By what the token is remembered as spent, and how long.
    pub(crate) single_use_key: String,
    pub(crate) kept_until: Timestamp,
    /// Why, in the person's words.
    pub(crate) reason: Option<String>,
    /// The server's time.
    pub(crate) now: Timestamp,
}

/// A staged version as a person sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) staged: Staged,
    /// The approvals that count.
    pub(crate) given: Vec<Given>,
    /// Whether the person may decide about it, and has not approved it.
    pub(crate) may_approve: bool,
    /// Whether it would be the first version of its crate.
    pub(crate) is_new: bool,
}

impl Store {
    /// Spends a token as an approval that waits for others. Returns false if it would be the last one needed, and nothing is done.
    ///
    /// # Errors
    /// [`SpendError`]; nothing is spent then.
    pub(crate) fn approve_in_part(&self, signed: &Signed, approving: Approving) -> Result<bool, SpendError> {
        self.write(|transaction| {
            if !self.may_begin(transaction)? {
                return Err(SpendError::NotAlive);
            }
            let key = keys::find(transaction, signed.key)?;
            let key = key.ok_or_else(|| Refusal::UnknownKey(signed.key.to_string()))?;
            let version = approvable(transaction, approving, &key.user, signed.now)?;
            let given = staged::valid(transaction, &version, approving.rule, signed.now)?;
            if !staged::is_short(&given, approving.rule, 1) {
                return Ok(false);
            }
            let user = ledger::spend(transaction, signed, MOST)?;
            let more = [
                ("user", Value::from(user.as_str())),
                ("key", signed.key.to_string().into()),
                ("token", signed.token.as_str().into()),
            ];
            let entry = staged::note(transaction, signed.now, "approved", &version, more)?;
            transaction.run(
                "INSERT INTO approval (staged, user, key, token, time, seq) SELECT ?, id, ?, ?, ?, ? FROM user WHERE name = ?",
                values![
                    version.id,
                    &signed.key.to_string(),
                    &signed.token,
                    &signed.now.to_string(),
                    audit::column(entry.seq)?,
                    user.as_str(),
                ],
            )?;
            let wait = "UPDATE staged SET state = 'waiting', changed = ?, words = NULL
                 WHERE id = ? AND state IN ('staged', 'waiting')";
            transaction.run(wait, values![&signed.now.to_string(), version.id])?;
            Ok(true)
        })
    }

    /// A version that this user could approve now.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub(crate) fn approvable(
        &self,
        approving: Approving,
        user: &User,
        now: Timestamp,
    ) -> Result<Staged, ApprovalError> {
        approvable(&self.reader()?, approving, user, now)
    }

    /// Rejects a version for good, and spends the token that says so.
    ///
    /// # Errors
    /// [`SpendError`]; nothing is spent then.
    pub(crate) fn reject(&self, rejection: &Rejection) -> Result<Staged, SpendError> {
        let Rejection { approving, single_use_key, kept_until, now, .. } = rejection;
        self.write(|transaction| {
            let key = keys::find(transaction, rejection.key)?;
            let key = key.ok_or_else(|| Refusal::UnknownKey(rejection.key.to_string()))?;
            policy::is_good(&key, *now)?;
            if !key.role.may_read() {
                return Err(Refusal::Role { role: key.role, wanted: "read" }.into());
            }
            spent::must_be_unspent(transaction, (single_use_key, "read"), *kept_until)?;
            let mut version = decidable(transaction, *approving, &key.user, *now)?;
            let single_use_key = std::slice::from_ref(single_use_key);
            let account = Account::of_owner(transaction, rejection.key)?;
            spent::remember(transaction, (&key.user, account), single_use_key, (*kept_until, *now), MOST)?;
            let reject = "UPDATE staged SET state = 'rejected', changed = ?, words = NULL
                 WHERE id = ? AND state IN ('staged', 'waiting')";
            transaction.run(reject, values![&now.to_string(), version.id])?;
            let more = [
                ("user", Value::from(key.user.as_str())),
                ("key", rejection.key.to_string().into()),
                ("reason", rejection.reason.as_deref().into()),
            ];
            staged::note(transaction, *now, "rejected", &version, more)?;
            staged::release(transaction, &version.checksum.to_string())?;
            version.state = State::Rejected;
            Ok(version)
        })
    }

    /// A staged version as a person sees it whom it concerns, whatever has become of it.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub(crate) fn seen(
        &self,
        Approving { stage, rule }: Approving,
        user: &User,
        now: Timestamp,
    ) -> Result<Option<Seen>, StoreError> {
        let reader = self.reader()?;
        let moment = reader.moment()?;
        match staged::find(&moment, stage)? {
            Some(version) if staged::concerns(&moment, &version, user, rule)? => {
                let may_decide = staged::may_decide(&moment, version.name.as_str(), user, rule)?;
                seen(&moment, version, rule, (user, may_decide), now).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Those that may yet be published and concern a person.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub(crate) fn seen_by(
        &self,
        user: &User,
        rule: ApprovalRule,
        now: Timestamp,
    ) -> Result<Vec<Seen>, StoreError> {
        let reader = self.reader()?;
        let moment = reader.moment()?;
        let parts = staged::part_of(&moment, user)?;
        // There may be hundreds of one crate.
        let mut decides = HashMap::new();
        let mut all = Vec::new();
        for version in staged::alive(&moment)? {
            let name = version.name.as_str();
            let may_decide = match decides.get(name) {
                Some(known) => *known,
                None => {
                    let may_decide = staged::may_decide(&moment, name, user, rule)?;
                    decides.insert(name.to_owned(), may_decide);
                    may_decide
                }
            };
            if may_decide || parts.contains(&version.id) {
                all.push(seen(&moment, version, rule, (user, may_decide), now)?);
            }
        }
        Ok(all)
    }

    /// Who may decide about versions of a crate.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(crate) fn deciders(&self, name: &str, rule: ApprovalRule) -> Result<Deciders, StoreError> {
        staged::deciders(&self.reader()?, name, rule)
    }

    /// The other approvals with which an intent published a version, if it approved a staged one.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub(crate) fn approvals_beside(&self, intent: u64) -> Result<Vec<Given>, StoreError> {
        let reader = self.reader()?;
        let of_intent = "SELECT id FROM staged WHERE intent = ? AND state = 'published'";
        let stage = reader.optional(of_intent, values![audit::column(intent)?], |row| row.get(0))?;
        stage.map_or(Ok(Vec::new()), |stage| staged::of(&reader, stage))
    }
}

fn seen(
    moment: &Sql<'_>,
    version: Staged,
    rule: ApprovalRule,
    (user, may_decide): (&User, bool),
    now: Timestamp,
) -> Result<Seen, StoreError> {
    let given = match version.state {
        // Nobody has approved it.
        State::Staged => Vec::new(),
        // Who may decide may have changed since.
        State::Published => staged::of(moment, version.id)?,
        _ => staged::valid(moment, &version, rule, now)?,
    };
    let may_approve = matches!(version.state, State::Staged | State::Waiting)
        && version.expires > now
        && may_decide
        && !given.iter().any(|given| given.user == *user);
    let is_new =
        version.is_new && version.state.is_alive() && !staged::is_known(moment, version.name.as_str())?;
    Ok(Seen { staged: version, given, may_approve, is_new })
}

impl From<ApprovalError> for SpendError {
    fn from(error: ApprovalError) -> Self {
        match error {
            ApprovalError::Store(error) => Self::Store(error),
            error => Self::Approval(error),
        }
    }
}
