//! Witnesses of the gateway's log: honest ones, and those that lie, hang or refuse.
#![cfg(unix)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use registry_gateway::config::{Config, WitnessConfig};
use registry_gateway::doctor;
use transparency_log::{AddCheckpoint, Cosigner, SignedCheckpoint, Verifier};

use crate::common::bearer_registry::{BearerRegistry, Received, Say};
use crate::common::witnessed::{ServedWitness, WitnessFolder};
use crate::common::{Fixture, Upload};

/// `[[witness]]`.
pub(crate) fn entry(name: &str, url: &str, key: &Verifier) -> WitnessConfig {
    let text = format!("[[witness]]\nname = {name:?}\nurl = {url:?}\nvkey = \"{key}\"\n");
    toml::from_str::<Config>(&text).unwrap().witness.remove(0)
}

/// Once it has signed something.
pub(crate) fn log_key(fixture: &Fixture) -> Verifier {
    loop {
        let answer = fixture.send("GET", "/log/key", None, b"");
        if answer.status == 200 {
            return answer.text().trim_end().parse().unwrap();
        }
    }
}

/// A gateway whose log's key a witness knows.
fn fixture() -> (Fixture, WitnessFolder, ServedWitness) {
    let fixture = Fixture::new();
    let (folder, key) = (WitnessFolder::new(), log_key(&fixture));
    let served = folder.serve_key(&key);
    (fixture, folder, served)
}

/// The gateway with these witnesses.
fn asks(fixture: &mut Fixture, witnesses: Vec<WitnessConfig>) {
    fixture.config.witness = witnesses;
    fixture.restart();
}

/// Publishes one more version, and returns the number of entries.
fn publish(fixture: &Fixture, version: &str) -> u64 {
    let answer = fixture.publish(&Upload::new("hello", version));
    answer.assert_ok();
    answer.field("x-audit").unwrap().split(':').next().unwrap().parse().unwrap()
}

/// The newest checkpoint, once it has so many entries and these witnesses have signed it. It never gets smaller.
fn shown(fixture: &Fixture, size: u64, witnesses: &[&Verifier]) -> SignedCheckpoint {
    let key = log_key(fixture);
    let mut largest = 0;
    loop {
        let answer = fixture.send("GET", "/log/checkpoint", None, b"");
        if answer.status == 404 {
            continue;
        }
        let note: SignedCheckpoint = answer.text().parse().unwrap();
        let known: Vec<Verifier> = witnesses.iter().copied().cloned().collect();
        let verified = note.verify(&key.name().as_str().parse().unwrap(), &key, &known).unwrap();
        assert!(verified.head.size >= largest);
        largest = verified.head.size;
        if largest >= size && verified.cosignatures.len() == witnesses.len() {
            return note;
        }
    }
}

/// What `doctor` says of the witnesses, and of what is to be done.
fn examined(fixture: &Fixture) -> Vec<(String, bool)> {
    let findings = doctor::examine(&fixture.config, &[]).unwrap();
    let of_witnesses = findings.into_iter().filter(|finding| finding.text.contains("witness"));
    of_witnesses.map(|finding| (finding.text, finding.advice.is_some())).collect()
}

#[test]
fn a_witness_cosigns_and_everybody_sees_it() {
    let (mut fixture, folder, served) = fixture();
    let before = publish(&fixture, "1.0.0");
    assert_eq!(shown(&fixture, before, &[]).note().signatures().len(), 1, "nobody was asked");
    asks(&mut fixture, vec![entry("somebody", &served.url, &folder.key)]);
    shown(&fixture, before, &[&folder.key]);
    let mut size = 0;
    for version in ["1.0.1", "1.0.2", "1.0.3"] {
        size = publish(&fixture, version);
        shown(&fixture, size, &[&folder.key]);
    }
    let well = format!("the witness somebody cosigns the newest checkpoint, of {size} entries");
    assert_eq!(examined(&fixture), [(well, false)]);
    // The gateway forgets what the witness has cosigned, and is told.
    fixture.restart();
    let size = publish(&fixture, "1.0.4");
    shown(&fixture, size, &[&folder.key]);
    // Without the witness the log goes on, and with it again.
    let address = served.url.trim_start_matches("http://").to_owned();
    drop(served);
    let size = publish(&fixture, "1.0.5");
    shown(&fixture, size, &[]);
    assert!(
        examined(&fixture)[0].0.contains("the witness somebody does not cosign: "),
        "{:?}",
        examined(&fixture)
    );
    let key = log_key(&fixture);
    let _served = folder.serve_at(&key, &address);
    let behind = format!("the witness somebody is 2 entries behind: it has cosigned {} of {size}", size - 2);
    assert_eq!(examined(&fixture), [(behind, true)]);
    fixture.restart();
    shown(&fixture, size, &[&folder.key]);
}

