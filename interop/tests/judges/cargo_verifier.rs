//! Real cargo publishes to Cargo's own verifier with a key on a card.

use std::fs;
use std::path::PathBuf;

use mock_card::{MockCard, PinPolicy, TouchPolicy};
use yk_cargo_interop::computer::Computer;

use crate::registry::{NAME, Registry, publish_body, rfc_key};

const SLOT: u8 = 0x82;

/// The RFC's key on the card.
fn with_rfc_key() -> Computer {
    let (key, _) = rfc_key();
    Computer::with(MockCard::builder().import(SLOT, key, PinPolicy::Once, TouchPolicy::Cached))
}

/// `enroll` for the registry, which sets cargo's configuration, too.
fn enroll(computer: &Computer, registry: &Registry, options: &[&str]) {
    computer.configure(&format!("[registries.{NAME}]\nindex = \"{}\"\n", registry.index()));
    let common = ["enroll", registry.index(), "--yes", "--configure", "--single-key"];
    computer.yk_cargo(&[&common, options].concat());
}

/// A library without dependencies.
fn library(computer: &Computer, name: &str) -> PathBuf {
    let project = computer.folder().join(name);
    fs::create_dir_all(project.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\
         license = \"MIT\"\ndescription = \"A crate to be judged\"\n\n[dependencies]\n"
    );
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    fs::write(project.join("src/lib.rs"), "pub fn answer() -> u32 {\n    42\n}\n").unwrap();
    project
}

/// How often the card signed since its trace was last cleared.
fn signatures(computer: &Computer) -> usize {
    let with_the_key = format!("008714{SLOT:02x}");
    let trace = computer.card().trace();
    let signed = trace.iter().filter(|entry| {
        let command = entry.apdu.as_deref().unwrap_or_default().to_lowercase();
        command.starts_with(&with_the_key) && entry.answer.as_deref().is_some_and(|it| it.ends_with("9000"))
    });
    signed.count()
}

#[test]
fn cargo_publishes_yanks_and_builds() {
    let registry = Registry::with_rfc_key("publish");
    let (_, subject) = rfc_key();
    let computer = with_rfc_key();
    enroll(&computer, &registry, &["--existing", "--subject", &subject]);

    let judged = library(&computer, "judged");
    let dependent = library(&computer, "dependent");
    let manifest = fs::read_to_string(dependent.join("Cargo.toml")).unwrap();
    let dependency = format!("judged = {{ version = \"1\", registry = \"{NAME}\" }}\n");
    fs::write(dependent.join("Cargo.toml"), manifest + &dependency).unwrap();
    fs::write(dependent.join("src/lib.rs"), "pub fn answer() -> u32 {\n    judged::answer()\n}\n").unwrap();

    for (project, arguments, signed) in [
        (&judged, &["publish", "--registry", NAME][..], 2),
        (&judged, &["yank", "--version", "1.0.0", "judged", "--registry", NAME], 2),
        (&judged, &["yank", "--undo", "--version", "1.0.0", "judged", "--registry", NAME], 2),
        (&judged, &["owner", "--add", "somebody", "judged", "--registry", NAME], 2),
        (&dependent, &["publish", "--registry", NAME], 2),
        (&dependent, &["build"], 1),
        (&dependent, &["build", "--locked"], 0),
    ] {
        computer.card().clear_trace();
        computer.cargo(project, arguments).unwrap();
        assert_eq!(signatures(&computer), signed, "one for reading, one for a mutation: cargo {arguments:?}");
    }
}

