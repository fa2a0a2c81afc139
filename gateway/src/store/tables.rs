//! The tables against the log. Everything that is changed here is an entry, so the log says what the tables have to hold. A
//! row that was put in, taken out or changed by whoever can write the database is found by that.
//!
//! What is under way is left alone: a change whose outcome is not on record may be in the tables or not.

use std::collections::{BTreeMap, BTreeSet};

use asymmetric_token::{KeyId, Mutation, PublicKey, Untrusted};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::ledger::{self, INTERRUPTED, LATE};
use super::names::{fold, without_build};
use super::sql::{Row, Sql, values};
use super::staged::State;
use super::{Store, StoreError, derived, parsed, spent};
use crate::audit::{Entry, Kind};
use crate::policy::{self, LONGEST_SKEW, LONGEST_WINDOW, Operation};

/// Where a table is not what the log says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Discrepancy {
    /// A row that no entry speaks of.
    #[error("{0} is in the store, but in no entry of the log")]
    NotLogged(String),
    /// A row that an entry speaks of.
    #[error("{0} is missing from the store, but is in the log")]
    Missing(String),
    /// A row with another value.
    #[error("{row} has the {field} {found} in the store, but {logged} in the log")]
    Differs {
        /// What it is of.
        row: String,
        /// Which value.
        field: &'static str,
        /// In the table.
        found: String,
        /// By the log.
        logged: String,
    },
    /// Something that is kept so that it need not be counted or looked for.
    #[error("{0} does not follow from the store's other tables")]
    NotDerived(String),
}

impl Discrepancy {
    /// What the row is of, in words.
    #[must_use]
    pub fn row(&self) -> &str {
        match self {
            Self::NotLogged(row) | Self::Missing(row) | Self::Differs { row, .. } | Self::NotDerived(row) => {
                row
            }
        }
    }

    /// Whether it is of this version, its crate, or the key that signed it.
    #[must_use]
    pub fn concerns(&self, name: &str, version: &str, key: Option<KeyId>) -> bool {
        let row = self.row();
        let of_record = format!("the record of {name} {version}, ");
        row.starts_with(&of_record)
            || row.starts_with(&version_row(name, version))
            || row == crate_row(name)
            || key.is_some_and(|key| row == key_row(&key.to_string()))
    }
}

impl Store {
    /// Whether the tables hold what the log says. The log itself is taken as it is: see
    /// [`verify_audit`](Self::verify_audit).
    ///
    /// # Errors
    /// [`StoreError::Database`]; [`StoreError::Damaged`] if an entry is none.
    pub fn discrepancies(&self, now: Timestamp) -> Result<Vec<Discrepancy>, StoreError> {
        let reader = self.reader()?;
        // One moment of the store, however long this takes.
        let moment = reader.moment()?;
        let forgotten = Timestamp::from_second(spent::forgotten_until(&moment)?).unwrap_or(Timestamp::MIN);
        let logged = Logged::replayed(&moment, now.max(forgotten))?;
        let found = found(&moment)?;
        let mut all = logged.compare(&found);
        for (what, single_use_keys) in &logged.spent {
            let known = "SELECT 1 FROM spent WHERE single_use_key = ?";
            let is_known = single_use_keys.iter().map(|key| moment.exists(known, values![key]));
            let is_known = is_known.collect::<Result<Vec<_>, _>>()?;
            if !is_known.contains(&true) {
                all.push(Discrepancy::Missing(what.clone()));
            }
        }
        all.extend(derived::wrong(&moment)?.into_iter().map(Discrepancy::NotDerived));
        Ok(all)
    }
}

/// The values of one row that are compared.
type Values = BTreeMap<&'static str, Option<String>>;
/// Rows, each by what it is of, in words.
type Rows = BTreeMap<String, Values>;