/// Of what a witness answers, only its own signature of this very checkpoint is shown.
#[test]
fn a_lying_witness_is_not_shown() {
    let (mut fixture, folder, served) = fixture();
    let liar = Arc::new(Cosigner::new("liar.example.org".parse().unwrap(), &[1; 32]));
    let other = Arc::new(Cosigner::new("liar.example.org".parse().unwrap(), &[2; 32]));
    let lies = BearerRegistry::start();
    let asked = Arc::new(AtomicU64::new(0));
    let honest = |cosigner: &Arc<Cosigner>, request: &Received| {
        let request: AddCheckpoint = String::from_utf8(request.body.clone()).unwrap().parse().unwrap();
        let mut note = request.checkpoint().clone();
        note.cosign(cosigner, 1_700_000_000).unwrap();
        note.signature_lines(cosigner.verifier())
    };
    type Lie = Box<dyn Fn(&Received) -> Say + Send + Sync>;
    let by_another_key = {
        let other = other.clone();
        move |request: &Received| Say::ok(honest(&other, request))
    };
    let of_another_tree = {
        let liar = liar.clone();
        move |_: &Received| {
            let head = transparency_log::TreeHead { size: 9, root: transparency_log::Hash::EMPTY };
            let checkpoint = transparency_log::Checkpoint::new("x".parse().unwrap(), head).unwrap();
            let mut note = SignedCheckpoint::unsigned(checkpoint);
            note.cosign(&liar, 1_700_000_000).unwrap();
            Say::ok(note.signature_lines(liar.verifier()))
        }
    };
    let spoilt = {
        let liar = liar.clone();
        move |request: &Received| Say::ok(honest(&liar, request).replace("AAAA", "AAAB") + "— x\u{1b} y\n")
    };
    let conflict = |size: &'static str| {
        let fields = vec![("Content-Type", "text/x.tlog.size".to_owned())];
        move |_: &Received| Say::Answer("409 Conflict", fields.clone(), size.into())
    };
    let lies_told: Vec<Lie> = vec![
        Box::new(by_another_key),
        Box::new(of_another_tree),
        Box::new(spoilt),
        Box::new(|_| Say::ok("")),
        Box::new(|_| Say::Endless("200 OK")),
        Box::new(|_| Say::HangUp),
        Box::new(|_| Say::no("422 Unprocessable Entity", "\u{1b}[31m")),
        Box::new(conflict("1\n")),
        Box::new(conflict("99999999999999999999\n")),
        Box::new(conflict("18446744073709551615\n")),
        Box::new(conflict("-1\n")),
        Box::new(conflict("x")),
    ];
    let known: Vec<_> = (0..lies_told.len())
        .map(|number| {
            Cosigner::new(
                "liar.example.org".parse().unwrap(),
                &[if number < 3 { 1 } else { 3 + number as u8 }; 32],
            )
        })
        .collect();
    for (number, lie) in lies_told.into_iter().enumerate() {
        let asked = asked.clone();
        let say = Say::Ask(Arc::new(move |request| {
            asked.fetch_or(1 << number, SeqCst);
            lie(request)
        }));
        lies.on(&format!("POST /{number}/add-checkpoint"), say);
    }
    let all = |numbers: &[usize]| -> Vec<WitnessConfig> {
        let one = |number: &usize| {
            entry(&format!("liar {number}"), &format!("{}/{number}", lies.url()), known[*number].verifier())
        };
        numbers.iter().map(one).chain([entry("somebody", &served.url, &folder.key)]).collect()
    };
    // The first three have one key, which can be named once.
    for (numbers, version) in [(vec![0], "1.0.0"), (vec![1], "1.0.1"), ((2..12).collect(), "1.0.2")] {
        asks(&mut fixture, all(&numbers));
        let size = publish(&fixture, version);
        let note = shown(&fixture, size, &[&folder.key]);
        assert_eq!(note.note().signatures().len(), 2, "{note}");
        let to_do = examined(&fixture).into_iter().filter(|(_, to_do)| *to_do).count();
        assert_eq!(to_do, numbers.len(), "{:?}", examined(&fixture));
    }
    assert_eq!(asked.load(SeqCst), (1 << 12) - 1);
    // What somebody puts into the table is not shown either.
    let line = "— liar.example.org AAAAAAAA";
    fixture.sql(&format!("INSERT INTO cosignature SELECT origin, size, 'x', '{line}' FROM shown"));
    assert_eq!(shown(&fixture, 0, &[&folder.key]).note().signatures().len(), 2);
}

