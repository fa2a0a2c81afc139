//! From tokens in clear to sealed ones: what `migrate` does, what it leaves alone, and what it says.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Barrier};

use serde_json::json;

use crate::loopback::{self, Reply};
use crate::sealed::{Sealed, TOKEN};
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, Outcome, PIN, Reads};

pub(crate) const CRATES_IO_TOKEN: &str = "cioAlsoPretendToBeSecret9876543210ab";

impl Sealed {
    /// A person with these credentials, and nothing sealed.
    fn in_clear(credentials: &str) -> Self {
        let sealed = Self::unsealed(Reads::Open, |card| card);
        sealed.world.write("home/credentials.toml", credentials);
        sealed
    }

    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.world.path(file)).unwrap()
    }

    #[track_caller]
    fn migrates(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.world.yk_cargo([&["migrate"][..], arguments].concat()).succeeds();
        assert!(!outcome.stderr.contains(TOKEN) && !outcome.stderr.contains(CRATES_IO_TOKEN), "{outcome:#?}");
        outcome
    }

    /// It fails, says this, and neither card nor files were touched.
    #[track_caller]
    fn does_not_migrate(&self, arguments: &[&str], says: &[&str]) {
        let before = [self.text("home/credentials.toml"), self.text("home/config.toml")];
        let outcome = self.world.yk_cargo([&["migrate"][..], arguments].concat()).fails();
        outcome.says(says);
        assert_eq!(before, [self.text("home/credentials.toml"), self.text("home/config.toml")]);
        assert!(Seen::on(&self.world.card).nothing() && self.enrollments().sealed.is_empty());
    }
}

fn of(name: &str, token: &str) -> String {
    format!("[registries.{name}]\ntoken = \"{token}\"\n")
}

