//! Stores with as much in them as is wanted.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use asymmetric_token::PublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use p384::ecdsa::SigningKey;
use registry_gateway::audit::{Entry, Hash, Kind, Salt};
use rusqlite::{Connection, Transaction};
use serde_json::{Map, Value, json};
use transparency_log::{Checkpoint, Frontier, Origin, SignedCheckpoint, Signer, TreeHead};

/// Every 64th entry is signed.
const SIGNED: u64 = 64;
/// A file has only so many names.
const LINKS: usize = 10_000;
/// Some text that is no file and has no such checksum. Nothing looks into it but `audit verify`.
const CHECKSUM: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// How much of each thing there is.
#[derive(Default)]
pub(crate) struct Amounts {
    /// Entries that are of no version.
    pub(crate) log: usize,
    pub(crate) versions: usize,
    pub(crate) per_crate: usize,
    pub(crate) spent: usize,
    pub(crate) users: usize,
}

/// A store's folder. It is removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A store that the program has made, in which Alice has a key.
    pub(crate) fn filled(program: &Path, amounts: &Amounts) -> Self {
        let outer = std::env::temp_dir().join(format!("gateway-growth-{}", std::process::id()));
        fs::DirBuilder::new().mode(0o700).recursive(true).create(&outer).expect("a folder");
        let folder = Self(outer.join("store"));
        let public = alice().1.to_string();
        folder.run(program, &["key", "add", "--user", "alice", "--role", "both", &public]);
        let mut database = Connection::open(folder.path().join("registry.db")).expect("a database");
        database.pragma_update(None, "synchronous", "OFF").expect("a pragma");
        let transaction = database.transaction().expect("begun");
        let mut log = Log::after(&transaction);
        folder.versions(&transaction, &mut log, amounts);
        for n in 0..amounts.log / 2 {
            let detail = [("outcome", "failed".into()), ("detail", "filled".into())];
            let intent = log.add(Kind::Intent, &intent("owners", &crate_name(n), None));
            log.add(Kind::Outcome, &[&[("intent", intent.into())], &detail[..]].concat());
        }
        spent(&transaction, amounts.spent);
        users(&transaction, amounts.users);
        let heads = log.end();
        sign(&transaction, &heads);
        transaction.commit().expect("committed");
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("tidied");
        folder.keep_key();
        folder
    }

    /// Adds publishes without an outcome, as a crash leaves them.
    pub(crate) fn leave_open(&self, amount: usize) {
        let mut database = Connection::open(self.path().join("registry.db")).expect("a database");
        let transaction = database.transaction().expect("begun");
        let mut log = Log::after(&transaction);
        for n in 0..amount {
            let (name, version) = (crate_name(n), "9.9.9");
            let seq = log.add(Kind::Intent, &intent("publish", &name, Some(version)));
            add(&transaction, "INSERT INTO open_intent (seq) VALUES (?)", [seq]);
            add(
                &transaction,
                "INSERT INTO in_doubt (name, version, cksum, user, intent) VALUES (?, ?, ?, 'alice', ?)",
                (name, version, CHECKSUM, seq),
            );
        }
        let counted = "UPDATE counted SET number = (SELECT count(*) FROM open_intent) WHERE what = 'open'";
        add(&transaction, counted, ());
        log.end();
        transaction.commit().expect("committed");
    }

    /// Runs a command on a store, which succeeds.
    pub(crate) fn run(&self, program: &Path, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).arg("--store").arg(self.path());
        let output = command.output().expect("a program");
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{arguments:?}: {}", said.chars().take(2_000).collect::<String>());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Gives a version a longer file.
    pub(crate) fn enlarge(&self, name: &str, version: &str, bytes: usize) {
        let file = self.crate_file(name, version);
        // It is one of many names of a file.
        fs::remove_file(&file).expect("it is there");
        fs::write(file, vec![7; bytes]).expect("room on the disk");
    }

    fn crate_file(&self, name: &str, version: &str) -> PathBuf {
        self.0.join("crates").join(name).join(format!("{name}-{version}.crate"))
    }

    fn versions(&self, transaction: &Transaction<'_>, log: &mut Log<'_>, amounts: &Amounts) {
        let mut source = PathBuf::new();
        for n in 0..amounts.versions {
            let (name, number) = (crate_name(n / amounts.per_crate), n % amounts.per_crate);
            let version = format!("1.{number}.0");
            if number == 0 {
                fs::create_dir(self.0.join("crates").join(&name)).expect("a folder");
                add_crate(transaction, &name, amounts.per_crate);
            }
            let file = self.crate_file(&name, &version);
            if n % LINKS == 0 {
                fs::write(&file, vec![7; 2_000]).expect("room on the disk");
                source = file;
            } else {
                fs::hard_link(&source, &file).expect("a link");
            }
            let intent = log.add(Kind::Intent, &intent("publish", &name, Some(&version)));
            let done = [("intent", intent.into()), ("outcome", "done".into()), ("here", true.into())];
            let outcome = log.add(Kind::Outcome, &done);
            add(
                transaction,
                "INSERT INTO published (name, version, intent, outcome) VALUES (?, ?, ?, ?)",
                (&name, &version, intent, outcome),
            );
            add(
                transaction,
                "INSERT INTO version (crate, version, core, line) VALUES (?1, ?2, ?2, ?3)",
                (&name, &version, line(&name, &version)),
            );
        }
    }

    /// The key of the log is where the program has it.
    fn keep_key(&self) {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(self.0.join("log-1.key"));
        file.and_then(|mut file| file.write_all(&SEED)).expect("room on the disk");
    }
}

