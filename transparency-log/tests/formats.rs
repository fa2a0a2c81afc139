//! Notes, checkpoints, requests to witnesses and saved proofs: what is read, what is refused, and what was not signed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use proptest::prelude::*;
use transparency_log::note::MAX_NOTE_BYTES;
use transparency_log::tlog_proof::MAX_EXTRA_BYTES;
use transparency_log::{
    AddCheckpoint, Algorithm, Checkpoint, ConsistencyProof, Cosignature, Cosigner, Error, Hash,
    InclusionProof, KeyName, MAX_SIZE, Note, Origin, Plan, Refusal, Signature, SignedCheckpoint, Signer,
    Tiles, TlogProof, TreeHead, Verifier,
};

use support::{Log, leaf};

const INDEX: &str = "sparse+https://registry.example/index/";
const NOW: u64 = 1_790_000_000;

fn origin() -> Origin {
    Origin::of_index(INDEX).unwrap()
}

fn signer() -> Signer {
    Signer::new(origin().key_name().unwrap(), &[1; 32])
}

fn witness(number: u8) -> Cosigner {
    Cosigner::new(format!("witness.example/w{number}").parse().unwrap(), &[100 + number; 32])
}

fn signed(head: TreeHead) -> SignedCheckpoint {
    let mut checkpoint = SignedCheckpoint::unsigned(Checkpoint::new(origin(), head).unwrap());
    checkpoint.sign(&signer()).unwrap();
    checkpoint
}

fn head(size: u64) -> TreeHead {
    *Log::of(size).heads.last().unwrap()
}

/// The text with one line put in place of another.
fn with_line(text: &str, at: usize, line: &str) -> String {
    let mut lines: Vec<_> = text.split('\n').collect();
    lines[at] = line;
    lines.join("\n")
}

#[test]
fn an_origin_is_the_index_url_without_its_scheme() {
    for (url, origin) in [
        (INDEX, "registry.example/index"),
        ("https://github.com/rust-lang/crates.io-index", "github.com/rust-lang/crates.io-index"),
        ("sparse+https://registry.example:8443/a+b/c++/", "registry.example:8443/a%2Bb/c%2B%2B"),
        ("https://registry.example/two//", "registry.example/two/"),
        ("ssh://git@registry.example/index.git", "git@registry.example/index.git"),
    ] {
        let found = Origin::of_index(url).unwrap();
        assert_eq!(found.as_str(), origin);
        assert_eq!(found.key_name().unwrap().as_str(), origin);
    }
    for url in [
        "",
        "registry.example/index",
        "https://",
        "https:///",
        "https://a b/",
        "https://a\u{a0}b/",
        "https://a\nb/",
        "https://a/\0",
    ] {
        assert_eq!(Origin::of_index(url), Err(Error::IndexUrl), "{url:?}");
    }
    for line in ["", "two\nlines", "a\rb", "a\tb", "\n"] {
        assert_eq!(line.parse::<Origin>(), Err(Error::OriginSyntax), "{line:?}");
    }
    assert_eq!("go.sum database tree".parse::<Origin>().unwrap().key_name(), Err(Error::KeyName));
    for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb", "a\u{1}"] {
        assert_eq!(name.parse::<KeyName>(), Err(Error::KeyName), "{name:?}");
    }
}

#[test]
fn a_checkpoint_is_that_of_its_log_and_of_nobody_else() {
    let (head, log) = (head(5), signer());
    let text = signed(head).to_string();
    let checkpoint: SignedCheckpoint = text.parse().unwrap();
    assert_eq!(checkpoint.to_string(), text);
    assert_eq!(checkpoint.verify(&origin(), log.verifier(), &[]).unwrap().head, head);

    let other = Origin::of_index("https://other.example/").unwrap();
    let refused =
        Error::OtherOrigin { expected: "other.example".into(), found: "registry.example/index".into() };
    assert_eq!(checkpoint.verify(&other, log.verifier(), &[]), Err(refused));
    // Another key of that name is not known, and the key's id does not make it so.
    let stranger = Signer::new(origin().key_name().unwrap(), &[2; 32]);
    assert_eq!(checkpoint.verify(&origin(), stranger.verifier(), &[]), Err(Error::NotSigned));
    let bad = Error::BadSignature { name: origin().to_string() };
    for (line, changed) in [(1, "6".to_owned()), (2, leaf(0).to_string()), (3, "an extension\n".to_owned())] {
        let changed: SignedCheckpoint = with_line(&text, line, &changed).parse().unwrap();
        assert_eq!(changed.verify(&origin(), log.verifier(), &[]), Err(bad.clone()));
    }
}