#[test]
fn every_token_is_sealed_and_gone() {
    let credentials = format!(
        "# mine\n[registry]\n# from crates.io\ntoken = \"{CRATES_IO_TOKEN}\" # since May\n\n{}[registries.other]\nsecret-key = 'x'\n",
        of(NAME, TOKEN)
    );
    let sealed = Sealed::in_clear(&credentials);
    let before = sealed.text("home/config.toml");
    let shown = sealed.migrates(&["--dry-run"]);
    shown.says(&[
        "the token of `my-reg`, 36 characters, in plain text in",
        "set credential-provider in [registry] of $CARGO_HOME/config.toml",
    ]);
    assert!(Seen::on(&sealed.world.card).nothing());
    assert_eq!(
        (sealed.text("home/credentials.toml"), sealed.text("home/config.toml")),
        (credentials, before)
    );

    let done = sealed.migrates(&["--all", "--yes"]);
    done.says(&["so that takes at most 2 touches"]);
    done.says(&["removed the token of `crates-io` from", "removed the token of `my-reg` from"]);
    done.says(&[
        "to undo this: yk-cargo unseal my-reg --restore",
        "make a new one at the registry, revoke this one",
    ]);
    assert_eq!(
        sealed.text("home/credentials.toml"),
        "# mine\n[registry]\n# from crates.io\n# since May\n\n[registries.my-reg]\n[registries.other]\nsecret-key = 'x'\n"
    );
    let mode = fs::metadata(sealed.world.path("home/credentials.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "as it was");
    let seen = Seen::on(&sealed.world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1), "for both");
    seen.assert_well_mannered();

    let yank = sealed.yank().succeeds();
    assert!(!yank.stderr.contains("will be ignored"), "{yank:#?}");
    assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0"]);
    sealed.migrates(&["--all", "--yes"]).says(&["there is no plaintext token to seal"]);
    sealed.world.yk_cargo(["unseal", NAME, "--restore", "--yes"]).succeeds();
    assert!(sealed.text("home/credentials.toml").contains(TOKEN), "to undo this");
}

/// A person's comments are the person's.
#[test]
fn a_token_that_remains_in_a_comment_is_told_of() {
    let comment = format!("#token = \"{TOKEN}\"\n");
    let sealed = Sealed::in_clear(&(comment.clone() + &of(NAME, TOKEN)));
    let done = sealed.migrates(&["--all", "--yes"]);
    done.says(&[
        "credentials.toml still has this token elsewhere, perhaps in a comment: remove it there, too",
    ]);
    assert_eq!(sealed.text("home/credentials.toml"), comment + "[registries.my-reg]\n");
    let clean = Sealed::in_clear(&of(NAME, TOKEN)).migrates(&["--all", "--yes"]);
    assert!(!clean.stderr.contains("elsewhere"), "{clean:#?}");
}

/// Cargo reads `credentials` and not `credentials.toml` then. The same token goes wherever it lies, another one stays.
#[test]
fn two_credentials_files() {
    let sealed =
        Sealed::in_clear(&(of(NAME, "another") + &format!("[registry]\ntoken = '{CRATES_IO_TOKEN}'\n")));
    sealed.world.write("home/credentials", &of(NAME, TOKEN));
    let config = sealed.text("home/config.toml") + &format!("token = '{TOKEN}' # here too\n");
    sealed.world.write("home/config.toml", &config);
    let done = sealed.migrates(&["--registry", NAME, "--yes"]);
    done.says(&["has another token for `my-reg`, which cargo does not use"]);
    assert_eq!(sealed.text("home/credentials"), "[registries.my-reg]\n");
    assert!(sealed.text("home/credentials.toml").contains("another"));
    let config = sealed.text("home/config.toml");
    assert!(!config.contains(TOKEN) && config.contains("# here too"), "{config}");
    sealed.migrates(&["--registry", "crates-io", "--yes"]);
    assert_eq!(sealed.text("home/credentials.toml"), of(NAME, "another") + "[registry]\n");
}

#[test]
fn a_projects_file_is_changed_only_for_a_registry_that_is_named() {
    let sealed = Sealed::in_clear("");
    let project = "work/.cargo/config.toml";
    sealed.world.write(project, &of(NAME, TOKEN));
    sealed.migrates(&["--all", "--yes"]).says(&[
        "a project's file, has a token for `my-reg`; it is left alone without --registry my-reg",
        "there is no plaintext token to seal",
    ]);
    assert_eq!(sealed.text(project), of(NAME, TOKEN));
    sealed.migrates(&["--registry", NAME, "--yes"]);
    assert_eq!(sealed.text(project), "[registries.my-reg]\n");
    sealed.yank().succeeds();
    assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0"]);
}

/// Whatever stops the check also stops the removal; a rerun goes on.
#[test]
fn nothing_is_removed_that_was_not_opened() {
    let sealed = Sealed::in_clear(&of(NAME, TOKEN));
    sealed.seal(&["--no-check"]).succeeds();
    let migrate = || sealed.world.yk_cargo(["migrate", "--all", "--yes"]);
    let still = || assert_eq!(sealed.text("home/credentials.toml"), of(NAME, TOKEN));
    migrate().without("YK_CARGO_PIN_COMMAND").fails().says(&["needs its PIN", "is still in"]);
    still();
    sealed.world.card.unplug();
    migrate().fails().says(&["no YubiKey is plugged in"]);
    still();
    sealed.world.card.plug();
    sealed.world.write("home/credentials.toml", &of(NAME, "another"));
    migrate().fails().says(&["the sealed token of `my-reg` differs from the plaintext one", "--rotate"]);
    assert_eq!(sealed.text("home/credentials.toml"), of(NAME, "another"));
    sealed.world.write("home/credentials.toml", &of(NAME, TOKEN));
    migrate()
        .succeeds()
        .says(&["check that it is the same as the sealed one", "removed the token of `my-reg`"]);
}

#[test]
fn what_cannot_be_migrated_is_told_before_anything_is_done() {
    let sealed = Sealed::in_clear(&of(NAME, TOKEN));
    let named = ["--registry", NAME, "--yes"];
    sealed.does_not_migrate(&["--yes"], &["name the token with --registry, or add --all"]);
    sealed.does_not_migrate(&["--registry", "nowhere"], &["no registry `nowhere`"]);
    sealed.does_not_migrate(&[], &["there is no terminal to ask on"]);
    let file = sealed.world.path("home/credentials.toml");
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o400);
    sealed.does_not_migrate(&named, &["credentials.toml is read-only"]);
    mode(0o600);
    let elsewhere = sealed.world.path("dotfiles");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    sealed.does_not_migrate(&named, &["credentials.toml is a symbolic link", "yk-cargo seal REGISTRY"]);
    fs::remove_file(&file).unwrap();
    let provider = of(NAME, TOKEN) + "credential-provider = ['x']\n";
    sealed.world.write("home/credentials.toml", &provider);
    sealed.does_not_migrate(&named, &["which cargo confuses with the one in config.toml"]);
    sealed.world.write("home/credentials.toml", &of(NAME, "not a töken"));
    sealed.does_not_migrate(&named, &["printable ASCII"]);
    sealed.world.write("home/credentials.toml", &of(NAME, TOKEN));
    let evil = "[registries.my-reg]\nindex = 'sparse+https://evil.example/'\n";
    sealed.world.write("work/.cargo/config.toml", evil);
    sealed.does_not_migrate(&named, &["evil.example", "but your own configuration says"]);
}

