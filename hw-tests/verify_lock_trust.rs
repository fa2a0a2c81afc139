//! Whom `verify --lock` trusts: the person's own list, the project's, and keys that change.

use std::fs;

use crate::lock_registry::{ALICE, FILE, Locked, MALLORY, Somebody};
use crate::terminal::expect;

const ALICES: &str = "[[signer]]\nindex = \"INDEX\"\ncrate = \"alpha\"\nsigners = [\"alice\"]\n";

/// The second YubiKey of hers.
const ALICES_NEXT: Somebody = Somebody(3);

fn of_alice() -> String {
    ALICE.entry("alice") + ALICES
}

#[test]
fn once_signed_always_signed() {
    let locked = Locked::new();
    locked.trusts(&of_alice());
    // A downgrade: the registry says that there is no proof. A backport below what was signed before is no better.
    for version in ["0.2.0", "0.1.0-rc.1"] {
        locked.locks(&[("alpha", version)]);
        locked.is(11, "unsigned", "every version of it must be signed");
    }
    // Registries take these for one name.
    for name in ["Alpha", "ALPHA"] {
        locked.locks(&[(name, "0.2.0")]);
        locked.is(11, "unsigned", "every version of it must be signed");
    }
    locked.trusts(&of_alice().replace("\"alpha\"", "\"al-p_ha\""));
    locked.locks(&[("Al_p-HA", "0.2.0")]);
    locked.is(11, "unsigned", "every version of it must be signed");
    // Those that are listed are not; each is one file, and nobody is asked for it.
    let listed = |cksum: &str| {
        locked
            .trusts(&format!("{}unsigned = [{{ version = \"0.1.0\", cksum = \"{cksum}\" }}]\n", of_alice()));
    };
    locked.asked();
    listed(&FILE.to_string());
    locked.locks(&[("alpha", "0.1.0")]);
    locked.is(0, "unsigned, allowed", "this file is listed as unsigned");
    listed(&"cd".repeat(32));
    locked.is(16, "bad", "listed as unsigned with another checksum");
    assert_eq!(locked.asked(), [""; 0]);
    locked.locks(&[("alpha", "0.1.1")]);
    locked.is(11, "unsigned", "every version of it must be signed");
    locked.trusts("[[signer]]\nindex = \"INDEX\"\ncrate = \"alpha\"\nrequire = false\n");
    locked.verify(&[]).fails().says(&["`require` is for patterns"]);
}

#[test]
fn the_most_specific_entry_alone_decides() {
    let locked = Locked::new();
    let signer =
        |scope: &str, more: &str| format!("[[signer]]\nindex = \"INDEX\"\ncrate = \"{scope}\"\n{more}\n");
    locked.trusts(
        &[
            ALICE.entry("alice"),
            MALLORY.entry("m"),
            signer("*", "require = false"),
            signer("al*", "signers = [\"m\"]"),
            signer("alpha", "signers = [\"alice\"]"),
        ]
        .concat(),
    );
    for name in ["alpha", "album", "beta"] {
        locked.published(MALLORY, name, "0.1.0");
    }
    locked.locks(&[("alpha", "0.1.0"), ("album", "0.1.0"), ("beta", "0.1.0"), ("gamma", "0.1.0")]);
    let (_, verdicts) = locked.verdicts(&[]);
    let words: Vec<_> = verdicts.iter().map(|(verdict, _)| verdict.as_str()).collect();
    assert_eq!(words, ["changed signer", "trusted", "new signer", "unsigned, allowed"], "{verdicts:?}");
    for (list, problem) in [
        (signer("a b", ""), "`crate` is wrong"),
        (signer("a*b", ""), "`crate` is wrong"),
        (signer("a", "signers = [\"bob\"]"), "names `bob`, and there is no [[key]] of that name"),
        (signer("a-b", "").repeat(2), "has two entries for a_b"),
        (signer("a", "requires = true"), "unknown field `requires`"),
        ("[[singer]]\n".into(), "unknown field `singer`"),
    ] {
        locked.trusts(&list);
        locked.verify(&[]).fails().says(&[problem]);
    }
}

#[test]
fn another_key_is_a_changed_signer() {
    let locked = Locked::new();
    locked.trusts(&of_alice());
    locked.locks(&[("alpha", "0.1.0")]);
    locked.published(MALLORY, "alpha", "0.1.0");
    locked.is(15, "changed signer", "trusted for this crate is alice");
    let before = fs::read_to_string(locked.list()).unwrap();
    let (code, _) = locked.verdicts(&["--remember", "--yes"]);
    assert_eq!((code, fs::read_to_string(locked.list()).unwrap()), (15, before), "nobody was asked");
    // Keys that are given decide alone.
    let given = |somebody: Somebody| locked.verdicts(&["--key", &somebody.public().to_string()]);
    assert_eq!(given(MALLORY), (0, vec![("trusted".into(), "signed by the key given with --key".into())]));
    locked.published(ALICE, "alpha", "0.2.0");
    locked.locks(&[("alpha", "0.2.0")]);
    assert_eq!(given(MALLORY).0, 15);
}

