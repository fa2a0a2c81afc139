//! What others computed: trees, proofs and notes of other implementations and of the texts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use transparency_log::{
    AddCheckpoint, Algorithm, ConsistencyProof, Cosigner, Error, Frontier, Hash, InclusionProof, Note,
    Origin, Refusal, SignedCheckpoint, Signer, Tile, TreeHead, Verifier,
};

/// The entries of the tests of Certificate Transparency, in hexadecimal.
const ENTRIES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

/// The roots of the trees with none to eight of them.
const ROOTS: [&str; 9] = [
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
    "+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU=",
    "rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=",
    "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
    "Tju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=",
    "duZ9rbzfHhDht03cYIq9L5jfsW+851J3tSMqEn8gh+8=",
    "3bib5AOAnjJXUNPSY814kpwpQreUKjS3fhIslZSnTIw=",
    "XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=",
];

fn hashes(texts: &[&str]) -> Vec<Hash> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn head(size: u64) -> TreeHead {
    TreeHead { size, root: ROOTS[size as usize].parse().unwrap() }
}

#[test]
fn the_trees_of_certificate_transparency_have_their_roots() {
    let mut frontier = Frontier::new();
    for (size, entry) in (0..).zip(ENTRIES) {
        assert_eq!(frontier.head(), head(size));
        frontier.push(Hash::leaf(entry).unwrap()).unwrap();
    }
    assert_eq!(frontier.head(), head(8));
}

// transparency-dev/merkle at 417fb0c3, testdata/inclusion.
#[test]
fn the_inclusion_proofs_of_others_verify() {
    let proofs: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
                "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
                "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
            ],
        ),
        (
            5,
            8,
            &[
                "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
                "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
                "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
            ],
        ),
        (2, 3, &["+sVCA+fMaWzw38tCySodnbr3CtnmIfS9jZhmLwDjwSU="]),
        (
            1,
            5,
            &[
                "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=",
                "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
                "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=",
            ],
        ),
    ];
    for (index, size, path) in proofs {
        let leaf = Hash::leaf(ENTRIES[index as usize]).unwrap();
        InclusionProof::new(hashes(path)).unwrap().verify(index, leaf, head(size)).unwrap();
    }
}

// transparency-dev/merkle at 417fb0c3, testdata/consistency.
#[test]
fn the_consistency_proofs_of_others_verify() {
    let proofs: [(u64, u64, &[&str]); 5] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "lqKW0iTyhcZ77pPDD4owkVfw2qNdxbh+QQt4YwoJz8c=",
                "Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=",
                "a0eq8p7jwq+a+Im8H7klTavTEXfxYjLdaqsDXKOb9uQ=",
            ],
        ),
        (
            6,
            8,
            &[
                "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
                "yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=",
                "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
            ],
        ),
        (
            2,
            5,
            &["Xwg/ChozygdqlSeYMlgNs+DvRYS9/x9UyKNg9Q3jAx4=", "vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms="],
        ),
        (
            6,
            7,
            &[
                "DrxdNDf74tsVi58Sah0RjjCBgQMdCpSfje3t68VY72o=",
                "sIaT7C5yFZcTBkHoIR5+7cy0wmQTlj7ubB4u0W/7Gl8=",
                "037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=",
            ],
        ),
    ];
    for (old, new, path) in proofs {
        ConsistencyProof::new(hashes(path)).unwrap().verify(head(old), head(new)).unwrap();
    }
}

// C2SP tlog-tiles, "Merkle Tree" and "Partial Tiles"; golang.org/x/mod at fe2ec04f, sumdb/tlog/tlog_test.go, but for heights and levels.
#[test]
fn tiles_have_the_paths_of_the_text() {
    for (path, level, index, width) in [
        ("tile/0/x001/x234/067", 0, 1_234_067, 256),
        ("tile/0/001.p/5", 0, 1, 5),
        ("tile/2/x123/x456/078", 2, 123_456_078, 256),
        ("tile/2/x123/x456/078.p/2", 2, 123_456_078, 2),
        ("tile/0/x003/x057/500", 0, 3_057_500, 256),
        ("tile/7/000.p/127", 7, 0, 127),
        ("tile/0/x036/x028/x797/x018/x963/966", 0, 36_028_797_018_963_966, 256),
    ] {
        let tile = Tile::new(level, index, width).unwrap();
        assert_eq!(tile.to_string(), path);
        assert_eq!(path.parse(), Ok(tile));
    }
}

