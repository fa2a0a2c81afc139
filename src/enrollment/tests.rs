use std::fs;

use super::*;

const PUBLIC: &str = "k3.public.AmDwjlyf8jAV3gm5Z7Kz9xAOcsKslt_Vwp5v-emjFzBHLCtcANzTaVEghTNEMj9PkQ";
const URL: &str = "sparse+https://registry.example/index/";

fn entry() -> String {
    format!(
        r#"[[registry]]
index = "{URL}"
name = "my-reg"
reuse = 600
[[registry.card]]
serial = 12345678
firmware = "5.7.4"
label = "laptop key"
[[registry.card.key]]
role = "publish"
slot = "82"
public = "{PUBLIC}"
pin = "once"
touch = "always"
"#
    )
}

fn problem(text: &str) -> Problem {
    Enrollments::parse(text).unwrap_err()
}

/// Whether it names the key whose value makes no sense.
fn is_about(problem: &Problem, key: &str) -> bool {
    matches!(problem, Problem::Toml(reason) if reason.ends_with(&format!(".{key}`")))
}

#[test]
fn a_whole_file_is_read() {
    let enrollments = Enrollments::parse(&format!("version = 1\n{}", entry())).unwrap();
    let registry = enrollments.registry(URL).unwrap();
    assert_eq!(registry.reuse, 600);
    assert_eq!(registry.key_id, KeyIdField::Both);
    assert_eq!(registry.challenge, ChallengeSource::None);
    let card = registry.card(Serial(12_345_678)).unwrap();
    assert_eq!(card.firmware, Version::new(5, 7, 4));
    assert_eq!(card.key(true).unwrap().slot.to_string(), "82");
    assert_eq!(card.key(false), None, "a publish key signs no reads");
}

#[test]
fn a_request_reads_the_keys_of_its_registry_only() {
    const OTHER: &str = "sparse+https://other.example/";
    let home = tempfile::tempdir().unwrap();
    let other = entry().replace(URL, OTHER).replace(PUBLIC, "k3.public.no-key");
    std::fs::create_dir(home.path().join("yk-cargo")).unwrap();
    std::fs::write(path(home.path()), format!("version = 1\n{}{other}", entry())).unwrap();
    let enrollments = Enrollments::load_for(home.path(), URL).unwrap();
    assert_eq!(enrollments.registry(URL).unwrap().cards.len(), 1);
    assert!(enrollments.registry(OTHER).unwrap().cards.is_empty());
    assert!(matches!(Enrollments::load_for(home.path(), OTHER), Err(Error::Content { .. })));
    assert!(matches!(Enrollments::load(home.path()), Err(Error::Content { .. })));
}

/// The URL decides, byte for byte; the name decides nothing.
#[test]
fn only_the_exact_url_finds_a_registry() {
    let enrollments = Enrollments::parse(&format!("version = 1\n{}", entry())).unwrap();
    for other in
        ["", "my-reg", "sparse+https://registry.example/index", "sparse+https://REGISTRY.example/index/"]
    {
        assert!(enrollments.registry(other).is_none(), "{other}");
    }
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    assert_eq!(problem(""), Problem::NoVersion { version: 1 });
    assert_eq!(problem("version = \"1\""), Problem::NoVersion { version: 1 });
    assert_eq!(problem("version = 2"), Problem::Newer { version: 2 });
    assert!(matches!(problem("version = 1\n[["), Problem::Toml(_)));
    assert!(matches!(problem("version = 1\nregistry = 5"), Problem::Toml(_)));
    assert_eq!(problem(&format!("version = 1\n{0}{0}", entry())), Problem::Duplicate(URL.into()));
    for (good, bad, key) in [
        ("\"82\"", "\"81\"", "slot"),
        ("\"once\"", "\"sometimes\"", "pin"),
        ("\"always\"", "\"rarely\"", "touch"),
        ("k3.public.Am", "k3.public.Bm", "public"),
        ("5.7.4", "5.7", "firmware"),
    ] {
        let text = format!("version = 1\n{}", entry().replace(good, bad));
        assert!(is_about(&problem(&text), key), "{bad}");
    }
    assert!(matches!(
        problem(&format!("version = 1\n{}", entry().replace("\"publish\"", "\"admin\""))),
        Problem::Toml(_)
    ));
}

