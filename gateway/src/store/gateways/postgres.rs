//! The tables `gateway`, `turn` and `upload`, which only a PostgreSQL has.

use std::collections::BTreeMap;

use asymmetric_token::CrateName;
use jiff::SignedDuration;

use super::super::StoreError;
use super::super::sql::{Sql, values};
use super::{DEAD_AFTER, Difference, Epoch, Keeper, LivingGateway, Member, SharedSettings};

/// Makes a gateway one of those that live, if its settings are theirs.
pub(super) fn enter(transaction: &Sql<'_>, epoch: &Epoch, member: &Member) -> Result<(), StoreError> {
    let others =
        transaction.all("SELECT name, settings FROM gateway ORDER BY started", values![], |row| {
            Ok((row.get::<String>(0)?, row.get::<String>(1)?))
        })?;
    for (name, settings) in others {
        let settings: SharedSettings = serde_json::from_str(&settings)
            .map_err(|_| StoreError::Damaged(format!("the settings of the gateway {name}")))?;
        // One of another version may know other settings.
        let differs =
            |(setting, here): &(&String, &String)| settings.get(*setting).is_some_and(|there| there != *here);
        if let Some((setting, here)) = member.settings.iter().find(differs) {
            let there = settings[setting].clone();
            let difference = Difference { setting: setting.clone(), here: here.clone(), there, name };
            return Err(StoreError::Differs(difference.into()));
        }
    }
    let settings =
        serde_json::to_string(&member.settings).map_err(|error| StoreError::Entry(error.to_string()))?;
    let insert = "INSERT INTO gateway (epoch, name, settings) VALUES (?, ?, ?)";
    transaction.execute(insert, values![epoch.as_str(), &member.name, &settings]).map(drop)
}

/// Writes down that a gateway lives. Returns whether it counts: the others may have removed its row.
pub(super) fn beat(sql: &Sql<'_>, epoch: &Epoch) -> Result<bool, StoreError> {
    let beat = "UPDATE gateway SET heartbeat = clock_timestamp() WHERE epoch = ?";
    Ok(sql.execute(beat, values![epoch.as_str()])? > 0)
}

pub(super) fn leave(sql: &Sql<'_>, epoch: &Epoch) -> Result<(), StoreError> {
    sql.execute("DELETE FROM gateway WHERE epoch = ?", values![epoch.as_str()]).map(drop)
}

pub(super) fn is_alive(sql: &Sql<'_>, epoch: &Epoch) -> Result<bool, StoreError> {
    sql.exists("SELECT 1 FROM living WHERE epoch = ?", values![epoch.as_str()])
}

pub(super) fn some_are_dead(sql: &Sql<'_>) -> Result<bool, StoreError> {
    let dead = "SELECT 1 FROM gateway WHERE epoch NOT IN (SELECT epoch FROM living) LIMIT 1";
    let left = "SELECT 1 FROM upload WHERE epoch NOT IN (SELECT epoch FROM gateway) LIMIT 1";
    Ok(sql.exists(dead, values![])? || sql.exists(left, values![])?)
}

/// A heartbeat that comes at the same moment is waited for, and counts: this looks at the row itself, and not at `living`.
pub(super) fn remove_the_dead(transaction: &Sql<'_>) -> Result<(), StoreError> {
    let dead = "DELETE FROM gateway WHERE heartbeat <= clock_timestamp() - ? * INTERVAL '1 s'";
    transaction.execute(dead, values![DEAD_AFTER.as_secs().cast_signed()]).map(drop)
}

pub(super) fn living(sql: &Sql<'_>) -> Result<Vec<LivingGateway>, StoreError> {
    sql.all(
        "SELECT name, to_char(started AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM living ORDER BY started",
        values![],
        |row| Ok(LivingGateway { name: row.get(0)?, started: row.get(1)? }),
    )
}