#[test]
fn texts_that_are_no_checkpoints_are_refused() {
    let root = leaf(0);
    for text in [
        String::new(),
        "\n".to_owned(),
        format!("o\n5\n{root}"),
        format!("o\n5\n{root}\n\n"),
        format!("\n5\n{root}\n"),
        "o\n5\n".to_owned(),
        format!("o\n05\n{root}\n"),
        format!("o\n+5\n{root}\n"),
        format!("o\n-5\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n5 \n{root}\n"),
        format!("o\n{}\n{root}\n", MAX_SIZE + 1),
        format!("o\n99999999999999999999\n{root}\n"),
        format!("o\n5\n{}\n", &root.to_string()[1..]),
        format!("o\n5\n{}\n", root.to_string().trim_end_matches('=')),
        format!("o\n5\n{root} \n"),
        format!("o\n5\n{root}\n\nextension\n"),
        format!("o\r\n5\r\n{root}\r\n"),
        format!("{}\n5\n{root}\n", "o".repeat(8_192)),
    ] {
        assert_eq!(text.parse::<Checkpoint>(), Err(Error::CheckpointSyntax), "{text:?}");
    }
    let extended = format!("o\n0\n{}\none\ntwo\n", Hash::EMPTY);
    let checkpoint: Checkpoint = extended.parse().unwrap();
    assert_eq!(
        (checkpoint.head(), checkpoint.extensions()),
        (TreeHead::EMPTY, &["one".to_owned(), "two".to_owned()][..])
    );
    assert_eq!(checkpoint.to_string(), extended);
    let huge = TreeHead { size: MAX_SIZE + 1, root };
    assert_eq!(Checkpoint::new(origin(), huge), Err(Error::TooLarge));
    assert_eq!(Checkpoint::new("o".repeat(8_192).parse().unwrap(), head(1)), Err(Error::CheckpointSyntax));
}

#[test]
fn cosignatures_of_known_witnesses_count_once_and_of_others_not_at_all() {
    let (first, second, unknown) = (witness(1), witness(2), witness(3));
    let mut checkpoint = signed(head(5));
    for cosigner in [&unknown, &first, &second] {
        checkpoint.cosign(cosigner, NOW).unwrap();
    }
    let known = [first.verifier().clone(), second.verifier().clone()];
    let log = signer();
    let verify = |checkpoint: &SignedCheckpoint| checkpoint.verify(&origin(), log.verifier(), &known);
    let by = |number: u8| Cosignature { witness: witness(number).verifier().name().clone(), time: NOW };
    assert_eq!(verify(&checkpoint).unwrap().cosignatures, [by(1), by(2)]);

    // The line of one of them, many times.
    let line = checkpoint.signature_lines(&known[0]);
    let repeated: SignedCheckpoint = format!("{}{}", signed(head(5)), line.repeat(3)).parse().unwrap();
    assert_eq!(verify(&repeated).unwrap().cosignatures, [by(1)]);
    // A witness configured twice, or the log's own key among the witnesses.
    let twice = [known[0].clone(), known[0].clone()];
    assert_eq!(repeated.verify(&origin(), log.verifier(), &twice).unwrap().cosignatures, [by(1)]);
    let refused = Error::NotACosigner { name: origin().to_string() };
    assert_eq!(repeated.verify(&origin(), log.verifier(), &[log.verifier().clone()]), Err(refused));
    // A witness says another time than it signed, or what it signed for another checkpoint.
    let mut other = signed(head(4));
    other.cosign(&first, NOW).unwrap();
    let mut later = signed(head(5));
    later.cosign(&first, NOW + 1).unwrap();
    let time = |lines: &str| lines.split(' ').next_back().unwrap()[..16].to_owned();
    let forged = line.replace(&time(&line), &time(&later.signature_lines(&known[0])));
    let bad = Error::BadSignature { name: known[0].name().to_string() };
    for lines in [forged, other.signature_lines(&known[0])] {
        let lying: SignedCheckpoint = format!("{}{lines}", signed(head(5))).parse().unwrap();
        assert_eq!(verify(&lying), Err(bad.clone()));
        assert_eq!(signed(head(5)).add_cosignature(&lines, &known[0]), Err(bad.clone()));
    }
    // Without the log's own signature.
    let text = repeated.note().text();
    let without: SignedCheckpoint = format!("{text}\n{line}").parse().unwrap();
    assert_eq!(verify(&without), Err(Error::NotSigned));
}

