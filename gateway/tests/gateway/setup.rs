//! What an administrator does before anybody is served, and that every command finds the gateway by its configuration.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::common::SoftwareKey;
use crate::common::served::{for_everybody, signal};

fn gateway(folder: &Path, arguments: &[&str]) -> Command {
    at(env!("CARGO_BIN_EXE_registry-gateway").as_ref(), folder, arguments)
}

fn at(program: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.arg("20").arg(program).args(arguments);
    command.env_remove("REGISTRY_GATEWAY_STORE").env_remove("REGISTRY_GATEWAY_CONFIG");
    command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    // A command that fails may not read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[track_caller]
fn succeeds(command: Command, input: &str) -> String {
    let output = run(command, input);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// With an [upstream], so that credentials can be kept.
fn initialised(key_file: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    succeeds(gateway(folder.path(), &["init"]), "");
    let upstream = format!("\n[upstream]\nindex = \"http://127.0.0.1:9/\"\nkey-file = \"{key_file}\"\n");
    let file = folder.path().join("registry-gateway.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap() + &upstream).unwrap();
    folder
}

#[test]
fn init_makes_what_is_needed_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (etc, store) = (folder.path().join("etc/gateway"), folder.path().join("var/its \"store\""));
    let arguments = ["init", "--store", "var/its \"store\"", "etc/gateway"];
    let said = succeeds(gateway(folder.path(), &arguments), "");
    assert_eq!(said.matches(": made\n").count(), 3, "{said}");
    assert!(
        said.ends_with("Next: registry-gateway serve --config etc/gateway/registry-gateway.toml\n"),
        "{said}"
    );
    assert_eq!(mode(&etc.join("credentials.key")), 0o600);
    assert_eq!(mode(&etc.join("registry-gateway.toml")) & 0o400, 0o400);
    assert_eq!(mode(&etc.join("registry-gateway.toml")), mode(&etc) & 0o666, "a service reads both");
    assert_eq!(mode(&store), 0o700);

    let key = fs::read(etc.join("credentials.key")).unwrap();
    let said = succeeds(gateway(folder.path(), &["init", "etc/gateway"]), "");
    assert_eq!(said.matches(": already there\n").count(), 3, "{said}");
    assert_eq!(fs::read(etc.join("credentials.key")).unwrap(), key);
    assert!(!etc.join("registry").exists(), "the store is where the configuration says");
    let users = ["user", "list", "--config", "etc/gateway/registry-gateway.toml"];
    assert_eq!(succeeds(gateway(folder.path(), &users), ""), "");
}

/// By `--config`, by the variable, or because it is here; and `--store` is stronger.
#[test]
fn every_command_finds_the_store_by_the_configuration() {
    let folder = initialised("credentials.key");
    let file = folder.path().join("registry-gateway.toml");
    let file = file.to_str().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let public = SoftwareKey::new(5).public;
    let id = public.id().to_string();
    let public = public.to_string();
    for (arguments, said) in [
        (&["user", "add", "alice"][..], "alice"),
        (&["user", "list"], "alice\tactive\t0 keys"),
        (&["invite", "alice"], "-"),
        (&["credential", "set", "--as-is", "alice"], ""),
        (&["credential", "remove", "alice"], ""),
        (&["key", "add", "--user", "alice", "--role", "both", &public], &id),
        (&["key", "list"], &id),
        (&["key", "revoke", &id], &id),
        (&["audit", "verify"], "each as the tree has it"),
        (&["audit", "export"], "{"),
        (&["audit", "watch", "--crate", "hello", "--key", &public], "looked at "),
        (&["record"], ""),
    ] {
        let named = gateway(elsewhere.path(), &[arguments, &["--config", file]].concat());
        assert!(succeeds(named, "token\n").contains(said), "{arguments:?}");
    }
    for arguments in [&["user", "list"][..], &["key", "list"], &["audit", "export"]] {
        let mut by_variable = gateway(elsewhere.path(), arguments);
        by_variable.env("REGISTRY_GATEWAY_CONFIG", file);
        assert!(succeeds(by_variable, "").contains("alice"), "{arguments:?}");
        assert!(succeeds(gateway(folder.path(), arguments), "").contains("alice"), "{arguments:?}");
        let store = run(gateway(folder.path(), &[arguments, &["--store", "other"]].concat()), "");
        let said = String::from_utf8(store.stderr).unwrap();
        assert!(said.contains("there is no store in other"), "{said}");
    }
}

/// A command in a folder of no gateway's makes none.
#[test]
fn a_command_without_a_gateway_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let public = SoftwareKey::new(5).public.to_string();
    let commands = [
        &["user", "add", "alice"][..],
        &["user", "list"],
        &["invite", "alice"],
        &["key", "add", "--user", "alice", "--role", "both", &public],
        &["key", "list"],
        &["credential", "set", "alice"],
        &["audit", "verify"],
        &["record"],
        &["doctor"],
        &["serve", "--listen", "127.0.0.1:0"],
    ];
    for arguments in commands {
        let output = run(gateway(folder.path(), arguments), "token\n");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.starts_with("error: no gateway was given, and neither ./registry-gateway.toml"),
            "{said}"
        );
        assert!(said.contains("\nhint: run this in the folder where the gateway was started, or name its configuration with --config"), "{said}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{arguments:?}");
    }
    // The store that a configuration names is made by those that put something into it.
    fs::write(folder.path().join("registry-gateway.toml"), "").unwrap();
    for arguments in [commands[1], commands[2], commands[4]] {
        let said = String::from_utf8(run(gateway(folder.path(), arguments), "").stderr).unwrap();
        assert!(
            said.contains("there is no store in registry\nhint: ")
                && said.contains("`registry-gateway init`"),
            "{said}"
        );
    }
    let added = run(gateway(folder.path(), commands[0]), "");
    let said = String::from_utf8(added.stderr).unwrap();
    assert!(
        added.status.success() && said.contains("there is no store in registry yet; making one"),
        "{said}"
    );
    for arguments in &commands[1..5] {
        succeeds(gateway(folder.path(), arguments), "");
    }
}

