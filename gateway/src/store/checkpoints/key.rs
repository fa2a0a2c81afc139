//! The keys that sign the log, one for each generation. The private one, 32 bytes, is in the file `log-GENERATION.key` of a folder
//! (0600), or among the secrets of a PostgreSQL. The public one is in the table `signer`: who verifies a log needs no secret, and a
//! private key that is not there any more is missed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use transparency_log::{Algorithm, Error, KeyName, SignedCheckpoint, Signer, TreeHead, Verifier};
use zeroize::Zeroizing;

use super::super::audit::column;
use super::super::sql::{Engine, Sql, values};
use super::super::{Store, StoreError, files};

/// The public key of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public {
    /// Which generation.
    pub generation: u64,
    /// The Ed25519 key.
    pub key: [u8; 32],
}

impl Public {
    fn named(&self, name: KeyName) -> Verifier {
        Verifier::new(name, Algorithm::Ed25519, self.key)
    }
}

/// The key of a generation. It is made if there was none.
///
/// # Errors
/// [`StoreError::LogKeyLost`] if there was one that is not there any more.
pub(super) fn signer(store: &Store, generation: u64, name: KeyName) -> Result<Signer, StoreError> {
    let lost = StoreError::LogKeyLost { generation };
    let known = verifiers(&store.reader()?)?.into_iter().find(|known| known.generation == generation);
    let seed = match (seed(store, generation)?, known) {
        (Some(seed), _) => seed,
        (None, Some(_)) => return Err(lost),
        (None, None) => made(store, generation)?,
    };
    let seed = <&[u8; 32]>::try_from(seed.as_slice())
        .map_err(|_| StoreError::LogKey("the key does not have 32 bytes".to_owned()))?;
    let signer = Signer::new(name, seed);
    let key = *signer.verifier().public_key();
    match known {
        Some(known) if known.key == key => {}
        Some(_) => return Err(lost),
        None => store.write(|transaction| note(transaction, Public { generation, key }))?,
    }
    Ok(signer)
}

impl Store {
    /// The public keys that sign the log or have signed it, by generation.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Damaged`].
    pub fn log_keys(&self) -> Result<Vec<Public>, StoreError> {
        verifiers(&self.reader()?)
    }
}

/// Whether the private key is there that belongs to a public one.
pub(in super::super) fn is_there(store: &Store, public: Public) -> Result<bool, StoreError> {
    let Some(seed) = seed(store, public.generation)? else { return Ok(false) };
    let name: KeyName = "any".parse().map_err(|error: Error| StoreError::LogKey(error.to_string()))?;
    let seed = <&[u8; 32]>::try_from(seed.as_slice()).ok();
    Ok(seed.is_some_and(|seed| *Signer::new(name, seed).verifier().public_key() == public.key))
}

/// The public keys of all generations.
pub(in super::super) fn verifiers(sql: &Sql<'_>) -> Result<Vec<Public>, StoreError> {
    sql.all("SELECT generation, public FROM signer ORDER BY generation", values![], |row| {
        let generation = u64::try_from(row.get::<i64>(0)?).unwrap_or_default();
        let key = STANDARD.decode(row.get::<&str>(1)?).ok().and_then(|key| key.try_into().ok());
        let damaged = || StoreError::Damaged(format!("the public key of the log's generation {generation}"));
        Ok(Public { generation, key: key.ok_or_else(damaged)? })
    })
}

/// The tree of a checkpoint that one of these keys has signed, and the key.
pub(in super::super) fn verified(
    signed: &SignedCheckpoint,
    keys: &[Public],
) -> Result<(TreeHead, Verifier), Error> {
    let origin = signed.unverified().origin();
    let name = origin.key_name()?;
    let mut verified = Err(Error::NotSigned);
    for key in keys.iter().rev().map(|key| key.named(name.clone())) {
        verified = signed.verify(origin, &key, &[]).map(|verified| (verified.head, key));
        if verified.is_ok() {
            break;
        }
    }
    verified
}

/// Copies the keys of another store. That of its log's `present` generation has to be there, if it has signed anything: an earlier one
/// signs nothing any more.
pub(in super::super) fn take(
    store: &Store,
    source: &Store,
    present: u64,
    transaction: &Sql<'_>,
) -> Result<(), StoreError> {
    for Public { generation, .. } in verifiers(&source.reader()?)? {
        let Some(seed) = seed(source, generation)? else {
            if generation == present {
                return Err(StoreError::LogKeyLost { generation });
            }
            continue;
        };
        match &store.engine {
            Engine::Sqlite(_) => files::write_private(&file(&store.folder, generation), &seed)?,
            Engine::Postgres(_) => store.insert_secret(transaction, &name(generation), &seed)?,
        }
    }
    Ok(())
}

/// Removes the keys from a folder.
pub(in super::super) fn forget(store: &Store, generations: &[Public]) -> Result<(), StoreError> {
    for path in generations.iter().map(|public| file(&store.folder, public.generation)) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(files::at(&path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn note(transaction: &Sql<'_>, public: Public) -> Result<(), StoreError> {
    let insert = "INSERT INTO signer (generation, public) VALUES (?, ?) ON CONFLICT DO NOTHING";
    let key = STANDARD.encode(public.key);
    transaction.execute(insert, values![column(public.generation)?, &key]).map(drop)
}

fn made(store: &Store, generation: u64) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut seed = Zeroizing::new(vec![0; 32]);
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| StoreError::Random)?;
    match &store.engine {
        Engine::Sqlite(_) => files::write_private(&file(&store.folder, generation), &seed).map(|()| seed),
        Engine::Postgres(_) => store.keep_secret(&name(generation), &seed),
    }
}

fn seed(store: &Store, generation: u64) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    if let Engine::Postgres(_) = &store.engine {
        return store.secret(&name(generation));
    }
    let path = file(&store.folder, generation);
    match fs::read(&path) {
        Ok(seed) => Ok(Some(Zeroizing::new(seed))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(files::at(&path)(error)),
    }
}

fn file(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("log-{generation}.key"))
}

/// Among the secrets of a PostgreSQL.
fn name(generation: u64) -> String {
    format!("log key {generation}")
}