#[test]
fn unknown_signatures_are_ignored_whatever_they_are() {
    let checkpoint = signed(head(5));
    // As long as one with ML-DSA-44, and of one byte.
    let unknown = [vec![9; 4 + 8 + 2_420], vec![9; 5]];
    let lines = unknown.map(|bytes| format!("— {} {}\n", origin(), base64(&bytes)));
    let text = format!("{checkpoint}{}", lines.concat());
    let read: SignedCheckpoint = text.parse().unwrap();
    assert_eq!(read.to_string(), text);
    read.verify(&origin(), signer().verifier(), &[]).unwrap();
    for line in [
        "— a ",
        "— a AAAA",
        "— a AAAAAA==",
        "— a AAAAAAE",
        "- a AAAAAAE=",
        "—a AAAAAAE=",
        "— a b AAAAAAE=",
        "—  AAAAAAE=",
        "— a+b AAAAAAE=",
        "",
    ] {
        assert_eq!(format!("{checkpoint}{line}\n").parse::<Note>(), Err(Error::NoteSyntax), "{line:?}");
        assert_eq!(line.parse::<Signature>(), Err(Error::NoteSyntax), "{line:?}");
    }
    assert_eq!("— a AAAAAAE=".parse::<Signature>().unwrap().to_string(), "— a AAAAAAE=");
}

fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let digit = |at: usize| {
            if at <= chunk.len() { char::from(digits[(bits >> (18 - 6 * at) & 63) as usize]) } else { '=' }
        };
        text.extend((0..4).map(digit));
    }
    text
}

#[test]
fn a_note_has_its_bounds() {
    let line = "— a AAAAAAE=\n";
    let note = |signatures: usize| format!("text\n\n{}", line.repeat(signatures)).parse::<Note>();
    assert_eq!(note(64).unwrap().signatures().len(), 64);
    assert_eq!(note(65), Err(Error::NoteTooLong));
    // As many signatures as every verifier has to take, each as long as they come.
    let large = format!("— a {}\n", base64(&vec![1; 5_000]));
    format!("text\n\n{}", large.repeat(16)).parse::<Note>().unwrap();
    assert_eq!(format!("{}\n\n{line}", "t".repeat(MAX_NOTE_BYTES)).parse::<Note>(), Err(Error::NoteTooLong));
    assert_eq!(Note::unsigned("t".repeat(MAX_NOTE_BYTES + 1)), Err(Error::NoteTooLong));
    for text in ["", "no end", "a\tb\n", "a\r\n", "\0\n"] {
        assert_eq!(Note::unsigned(text), Err(Error::NoteSyntax), "{text:?}");
    }
    let mut full = note(1).unwrap();
    for key in 0..63 {
        full.add(format!("— k{key} AAAAAAE=").parse().unwrap()).unwrap();
    }
    let before = full.clone();
    assert_eq!(full.sign(&signer()), Err(Error::NoteTooLong));
    assert_eq!(full, before);
    let mut twice = signed(head(5));
    twice.sign(&signer()).unwrap();
    assert_eq!(twice, signed(head(5)), "in place of the earlier one");
    // The last empty line ends the text.
    let mut long = Note::unsigned("one\n\ntwo\n\n").unwrap();
    long.sign(&signer()).unwrap();
    assert_eq!(long.to_string().parse::<Note>().unwrap(), long);
}

#[test]
fn a_verifier_key_has_one_spelling() {
    let vkey = signer().verifier().to_string();
    assert_eq!(vkey.parse::<Verifier>().unwrap().to_string(), vkey);
    let (name, rest) = vkey.split_once('+').unwrap();
    let (id, key) = rest.split_once('+').unwrap();
    let parse = |name: &str, id: &str, key: &str| format!("{name}+{id}+{key}").parse::<Verifier>();
    assert_eq!(parse(name, &id.to_uppercase(), key), Err(Error::KeyId));
    assert_eq!(parse("other.example", id, key), Err(Error::KeyId));
    assert_eq!(parse("a b", id, key), Err(Error::KeyName));
    assert_eq!(parse(name, id, ""), Err(Error::VerifierSyntax));
    assert_eq!(parse(name, id, key.trim_end_matches('=')).is_ok(), !key.ends_with('='));
    assert_eq!(parse(name, id, &base64(&[4; 33])), Err(Error::KeyId));
    // One key as two types has two ids.
    let public = *signer().verifier().public_key();
    let cosigner = Verifier::new(name.parse().unwrap(), Algorithm::CosignatureV1, public);
    assert_ne!(cosigner.id(), signer().verifier().id());
    // ML-DSA-44 (type 6), which newer texts prefer.
    assert_eq!(parse(name, id, &base64(&[6; 1_313])), Err(Error::UnknownAlgorithm(6)));
    // A private key is not printed.
    assert_eq!(format!("{:?}", signer()), format!("Signer({vkey})"));
}