#[test]
fn an_edit_keeps_what_it_does_not_know() {
    let home = tempfile::tempdir().unwrap();
    let file = path(home.path());
    drop(Edit::begin(home.path()).unwrap());
    fs::write(&file, format!("# mine\nversion = 1\nfuture = true\n{}extra = \"kept\"\n", entry())).unwrap();

    let mut edit = Edit::begin(home.path()).unwrap();
    let registry = edit.enrollments().registry(URL).unwrap().clone();
    let read = Key { role: Role::Read, slot: "83".parse().unwrap(), ..registry.cards[0].keys[0] };
    let purpose = Purpose::Signing { role: Role::Read, index: URL.parse().unwrap() };
    let pending = Pending { serial: Serial(12_345_678), slot: read.slot, purpose };
    edit.add_pending(&pending).unwrap();
    assert_eq!(Enrollments::load(home.path()).unwrap().pending, [pending]);
    edit.enroll(&registry, &registry.cards[0], &read).unwrap();
    drop(edit);

    let text = fs::read_to_string(&file).unwrap();
    for kept in ["# mine", "future = true", "extra = \"kept\""] {
        assert!(text.contains(kept), "{text}");
    }
    let after = Enrollments::load(home.path()).unwrap();
    assert_eq!(after.pending, []);
    assert_eq!(after.registry(URL).unwrap().cards[0].key(false), Some(&read));
    assert_eq!(after.registry(URL).unwrap().cards.len(), 1);

    let mut edit = Edit::begin(home.path()).unwrap();
    edit.remove(&URL.parse().unwrap()).unwrap();
    assert!(Enrollments::load(home.path()).unwrap().registry(URL).is_none());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let file = path(home.path());
    let mut edit = Edit::begin(home.path()).unwrap();
    edit.remove(&"no:thing".parse().unwrap()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder::in_cargo_home(home.path()))), (0o600, 0o700));
    assert!(Enrollments::load(home.path()).is_ok());
    for (target, right) in [(file.clone(), 0o600), (folder::in_cargo_home(home.path()), 0o700)] {
        for wrong in [right | 0o020, right | 0o002] {
            fs::set_permissions(&target, fs::Permissions::from_mode(wrong)).unwrap();
            assert!(
                matches!(Enrollments::load(home.path()), Err(Error::Folder(folder::Error::Unsafe { .. }))),
                "{wrong:o}"
            );
        }
        fs::set_permissions(&target, fs::Permissions::from_mode(right)).unwrap();
    }
}

#[test]
fn sealed_tokens_and_their_keys() {
    let recipient = "age1yubikey1qd43050juykyy3lchnnw2caygre8wqmasyk7kvaq7jsnj3wcnrpfvpkgk82";
    let sealed =
        format!("[[sealed]]\nindex = \"{URL}\"\nreads = \"open\"\nsince = \"2026-11-20T18:00:00Z\"\n");
    let key = format!(
        "[[sealing-key]]\nserial = 1\nfirmware = \"5.7.4\"\nlabel = \"k\"\nslot = \"95\"\nrecipient = \"{recipient}\"\n\
         pin = \"once\"\ntouch = \"cached\"\n[[pending-sealing-key]]\nserial = 2\nslot = \"94\"\n"
    );
    let enrollments = Enrollments::parse(&format!("version = 1\n{sealed}{key}")).unwrap();
    assert_eq!(enrollments.sealing_keys[0].recipient.to_string(), recipient);
    assert!(enrollments.sealed(URL).is_some() && enrollments.sealed("my-reg").is_none());
    for (serial, slot, held) in [(1, "95", true), (1, "94", false), (2, "94", true), (2, "95", false)] {
        assert_eq!(enrollments.holds(Serial(serial), slot.parse().unwrap()), held, "{serial} {slot}");
    }
    assert_eq!(problem(&format!("version = 1\n{sealed}{sealed}")), Problem::Duplicate(URL.into()));
    let reads = problem(&format!("version = 1\n{}", sealed.replace("open", "maybe")));
    assert!(is_about(&reads, "reads"), "{reads}");
    let other = problem(&format!("version = 1\n{}", key.replace("age1yubikey1q", "age1q")));
    assert!(is_about(&other, "recipient"), "{other}");
}
