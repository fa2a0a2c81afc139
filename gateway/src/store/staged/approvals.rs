//! Who may approve a staged version, and who has.

use std::collections::HashSet;

use asymmetric_token::{CrateName, KeyId};
use jiff::Timestamp;

use super::super::names::fold;
use super::super::sql::{Sql, values};
use super::super::{Store, StoreError, audit, crates, keys, parsed, time, users, void};
use super::{Staged, find};
use crate::keys::User;
use crate::policy;

/// Versions that a user has approved, or that a machine has staged which reads as them.
const PART: &str = "SELECT staged.id FROM staged JOIN user ON user.name = ?1 WHERE (
    EXISTS (SELECT 1 FROM approval WHERE approval.staged = staged.id AND approval.user = user.id)
    OR EXISTS (SELECT 1 FROM key WHERE key.id = stager AND key.user = user.id)
    OR EXISTS (SELECT 1 FROM publisher WHERE publisher.name = stager AND reads_as = user.id))";

/// How many people have to approve a version, and who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApprovalRule {
    /// How many.
    pub(crate) needed: u32,
    /// Whether owners are known here, and not only to a registry behind.
    pub(crate) is_built_in: bool,
}

/// A staged version that a token approves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Approving {
    /// Its number.
    pub(crate) stage: i64,
    pub(crate) rule: ApprovalRule,
}

/// An approval that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) user: User,
    pub(crate) key: KeyId,
    pub(crate) time: Timestamp,
    /// The token, which is spent.
    pub(crate) token: String,
    /// The place of its entry in the audit log.
    pub(crate) seq: i64,
}

/// Why a staged version is not approved or rejected. The token is not spent.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "a field's name says what it is")]
pub enum ApprovalError {
    /// There is no such version.
    #[error("nothing is staged here under the number {0}")]
    Unknown(i64),
    /// It has ended.
    #[error("{version} (number {id}) is already {state}; this token is not spent")]
    Ended { version: String, id: i64, state: &'static str },
    /// An approval is being carried out.
    #[error(
        "{version} (number {id}) is being published just now, or it is not known yet whether it was; this token is not spent, so look again \
         in a minute"
    )]
    Underway { version: String, id: i64 },
    /// The same person has approved it.
    #[error(
        "{user} has already approved {version} (number {id}), and somebody else must approve it too; this token is not spent"
    )]
    Again { user: User, version: String, id: i64 },
    /// Somebody else has to decide.
    #[error("{user} may not decide about {version} here{who}; this token is not spent")]
    NotApprover { user: User, version: String, who: String },
    /// An approval that was there has become void.
    #[error(
        "an approval of {version} (number {id}) has become void meanwhile, and one more is needed; this token is not spent, so run \
         the command again"
    )]
    Void { version: String, id: i64 },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Brings a version to `approving`, in the transaction that spends the last token it needs and writes this intent.
///
/// # Errors
/// [`ApprovalError`]; nothing is changed then but approvals that have become void.
pub(in super::super) fn begin_approval(
    transaction: &Sql<'_>,
    approving: Approving,
    user: &User,
    seq: i64,
    now: Timestamp,
) -> Result<(), ApprovalError> {
    let staged = approvable(transaction, approving, user, now)?;
    let given = valid(transaction, &staged, approving.rule, now)?;
    if is_short(&given, approving.rule, 1) {
        return Err(ApprovalError::Void { version: staged.to_string(), id: staged.id });
    }
    for bad in of(transaction, staged.id)?.iter().filter(|one| !given.contains(one)) {
        let void = "UPDATE approval SET void = ? WHERE staged = ? AND seq = ?";
        transaction.run(void, values![&now.to_string(), staged.id, bad.seq])?;
    }
    let begin = "UPDATE staged SET state = 'approving', intent = ?, changed = ?, words = NULL
         WHERE id = ? AND state IN ('staged', 'waiting')";
    Ok(transaction.run(begin, values![seq, &now.to_string(), staged.id])?)
}

/// Whether so many more approvals would not be enough.
pub(in super::super) fn is_short(given: &[Given], rule: ApprovalRule, more: usize) -> bool {
    given.len() + more < usize::try_from(rule.needed).unwrap_or(usize::MAX)
}