/// A stolen key can sign that another takes its place, as its owner can.
#[test]
fn a_rotation_is_shown_and_counts_once_it_is_remembered() {
    let locked = Locked::new();
    locked.trusts(&of_alice());
    locked.locks(&[("alpha", "0.1.0"), ("alpha", "0.2.0")]);
    locked.published(ALICE, "alpha", "0.1.0");
    locked.published(ALICES_NEXT, "alpha", "0.2.0");
    let index = locked.index.clone();
    let stated = |signers, index: &str, name: &str| {
        locked.project_trusts(&ALICE.gives_way(ALICES_NEXT, signers, index, name));
        let (code, verdicts) = locked.verdicts(&["--remember", "--yes"]);
        assert_eq!((code, verdicts[0].0.as_str(), verdicts[1].0.as_str()), (15, "trusted", "changed signer"));
        verdicts[1].1.contains("both keys have signed")
    };
    let both = [ALICE, ALICES_NEXT];
    assert!(!stated([ALICE, ALICE], &index, "alpha"), "the new key agrees, too");
    assert!(!stated([ALICES_NEXT, ALICES_NEXT], &index, "alpha"));
    assert!(!stated(both, "sparse+https://other.example/", "alpha"));
    assert!(!stated(both, &index, "beta"));
    assert!(stated(both, &index, "alpha"));
    assert!(
        !fs::read_to_string(locked.list()).unwrap().contains("rotation"),
        "--yes does not wave it through"
    );
    // Each is asked for by itself, as it was signed.
    locked.trusts(&(of_alice() + &ALICES.replace("alpha", "album")));
    locked.published(ALICES_NEXT, "album", "0.1.0");
    locked.locks(&[("alpha", "0.1.0"), ("alpha", "0.2.0"), ("album", "0.1.0")]);
    let statement = |name: &str| ALICE.gives_way(ALICES_NEXT, both, &index, name);
    locked.project_trusts(&(statement("alpha") + &statement("al*")));
    let mut session = locked.computer.at_a_terminal("yk-cargo verify --lock --remember; echo STATUS $?");
    for (crates, answer) in [("alpha", "y"), ("al*", "n")] {
        let (from, to) = (format!("from {}", ALICE.public()), format!("to   {}", ALICES_NEXT.public()));
        let crates = format!("for {crates} of {index}");
        expect(&mut session, &[&from, &to, &crates, "so could a thief of the old key", "[y/N] "]);
        session.send_line(answer).unwrap();
    }
    expect(&mut session, &["STATUS 15"]);
    session.exp_eof().unwrap();
    locked.locks(&[("alpha", "0.1.0"), ("alpha", "0.2.0")]);
    fs::remove_file(locked.computer.path("work/signers.toml")).unwrap();
    assert_eq!(locked.verdicts(&[]).0, 0, "it is in the person's own list");
    // In the person's own list it counts; in the project's it does not, even where that one decides.
    let rotation = ALICE.gives_way(ALICES_NEXT, both, &index, "alpha");
    locked.trusts(&(of_alice() + &rotation));
    assert_eq!(locked.verdicts(&[]).0, 0);
    fs::remove_file(locked.list()).unwrap();
    locked.project_trusts(&(of_alice() + &rotation));
    assert_eq!(locked.verdicts(&[]).0, 15);
}

/// The entry that is made for the crate decides alone from then on.
#[test]
fn what_a_pattern_says_still_holds_when_a_key_is_remembered() {
    let locked = Locked::new();
    let unsigned = format!("unsigned = [{{ version = \"0.1.0\", cksum = \"{FILE}\" }}]");
    locked.trusts(&format!("[[signer]]\nindex = \"INDEX\"\ncrate = \"*\"\nrequire = false\n{unsigned}\n"));
    locked.published(ALICE, "alpha", "0.2.0");
    locked.locks(&[("alpha", "0.1.0"), ("alpha", "0.2.0")]);
    let is = |code: i32, more: &[&str], second: &str| {
        let (found, verdicts) = locked.verdicts(more);
        let words: Vec<_> = verdicts.iter().map(|(verdict, _)| verdict.as_str()).collect();
        assert_eq!((found, &words[..]), (code, &["unsigned, allowed", second][..]), "{verdicts:?}");
    };
    is(10, &[], "new signer");
    is(0, &["--remember", "--yes"], "trusted");
    is(0, &[], "trusted");
}