/// The key of the log.
const SEED: [u8; 32] = [7; 32];

/// Signs these trees.
fn sign(transaction: &Transaction<'_>, heads: &[TreeHead]) {
    let origin = Origin::of_index("sparse+http://127.0.0.1/index/").expect("an index URL");
    let signer = Signer::new(origin.key_name().expect("a name"), &SEED);
    let public = STANDARD.encode(signer.verifier().public_key());
    add(transaction, "INSERT INTO signer (generation, public) VALUES (1, ?)", [public]);
    for head in heads {
        let checkpoint = Checkpoint::new(origin.clone(), *head).expect("a checkpoint");
        let mut signed = SignedCheckpoint::unsigned(checkpoint);
        signed.sign(&signer).expect("signed");
        let values = (i64::try_from(head.size).expect("a small number"), origin.as_str(), signed.to_string());
        add(transaction, "INSERT INTO checkpoint (size, origin, note) VALUES (?, ?, ?)", values);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in the folder for temporary files.
        let _ = fs::remove_dir_all(self.0.parent().unwrap_or(&self.0));
    }
}

/// Alice's key.
pub(crate) fn alice() -> (SigningKey, PublicKey) {
    let secret = SigningKey::from_slice(&[7; 48]).expect("a scalar below the group order");
    let point = secret.verifying_key().to_sec1_point(true);
    let public = PublicKey::from_sec1(point.as_bytes()).expect("a point of the curve");
    (secret, public)
}

pub(crate) fn crate_name(n: usize) -> String {
    format!("c{n:06}")
}

pub(crate) fn manifest(name: &str, version: &str) -> String {
    format!(
        "[package]\nname = \"{name}\"\nversion = \"{version}\"\nedition = \"2024\"\ndescription = \"described\"\n"
    )
}

/// A line of the index with three dependencies.
fn line(name: &str, version: &str) -> String {
    let dependency = |n: usize| {
        json!({
            "name": format!("dependency{n}"), "req": "^1.2", "features": ["std"], "optional": false,
            "default_features": true, "target": null, "kind": "normal", "registry": null, "package": null,
        })
    };
    json!({
        "name": name, "vers": version, "deps": [dependency(1), dependency(2), dependency(3)], "cksum": CHECKSUM,
        "features": {}, "yanked": false, "links": null, "rust_version": null, "v": 1,
    })
    .to_string()
}

fn add_crate(transaction: &Transaction<'_>, name: &str, versions: usize) {
    let description = format!("{name} is described in a sentence of some words, as most crates are.");
    add(
        transaction,
        "INSERT INTO crate (folded, name, owner, description, changed)
         SELECT ?1, ?1, id, ?2, 0 FROM user WHERE name = 'alice'",
        (name, &description),
    );
    add(
        transaction,
        "INSERT INTO offered (crate, max_version) VALUES (?, ?)",
        (name, format!("1.{}.0", versions - 1)),
    );
    add(
        transaction,
        "INSERT INTO offered_text (rowid, name, description) VALUES (last_insert_rowid(), ?, ?)",
        (name, description),
    );
}