/// Makes one of them of a row of a statement.
type ReadRow = dyn Fn(&Row<'_>) -> Result<(String, Values), StoreError>;

/// What the log says.
#[derive(Default)]
struct Logged {
    rows: Rows,
    /// Rows of the built-in registry, which are not there if the version was published at a registry behind.
    elsewhere: BTreeSet<String>,
    /// Rows of a publish that is under way.
    may_be_there: BTreeSet<String>,
    /// Rows of another change that is under way.
    may_differ: BTreeSet<String>,
    /// For each token that is still good by its age, the keys of which one must be known as spent.
    spent: Vec<(String, Vec<String>)>,
    intents: BTreeMap<u64, Map<String, Value>>,
    /// Those that were settled as interrupted. Their outcome may come late.
    interrupted: BTreeMap<u64, Map<String, Value>>,
    /// The rows of each user's keys.
    keys: BTreeMap<String, Vec<String>>,
}

impl Logged {
    fn replayed(sql: &Sql<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let mut logged = Self::default();
        sql.each("SELECT entry FROM audit ORDER BY seq", values![], |row| {
            let entry = Entry::parse(row.get::<&str>(0)?.as_bytes())
                .map_err(|error| StoreError::Damaged(format!("an entry of the audit log: {error}")))?;
            logged.take(entry, now);
            Ok::<_, StoreError>(())
        })?;
        for (seq, intent) in std::mem::take(&mut logged.intents) {
            let (name, version) = (text(&intent, "name"), text(&intent, "vers"));
            match text(&intent, "mutation") {
                "publish" => logged.may_be_there.extend([crate_row(name), version_row(name, version)]),
                _ => _ = logged.may_differ.insert(version_row(name, version)),
            }
            logged.rows.insert(open_row(seq), Values::new());
        }
        Ok(logged)
    }

    fn take(&mut self, entry: Entry, now: Timestamp) {
        match entry.kind {
            Kind::Key => self.take_key(&entry.details),
            Kind::Admin => self.take_deed(&entry.details),
            Kind::Stage => self.take_stage(&entry),
            Kind::Intent => {
                self.take_token(&entry, now);
                self.take_doubt(&entry);
                self.intents.insert(entry.seq, entry.details);
            }
            Kind::Outcome => self.take_outcome(&entry),
        }
    }

    fn take_key(&mut self, details: &Map<String, Value>) {
        let row = key_row(text(details, "key"));
        if text(details, "action") == "revoke" {
            if let Some(values) = self.rows.get_mut(&row) {
                values.insert("end", Some(REVOKED.to_owned()));
            }
            return;
        }
        self.add_user(text(details, "user"));
        self.keys.entry(text(details, "user").to_owned()).or_default().push(row.clone());
        let fields = ["public", "user", "role", "label", "subject", "expires", "crates"];
        let value =
            |field: &'static str| (field, details.get(field).and_then(Value::as_str).map(str::to_owned));
        self.rows.insert(row, fields.map(value).into_iter().chain([("end", None)]).collect());
    }

    fn take_deed(&mut self, details: &Map<String, Value>) {
        let user = text(details, "user");
        match text(details, "action") {
            "add-user" => {
                self.rows.remove(&user_row(user));
                self.add_user(user);
            }
            "remove-user" => {
                let removed = Some(REMOVED.to_owned());
                self.rows.insert(user_row(user), Values::from([("end", removed)]));
                // Nobody gets a key after that without being added again.
                for key in self.keys.remove(user).unwrap_or_default() {
                    if let Some(values) = self.rows.get_mut(&key) {
                        values.insert("end", Some(REVOKED.to_owned()));
                    }
                }
            }
            "set-credential" => _ = self.rows.insert(credential_row(user), Values::new()),
            "remove-credential" => _ = self.rows.remove(&credential_row(user)),
            "invite" => {
                let row = invite_row(user, text(details, "expires"));
                self.elsewhere.insert(row.clone());
                self.rows.insert(row, Values::new());
            }
            "add-approver" => {
                self.rows.insert(approver_row(user, text(details, "crate")), Values::new());
            }
            "remove-approver" => _ = self.rows.remove(&approver_row(user, text(details, "crate"))),
            "add-publisher" => {
                let reads_as = Some(user.to_owned());
                let settings = Some(text(details, "settings").to_owned());
                let values = [("settings", settings), ("user", reads_as), ("end", None)];
                self.rows.insert(publisher_row(text(details, "publisher")), Values::from(values));
            }
            "remove-publisher" => {
                if let Some(values) = self.rows.get_mut(&publisher_row(text(details, "publisher"))) {
                    values.insert("end", Some(REMOVED.to_owned()));
                }
            }
            _ => {}
        }
    }

    fn take_stage(&mut self, entry: &Entry) {
        let details = &entry.details;
        let stage = details.get("stage").and_then(Value::as_i64).unwrap_or_default();
        match text(details, "action") {
            "staged" => {
                let values =
                    ["name", "vers", "cksum"].map(|name| (name, Some(text(details, name).to_owned())));
                let alive = ("state", Some(ALIVE.to_owned()));
                self.rows.insert(stage_row(stage), values.into_iter().chain([alive]).collect());
            }
            "approved" => {
                let values = ["user", "key"].map(|name| (name, Some(text(details, name).to_owned())));
                self.rows.insert(approval_row(stage, entry.seq), Values::from(values));
            }
            ended => self.end_stage(stage, ended),
        }
    }

    fn end_stage(&mut self, stage: i64, state: &str) {
        if let Some(values) = self.rows.get_mut(&stage_row(stage)) {
            values.insert("state", Some(state.to_owned()));
        }
    }

    fn add_user(&mut self, user: &str) {
        self.rows.entry(user_row(user)).or_insert_with(|| Values::from([("end", None)]));
    }

    fn take_outcome(&mut self, entry: &Entry) {
        let Some(seq) = entry.details.get("intent").and_then(Value::as_u64) else { return };
        let is_late = entry.details.contains_key(LATE);
        let settled = if is_late { &mut self.interrupted } else { &mut self.intents };
        let Some(intent) = settled.remove(&seq) else { return };
        if text(&entry.details, "detail") == INTERRUPTED {
            self.interrupted.insert(seq, intent);
            return;
        }
        self.rows.remove(&doubt_row(seq));
        let (name, version) = (text(&intent, "name"), text(&intent, "vers"));
        if text(&entry.details, "outcome") != "done" {
            return;
        }
        if let Some(stage) = intent.get("stage").and_then(Value::as_i64) {
            self.end_stage(stage, State::Published.as_str());
        }
        match text(&intent, "mutation") {
            "publish" if is_late && self.has_record(name, version) => {}
            "publish" => {
                let outcome = Some(entry.seq.to_string());
                self.rows.insert(record_row(name, version, seq), Values::from([("outcome", outcome)]));
                let owner = Some(text(&intent, "user").to_owned());
                let of_crate = Values::from([("owner", owner), ("name", Some(name.to_owned()))]);
                let of_version = Values::from([("state", Some("offered".to_owned()))]);
                let rows = [(crate_row(name), of_crate), (version_row(name, version), of_version)];
                let is_here = entry.details.contains_key(ledger::HERE);
                for (row, values) in rows {
                    if is_here && self.elsewhere.remove(&row) {
                        self.rows.insert(row, values);
                    } else if !self.rows.contains_key(&row) {
                        if !is_here {
                            self.elsewhere.insert(row.clone());
                        }
                        self.rows.insert(row, values);
                    }
                }
            }
            kind @ ("yank" | "unyank") => {
                let state = if kind == "yank" { "yanked" } else { "offered" };
                if let Some(values) = self.rows.get_mut(&version_row(name, version)) {
                    values.insert("state", Some(state.to_owned()));
                }
            }
            _ => {}
        }
    }

    fn has_record(&self, name: &str, version: &str) -> bool {
        let begin = record_rows(name, version);
        self.rows.range(begin.clone()..).next().is_some_and(|(row, _)| row.starts_with(&begin))
    }

    /// A publish is in doubt until its outcome is known.
    fn take_doubt(&mut self, entry: &Entry) {
        if text(&entry.details, "mutation") == "publish" {
            let value = |field| (field, Some(text(&entry.details, field).to_owned()));
            let values = ["name", "vers", "cksum", "user"].map(value);
            self.rows.insert(doubt_row(entry.seq), Values::from(values));
        }
    }

    /// A token that is not too old yet could be used again, were it not known as spent.
    fn take_token(&mut self, entry: &Entry, now: Timestamp) {
        let longest = SignedDuration::try_from(LONGEST_WINDOW + LONGEST_SKEW).unwrap_or(SignedDuration::MAX);
        if now.duration_since(entry.time) > longest {
            return;
        }
        let public =
            self.rows.get(&key_row(text(&entry.details, "key"))).and_then(|key| key["public"].clone());
        let public = public.and_then(|public| public.parse::<PublicKey>().ok());
        let token = Untrusted::parse(text(&entry.details, "token"));
        let (Some(public), Ok(token)) = (public, token) else { return };
        let Ok(verified) = token.verify(&public) else { return };
        if policy::kept_until(&verified.claims) < now {
            return;
        }
        let operations: Vec<_> = match &verified.claims.mutation {
            Some(Mutation::Owners { name }) => {
                ["GET", "PUT", "DELETE"].map(|method| Operation::Owners { name: name.clone(), method }).into()
            }
            _ => vec![Operation::Publish],
        };
        let keys = operations.iter().filter_map(|operation| policy::single_use_key(&verified, operation));
        self.spent.push((format!("that the token of entry {} was used", entry.seq), keys.collect()));
    }

    fn compare(&self, found: &Rows) -> Vec<Discrepancy> {
        let mut all = Vec::new();
        for (row, values) in found {
            match self.rows.get(row) {
                None if self.may_be_there.contains(row) => {}
                None => all.push(Discrepancy::NotLogged(row.clone())),
                Some(_) if self.may_differ.contains(row) => {}
                Some(logged) => all.extend(differences(row, values, logged)),
            }
        }
        let is_missing = |row: &&String| !found.contains_key(*row) && !self.elsewhere.contains(*row);
        all.extend(self.rows.keys().filter(is_missing).cloned().map(Discrepancy::Missing));
        all
    }
}

/// How a staged version is compared that may yet be published. Whether an approval is there, and still good, is another row's.
const ALIVE: &str = "may yet be published";
const REVOKED: &str = "revoked";
const REMOVED: &str = "removed";

fn differences<'a>(
    row: &'a str,
    found: &'a Values,
    logged: &'a Values,
) -> impl Iterator<Item = Discrepancy> + 'a {
    let shown = |value: &Option<String>| value.as_ref().map_or("none".to_owned(), |text| format!("{text:?}"));
    let differs = |(field, value): &(&&'static str, &Option<String>)| logged.get(*field) != Some(*value);
    found.iter().filter(differs).map(move |(field, value)| Discrepancy::Differs {
        row: row.to_owned(),
        field,
        found: shown(value),
        logged: shown(logged.get(field).unwrap_or(&None)),
    })
}