/// A key that would not be enough is not asked for, and not recorded.
#[test]
fn nothing_is_remembered_of_a_version_that_too_few_have_signed() {
    let locked = Locked::new();
    let keys = [ALICE.entry("alice"), MALLORY.entry("m")].concat();
    let two = "[[signer]]\nindex = \"INDEX\"\ncrate = \"al*\"\nsigners = [\"alice\", \"m\"]\napprovals = 2\n";
    locked.trusts(&(keys.clone() + two));
    let before = fs::read_to_string(locked.list()).unwrap();
    locked.project_trusts(&ALICE.gives_way(ALICES_NEXT, [ALICE, ALICES_NEXT], &locked.index, "alpha"));
    locked.locks(&[("alpha", "0.1.0")]);
    locked.published(ALICES_NEXT, "alpha", "0.1.0");
    let remember = || {
        let line = "yk-cargo verify --lock --remember; echo STATUS $?";
        locked.computer.at_a_terminal(line)
    };
    let mut session = remember();
    expect(&mut session, &["changed signer", "the signer is not recorded, because 2 of", "STATUS 15"]);
    session.exp_eof().unwrap();
    assert_eq!(fs::read_to_string(locked.list()).unwrap(), before);
    // With the approval of another it is enough.
    let mut proof = ALICES_NEXT.proof(&locked.index, "alpha", "0.1.0");
    let other = MALLORY.proof(&locked.index, "alpha", "0.1.0");
    proof["approvals"] = serde_json::json!([
        {"token": other["token"], "public": other["public"], "role": "publish", "attestation": null}
    ]);
    locked.answers("alpha", "0.1.0", "200 OK", proof.to_string());
    let mut session = remember();
    expect(&mut session, &["Accept the second key in place of the first for these crates?", "[y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["trusted", "STATUS 0"]);
    session.exp_eof().unwrap();
    // The project wants two, and the person's own list names nobody for the crate yet.
    locked.trusts("[[signer]]\nindex = \"INDEX\"\ncrate = \"*\"\n");
    locked.project_trusts(&(keys + two));
    locked.published(ALICE, "alpha", "0.2.0");
    locked.locks(&[("alpha", "0.2.0")]);
    let before = fs::read_to_string(locked.list()).unwrap();
    let (code, found) = locked.verdicts(&["--remember", "--yes"]);
    assert_eq!((code, found[0].0.as_str()), (10, "new signer"), "{found:?}");
    assert_eq!(fs::read_to_string(locked.list()).unwrap(), before);
}

/// Its list, like its lock file, may be a stranger's.
#[test]
fn a_projects_list_speaks_where_the_persons_own_is_silent() {
    let locked = Locked::new();
    locked.locks(&[("alpha", "0.1.0")]);
    locked.published(MALLORY, "alpha", "0.1.0");
    let mallorys = MALLORY.entry("alice") + ALICES;
    locked.project_trusts(&mallorys);
    locked.is(0, "trusted", "signed by alice, by this project's own list");
    assert_eq!(locked.verdicts(&["--remember", "--yes"]).0, 0);
    assert!(!locked.list().exists(), "nothing goes from a project's list into the person's");
    // Where the person's own list names the crate, the project's cannot weaken that,
    locked.trusts(&of_alice());
    locked.is(15, "changed signer", "trusted for this crate is alice");
    locked.project_trusts("[[signer]]\nindex = \"INDEX\"\ncrate = \"*\"\nrequire = false\n");
    locked.is(15, "changed signer", "trusted for this crate is alice");
    locked.locks(&[("alpha", "0.2.0")]);
    locked.is(11, "unsigned", "every version of it must be signed");
    let listed = format!("unsigned = [{{ version = \"0.2.0\", cksum = \"{FILE}\" }}]\n");
    locked.project_trusts(&(mallorys.clone() + &listed));
    locked.is(11, "unsigned", "every version of it must be signed");
    // and can ask for more.
    locked.trusts(&(of_alice() + &listed));
    locked.is(0, "unsigned, allowed", "");
    locked.project_trusts(&mallorys);
    locked.is(11, "unsigned", "every version of it must be signed, by this project's own list");
    locked.published(ALICE, "alpha", "0.2.0");
    locked.is(15, "changed signer", "trusted for this crate is alice, by this project's own list");
    // The person wants any signature, and the project hers.
    locked.trusts("[[signer]]\nindex = \"INDEX\"\ncrate = \"alpha\"\n");
    locked.published(MALLORY, "alpha", "0.2.0");
    fs::remove_dir_all(locked.computer.path("home/yk-cargo/proofs")).unwrap();
    locked.project_trusts(&of_alice());
    locked.is(15, "changed signer", "trusted for this crate is alice, by this project's own list");
    locked.project_trusts("");
    locked.is(10, "new signer", "not in your list yet");
    // It is not for ever that a list is read.
    let list = locked.computer.path("work/signers.toml");
    fs::File::options().write(true).open(&list).unwrap().set_len(1 << 40).unwrap();
    locked.verify(&[]).fails().says(&["cannot read ./signers.toml", "it has more than 4 MB"]);
    fs::write(&list, "version = 2\na = ".to_owned() + &"[".repeat(100_000)).unwrap();
    locked.verify(&[]).fails().says(&["nested deeper"]);
}