/// A version that this user could approve now.
pub(in super::super) fn approvable(
    sql: &Sql<'_>,
    approving: Approving,
    user: &User,
    now: Timestamp,
) -> Result<Staged, ApprovalError> {
    let staged = decidable(sql, approving, user, now)?;
    if valid(sql, &staged, approving.rule, now)?.iter().any(|given| given.user == *user) {
        let (user, version, id) = (user.clone(), staged.to_string(), staged.id);
        return Err(ApprovalError::Again { user, version, id });
    }
    Ok(staged)
}

/// A version about which this user can decide now.
pub(in super::super) fn decidable(
    sql: &Sql<'_>,
    Approving { stage, rule }: Approving,
    user: &User,
    now: Timestamp,
) -> Result<Staged, ApprovalError> {
    use super::State::{Approving, Expired, Staged, Waiting};
    let staged = find(sql, stage)?.ok_or(ApprovalError::Unknown(stage))?;
    if !concerns(sql, &staged, user, rule)? {
        return Err(ApprovalError::Unknown(stage));
    }
    let (version, id) = (staged.to_string(), staged.id);
    Err(match staged.state {
        Staged | Waiting if staged.expires <= now => {
            ApprovalError::Ended { version, id, state: Expired.as_str() }
        }
        Staged | Waiting if may_decide(sql, staged.name.as_str(), user, rule)? => return Ok(staged),
        Staged | Waiting => {
            let who = match deciders(sql, staged.name.as_str(), rule)? {
                Deciders::Named(names) => format!(", but {}", names.join(", ")),
                Deciders::Anybody => String::new(),
                Deciders::Nobody => format!(
                    ", until the administrator has said who may: `registry-gateway approver add {} USER`",
                    staged.name
                ),
            };
            ApprovalError::NotApprover { user: user.clone(), version, who }
        }
        Approving => ApprovalError::Underway { version, id },
        ended => ApprovalError::Ended { version, id, state: ended.as_str() },
    })
}

/// Who may decide about versions of a crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deciders {
    /// These.
    Named(Vec<String>),
    /// Whoever may publish; a registry behind decides about that.
    Anybody,
    /// Nobody yet: several have to, and it is not known who owns the crate.
    Nobody,
}

/// Who may decide: the crate's owner and its approvers. A new crate without approvers belongs to whoever publishes it. Who owns a
/// crate of a registry behind only that one knows, and it decides when the last approval is carried out.
pub(in super::super) fn deciders(
    sql: &Sql<'_>,
    name: &str,
    rule: ApprovalRule,
) -> Result<Deciders, StoreError> {
    let mut named = approvers(sql, name)?;
    if rule.is_built_in
        && let Some(owner) = crates::owner(sql, name)?
        && !named.contains(&owner.name)
    {
        named.insert(0, owner.name);
    }
    Ok(match (named.is_empty(), rule) {
        (false, _) => Deciders::Named(named),
        (true, ApprovalRule { is_built_in: false, needed: 2.. }) => Deciders::Nobody,
        (true, _) => Deciders::Anybody,
    })
}

/// Whether a user may decide about versions of a crate.
pub(in super::super) fn may_decide(
    sql: &Sql<'_>,
    name: &str,
    user: &User,
    rule: ApprovalRule,
) -> Result<bool, StoreError> {
    Ok(match deciders(sql, name, rule)? {
        Deciders::Named(names) => names.iter().any(|name| name == user.as_str()),
        Deciders::Nobody => false,
        Deciders::Anybody if rule.is_built_in => true,
        Deciders::Anybody => sql.exists(
            "SELECT 1 FROM credential JOIN user ON user.id = credential.user WHERE user.name = ?",
            values![user.as_str()],
        )?,
    })
}

/// Whether a version concerns a user: who may decide about it, has approved it, or reads with the machine that has staged it. To
/// others it is as if it were not there.
pub(in super::super) fn concerns(
    sql: &Sql<'_>,
    staged: &Staged,
    user: &User,
    rule: ApprovalRule,
) -> Result<bool, StoreError> {
    Ok(may_decide(sql, staged.name.as_str(), user, rule)?
        || sql.exists(&format!("{PART} AND staged.id = ?2"), values![user.as_str(), staged.id])?)
}