/// In a folder with a store and no configuration, as after a first try with `serve --store registry`.
#[test]
fn the_store_of_a_first_try_is_found() {
    let folder = tempfile::tempdir().unwrap();
    registry_gateway::store::Store::make(&folder.path().join("registry")).unwrap();
    succeeds(gateway(folder.path(), &["user", "add", "alice"]), "");
    assert!(succeeds(gateway(folder.path(), &["user", "list"]), "").contains("alice"));
}

/// With an /etc of its own, where this system lets a user make one.
#[test]
fn the_systems_configuration_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_registry-gateway");
    let script = |commands: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
        unshare.arg(format!("mount -t tmpfs none /etc; {commands}")).args([program]);
        unshare.env_remove("REGISTRY_GATEWAY_STORE").env_remove("REGISTRY_GATEWAY_CONFIG");
        unshare.current_dir(folder.path()).output()
    };
    if !script("true").is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no user may have an /etc of their own here");
        return;
    }
    let said = script(
        "$0 init /etc/registry-gateway >&2; $0 user add alice >&2; $0 user list; \
         $0 init . >&2; $0 user list; echo 'no alice here'",
    );
    let said = said.unwrap();
    assert!(said.status.success(), "{said:?}");
    let list = String::from_utf8(said.stdout).unwrap();
    assert_eq!(list, "alice\tactive\t0 keys\nno alice here\n", "what is here is taken before it");
}

/// Somebody without the right to see it.
fn as_a_stranger(mut command: Command) -> Command {
    if rustix::process::geteuid().is_root() {
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    }
    command
}

