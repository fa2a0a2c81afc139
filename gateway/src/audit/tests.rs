use proptest::prelude::*;
use serde_json::json;

use super::*;
use transparency_log::Frontier;

/// A log of this many entries as it is stored, and what is noted of it: its tree, and that it was signed when the last entry but one
/// was written.
fn log(entries: u64) -> (Vec<Vec<u8>>, Noted) {
    let bytes: Vec<_> =
        (1..=entries).map(|seq| entry(seq, "alice").to_json().unwrap().into_bytes()).collect();
    let noted = noted(&bytes);
    (bytes, noted)
}

fn entry(seq: u64, user: &str) -> Entry {
    let details = json!({ "name": "hello", "vers": format!("0.0.{seq}"), "user": user });
    let Value::Object(details) = details else { unreachable!() };
    let time = Timestamp::from_second(1_800_000_000 + seq as i64).unwrap();
    Entry { seq, time, kind: Kind::Intent, salt: Salt([7; 16]), details }
}

fn noted(log: &[Vec<u8>]) -> Noted {
    let mut noted = Noted::default();
    for bytes in log {
        noted.heads = vec![noted.edge.head()];
        let tiles = noted.edge.push(Hash::leaf(bytes).unwrap()).unwrap();
        noted.tiles.extend(tiles.iter().skip(1).map(|tile| ((tile.level, tile.index), tile.hash)));
    }
    noted
}

/// What is wrong with a log whose numbers stand beside the entries, where the hash of each is noted as it is now.
fn judge(numbered: &[(u64, Vec<u8>)], noted: Noted) -> Result<Point, Broken> {
    let mut follower = Follower::new(noted);
    for (seq, bytes) in numbered {
        follower.follow(*seq, bytes, Hash::leaf(bytes).ok())?;
    }
    follower.end()
}

fn numbered(log: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(log.iter().cloned()).collect()
}

#[test]
fn a_log_holds() {
    for entries in [1, 10, 255, 256, 257, 600] {
        let (log, noted) = log(entries);
        let last = Point { seq: entries, hash: Hash::leaf(&log[log.len() - 1]).unwrap() };
        assert_eq!(judge(&numbered(&log), noted), Ok(last));
    }
    assert_eq!(judge(&[], Noted::default()), Ok(Point::START));
}

#[test]
fn an_entry_has_one_spelling() {
    let (log, _) = log(1);
    let text = String::from_utf8(log[0].clone()).unwrap();
    assert_eq!(
        text,
        "{\"kind\":\"intent\",\"name\":\"hello\",\"salt\":\"BwcHBwcHBwcHBwcHBwcHBw\",\"seq\":1,\
         \"time\":\"2027-01-15T08:00:01.000000Z\",\"user\":\"alice\",\"vers\":\"0.0.1\"}"
    );
    let parsed = Entry::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.to_json().unwrap(), text);
    let refused = |from: &str, to: &str| Entry::parse(text.replacen(from, to, 1).as_bytes()).unwrap_err();
    assert_eq!(refused(",", ", "), EntryError::NotCanonical);
    assert_eq!(refused("hello", "\\u0068ello"), EntryError::NotCanonical);
    assert_eq!(refused("\"seq\":1", "\"seq\":1.0"), EntryError::Number(bad_number("1.0")));
    assert_eq!(refused("\"seq\":1", "\"seq\":-1"), EntryError::Field("seq"));
    assert_eq!(refused("000Z", "Z"), EntryError::Field("time"));
    assert_eq!(refused("intent", "guess"), EntryError::Field("kind"));
    for salt in [
        "",
        "\"salt\":\"\",",
        "\"salt\":\"BwcHBwcHBwcHBwcHBwcHBwc\",",
        "\"salt\":\"BwcHBwcHBwcHBwcHBwcHBx\",",
    ] {
        assert_eq!(
            refused("\"salt\":\"BwcHBwcHBwcHBwcHBwcHBw\",", salt),
            EntryError::Field("salt"),
            "{salt}"
        );
    }
    assert!(matches!(refused("\"user\"", "\"name\""), EntryError::Json(StrictJsonError::DuplicateName(_))));
    assert_eq!(Entry::parse(b"[]"), Err(EntryError::NotAnObject));
    assert_eq!(Entry::parse(b"\"\xff\""), Err(EntryError::NotUtf8));
    let taken = Entry { details: Map::from_iter([("seq".to_owned(), 2.into())]), ..parsed };
    assert_eq!(taken.to_json(), Err(EntryError::Field("seq")));
}

fn bad_number(text: &str) -> canonical::BadNumber {
    let Value::Object(object) = serde_json::from_str(&format!("{{\"n\":{text}}}")).unwrap() else {
        unreachable!()
    };
    canonical::object(&object).unwrap_err()
}

#[test]
fn canonical_json_is_that_of_rfc_8785() {
    let value = json!({ "b": [1, -2, null, true, {}], "a": "€$\u{f}\nA'B\"\\\t\u{8}\u{c}\r/\u{7f}" });
    let Value::Object(object) = value else { unreachable!() };
    assert_eq!(
        canonical::object(&object).unwrap(),
        "{\"a\":\"€$\\u000f\\nA'B\\\"\\\\\\t\\b\\f\\r/\u{7f}\",\"b\":[1,-2,null,true,{}]}"
    );
    for number in ["9007199254740992", "-9007199254740992", "0.5", "1e3"] {
        bad_number(number);
    }
}