#[test]
fn a_cosignature_has_a_time() {
    for time in [0, MAX_SIZE + 1, u64::MAX] {
        assert_eq!(signed(head(1)).cosign(&witness(1), time), Err(Error::CosignatureTime));
        let verifier = witness(1).verifier().clone();
        let id = u32::from_str_radix(&verifier.id().to_string(), 16).unwrap();
        let bytes = [&id.to_be_bytes()[..], &time.to_be_bytes(), &[0; 64]].concat();
        let lines = format!("— {} {}\n", verifier.name(), base64(&bytes));
        assert_eq!(signed(head(1)).add_cosignature(&lines, &verifier), Err(Error::CosignatureTime));
    }
    let verifier = witness(1).verifier().clone();
    let id = u32::from_str_radix(&verifier.id().to_string(), 16).unwrap();
    let short = format!("— {} {}\n", verifier.name(), base64(&[&id.to_be_bytes()[..], &[0; 7]].concat()));
    let bad = Error::BadSignature { name: verifier.name().to_string() };
    assert_eq!(signed(head(1)).add_cosignature(&short, &verifier), Err(bad));
}

/// The log that is sent to a witness, and what the witness remembers.
fn request(log: &Log, old: u64, new: u64) -> AddCheckpoint {
    let tiles = log.all_tiles(log.heads[new as usize]);
    AddCheckpoint::new(old, tiles.consistency(old).unwrap(), signed(tiles.head())).unwrap()
}

#[test]
fn a_witness_follows_a_log_and_refuses_what_does_not_continue_it() {
    let log = Log::of(9);
    let body = request(&log, 5, 9).to_string();
    let read: AddCheckpoint = body.parse().unwrap();
    assert_eq!((read.to_string(), read.old(), read.checkpoint()), (body.clone(), 5, &signed(log.heads[9])));
    assert_eq!(read.continues(Some(log.heads[5])), Ok(log.heads[9]));
    assert_eq!(request(&log, 0, 9).continues(None), Ok(log.heads[9]));
    assert_eq!(request(&log, 9, 9).continues(Some(log.heads[9])), Ok(log.heads[9]));

    // The log was cut, or the request is an old one.
    assert_eq!(request(&log, 5, 7).continues(Some(log.heads[9])), Err(Refusal::Conflict { latest: 9 }));
    assert_eq!(read.continues(None), Err(Refusal::Conflict { latest: 0 }));
    let shrinks = AddCheckpoint::new(9, ConsistencyProof::default(), signed(log.heads[7])).unwrap();
    assert_eq!(shrinks.continues(Some(log.heads[9])), Err(Refusal::Shrinks));
    // It was rewritten: the witness has seen others of these sizes.
    let rewritten = |size: u64| TreeHead { size, root: leaf(99) };
    assert_eq!(read.continues(Some(rewritten(5))), Err(Refusal::Inconsistent));
    assert_eq!(request(&log, 9, 9).continues(Some(rewritten(9))), Err(Refusal::Inconsistent));
    let empty = AddCheckpoint::new(0, ConsistencyProof::default(), signed(rewritten(0))).unwrap();
    assert_eq!(empty.continues(None), Err(Refusal::Inconsistent));
    let with_proof = AddCheckpoint::new(0, read.proof().clone(), signed(log.heads[9])).unwrap();
    assert_eq!(with_proof.continues(None), Err(Refusal::Inconsistent));
}