fn spent(transaction: &Transaction<'_>, amount: usize) {
    let later = Timestamp::now().as_second() + 3_600;
    for n in 0..amount {
        let key = Hash::leaf(&n.to_le_bytes()).expect("short").to_string();
        add(transaction, "INSERT INTO spent (single_use_key, kept_until) VALUES (?, ?)", (key, later));
    }
    let counted = "UPDATE counted SET number = (SELECT count(*) FROM spent) WHERE what = 'spent'";
    add(transaction, counted, ());
}

fn users(transaction: &Transaction<'_>, amount: usize) {
    for n in 0..amount {
        add(transaction, "INSERT INTO user (name) VALUES (?)", [format!("user{n}")]);
        add(
            transaction,
            "INSERT INTO key (id, public, user, role, added)
             VALUES (?1, ?1, last_insert_rowid(), 'read', '2026-01-01T00:00:00Z')",
            [format!("key{n}")],
        );
    }
}

fn add(transaction: &Transaction<'_>, sql: &str, parameters: impl rusqlite::Params) {
    transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters)).expect("a row");
}

/// The details of an intent of Alice's.
fn intent(mutation: &str, name: &str, version: Option<&str>) -> Vec<(&'static str, Value)> {
    let mut details = vec![
        ("mutation", mutation.into()),
        ("name", name.into()),
        ("key", alice_id().into()),
        ("user", "alice".into()),
        // Long enough, and too old to be looked at.
        ("token", "v3.public.".repeat(50).into()),
    ];
    if let Some(version) = version {
        details.extend([("vers", version.into()), ("cksum", CHECKSUM.into())]);
    }
    details
}

fn alice_id() -> &'static str {
    static ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ID.get_or_init(|| alice().1.id().to_string())
}

/// The end of a log, and the trees that are to be signed.
struct Log<'a> {
    transaction: &'a Transaction<'a>,
    tree: Frontier,
    heads: Vec<TreeHead>,
}

impl<'a> Log<'a> {
    fn after(transaction: &'a Transaction<'a>) -> Self {
        let tree = transaction.query_row("SELECT size, edge FROM log_end", (), |row| {
            let (size, edge): (i64, String) = (row.get(0)?, row.get(1)?);
            let edge = edge.split_terminator(' ').map(|hash| hash.parse().expect("a hash")).collect();
            Ok(Frontier::from_edge(size.unsigned_abs(), edge).expect("its edge"))
        });
        Self { transaction, tree: tree.expect("Alice's key"), heads: Vec::new() }
    }

    /// Appends an entry, and returns its place.
    fn add(&mut self, kind: Kind, details: &[(&str, Value)]) -> i64 {
        let details: Map<_, _> =
            details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (seq, salt) = (self.tree.size() + 1, Salt::new().expect("random bytes"));
        let entry = Entry { seq, time: Timestamp::UNIX_EPOCH, kind, salt, details };
        let entry = entry.to_json().expect("small numbers");
        let leaf = Hash::leaf(entry.as_bytes()).expect("a short entry");
        let place = i64::try_from(seq).expect("a small number");
        let values = (place, &entry, leaf.to_string());
        add(self.transaction, "INSERT INTO audit (seq, entry, hash) VALUES (?, ?, ?)", values);
        for tile in self.tree.push(leaf).expect("a small tree").into_iter().filter(|tile| tile.level > 0) {
            let values =
                (tile.level, i64::try_from(tile.index).expect("a small number"), tile.hash.to_string());
            add(self.transaction, "INSERT INTO tile (level, number, hash) VALUES (?, ?, ?)", values);
        }
        if seq.is_multiple_of(SIGNED) {
            self.heads.push(self.tree.head());
        }
        place
    }

    /// Writes the end down, and returns the trees that are to be signed.
    fn end(self) -> Vec<TreeHead> {
        let edge: Vec<_> = self.tree.edge().iter().map(ToString::to_string).collect();
        let size = i64::try_from(self.tree.size()).expect("a small number");
        add(self.transaction, "UPDATE log_end SET size = ?, edge = ?", (size, edge.join(" ")));
        self.heads
    }
}
