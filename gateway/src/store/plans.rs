//! No statement reads a whole table, but for those that are named here with their reason.
//!
//! The statements are taken from the sources, so that a new one cannot be forgotten: a string literal that begins with one
//! of SQL's verbs is a statement, in the store and wherever else SQLite is named. A constant in braces within it stands
//! for its text.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::Store;

/// Statements that read a whole table: the file, how they begin, and why they may. No request waits for one of them.
const READ_ALL: [Known; 16] = [
    ("store/tables.rs", "", "`audit verify`, `record` and `doctor` compare all tables with the log"),
    ("store/derived.rs", "", "the same commands compare with what it follows from"),
    (
        "store/verified.rs",
        "SELECT seq, entry, hash FROM audit ORDER BY seq",
        "`audit verify` follows the log",
    ),
    ("store/verified.rs", "SELECT level, number, hash FROM tile", "and compares its tree"),
    (
        "store/checkpoints.rs",
        "SELECT size, origin, note FROM checkpoint ORDER BY size",
        "and its checkpoints",
    ),
    ("store/checkpoints/key.rs", "SELECT generation, public FROM signer", "there are as many as generations"),
    ("store/tree.rs", "SELECT entry FROM audit ORDER BY seq", "a migration makes the tree"),
    ("store/ledger.rs", "SELECT published.intent,", "`record` shows all"),
    ("store/open.rs", "SELECT open_intent.seq, entry, why FROM open_intent", "all that are open are settled"),
    ("store/users.rs", "SELECT name, removed, (SELECT count(*)", "`user list` shows all"),
    ("store/keys.rs", "SELECT key.public,", "`key list` shows all"),
    ("store/staged/approvals.rs", "SELECT folded, user.name FROM approver", "`approver list` shows all"),
    ("store/publishers.rs", "SELECT publisher.name,", "there are as many as the administrator has added"),
    (
        "store/crates.rs",
        "SELECT crate.name, version.version FROM version",
        "the start compares the folder with it",
    ),
    (
        "store/search.rs",
        "SELECT crate, version, line FROM version",
        "a migration fills the index of searches",
    ),
    ("store/search.rs", "SELECT crate, max_version FROM offered", "`store copy` copies all"),
];

type Known = (&'static str, &'static str, &'static str);

const VERBS: [&str; 5] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];

#[test]
fn no_statement_of_a_request_reads_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let connection = store.engine.sqlite().unwrap().writer();
    let statements = statements();
    assert!(statements.len() > 60, "only {} statements were found", statements.len());
    let (mut needed, mut wrong) = (BTreeSet::new(), Vec::new());
    for (file, sql) in &statements {
        let plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"));
        let mut plan = plan.unwrap_or_else(|error| panic!("{file}: {sql}: {error}"));
        let mut steps = plan.raw_query();
        let mut scans = Vec::new();
        while let Some(step) = steps.next().unwrap() {
            scans.push(step.get::<_, String>(3).unwrap());
        }
        scans.retain(|step| reads_all(step));
        // Whoever gives a parameter looks for something, and a scan within a scan is quadratic.
        let may_be_known = !sql.contains('?') && scans.len() == 1;
        let known = READ_ALL.iter().find(|known| known.0 == file && sql.starts_with(known.1));
        match known.filter(|_| may_be_known) {
            Some(known) => _ = needed.insert(known),
            None if scans.is_empty() => {}
            None => wrong.push(format!("{file}: {sql}: {}", scans.join(", "))),
        }
    }
    assert!(wrong.is_empty(), "an index is missing, or a word in this test why none is needed:\n{wrong:#?}");
    let idle: Vec<_> = READ_ALL.iter().filter(|known| !needed.contains(known)).collect();
    assert!(idle.is_empty(), "these do not read a whole table, or are gone: {idle:?}");
}

/// Whether a step of a plan reads all rows of a table or an index. An index of texts is asked by a `MATCH` or a number,
/// which its plan names behind the colon.
fn reads_all(step: &str) -> bool {
    let Some(scanned) = step.strip_prefix("SCAN ") else { return false };
    let is_asked = scanned.split_once("VIRTUAL TABLE INDEX ").is_some_and(|(_, index)| !index.ends_with(':'));
    !is_asked && scanned != "CONSTANT ROW" && scanned != "counted_to_a_limit"
}

#[test]
fn a_scan_is_told_from_a_search() {
    for step in ["SCAN audit", "SCAN spent USING COVERING INDEX x", "SCAN t VIRTUAL TABLE INDEX 0:"] {
        assert!(reads_all(step), "{step}");
    }
    for step in ["SEARCH audit USING INTEGER PRIMARY KEY (rowid=?)", "SCAN t VIRTUAL TABLE INDEX 0:M3"] {
        assert!(!reads_all(step), "{step}");
    }
}

/// All statements, in one line each, behind the file that each is in. The steps of a migration read what they want, a copy
/// reads everything, and what only a PostgreSQL is asked is nothing that SQLite could plan.
fn statements() -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = sources(&root);
    paths.retain(|path| {
        !path.ends_with("store/schema.rs")
            && !path.ends_with("store/copy.rs")
            && !path.components().any(|part| part.as_os_str() == "postgres")
            && !path.ends_with("store/plans.rs")
            && !path.ends_with("postgres.rs")
            && path.iter().all(|folder| folder != "postgres")
    });
    for path in paths {
        let source = fs::read_to_string(&path).unwrap();
        if !path.starts_with(root.join("store")) && !source.contains("rusqlite") {
            continue;
        }
        let product = source.split("\n#[cfg(test)]\nmod tests").next().unwrap();
        let literals = literals(product);
        let constants: Vec<_> = literals
            .iter()
            .filter_map(|(before, text)| {
                let (_, name) = before.trim_end().strip_suffix(": &str =")?.rsplit_once("const ")?;
                Some((format!("{{{name}}}"), text))
            })
            .collect();
        let is_part = |text: &String| {
            constants.iter().any(|(name, constant)| *constant == text && product.contains(name.as_str()))
        };
        for (_, text) in literals.iter().filter(|(_, text)| !is_part(text)) {
            let whole = constants.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value));
            let sql = whole.split_whitespace().collect::<Vec<_>>().join(" ");
            let begin = sql.to_ascii_uppercase();
            if VERBS.iter().any(|verb| begin.starts_with(verb)) {
                let file = path.strip_prefix(&root).unwrap().display().to_string();
                found.insert((file.replace('\\', "/"), sql));
            }
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The string literals of a source without raw strings, each with the line's text before it.
fn literals(source: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = String::new();
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if rest.starts_with("'\"'") {
            rest = &rest[3..];
        } else if c == '"' {
            let (text, after) = literal(&rest[1..]);
            found.push((std::mem::take(&mut line), text));
            rest = after;
        } else {
            if c == '\n' && !line.trim_end().ends_with('=') {
                line.clear();
            }
            line.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    found
}

/// The text up to the end of a literal, and what comes after it.
fn literal(source: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = source.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (text, &source[at + 1..]),
            '\\' => match characters.next() {
                Some((_, '\n')) => text.push('\n'),
                Some((_, escaped)) => text.extend(['\\', escaped]),
                None => break,
            },
            c => text.push(c),
        }
    }
    panic!("a literal does not end: {text}");
}