#[test]
fn names_what_was_done_to_a_log() {
    let (log, noted) = log(10);
    let judge = |numbered: &[(u64, Vec<u8>)]| judge(numbered, noted.clone()).unwrap_err();
    let mut removed = numbered(&log);
    removed.remove(3);
    assert_eq!(judge(&removed), Broken::Removed { seq: 4 });

    let mut reordered = numbered(&log);
    (reordered[3].1, reordered[4].1) = (reordered[4].1.clone(), reordered[3].1.clone());
    assert_eq!(judge(&reordered), Broken::Reordered { seq: 4, says: 5 });

    let mut follower = Follower::new(noted.clone());
    let (was, changed) = (Hash::leaf(&log[0]).unwrap(), entry(1, "mallory").to_json().unwrap());
    let found = Hash::leaf(changed.as_bytes()).unwrap();
    let broken = follower.follow(1, changed.as_bytes(), Some(was)).unwrap_err();
    assert_eq!(broken, Broken::Changed { seq: 1, found, noted: was });
    assert!(matches!(follower.follow(1, &log[0], None), Err(Broken::Changed { seq: 1, .. })));

    let mut inserted = numbered(&log);
    inserted.push((11, entry(11, "alice").to_json().unwrap().into()));
    assert_eq!(judge(&inserted), Broken::Inserted { seq: 11 });

    assert_eq!(judge(&numbered(&log[..8])), Broken::CutOff { last: 8, size: 10 });

    let mut damaged = numbered(&log);
    damaged[9].1.pop();
    assert!(matches!(judge(&damaged), Broken::Unreadable { seq: 10, .. }));
}

/// Whoever writes an entry anew writes its hash anew.
#[test]
fn what_was_written_anew_with_its_hash_is_found_by_what_is_above() {
    let (log, whole) = log(600);
    let changed = |seq: u64| {
        let mut log = numbered(&log);
        log[seq as usize - 1].1 = entry(seq, "mallory").to_json().unwrap().into_bytes();
        log
    };
    assert_eq!(judge(&changed(300), whole.clone()), Err(Broken::OtherTile { from: 257, to: 512 }));
    assert_eq!(judge(&changed(599), whole.clone()), Err(Broken::Rewritten { from: 1, size: 599 }));
    assert_eq!(judge(&changed(600), whole.clone()), Err(Broken::OtherEdge { from: 600, to: 600 }));
    // What was signed before narrows it down.
    let mut often = whole.clone();
    let head = |size: usize| noted(&log[..size]).edge.head();
    often.heads = vec![head(550), head(520), head(540)];
    assert_eq!(judge(&changed(530), often.clone()), Err(Broken::Rewritten { from: 521, size: 540 }));
    // Whoever can write everything writes the tree anew, but cannot sign it.
    let rewritten: Vec<_> = changed(300).into_iter().map(|(_, bytes)| bytes).collect();
    let noted = noted(&rewritten);
    assert_eq!(
        judge(&numbered(&rewritten), Noted { heads: often.heads, ..noted.clone() }),
        Err(Broken::Rewritten { from: 1, size: 520 })
    );
    assert!(judge(&numbered(&rewritten), noted).is_ok(), "nobody has kept anything");
}

#[test]
fn tiles_and_edge_are_those_of_the_entries() {
    let (log, whole) = log(600);
    let judge = |change: fn(&mut Noted)| {
        let mut noted = whole.clone();
        change(&mut noted);
        judge(&numbered(&log), noted).unwrap_err()
    };
    let removed = judge(|noted| _ = noted.tiles.remove(&(1, 1)));
    assert_eq!(removed, Broken::OtherTile { from: 257, to: 512 });
    assert_eq!(judge(|noted| _ = noted.tiles.insert((1, 2), Hash::EMPTY)), Broken::TileInserted);
    let edge = |noted: &mut Noted| {
        let mut edge = noted.edge.edge().to_vec();
        edge[0] = Hash::EMPTY;
        noted.edge = Frontier::from_edge(600, edge).unwrap();
    };
    assert_eq!(judge(edge), Broken::OtherEdge { from: 600, to: 600 });
    let kept =
        |noted: &mut Noted| noted.heads.push(transparency_log::TreeHead { size: 601, root: Hash::EMPTY });
    assert_eq!(judge(kept), Broken::CutOff { last: 600, size: 601 });
}

#[test]
fn a_point_is_written_as_it_is_read() {
    let point = Point { seq: 3, hash: Hash::EMPTY };
    assert_eq!(point.to_string().parse(), Ok(point));
    for text in ["", "1", "1:", ":00", "x:0000", "1:ABCD"] {
        assert_eq!(text.parse::<Point>(), Err(BadPoint), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Also where its hash is noted anew.
    #[test]
    fn any_other_byte_is_found(entry in 0_usize..10, at: prop::sample::Index, by in 1_u8..) {
        let (mut log, noted) = log(10);
        let at = at.index(log[entry].len());
        log[entry][at] ^= by;
        let broken = judge(&numbered(&log), noted).unwrap_err();
        let seq = entry as u64 + 1;
        match broken {
            Broken::Unreadable { seq: named, .. } | Broken::Reordered { seq: named, .. } => prop_assert_eq!(named, seq),
            Broken::Rewritten { from: 1, size: 9 } => prop_assert!(seq <= 9),
            Broken::OtherEdge { from: 10, to: 10 } => prop_assert_eq!(seq, 10),
            other => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn canonical_json_reads_back(text in "\\PC*|[\\x00-\\x20\"\\\\]*", number in -(1_i64 << 53) + 1..1 << 53) {
        let object = Map::from_iter([("t".to_owned(), text.as_str().into()), ("n".to_owned(), number.into())]);
        let written = canonical::object(&object).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), Value::Object(object));
        let starts_with_n = written.starts_with("{\"n\":");
        prop_assert!(starts_with_n);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::parse(&bytes);
    }
}