/// What the tables hold.
fn found(store: &Sql<'_>) -> Result<Rows, StoreError> {
    let mut rows = Rows::new();
    let mut read = |sql: &str, row: &ReadRow| {
        store.each(sql, values![], |one| {
            let (mut what, values) = row(one)?;
            while rows.contains_key(&what) {
                what.push_str(", once more,");
            }
            rows.insert(what, values);
            Ok::<_, StoreError>(())
        })
    };
    read("SELECT name, removed IS NOT NULL FROM user", &|row| {
        let removed = row.get::<bool>(1)?.then(|| REMOVED.to_owned());
        Ok((user_row(row.get(0)?), Values::from([("end", removed)])))
    })?;
    read(
        "SELECT key.id, public, user.name, role, label, subject, expires, crates, revoked IS NOT NULL
         FROM key LEFT JOIN user ON user.id = key.user",
        &|row| {
            let mut values = Values::new();
            for (column, field) in
                ["public", "user", "role", "label", "subject", "expires", "crates"].into_iter().enumerate()
            {
                values.insert(field, row.get(column + 1)?);
            }
            values.insert("end", row.get::<bool>(8)?.then(|| REVOKED.to_owned()));
            Ok((key_row(row.get(0)?), values))
        },
    )?;
    read(
        "SELECT publisher.name, settings, user.name, publisher.removed IS NOT NULL
         FROM publisher LEFT JOIN user ON user.id = publisher.reads_as",
        &|row| {
            let removed = row.get::<bool>(3)?.then(|| REMOVED.to_owned());
            let values = [("settings", row.get(1)?), ("user", row.get(2)?), ("end", removed)];
            Ok((publisher_row(row.get(0)?), Values::from(values)))
        },
    )?;
    read("SELECT user.name, expires FROM invite LEFT JOIN user ON user.id = invite.user", &|row| {
        Ok((invite_row(&optional(row, 0)?, row.get(1)?), Values::new()))
    })?;
    read("SELECT user.name FROM credential LEFT JOIN user ON user.id = credential.user", &|row| {
        Ok((credential_row(&optional(row, 0)?), Values::new()))
    })?;
    read("SELECT name, version, intent, outcome FROM published", &|row| {
        let (name, version): (String, String) = (row.get(0)?, row.get(1)?);
        let outcome = Some(row.get::<i64>(3)?.to_string());
        let seq = u64::try_from(row.get::<i64>(2)?).unwrap_or_default();
        Ok((record_row(&name, &version, seq), Values::from([("outcome", outcome)])))
    })?;
    read("SELECT seq FROM open_intent", &|row| {
        Ok((open_row(u64::try_from(row.get::<i64>(0)?).unwrap_or_default()), Values::new()))
    })?;
    read("SELECT intent, name, version, cksum, user FROM in_doubt", &|row| {
        let mut values = Values::new();
        for (column, field) in ["name", "vers", "cksum", "user"].into_iter().enumerate() {
            values.insert(field, row.get(column + 1)?);
        }
        Ok((doubt_row(u64::try_from(row.get::<i64>(0)?).unwrap_or_default()), values))
    })?;
    read("SELECT id, name, version, cksum, state FROM staged", &|row| {
        let mut values = Values::new();
        for (column, field) in ["name", "vers", "cksum"].into_iter().enumerate() {
            values.insert(field, row.get(column + 1)?);
        }
        let state: State = parsed(row.get(4)?)?;
        let state = if state.is_alive() { ALIVE } else { state.as_str() };
        values.insert("state", Some(state.to_owned()));
        Ok((stage_row(row.get(0)?), values))
    })?;
    read(
        "SELECT staged, seq, user.name, key FROM approval LEFT JOIN user ON user.id = approval.user",
        &|row| {
            let seq = u64::try_from(row.get::<i64>(1)?).unwrap_or_default();
            let values = Values::from([("user", row.get(2)?), ("key", row.get(3)?)]);
            Ok((approval_row(row.get(0)?, seq), values))
        },
    )?;
    read("SELECT user.name, folded FROM approver LEFT JOIN user ON user.id = approver.user", &|row| {
        Ok((approver_row(&optional(row, 0)?, row.get(1)?), Values::new()))
    })?;
    read(
        "SELECT folded, crate.name, user.name FROM crate LEFT JOIN user ON user.id = crate.owner",
        &|row| {
            let values = Values::from([("name", row.get(1)?), ("owner", row.get(2)?)]);
            Ok((crate_row(row.get(0)?), values))
        },
    )?;
    read("SELECT crate, version, core, line FROM version", &|row| {
        let (folded, version): (String, String) = (row.get(0)?, row.get(1)?);
        let line: Value = serde_json::from_str(row.get(3)?).unwrap_or_default();
        let mut state = if line["yanked"] == true { "yanked" } else { "offered" }.to_owned();
        // By it a second version that differs in build metadata alone is refused.
        if row.get::<&str>(2)? != without_build(&version)? {
            state.push_str(", and another version without build metadata than its own");
        }
        Ok((version_row(&folded, &version), Values::from([("state", Some(state))])))
    })?;
    Ok(rows)
}