/// Not that there is none.
#[test]
fn what_may_not_be_read_is_called_that() {
    let folder = initialised("credentials.key");
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let (_kept, program) = for_everybody();
    let store = folder.path().join("registry");
    let closed = || {
        let mut command = at(&program, Path::new("/"), &["user", "list", "--config"]);
        command.arg(folder.path().join("registry-gateway.toml"));
        String::from_utf8(run(as_a_stranger(command), "").stderr).unwrap()
    };
    for (way, mode, path) in [
        (folder.path().to_owned(), 0o000, "registry-gateway.toml"),
        (folder.path().join("registry-gateway.toml"), 0o000, "registry-gateway.toml"),
        (store, 0o000, "registry.db"),
    ] {
        open(folder.path(), 0o755);
        let before = self::mode(&way);
        open(&way, mode);
        let said = closed();
        assert!(said.contains(path) && said.contains("Permission denied"), "{said}");
        assert!(said.contains("\nhint: permission denied: use sudo, or "), "{said}");
        open(&way, before);
    }
    open(folder.path(), 0o755);
    let inside = folder.path().join("x");
    let init = as_a_stranger(at(&program, Path::new("/"), &["init", inside.to_str().unwrap()]));
    if rustix::process::geteuid().is_root() {
        let said = String::from_utf8(run(init, "").stderr).unwrap();
        assert!(
            said.starts_with("error: cannot make ") && said.contains("\nhint: permission denied: use sudo"),
            "{said}"
        );
    }
}

/// Nobody types a secret that has no place to go.
#[test]
fn a_secret_is_asked_for_last() {
    let folder = initialised("credentials.key");
    succeeds(gateway(folder.path(), &["user", "add", "gone"]), "");
    succeeds(gateway(folder.path(), &["user", "remove", "gone"]), "");
    for (user, reason) in [("nobody", "there is no user nobody"), ("gone", "the user gone was removed at")] {
        let mut child = gateway(folder.path(), &["credential", "set", user]).spawn().unwrap();
        // It stays open, and nothing comes: whoever reads it waits.
        let input = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        drop(input);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(reason), "{said}");
    }
}

/// At whichever write: `ulimit -f` counts in 512 bytes. What is there afterwards is whole, and the same command makes the rest.
#[test]
fn init_on_a_full_disk_can_be_repeated() {
    let config = |folder: &Path| fs::read_to_string(folder.join("registry-gateway.toml")).unwrap();
    let unlimited = tempfile::tempdir().unwrap();
    succeeds(gateway(unlimited.path(), &["init"]), "");
    let mut failed = 0;
    for most in [0, 1, 4, 6, 8, 9, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512] {
        let folder = tempfile::tempdir().unwrap();
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -f {most}; exec \"$0\" init")]);
        limited.arg(env!("CARGO_BIN_EXE_registry-gateway")).current_dir(folder.path());
        let output = limited.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{most}: {output:?}");
        let is_there = |name: &str| folder.path().join(name).exists();
        let whole = ["registry-gateway.toml", "credentials.key", "registry/registry.db"].map(is_there);
        if !output.status.success() {
            failed += 1;
            assert!(said.starts_with("error: "), "{most}: {said}");
            assert!(!whole[2], "{most}: half a store");
        }
        let rest = succeeds(gateway(folder.path(), &["init"]), "");
        for (line, was_there) in rest.lines().zip(whole) {
            assert_eq!(line.ends_with(": already there"), was_there, "{most}: {rest}");
        }
        assert_eq!(config(folder.path()), config(unlimited.path()), "{most}: half a configuration");
        succeeds(gateway(folder.path(), &["user", "add", "alice"]), "");
        let names = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 3, "{most}: nothing is left over");
    }
    assert!(failed > 4, "only {failed} were stopped");
}

#[test]
fn a_configuration_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["doctor", "record", "serve"] {
        let output = run(gateway(folder.path(), &[command, "--config", "typo.toml"]), "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: cannot read typo.toml\n  because: "), "{said}");
        assert!(said.ends_with("hint: `registry-gateway init` makes one\n"), "{said}");
    }
}