#[test]
fn tokens_that_are_none_of_its_business() {
    let sealed =
        Sealed::in_clear(&(of("gone", "x") + &of("open", "x") + &of("kept", "x") + &of("signs", "x")));
    let config = "[registries]\nopen.index = 'sparse+http://r.example/'\n\
                  kept = { index = 'sparse+https://k.example/', credential-provider = 'cargo:libsecret' }\n\
                  signs.index = 'sparse+http://localhost:9/'\n";
    sealed.world.write("home/config.toml", config);
    sealed.world.yk_cargo(["enroll", "signs", "--yes"]).succeeds();
    let before = sealed.text("home/credentials.toml");
    sealed.migrates(&["--all", "--yes"]).says(&[
        "has a token for `gone`; it is left alone: no registry `gone`",
        "has a token for `open`; it is left alone",
        "has a token for `kept`; it is left alone: cargo asks `cargo:libsecret`",
        "has a token for `signs`, whose tokens are signed",
    ]);
    assert_eq!(
        (sealed.text("home/credentials.toml"), sealed.text("home/config.toml").as_str()),
        (before, config)
    );
}

#[test]
fn what_the_environment_says_is_told() {
    let sealed = Sealed::in_clear(&of(NAME, TOKEN));
    let migrate = sealed.world.yk_cargo(["migrate", "--all", "--yes"]);
    let migrate = migrate.env("CARGO_REGISTRIES_MY_REG_TOKEN", "x");
    let outcome = migrate.env("CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER", "cargo:token").succeeds();
    outcome.says(&[
        "unset CARGO_REGISTRIES_MY_REG_CREDENTIAL_PROVIDER",
        "CARGO_REGISTRIES_MY_REG_TOKEN is set: every program",
    ]);
}

#[test]
fn a_person_is_asked_once() {
    let sealed = Sealed::in_clear(&(of(NAME, TOKEN) + &format!("[registry]\ntoken = '{CRATES_IO_TOKEN}'\n")));
    let migrate = "yk-cargo migrate && echo DONE || echo FAILED";
    let mut session = sealed.world.at_a_terminal(migrate);
    expect(&mut session, &["Continue? [y/N] "]);
    session.send_line("n").unwrap();
    expect(&mut session, &["nothing was changed", "FAILED"]);
    assert!(Seen::on(&sealed.world.card).nothing());
    let mut session = sealed.world.at_a_terminal(migrate);
    expect(&mut session, &["Continue? [y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["PIN of YubiKey 12345678 (3 tries left): "]);
    session.send_line(PIN).unwrap();
    let shown = session.exp_string("DONE").unwrap();
    assert!(!shown.contains("PIN of") && !shown.contains("[y/N]"), "{shown}");
    assert!(!shown.contains(TOKEN) && !shown.contains(CRATES_IO_TOKEN), "{shown}");
    let answer = sealed.get(json!({"operation": "yank", "name": "alpha", "vers": "0.1.0"})).answer();
    assert_eq!(answer["Ok"]["token"], TOKEN);
}

/// Each answers only when the other one has been asked too.
#[test]
fn all_registries_are_asked_at_once() {
    let sealed = Sealed::in_clear(&[of("one", TOKEN), of("other", CRATES_IO_TOKEN)].concat());
    let both = Arc::new(Barrier::new(2));
    let mut config = sealed.text("home/config.toml");
    for name in ["one", "other"] {
        let (listener, base) = loopback::bind(false);
        let both = Arc::clone(&both);
        loopback::serve(listener, None, move |_| {
            both.wait();
            Reply::new("401 Unauthorized", "")
        });
        config += &format!("[registries.{name}]\nindex = \"sparse+{base}/\"\n");
    }
    sealed.world.write("home/config.toml", &config);
    let done = sealed.migrates(&["--all", "--yes"]);
    for name in ["one", "other"] {
        done.says(&[&format!("`{name}` requires the token for every read")]);
    }
}