pub(super) fn keepers(sql: &Sql<'_>, own: Option<&Epoch>) -> Result<BTreeMap<i64, Keeper>, StoreError> {
    let keepers = sql.all(
        "SELECT open_intent.seq, open_intent.epoch, living.name,
             floor(EXTRACT(EPOCH FROM clock_timestamp() - open_intent.begun))::bigint
         FROM open_intent LEFT JOIN living ON living.epoch = open_intent.epoch",
        values![],
        |row| {
            let (epoch, name) = (row.get::<Option<&str>>(1)?, row.get::<Option<String>>(2)?);
            let keeper = match name {
                // It is this process's own, also if it is late.
                _ if epoch.is_some() && epoch == own.map(Epoch::as_str) => Keeper::This,
                Some(name) => Keeper::Another(name),
                None => Keeper::Nobody { age: SignedDuration::from_secs(row.get(3)?) },
            };
            Ok((row.get(0)?, keeper))
        },
    );
    Ok(keepers?.into_iter().collect())
}

/// Notes whose an intent is.
pub(super) fn open_intent(transaction: &Sql<'_>, seq: i64, epoch: &Epoch) -> Result<(), StoreError> {
    transaction.run("INSERT INTO open_intent (seq, epoch) VALUES (?, ?)", values![seq, epoch.as_str()])
}

/// Whether no other gateway has the turn. This process sees by itself to it that its own changes of a crate take turns.
pub(super) fn has_turn(sql: &Sql<'_>, name: &CrateName, epoch: &Epoch) -> Result<bool, StoreError> {
    let taken = "SELECT 1 FROM turn JOIN open_intent ON open_intent.seq = turn.intent
         WHERE turn.crate = ? AND open_intent.epoch <> ?";
    Ok(!sql.exists(taken, values![name.as_str(), epoch.as_str()])?)
}

/// Returns whether the turn was free.
pub(super) fn take_turn(
    transaction: &Sql<'_>,
    name: &CrateName,
    seq: i64,
    epoch: &Epoch,
) -> Result<bool, StoreError> {
    if !has_turn(transaction, name, epoch)? {
        return Ok(false);
    }
    let take = "INSERT INTO turn (crate, intent) VALUES (?, ?)
         ON CONFLICT (crate) DO UPDATE SET intent = excluded.intent";
    transaction.run(take, values![name.as_str(), seq]).map(|()| true)
}

/// Lets others have the turn of an intent that stays open.
pub(in super::super) fn release_turn(transaction: &Sql<'_>, seq: i64) -> Result<(), StoreError> {
    transaction.run("DELETE FROM turn WHERE intent = ?", values![seq])
}

/// The upload of a gateway has become the file of a version, or is given up.
pub(in super::super) fn end_upload(
    transaction: &Sql<'_>,
    checksum: &str,
    epoch: &Epoch,
) -> Result<(), StoreError> {
    let end = "DELETE FROM upload WHERE cksum = ? AND epoch = ?";
    transaction.run(end, values![checksum, epoch.as_str()])?;
    remove_pieces(transaction, checksum)
}

/// Removes the pieces that gateways which have ended were sending.
pub(super) fn end_uploads_of_the_dead(transaction: &Sql<'_>) -> Result<(), StoreError> {
    let left = "DELETE FROM upload WHERE epoch NOT IN (SELECT epoch FROM gateway) RETURNING cksum";
    let left = transaction.all(left, values![], |row| row.get::<String>(0))?;
    left.iter().try_for_each(|checksum| remove_pieces(transaction, checksum))
}

/// Removes the pieces of a file that is no version's, was not staged for one, and that nobody is sending.
pub(in super::super) fn remove_pieces(transaction: &Sql<'_>, checksum: &str) -> Result<(), StoreError> {
    let remove = "DELETE FROM piece WHERE cksum = ?1 AND NOT EXISTS (SELECT 1 FROM file WHERE cksum = ?1)
         AND NOT EXISTS (SELECT 1 FROM upload WHERE cksum = ?1) AND NOT EXISTS (
             SELECT 1 FROM staged WHERE cksum = ?1 AND state IN ('staged', 'waiting', 'approving')
         )";
    transaction.run(remove, values![checksum])
}