#[test]
fn a_token_is_good_for_one_thing() {
    let registry = Registry::with_rfc_key("one-thing");
    let (_, subject) = rfc_key();
    let computer = with_rfc_key();
    enroll(&computer, &registry, &["--existing", "--subject", &subject]);

    let token = |purpose: &[&str]| computer.yk_cargo(&[&["token", NAME][..], purpose].concat());
    let tokens = [
        token(&["--read"]),
        token(&["--yank", "judged@1.0.0"]),
        token(&["--unyank", "judged@1.0.0"]),
        token(&["--owners", "judged"]),
    ];
    let requests = [
        ("GET", "/index/config.json"),
        ("DELETE", "/api/v1/crates/judged/1.0.0/yank"),
        ("PUT", "/api/v1/crates/judged/1.0.0/unyank"),
        ("GET", "/api/v1/crates/judged/owners"),
        ("DELETE", "/api/v1/crates/judged/1.0.1/yank"),
        ("DELETE", "/api/v1/crates/other/1.0.0/yank"),
    ];
    for (n, token) in tokens.iter().enumerate() {
        for (m, (method, path)) in requests.iter().enumerate() {
            let expected = if n == m { 200 } else { 401 };
            assert_eq!(registry.status(method, path, token, b""), expected, "token {n} for {method} {path}");
        }
    }
}

#[test]
fn a_publish_token_is_good_for_one_file() {
    let registry = Registry::with_rfc_key("one-file");
    let (_, subject) = rfc_key();
    let computer = with_rfc_key();
    enroll(&computer, &registry, &["--existing", "--subject", &subject]);

    let project = library(&computer, "judged");
    computer.cargo(&project, &["package", "--no-verify"]).unwrap();
    let path = project.join("target/package/judged-1.0.0.crate");
    let token = computer.yk_cargo(&["token", NAME, "--publish", path.to_str().unwrap()]);
    let file = fs::read(path).unwrap();
    let another = [&file[..], b"!"].concat();
    for (name, version, file, status) in [
        ("judged", "1.0.0", &another, 401),
        ("judged", "1.0.1", &file, 401),
        ("other", "1.0.0", &file, 401),
        ("judged", "1.0.0", &file, 200),
    ] {
        let body = publish_body(name, version, file);
        assert_eq!(registry.status("PUT", "/api/v1/crates/new", &token, &body), status, "{name} {version}");
    }
}

/// Cargo's words when a registry answers 401 to a token.
fn assert_rejected(computer: &Computer) {
    let project = library(computer, "judged");
    let stderr = computer.cargo(&project, &["publish", "--registry", NAME]).unwrap_err();
    assert!(stderr.contains(&format!("token rejected for `{NAME}`")), "{stderr}");
    assert!(signatures(computer) > 0, "there was a token to reject");
}

#[test]
fn another_subject_is_refused() {
    let registry = Registry::with_rfc_key("subject");
    let computer = with_rfc_key();
    enroll(&computer, &registry, &["--existing", "--subject", "somebody-else"]);
    assert_rejected(&computer);
}

#[test]
fn another_key_is_refused() {
    let registry = Registry::with_rfc_key("key");
    let (_, subject) = rfc_key();
    let computer = Computer::with(MockCard::builder());
    enroll(&computer, &registry, &["--subject", &subject]);
    assert_rejected(&computer);
}

/// Cargo's own code says `kip` where the RFC says `kid`; this verifier follows the code.
#[test]
fn the_footer_has_the_key_id_where_it_is_looked_for() {
    let registry = Registry::with_rfc_key("key-id");
    let (_, subject) = rfc_key();
    let computer = with_rfc_key();
    enroll(&computer, &registry, &["--existing", "--subject", &subject]);
    let enrolled = fs::read_to_string(computer.enrollments_file()).unwrap();

    for (field, status) in [("both", 200), ("kip", 200), ("kid", 401)] {
        let edited = enrolled.replace("key-id = \"both\"", &format!("key-id = \"{field}\""));
        assert!(edited.contains(&format!("\"{field}\"")), "{enrolled}");
        fs::write(computer.enrollments_file(), edited).unwrap();
        let token = computer.yk_cargo(&["token", NAME, "--read"]);
        assert_eq!(registry.status("GET", "/index/config.json", &token, b""), status, "{field}");
    }
}