#[test]
fn a_witness_answers_with_its_signature() {
    let (cosigner, log) = (witness(1), signer());
    let mut seen = signed(head(9));
    seen.cosign(&cosigner, NOW).unwrap();
    let answer = seen.signature_lines(cosigner.verifier());
    assert_eq!(answer.lines().count(), 1);
    // Unknown keys sign too, before and after.
    let unknown = "— a AAAAAAE=\n";
    let mut checkpoint = signed(head(9));
    checkpoint.add_cosignature(&format!("{unknown}{answer}{unknown}"), cosigner.verifier()).unwrap();
    assert_eq!(checkpoint, seen);
    checkpoint.verify(&origin(), log.verifier(), &[cosigner.verifier().clone()]).unwrap();
    let mut refused = signed(head(9));
    assert_eq!(refused.add_cosignature(unknown, cosigner.verifier()), Err(Error::NotSigned));
    assert_eq!(refused.add_cosignature("409 Conflict", cosigner.verifier()), Err(Error::NoteSyntax));
    let name = origin().to_string();
    assert_eq!(refused.add_cosignature(&answer, log.verifier()), Err(Error::NotACosigner { name }));
    assert_eq!(refused, signed(head(9)));
}

#[test]
fn bodies_that_are_no_requests_are_refused() {
    let checkpoint = signed(head(9));
    let hash = leaf(0);
    for request in [
        "",
        "9",
        "old",
        "old ",
        "old  5",
        "old 05",
        "old -1",
        "old +5",
        "old 5 ",
        "Old 5",
        "new 5",
        "old 9223372036854775808",
    ] {
        let body = format!("{request}\n\n{checkpoint}");
        assert_eq!(body.parse::<AddCheckpoint>(), Err(Error::RequestSyntax), "{request:?}");
    }
    let parse = |body: String| body.parse::<AddCheckpoint>();
    assert_eq!(parse(format!("old 5\n{checkpoint}")), Err(Error::HashSyntax));
    assert_eq!(parse("old 5\n".to_owned()), Err(Error::RequestSyntax));
    assert_eq!(parse(format!("old 5\n{hash} \n\n{checkpoint}")), Err(Error::HashSyntax));
    assert_eq!(parse(format!("old 5\r\n{hash}\r\n\r\n{checkpoint}")), Err(Error::RequestSyntax));
    assert_eq!(parse(format!("old 5\n\n\n{checkpoint}")), Err(Error::CheckpointSyntax));
    assert_eq!(parse(format!("old 5\n\n{checkpoint}\n")), Err(Error::NoteSyntax));
    parse(format!("old 5\n{}\n{checkpoint}", format!("{hash}\n").repeat(63))).unwrap();
    assert_eq!(
        parse(format!("old 5\n{}\n{checkpoint}", format!("{hash}\n").repeat(64))),
        Err(Error::ProofTooLong)
    );
    let unsigned = SignedCheckpoint::unsigned(Checkpoint::new(origin(), head(9)).unwrap());
    assert_eq!(AddCheckpoint::new(5, ConsistencyProof::default(), unsigned.clone()), Err(Error::NotSigned));
    assert_eq!(
        AddCheckpoint::new(MAX_SIZE + 1, ConsistencyProof::default(), checkpoint),
        Err(Error::TooLarge)
    );
    assert_eq!(TlogProof::new(0, InclusionProof::default(), unsigned, None), Err(Error::NotSigned));
}