/// A slip is shown where it is, and so are the bounds that keep a spent token spent.
#[test]
fn a_configuration_with_a_slip() {
    let folder = initialised("credentials.key");
    let file = folder.path().join("registry-gateway.toml");
    let good = fs::read_to_string(&file).unwrap();
    for (slip, reason, hint) in [
        ("widnow = 900", "unknown field `widnow`", "explains every setting"),
        ("window = \"15 min\"", "expected u64", "explains every setting"),
        ("listen = \"[::1]:8000\"", "duplicate key", "explains every setting"),
        ("window = 90000", "error: `window` must be 1 to 86400 seconds", "see the comments"),
        ("index-url = \"sparse+crates.example.org/\"", "cannot be the index URL", "see the comments"),
    ] {
        fs::write(&file, format!("{slip}\n{good}")).unwrap();
        let output = run(gateway(folder.path(), &["serve", "--listen", "127.0.0.1:0"]), "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason) && said.lines().last().unwrap().contains(hint), "{said}");
        assert!(!said.contains("\n\n"), "{said}");
    }
}

#[test]
fn what_is_still_to_be_done_is_said_beside_the_data() {
    let folder = initialised("credentials.key");
    let said = |arguments: &[&str]| {
        let output = run(gateway(folder.path(), arguments), "token\n");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    said(&["user", "add", "alice"]);
    let (out, note) = said(&["credential", "set", "--as-is", "alice"]);
    assert!(out == "alice\n" && note.contains("registry-gateway doctor"), "{out}{note}");
    let (out, note) = said(&["user", "remove", "alice"]);
    assert!(
        out.contains("0 keys revoked") && note.contains("registry-gateway credential remove alice"),
        "{note}"
    );
    said(&["credential", "remove", "alice"]);
    said(&["user", "add", "--again", "alice"]);
    assert_eq!(said(&["user", "remove", "alice"]).1, "");
}

/// A server makes the store it is given, so that a first try needs nothing; a slip in a name has to be noticed.
#[test]
fn a_new_store_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let serve = || {
        let mut serve = gateway(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--store", "here"]);
        let mut child = serve.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while lines.next().unwrap().unwrap() != "ready" {}
        signal(child.id(), Signal::TERM);
        String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap()
    };
    let said = serve();
    assert!(said.contains("there is no store in here yet; making one"), "{said}");
    // For a journal or a file, there are no colours.
    assert!(!said.contains('\x1b'), "{said}");
    assert_eq!(serve(), "");
}

/// What systemd's LoadCredential= gives: since systemd 254 with an ACL, which `stat` shows as a right of the group.
#[test]
fn a_key_that_systemd_hands_over() {
    let folder = initialised("credential:credentials.key");
    let credentials = tempfile::tempdir().unwrap();
    let key = credentials.path().join("credentials.key");
    let set = |directory: Option<&Path>| {
        let mut command = gateway(folder.path(), &["credential", "set", "--as-is", "alice"]);
        match directory {
            Some(directory) => command.env("CREDENTIALS_DIRECTORY", directory),
            None => command.env_remove("CREDENTIALS_DIRECTORY"),
        };
        run(command, "token\n")
    };
    succeeds(gateway(folder.path(), &["user", "add", "alice"]), "");
    fs::copy(folder.path().join("credentials.key"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).unwrap();
    assert!(set(Some(credentials.path())).status.success());
    assert!(set(None).status.success(), "an administrator's command takes the file beside the configuration");
    fs::set_permissions(folder.path().join("credentials.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let refused = String::from_utf8(set(None).stderr).unwrap();
    assert!(
        refused.contains("is open to other users") && refused.contains("hint: run `chmod 600 "),
        "{refused}"
    );
    fs::remove_file(&key).unwrap();
    let refused = String::from_utf8(set(Some(credentials.path())).stderr).unwrap();
    assert!(refused.contains("cannot read the key file"), "{refused}");
}
