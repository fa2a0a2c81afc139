use asymmetric_token::paseto::signed_bytes;
use asymmetric_token::{Checksum, CrateName, PublicKey};
use p384::ecdsa::Signature;
use p384::ecdsa::signature::Signer as _;
use proptest::prelude::*;

use super::*;
use crate::enrollment::Problem;

const INDEX: &str = "sparse+https://registry.example/index/";
const ALICE: &str = "k3.public.AmDwjlyf8jAV3gm5Z7Kz9xAOcsKslt_Vwp5v-emjFzBHLCtcANzTaVEghTNEMj9PkQ";

fn alice() -> PublicKey {
    ALICE.parse().unwrap()
}

fn bob() -> PublicKey {
    let key = p384::ecdsa::SigningKey::from_slice(&[9; 48]).unwrap();
    PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap()
}

fn name(name: &str) -> CrateName {
    name.parse().unwrap()
}

fn list(text: &str) -> Result<List, Problem> {
    List::parse(&format!("version = 2\n[[key]]\nname = \"alice\"\npublic = \"{ALICE}\"\n{text}"))
}

fn entry(scope: &str, more: &str) -> String {
    format!("[[signer]]\nindex = \"{INDEX}\"\ncrate = \"{scope}\"\n{more}\n")
}

fn news(of: &str, key: PublicKey) -> News {
    News { index: INDEX.into(), name: name(of), key, called: "alice".into(), rotation: None }
}

#[test]
fn an_entry_is_for_one_registry_and_the_crates_it_names() {
    let has = |scope: &str, index: &str, of: &str| {
        list(&entry(scope, "signers = [\"alice\"]")).unwrap().entry(index, &name(of)).is_some()
    };
    assert!(has("hello", INDEX, "hello") && has("hello", INDEX, "HELLO") && has("a-b", INDEX, "A_b"));
    assert!(has("*", INDEX, "anything") && has("hel*", INDEX, "hello") && has("a-*", INDEX, "a_b"));
    assert!(!has("hello", "sparse+https://registry.example/", "hello"));
    assert!(!has("hello", INDEX, "hello2") && !has("hell-*", INDEX, "hello"));
}

#[test]
fn the_longest_pattern_comes_first() {
    let list =
        list(&(entry("*", "require = false") + &entry("he*", "signers = [\"alice\"]") + &entry("hel*", "")))
            .unwrap();
    let scope = |of: &str| list.entry(INDEX, &name(of)).unwrap().scope.clone();
    assert_eq!(scope("hello"), Scope::Beginning("hel".into()));
    assert_eq!(scope("heart"), Scope::Beginning("he".into()));
    assert_eq!(scope("x"), Scope::Beginning(String::new()));
}

