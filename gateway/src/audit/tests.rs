use proptest::prelude::*;
use serde_json::json;

use super::*;

const INDEX: &str = "sparse+https://crates.example/index/";

/// A log of this many entries as it is stored, and the head of its last entry but one.
fn log(entries: u64) -> (Vec<Vec<u8>>, Point) {
    let (mut bytes, mut last, mut head): (Vec<Vec<u8>>, _, _) = (Vec::new(), Point::START, Point::START);
    for seq in 1..=entries {
        let details = json!({ "name": "hello", "vers": format!("0.0.{seq}"), "user": "alice" });
        let Value::Object(details) = details else { unreachable!() };
        let time = Timestamp::from_second(1_800_000_000 + seq as i64).unwrap();
        let entry = Entry { seq, time, kind: Kind::Intent, prev: last.hash, details };
        bytes.push(entry.to_json().unwrap().into_bytes());
        head = last;
        last = Point { seq, hash: Hash::of(&bytes[bytes.len() - 1]) };
    }
    (bytes, head)
}

/// What is wrong with a log whose numbers stand beside the entries.
fn judge(numbered: &[(u64, Vec<u8>)], head: Point) -> Result<Point, Broken> {
    let mut chain = Chain::new();
    for (seq, bytes) in numbered {
        chain.follow(*seq, bytes, None)?;
        chain.passes(head)?;
    }
    chain.reached(head)?;
    Ok(chain.last())
}

fn numbered(log: &[Vec<u8>]) -> Vec<(u64, Vec<u8>)> {
    (1..).zip(log.iter().cloned()).collect()
}

/// The log written anew from this entry on: each entry follows the one before it again.
fn rechained(log: &[Vec<u8>], from: usize) -> Vec<Vec<u8>> {
    let mut log = log.to_vec();
    for position in from.max(1)..log.len() {
        let mut entry = Entry::parse(&log[position]).unwrap();
        entry.prev = Hash::of(&log[position - 1]);
        entry.seq = position as u64 + 1;
        log[position] = entry.to_json().unwrap().into_bytes();
    }
    log
}

#[test]
fn a_log_holds_up_to_its_head_and_beyond() {
    let (log, head) = log(10);
    let last = judge(&numbered(&log), head).unwrap();
    assert_eq!((last.seq, head.seq), (10, 9));
    assert_eq!(judge(&[], Point::START), Ok(Point::START));
}