#[test]
fn a_tree_of_70000_has_the_tiles_of_the_text() {
    let shape = |level| {
        let tiles: Vec<_> = (0..).map_while(|index| Tile::in_tree(level, index, 70_000)).collect();
        let partial = tiles.iter().filter(|tile| !tile.is_full()).map(Tile::width).collect::<Vec<_>>();
        (tiles.len() - partial.len(), partial)
    };
    assert_eq!(shape(0), (273, vec![112]));
    assert_eq!(shape(1), (1, vec![17]));
    assert_eq!(shape(2), (0, vec![1]));
    assert_eq!(shape(3), (0, vec![]));
}

// golang.org/x/mod at fe2ec04f, sumdb/note/note_test.go.
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const PETER_SEED: [u8; 32] = [
    0x81, 0x0a, 0x14, 0x02, 0xd5, 0x14, 0x6c, 0x8d, 0x84, 0xf2, 0x44, 0x33, 0x30, 0xf5, 0x40, 0x80, 0xeb,
    0xf9, 0x8e, 0xe1, 0x7d, 0x9c, 0x74, 0xf6, 0x25, 0x2f, 0xc5, 0xd5, 0xc7, 0x28, 0x31, 0x73,
];
const PETER_LINE: &str = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
const ENOCH_LINE: &str = "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

#[test]
fn gos_notes_verify_and_are_signed_alike() {
    let (peter, enoch): (Verifier, Verifier) = (PETER.parse().unwrap(), ENOCH.parse().unwrap());
    let note: Note = format!("{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}").parse().unwrap();
    assert_eq!(note.text(), GO_TEXT);
    for known in [vec![&peter], vec![&enoch], vec![&peter, &enoch]] {
        let found: Vec<_> =
            note.verify(known.iter().copied()).unwrap().iter().map(|found| found.verifier).collect();
        assert_eq!(found, known);
    }
    let signer = Signer::new("PeterNeumann".parse().unwrap(), &PETER_SEED);
    assert_eq!(signer.verifier().to_string(), PETER);
    let mut ours = Note::unsigned(GO_TEXT).unwrap();
    ours.sign(&signer).unwrap();
    assert_eq!(ours.to_string(), format!("{GO_TEXT}\n{PETER_LINE}"));
}

#[test]
fn gos_bad_keys_and_notes_are_refused() {
    for start in 0..PETER.len() {
        for end in start..=PETER.len() {
            assert_eq!(PETER[start..end].parse::<Verifier>().is_ok(), end - start == PETER.len());
        }
        let changed =
            [&PETER[..start], &char::from(PETER.as_bytes()[start] + 1).to_string(), &PETER[start + 1..]];
        changed.concat().parse::<Verifier>().unwrap_err();
    }
    // Too long, of an unknown type: with the key id that belongs to it.
    let parse = str::parse::<Verifier>;
    assert_eq!(
        parse("PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=="),
        Err(Error::VerifierSyntax)
    );
    assert_eq!(
        parse("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"),
        Err(Error::UnknownAlgorithm(0x65))
    );
    for note in [
        GO_TEXT.to_owned(),
        format!("{GO_TEXT}\n"),
        format!("{GO_TEXT}\n{}", PETER_LINE.trim_end()),
        format!("\u{1}{GO_TEXT}\n{PETER_LINE}"),
        format!("{GO_TEXT}\n— Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZI=\n"),
        format!("{GO_TEXT}\n{PETER_LINE}Unexpected line.\n"),
    ] {
        assert_eq!(note.parse::<Note>(), Err(Error::NoteSyntax), "{note}");
    }
    let many = format!("{GO_TEXT}\n{}", PETER_LINE.repeat(101));
    assert_eq!(many.parse::<Note>(), Err(Error::NoteTooLong));
}

// C2SP signed-note, "Example".
#[test]
fn the_example_of_the_text_verifies() {
    let key: Verifier =
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap();
    let note = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    note.parse::<Note>().unwrap().verify([&key]).unwrap();
}