fn optional(row: &Row<'_>, column: usize) -> Result<String, StoreError> {
    Ok(row.get::<Option<String>>(column)?.unwrap_or_else(|| "nobody".to_owned()))
}

fn text<'a>(details: &'a Map<String, Value>, name: &str) -> &'a str {
    details.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn user_row(user: &str) -> String {
    format!("the user {user}")
}

fn key_row(id: &str) -> String {
    format!("the key {id}")
}

fn publisher_row(name: &str) -> String {
    format!("the publisher {name}")
}

fn credential_row(user: &str) -> String {
    format!("the credential of {user}")
}

fn stage_row(stage: i64) -> String {
    format!("the staged version {stage}")
}

fn approval_row(stage: i64, seq: u64) -> String {
    format!("the approval of the staged version {stage}, entry {seq},")
}

fn approver_row(user: &str, folded: &str) -> String {
    format!("the approver {user} of {folded}")
}

fn invite_row(user: &str, expires: &str) -> String {
    format!("an invite of {user} until {expires}")
}

fn record_row(name: &str, version: &str, intent: u64) -> String {
    format!("{}{intent}", record_rows(name, version))
}

/// How all rows of a version's records begin.
fn record_rows(name: &str, version: &str) -> String {
    format!("the record of {name} {version}, entry ")
}

fn open_row(intent: u64) -> String {
    format!("the change of entry {intent}, of which no outcome is known,")
}

fn doubt_row(intent: u64) -> String {
    format!("the doubt about the publish of entry {intent}")
}

fn crate_row(name: &str) -> String {
    format!("the crate {}", fold(name))
}

fn version_row(name: &str, version: &str) -> String {
    format!("the version {} {version}", fold(name))
}