/// The numbers of versions that may yet be published, and in which a user has a part other than to decide.
pub(in super::super) fn part_of(sql: &Sql<'_>, user: &User) -> Result<HashSet<i64>, StoreError> {
    let parts = format!("{PART} AND state IN ('staged', 'waiting', 'approving')");
    let parts = sql.all(&parts, values![user.as_str()], |row| row.get(0))?;
    Ok(parts.into_iter().collect())
}

/// Whether an administrator has made a user an approver of a crate.
pub(in super::super) fn is_approver(sql: &Sql<'_>, name: &str, user: &User) -> Result<bool, StoreError> {
    Ok(approvers(sql, name)?.iter().any(|one| one == user.as_str()))
}

fn approvers(sql: &Sql<'_>, name: &str) -> Result<Vec<String>, StoreError> {
    sql.all(
        "SELECT user.name FROM approver JOIN user ON user.id = approver.user
         WHERE folded = ? AND user.removed IS NULL ORDER BY user.name",
        values![&fold(name)],
        |row| row.get(0),
    )
}

/// The approvals of a version that count now: each by a user who may decide about it, with a key that may publish.
pub(in super::super) fn valid(
    sql: &Sql<'_>,
    staged: &Staged,
    rule: ApprovalRule,
    now: Timestamp,
) -> Result<Vec<Given>, StoreError> {
    let mut valid = Vec::new();
    for given in of(sql, staged.id)? {
        let key = keys::find(sql, given.key)?;
        let is_good = key.is_some_and(|key| policy::is_good(&key, now).is_ok() && key.role.may_mutate());
        if is_good && may_decide(sql, staged.name.as_str(), &given.user, rule)? {
            valid.push(given);
        }
    }
    Ok(valid)
}

/// The approvals of a version that nobody has made void.
pub(in super::super) fn of(sql: &Sql<'_>, stage: i64) -> Result<Vec<Given>, StoreError> {
    sql.all(
        "SELECT user.name, key, time, token, seq FROM approval JOIN user ON user.id = approval.user
         WHERE staged = ? AND void IS NULL ORDER BY seq",
        values![stage],
        |row| {
            Ok(Given {
                user: parsed(row.get(0)?)?,
                key: parsed(row.get(1)?)?,
                time: time(row.get(2)?)?,
                token: row.get(3)?,
                seq: row.get(4)?,
            })
        },
    )
}

impl Store {
    /// Lets a user decide about staged versions of a crate. Returns whether that is new.
    ///
    /// # Errors
    /// [`StoreError::UserUnknown`], [`StoreError::UserRemoved`].
    pub fn add_approver(&self, name: &CrateName, user: &User, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|transaction| {
            users::present(transaction, user)?;
            let add = "INSERT INTO approver (folded, user) SELECT ?, id FROM user WHERE name = ? ON CONFLICT DO NOTHING";
            let is_new = transaction.execute(add, values![&fold(name.as_str()), user.as_str()])? == 1;
            if is_new {
                audit::note(transaction, now, "add-approver", user, &[("crate", fold(name.as_str()))])?;
            }
            Ok(is_new)
        })
    }

    /// Takes that from a user. Approvals of theirs that wait for others become void. Returns whether they were an approver.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn remove_approver(&self, name: &CrateName, user: &User, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let (folded, by) = (fold(name.as_str()), user.as_str());
            let remove =
                "DELETE FROM approver WHERE folded = ? AND user = (SELECT id FROM user WHERE name = ?)";
            if transaction.execute(remove, values![&folded, by])? == 0 {
                return Ok(false);
            }
            audit::note(transaction, now, "remove-approver", user, &[("crate", folded.clone())])?;
            void::of_approver(transaction, &folded, user, now).map(|()| true)
        })
    }

    /// All approvers: the crate's name as names are compared, and the user.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn approvers(&self) -> Result<Vec<(String, User)>, StoreError> {
        self.reader()?.all(
            "SELECT folded, user.name FROM approver JOIN user ON user.id = approver.user ORDER BY folded, user.name",
            values![],
            |row| Ok((row.get(0)?, parsed(row.get(1)?)?)),
        )
    }
}