// A checkpoint of sum.golang.org, as FiloSottile/torchwood at 341dc2f0 has it.
#[test]
fn a_checkpoint_of_gos_checksum_database_verifies() {
    let key: Verifier =
        "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8".parse().unwrap();
    let text = "go.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n— sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n";
    let checkpoint: SignedCheckpoint = text.parse().unwrap();
    let origin: Origin = "go.sum database tree".parse().unwrap();
    let verified = checkpoint.verify(&origin, &key, &[]).unwrap();
    assert_eq!((verified.head.size, verified.cosignatures), (35_225_469, vec![]));
}

// The requests of FiloSottile/torchwood at 341dc2f0, cmd/litewitness/testdata/litewitness.txt.
#[test]
fn a_witness_judges_the_requests_of_others_as_they_do() {
    let origin = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    let key = [
        0xff, 0xdc, 0x2d, 0x4d, 0x98, 0xe4, 0x12, 0x4d, 0x3f, 0xea, 0xf7, 0x88, 0xc0, 0xc2, 0xf9, 0xab, 0xfd,
        0x79, 0x60, 0x83, 0xd1, 0xf0, 0x49, 0x54, 0x37, 0xf3, 0x02, 0xec, 0x79, 0xcf, 0x10, 0x0f,
    ];
    let origin: Origin = origin.parse().unwrap();
    let log = Verifier::new(origin.key_name().unwrap(), Algorithm::Ed25519, key);
    let (one, three) = (
        format!(
            "{origin}\n1\nKgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— {origin} UgIom7fPZTqpxWWhyjWduBvTvGVqsokMbqTArsQilegKoFBJQjUFAmQ0+YeSPM3wfUQMFSzVnnNuWRTYrajXpNUbIQY=\n"
        ),
        format!(
            "{origin}\n3\nRcCI1Nk56ZcSmIEfIn0SleqtV7uvrlXNccFx595Iwl0=\n\n— {origin} UgIom2VbtIcdFbwFAy1n7s6IkAxIY6J/GQOTuZF2ORV39d75cbAj2aQYwyJre36kezNobZs4SUUdrcawfAB8WVrx6go=\n"
        ),
    );
    let (first, second) =
        ("KgEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "KgIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
    let request = |old: u64, proof: &str, checkpoint: &str| -> AddCheckpoint {
        let body = format!("old {old}\n{proof}\n{checkpoint}");
        let request: AddCheckpoint = body.parse().unwrap();
        assert_eq!(request.to_string(), body);
        request.checkpoint().verify(&origin, &log, &[]).unwrap();
        request
    };

    let head = request(0, "", &one).continues(None).unwrap();
    assert_eq!(request(0, "", &one).continues(Some(head)), Err(Refusal::Conflict { latest: 1 }));
    assert_eq!(request(1, "", &three).continues(Some(head)), Err(Refusal::Inconsistent));
    let changed = second.replace("A=", "BA=").replace("AAAABA=", "AAABA=");
    assert_eq!(
        request(1, &[first, &changed].concat(), &three).continues(Some(head)),
        Err(Refusal::Inconsistent)
    );
    let request = request(1, &[first, second].concat(), &three);
    assert_eq!(request.continues(Some(head)).map(|head| head.size), Ok(3));
    let bad = three.replace("6go=", "6gx=");
    assert_eq!(bad.parse::<SignedCheckpoint>(), Err(Error::NoteSyntax), "bits over");
}

// Signed by OpenSSL 3.0 over what tlog-cosignature says, with the key 00 01 … 1f.
#[test]
fn a_cosignature_is_what_openssl_makes_of_the_text() {
    let vkey = "witness.example/w1+e75f6532+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let line = "— witness.example/w1 519lMgAAAABkGFDLBuRDazBLVac2NE+Y+IjbjQOcXLfF9CSDZVUIoS83rE1nFZsVE8YiWV6Ngr7lV8H6bdoBQGP/l73euDMQ9k+bBQ==\n";
    let seed: [u8; 32] = std::array::from_fn(|at| at as u8);
    let cosigner = Cosigner::new("witness.example/w1".parse().unwrap(), &seed);
    assert_eq!(cosigner.verifier().to_string(), vkey);
    let mut note = Note::unsigned(text).unwrap();
    note.cosign(&cosigner, 1_679_315_147).unwrap();
    assert_eq!(note.to_string(), format!("{text}\n{line}"));
    let verified: Verifier = vkey.parse().unwrap();
    assert_eq!(note.verify([&verified]).unwrap()[0].time, Some(1_679_315_147));
}