#[test]
fn a_saved_proof_is_for_one_entry_of_one_log() {
    let log = Log::of(300);
    let head = log.heads[300];
    let plan = Plan::new(head.size).unwrap().with_leaf(77).unwrap();
    let inclusion = Tiles::check(head, log.read(&plan)).unwrap().inclusion(77).unwrap();
    let mut checkpoint = signed(head);
    checkpoint.cosign(&witness(1), NOW).unwrap();
    for extra in [None, Some(vec![]), Some(b"a token\n\n".to_vec())] {
        let proof = TlogProof::new(77, inclusion.clone(), checkpoint.clone(), extra.clone()).unwrap();
        let read: TlogProof = proof.to_string().parse().unwrap();
        assert_eq!(read, proof);
        assert_eq!((read.extra(), read.index(), read.checkpoint()), (extra.as_deref(), 77, &checkpoint));
        let (key, witnesses) = (signer().verifier().clone(), [witness(1).verifier().clone()]);
        let verified = read.verify(leaf(77), &origin(), &key, &witnesses).unwrap();
        assert_eq!((verified.head, verified.cosignatures.len()), (head, 1));
        let refused = Err(Error::Inclusion { index: 77, size: 300 });
        assert_eq!(read.verify(leaf(78), &origin(), &key, &witnesses), refused);
        let moved: TlogProof = proof.to_string().replace("index 77\n", "index 78\n").parse().unwrap();
        assert_eq!(
            moved.verify(leaf(77), &origin(), &key, &[]),
            Err(Error::Inclusion { index: 78, size: 300 })
        );
        let resized: TlogProof = proof.to_string().replace("\n300\n", "\n299\n").parse().unwrap();
        let bad = Error::BadSignature { name: key.name().to_string() };
        assert_eq!(resized.verify(leaf(77), &origin(), &key, &[]), Err(bad));
    }
    let text = TlogProof::new(77, inclusion.clone(), checkpoint.clone(), None).unwrap().to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 77\n"), "{text}");
    for (line, changed) in [
        (0, "c2sp.org/tlog-proof@v2"),
        (0, "c2sp.org/tlog-proof@v1 "),
        (1, "index 077"),
        (1, "index"),
        (1, "extra AA=="),
    ] {
        let changed = with_line(&text, line, changed);
        assert_eq!(changed.parse::<TlogProof>(), Err(Error::TlogProofSyntax), "{changed}");
    }
    let lines = |lines: &str| text.replace("\nindex", &format!("\n{lines}\nindex")).parse::<TlogProof>();
    lines("extra AA==").unwrap();
    for refused in
        ["extra A", "extra AA=", "extra  AA==", "extra AB==", "extra AA==\nextra AA==", "Extra AA=="]
    {
        assert_eq!(lines(refused), Err(Error::TlogProofSyntax), "{refused}");
    }
    assert_eq!(
        lines(&format!("extra {}", base64(&vec![0; MAX_EXTRA_BYTES + 1]))),
        Err(Error::TlogProofSyntax)
    );
    lines(&format!("extra {}", base64(&vec![0; MAX_EXTRA_BYTES]))).unwrap();
    let extra = Some(vec![0; MAX_EXTRA_BYTES + 1]);
    assert_eq!(TlogProof::new(77, inclusion.clone(), checkpoint.clone(), extra), Err(Error::TlogProofSyntax));
    assert_eq!(TlogProof::new(MAX_SIZE + 1, inclusion, checkpoint, None), Err(Error::TooLarge));
}

/// Good texts, each of them, with something changed.
fn nearly() -> impl Strategy<Value = String> {
    let log = Log::of(9);
    let inclusion = log.all_tiles(log.heads[9]).inclusion(3).unwrap();
    let good = [
        signer().verifier().to_string(),
        signed(log.heads[9]).to_string(),
        signed(log.heads[9]).note().text().to_owned(),
        request(&log, 5, 9).to_string(),
        TlogProof::new(3, inclusion, signed(log.heads[9]), Some(b"extra".to_vec())).unwrap().to_string(),
    ];
    let piece = prop_oneof![any::<char>().prop_map(String::from), "[\n +0=—]{0,3}", "— a AAAAAAE=\n", "\n\n"];
    (prop::sample::select(good.to_vec()), any::<prop::sample::Index>(), 0..4_usize, piece).prop_map(
        |(text, at, cut, piece)| {
            let characters: Vec<_> = text.chars().collect();
            let at = at.index(characters.len());
            let rest = characters[at..].iter().skip(cut);
            characters[..at].iter().copied().chain(piece.chars()).chain(rest.copied()).collect()
        },
    )
}

/// Whatever is read is the same when it is written.
fn one_spelling(text: &str) {
    fn of<T: std::str::FromStr + std::fmt::Display>(text: &str) {
        if let Ok(read) = text.parse::<T>() {
            assert_eq!(read.to_string(), text);
        }
    }
    of::<Note>(text);
    of::<Checkpoint>(text);
    of::<SignedCheckpoint>(text);
    of::<AddCheckpoint>(text);
    of::<TlogProof>(text);
    of::<Verifier>(text);
    of::<Hash>(text);
}

proptest! {
    #[test]
    fn what_is_nearly_good_is_read_in_one_spelling_or_not_at_all(text in nearly()) {
        one_spelling(&text);
    }

    #[test]
    fn anything_is_read_in_one_spelling_or_not_at_all(text in any::<String>()) {
        one_spelling(&text);
    }

    #[test]
    fn no_changed_checkpoint_verifies(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let log = signer();
        let mut bytes = signed(head(9)).to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let verified = String::from_utf8(bytes).map_err(|_| Error::NoteSyntax)
            .and_then(|text| text.parse::<SignedCheckpoint>())
            .and_then(|checkpoint| checkpoint.verify(&origin(), log.verifier(), &[]));
        prop_assert!(verified.is_err());
    }
}