#[test]
fn a_list_that_is_not_understood_names_nobody() {
    assert!(matches!(List::parse("[[signer]]\n"), Err(Problem::NoVersion { version: 2 })));
    assert!(matches!(List::parse("version = 1\n"), Err(Problem::NoVersion { version: 2 })));
    assert!(matches!(List::parse("version = 3\n"), Err(Problem::Newer { version: 3 })));
    let value = |text: &str| match list(text) {
        Err(Problem::Value { key, .. }) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(value("[[key]]\nname = \"b\"\npublic = \"k3.public.\"\n"), "public");
    let named = |name: &str| value(&format!("[[key]]\nname = \"{name}\"\npublic = \"{ALICE}\"\n"));
    for bad in ["", " b", "a\\u202eb", &"x".repeat(65)] {
        assert_eq!(named(bad), "name", "{bad}");
    }
    let twice = list(&format!("[[key]]\nname = \"alice\"\npublic = \"{ALICE}\"\n"));
    assert!(matches!(twice, Err(Problem::Duplicate(name)) if name == "alice"));
    assert_eq!(value(&entry("a", "unsigned = [{ version = \"1\", cksum = \"\" }]")), "version");
    assert_eq!(value(&entry("a", "unsigned = [{ version = \"1.0.0\", cksum = \"\" }]")), "cksum");
    let rotation = format!(
        "[[rotation]]\nindex = \"\"\ncrate = \"*\"\nfrom = \"{ALICE}\"\nto = \"{ALICE}\"\nstatement = "
    );
    assert_eq!(value(&(rotation + "\"AA.AA\"\n")), "statement");
}

fn of_unsigned(own: &str, projects: &str) -> Unsigned {
    let trust = Trust::Lists { own: list(own).unwrap(), projects: list(projects).unwrap() };
    trust.of_unsigned(INDEX, &name("hello"), &semver::Version::new(0, 1, 0), Checksum([7; 32]))
}

/// Nobody is even asked for a proof of a file that is listed as unsigned.
#[test]
fn a_project_can_ask_for_more_and_for_no_less() {
    let listed = |byte: u8| {
        let unsigned =
            format!("unsigned = [{{ version = \"0.1.0\", cksum = \"{}\" }}]", Checksum([byte; 32]));
        entry("hello", &unsigned)
    };
    let not_required = entry("*", "require = false");
    let (own, projects) = (Whose::Own, Whose::Projects);
    for (own, theirs, said) in [
        (&not_required, &listed(7), Unsigned::NotRequired(own)),
        (&listed(7), &not_required, Unsigned::Listed(own)),
        (&entry("*", ""), &listed(7), Unsigned::Refused(own)),
        (&listed(8), &listed(7), Unsigned::OtherFile(own)),
        (&not_required, &entry("*", ""), Unsigned::Refused(projects)),
        (&listed(7), &listed(8), Unsigned::OtherFile(projects)),
        (&String::new(), &listed(7), Unsigned::Listed(projects)),
    ] {
        assert_eq!(of_unsigned(own, theirs), said, "{own}{theirs}");
    }
}

/// A key that is given does not make a crate go unsigned that nobody can give a proof of.
#[test]
fn a_given_key_leaves_the_persons_demands() {
    let said = |text: &str| {
        let trust = Trust::Keys { keys: vec![bob()], own: list(text).unwrap() };
        trust.of_unsigned(INDEX, &name("hello"), &semver::Version::new(0, 1, 0), Checksum([7; 32]))
    };
    let unsigned = |byte: u8| {
        let unsigned = Checksum([byte; 32]);
        entry("hello", &format!("unsigned = [{{ version = \"0.1.0\", cksum = \"{unsigned}\" }}]"))
    };
    assert_eq!(said(&entry("*", "")), Unsigned::Refused(Whose::Own));
    assert_eq!(said(&unsigned(8)), Unsigned::Refused(Whose::Own));
    assert_eq!(said(&unsigned(7)), Unsigned::Unsaid);
    assert_eq!(said(&entry("*", "require = false")), Unsigned::Unsaid);
}

fn rotation(from: PublicKey, to: PublicKey) -> String {
    let statement = ["A".repeat(128), "A".repeat(128)].join(".");
    format!(
        "[[rotation]]\nindex = \"{INDEX}\"\ncrate = \"*\"\nfrom = \"{from}\"\nto = \"{to}\"\nstatement = \"{statement}\"\n"
    )
}

/// A project may state what it likes, and cannot have it verified for every package.
#[test]
fn a_signature_is_verified_once_and_only_where_it_would_count() {
    let verified = |from: PublicKey| {
        let own = list(&entry("*", "signers = [\"alice\"]")).unwrap();
        let trust = Trust::Lists { own, projects: list(&rotation(from, bob())).unwrap() };
        for _ in 0..2 {
            assert!(matches!(
                trust.of_key(INDEX, &name("hello"), &bob()),
                Word::Changed { rotation: None, .. }
            ));
        }
        let Trust::Lists { projects, .. } = trust else { unreachable!() };
        projects.rotations[0].verified()
    };
    assert_eq!((verified(alice()), verified(bob())), (Some(false), None));
    assert!(list(&rotation(alice(), bob()).repeat(256)).is_ok());
    let many = list(&rotation(alice(), bob()).repeat(257)).unwrap_err();
    assert!(matches!(many, Problem::Value { key: "[[rotation]]", .. }), "{many:?}");
}

proptest! {
    /// Whatever stands in either: the first piece of a token has 49 bytes, that of a statement is its purpose and has 24.
    #[test]
    fn no_token_is_the_statement_of_a_new_key(index: String, crates: String, payload: Vec<u8>, footer: Vec<u8>) {
        let token = signed_bytes(alice().as_bytes(), &payload, &footer, &[]);
        prop_assert_ne!(&token[..16], &statement(&index, &crates, &alice(), &bob())[..16]);
    }
}

/// Nor is the signature of one good for the other, whatever both are about.
#[test]
fn the_signature_of_a_token_is_none_of_a_statement() {
    let [old, new] = [9, 10].map(|seed| p384::ecdsa::SigningKey::from_slice(&[seed; 48]).unwrap());
    let public = |key: &p384::ecdsa::SigningKey| {
        PublicKey::from_sec1(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap()
    };
    let keys = [&old, &new].map(public);
    let sign = |key: &p384::ecdsa::SigningKey, bytes: &[u8]| -> [u8; 96] {
        let signature: Signature = key.sign(bytes);
        signature.to_bytes().into()
    };
    let stated = statement(INDEX, "hello", &keys[0], &keys[1]);
    let tokens = keys.map(|key| signed_bytes(key.as_bytes(), &stated, INDEX.as_bytes(), &[]));
    let is_signed = |signatures| {
        let crates = ("hello".parse().unwrap(), "hello".to_owned());
        Rotation::new(INDEX.into(), crates, keys, signatures).is_signed()
    };
    let good = [sign(&old, &stated), sign(&new, &stated)];
    assert!(is_signed(good));
    assert!(!is_signed([sign(&old, &tokens[0]), good[1]]) && !is_signed([good[0], sign(&new, &tokens[1])]));
    assert!(!crate::signature::is_signed(keys[0].as_bytes(), &tokens[0], &good[0]));
}

#[test]
fn what_is_remembered_is_added_and_the_rest_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let word = |of: &str, key: PublicKey| {
        let trust = Trust::load(home.path(), &[], None).unwrap();
        matches!(trust.of_key(INDEX, &name(of), &key), Word::Trusted { .. })
    };
    remember(home.path(), &[news("hello", alice()), news("other", alice())]).unwrap();
    assert!(word("hello", alice()) && word("other", alice()) && !word("third", alice()));
    let text = std::fs::read_to_string(path(home.path())).unwrap();
    std::fs::write(path(home.path()), format!("# mine\n{}", text.replace("\"hello\"", "\"he-llo\" # hers")))
        .unwrap();
    remember(home.path(), &[news("He_llo", bob()), news("he-llo", alice())]).unwrap();
    let text = std::fs::read_to_string(path(home.path())).unwrap();
    assert!(text.starts_with("# mine\n") && text.contains("# hers"), "{text}");
    assert!(
        text.contains("name = \"alice-2\"") && text.contains("signers = [\"alice\", \"alice-2\"]"),
        "{text}"
    );
    assert_eq!((text.matches("[[key]]").count(), text.matches("[[signer]]").count()), (2, 2), "{text}");
    assert!(word("he-llo", bob()) && !word("other", bob()));
}

/// The new entry alone decides from then on.
#[test]
fn an_entry_that_is_made_asks_for_no_less_than_the_pattern_did() {
    let home = tempfile::tempdir().unwrap();
    remember(home.path(), &[news("other", alice()), news("another", bob())]).unwrap();
    let text = std::fs::read_to_string(path(home.path())).unwrap();
    let (first, second) = (Checksum([7; 32]), Checksum([8; 32]));
    let demands = format!(
        "signers = [\"alice\", \"alice-2\"]\napprovals = 2\nunsigned = [{{ version = \"0.1.0\", cksum = \"{first}\" }}, {{ version = \"0.2.0-a+b\", cksum = \"{second}\" }}]"
    );
    std::fs::write(path(home.path()), text + &entry("*", "require = false") + &entry("hel*", &demands))
        .unwrap();
    let carol = p384::ecdsa::SigningKey::from_slice(&[10; 48]).unwrap();
    let carol = PublicKey::from_sec1(carol.verifying_key().to_sec1_point(true).as_bytes()).unwrap();
    let would_be = with(home.path(), &[news("Hello", carol)]).unwrap();
    assert!(List::load(home.path()).unwrap().name_of(&carol).is_none(), "nothing is written");
    remember(home.path(), &[news("Hello", carol)]).unwrap();
    for list in [would_be, List::load(home.path()).unwrap()] {
        let hello = list.entry(INDEX, &name("hello")).unwrap();
        assert_eq!(hello.scope, Scope::One("hello".into()));
        assert_eq!((&hello.signers[..], hello.approvals), (&[alice(), bob(), carol][..], 2));
        let unsigned = [("0.1.0".parse().unwrap(), first), ("0.2.0-a+b".parse().unwrap(), second)];
        assert_eq!((&hello.unsigned[..], hello.require), (&unsigned[..], true));
        let help = list.entry(INDEX, &name("help")).unwrap();
        assert_eq!((&help.signers[..], help.approvals), (&[alice(), bob()][..], 2));
    }
}

#[cfg(unix)]
#[test]
fn the_persons_own_list_is_refused_if_others_may_write_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    remember(home.path(), &[news("hello", alice())]).unwrap();
    let mode = std::fs::metadata(path(home.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::set_permissions(path(home.path()), std::fs::Permissions::from_mode(0o620)).unwrap();
    let refused = Trust::load(home.path(), &[], None).unwrap_err();
    assert!(matches!(refused, Error::Folder(crate::folder::Error::Unsafe { .. })), "{refused}");
    // A project's is read whoever may write it.
    std::fs::rename(path(home.path()), home.path().join("signers.toml")).unwrap();
    Trust::load(home.path(), &[], Some(home.path())).unwrap();
}