#[test]
fn a_witness_that_hangs_slows_no_publish() {
    let (mut fixture, folder, served) = fixture();
    let hangs = BearerRegistry::start();
    hangs.on("POST /add-checkpoint", Say::Silence);
    let silent = Cosigner::new("silent.example.org".parse().unwrap(), &[1; 32]);
    let witnesses =
        vec![entry("silent", &hangs.url(), silent.verifier()), entry("somebody", &served.url, &folder.key)];
    asks(&mut fixture, witnesses);
    let mut size = 0;
    // Whoever waited for it would wait for three seconds each time.
    let fastest = (0..5).map(|number| {
        let start = Instant::now();
        size = publish(&fixture, &format!("1.0.{number}"));
        start.elapsed()
    });
    assert!(fastest.min().unwrap() < Duration::from_secs(3));
    shown(&fixture, size, &[&folder.key]);
    assert!(hangs.received().iter().any(|request| request.path == "/add-checkpoint"));
    // It is asked beside the others from now on.
    let size = publish(&fixture, "2.0.0");
    shown(&fixture, size, &[&folder.key]);
    let said = examined(&fixture);
    assert!(said[0].0.starts_with("the witness silent does not cosign: no answer ") && said[0].1, "{said:?}");
}

#[test]
fn witnesses_that_refuse_and_those_that_know_more() {
    let (mut fixture, folder, served) = fixture();
    let size = publish(&fixture, "1.0.0");
    // A witness of other logs.
    let elsewhere = crate::common::witnessed::MemoryLog::new("other.example.org", 1);
    let other = WitnessFolder::new();
    let of_others = other.serve(&elsewhere);
    // One that has seen more of this log than it has.
    let knows_more = BearerRegistry::start();
    let fields = vec![("Content-Type", "text/x.tlog.size".to_owned())];
    knows_more.on("POST /add-checkpoint", Say::Answer("409 Conflict", fields, "1000\n".into()));
    let more = Cosigner::new("more.example.org".parse().unwrap(), &[1; 32]);
    asks(
        &mut fixture,
        vec![
            entry("stranger", &format!("{}/", of_others.url), &other.key),
            entry("knows more", &knows_more.url(), more.verifier()),
            entry("somebody", &served.url, &folder.key),
        ],
    );
    let note = shown(&fixture, size, &[&folder.key]);
    assert_eq!(note.note().signatures().len(), 2);
    let size = note.unverified().head().size;
    assert_eq!(
        examined(&fixture),
        [
            ("the witness stranger refuses the newest checkpoint (404 Not Found)".to_owned(), true),
            (format!("the witness knows more has cosigned 1000 entries, and the log has {size}"), true),
            (format!("the witness somebody cosigns the newest checkpoint, of {size} entries"), false),
        ]
    );
}

#[test]
fn what_a_witness_can_be_in_the_configuration() {
    let key = Cosigner::new("w.example.org".parse().unwrap(), &[1; 32]).verifier().to_string();
    let log =
        transparency_log::Signer::new("w.example.org".parse().unwrap(), &[1; 32]).verifier().to_string();
    let one =
        |url: &str, key: &str| format!("[[witness]]\nname = \"w\"\nurl = \"{url}\"\nvkey = \"{key}\"\n");
    let refused = |text: &str, why: &str| {
        let error = toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(&one("witness.example.org", &key), "an address with http:// or https://");
    refused(&one("https://", &key), "an address with http:// or https://");
    refused(&one("https://x/?a", &key), "an address with http:// or https://");
    refused(&one("https://x", &log), "this is the key of a log");
    refused(&one("https://x", &key.replace("w.", "v.")), "the key id");
    let twice = one("https://x", &key) + &one("https://y", &key);
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(folder.path().join("registry"));
    config.witness = toml::from_str::<Config>(&twice).unwrap().witness;
    let error = registry_gateway::Gateway::start(config).unwrap_err().to_string();
    assert!(error.contains("`witness` must be given once for each `vkey`"), "{error}");
}