#[test]
fn an_entry_has_one_spelling() {
    let (log, _) = log(1);
    let text = String::from_utf8(log[0].clone()).unwrap();
    assert_eq!(
        text,
        "{\"kind\":\"intent\",\"name\":\"hello\",\"prev\":\
         \"0000000000000000000000000000000000000000000000000000000000000000\",\"seq\":1,\
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
    assert_eq!(refused("\"prev\":\"0", "\"prev\":\"g"), EntryError::Field("prev"));
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
    let (log, head) = log(10);
    let mut removed = numbered(&log);
    removed.remove(3);
    assert_eq!(judge(&removed, head), Err(Broken::Removed { seq: 4 }));

    let mut reordered = numbered(&log);
    (reordered[3].1, reordered[4].1) = (reordered[4].1.clone(), reordered[3].1.clone());
    assert_eq!(judge(&reordered, head), Err(Broken::Reordered { seq: 4, says: 5 }));

    let mut changed = log.clone();
    changed[3] = String::from_utf8(changed[3].clone()).unwrap().replace("alice", "mallory").into();
    assert_eq!(judge(&numbered(&changed), head), Err(Broken::Unlinked { seq: 5 }));
    let noted = Hash::of(&log[3]);
    let mut chain = Chain::new();
    for seq in 1..=3 {
        chain.follow(seq, &log[seq as usize - 1], None).unwrap();
    }
    let found = Hash::of(&changed[3]);
    assert_eq!(
        chain.follow(4, &changed[3], Some(noted)).unwrap_err(),
        Broken::Changed { seq: 4, found, noted }
    );

    // Put in and renumbered, the entries after it still following the one that they followed.
    let mut inserted = log.clone();
    inserted.insert(3, log[3].clone());
    for entry in &mut inserted[4..] {
        let mut parsed = Entry::parse(entry).unwrap();
        parsed.seq += 1;
        *entry = parsed.to_json().unwrap().into();
    }
    assert_eq!(judge(&numbered(&inserted), head), Err(Broken::Inserted { seq: 4 }));

    let cut = numbered(&log[..8]);
    assert_eq!(judge(&cut, head), Err(Broken::CutOff { last: 8, head: 9 }));

    let rewritten = numbered(&rechained(&changed, 4));
    assert!(matches!(judge(&rewritten, head), Err(Broken::Rewritten { seq: 9, .. })));
    // What nobody else has kept anything of, can be written anew.
    assert!(judge(&rewritten, Point::START).is_ok());

    let mut damaged = numbered(&log);
    damaged[9].1.pop();
    assert!(matches!(judge(&damaged, head), Err(Broken::Unreadable { seq: 10, .. })));
}

#[test]
fn a_head_is_signed() {
    let key = HeadKey::from_pkcs8(&HeadKey::generate().unwrap()).unwrap();
    let (_, point) = log(3);
    let head = key.sign(INDEX, point, "2026-11-20T12:00:00Z".parse().unwrap()).unwrap();
    let line = head.to_json();
    assert_eq!(Head::parse(&format!("{line}\n")).unwrap(), head);
    assert_eq!((head.key, head.point), (key.public(), point));
    for (from, to) in [
        ("crates.example", "crates.exampl3"),
        ("\"seq\":2", "\"seq\":3"),
        ("12:00:00", "12:00:01"),
        (&point.hash.to_string(), &Hash::NOTHING.to_string()),
    ] {
        let changed = line.replacen(from, to, 1);
        assert_ne!(changed, line);
        assert!(matches!(Head::parse(&changed), Err(HeadError::Signature { .. })), "{changed}");
    }
    let other = HeadKey::from_pkcs8(&HeadKey::generate().unwrap()).unwrap().public();
    let others = line.replace(&key.public().to_string(), &other.to_string());
    assert!(matches!(Head::parse(&others), Err(HeadError::Signature { .. })));
    assert!(matches!(Head::parse(&line.replace("\"version\":1", "\"version\":2")), Err(HeadError::Newer(2))));
    let more = line.replace("\"version\":1", "\"version\":1,\"yes\":1");
    assert!(matches!(Head::parse(&more), Err(HeadError::Syntax(EntryError::NotCanonical))));
    assert!(matches!(Head::parse("{}"), Err(HeadError::Syntax(EntryError::Field("version")))));
    assert!(matches!(HeadKey::from_pkcs8(b"no"), Err(head::HeadKeyError::Rejected(_))));
}

#[test]
fn a_point_is_written_as_it_is_read() {
    let (_, point) = log(3);
    assert_eq!(point.to_string().parse(), Ok(point));
    for text in ["", "1", "1:", ":00", "x:0000", "1:ABCD"] {
        assert_eq!(text.parse::<Point>(), Err(BadPoint), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_other_byte_before_the_head_is_found(entry in 0_usize..9, at: prop::sample::Index, by in 1_u8..) {
        let (mut log, head) = log(10);
        let at = at.index(log[entry].len());
        log[entry][at] ^= by;
        let broken = judge(&numbered(&log), head).unwrap_err();
        // It is found where it is, or by the entry after it, or by the head.
        let seq = entry as u64 + 1;
        match broken {
            Broken::Unreadable { seq: named, .. } => prop_assert_eq!(named, seq),
            Broken::Unlinked { seq: named } => prop_assert!(named == seq || named == seq + 1),
            Broken::Reordered { seq: named, .. } => prop_assert_eq!(named, seq),
            Broken::Rewritten { .. } => prop_assert_eq!(seq, 9),
            other => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn a_log_written_anew_before_the_head_is_found(entry in 0_usize..9) {
        let (mut log, head) = log(10);
        log[entry] = String::from_utf8(log[entry].clone()).unwrap().replace("hello", "jello").into();
        let log = rechained(&log, entry + 1);
        let broken = judge(&numbered(&log), head).unwrap_err();
        prop_assert!(matches!(broken, Broken::Rewritten { seq: 9, .. }), "{}", broken);
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
        let _ = Head::parse(&String::from_utf8_lossy(&bytes));
    }
}
