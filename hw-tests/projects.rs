//! What a project brings along in its `.cargo/config.toml`: it gets no token, and it does not decide what a name is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::bearer_registry::BearerRegistry;
use crate::loopback::{self, Reply};
use crate::sealed::{Sealed, TOKEN};
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, Reads, World};

impl World {
    /// A package with this configuration of its own.
    pub(crate) fn project(&self, config: &str) -> PathBuf {
        let project = self.package("alpha", "0.1.0", "");
        self.write("work/alpha/.cargo/config.toml", config);
        project
    }

    fn config(&self) -> String {
        fs::read_to_string(self.path("home/config.toml")).unwrap()
    }

    /// The registry's name goes from the person's configuration into the project's.
    fn known_to_the_project_only(&self) -> PathBuf {
        let config = self.config();
        self.write("home/config.toml", "");
        self.project(&config)
    }
}

/// A proxy that wants a token for everything; what it saw.
fn greedy_proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let (listener, base) = loopback::bind(false);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&seen);
    loopback::serve(listener, None, move |request| {
        shared.lock().unwrap().push(format!("{} {:?}", request.path, request.token));
        Reply::new("401 Unauthorized", "")
            .with("WWW-Authenticate", "Cargo login_url=\"https://r.example/\"".into())
    });
    (base, seen)
}

/// A mere fetch, by a proxy that the project brings along and that answers 401.
#[test]
fn a_read_that_is_refused_opens_no_token() {
    let sealed = Sealed::new(Reads::Open);
    let (proxy, seen) = greedy_proxy();
    let project = sealed.world.project(&format!("[http]\nproxy = \"{proxy}\"\n"));
    let dependency = format!("[dependencies]\nbeta = {{ version = \"1\", registry = \"{NAME}\" }}\n");
    sealed.world.package("alpha", "0.1.0", &dependency);
    let outcome = sealed.world.cargo(&project, ["fetch"]).fails();
    outcome.says(&["the token of `my-reg` was not opened", ".cargo/config.toml sets `http.proxy`"]);
    // Without the proxy's address in a file, by whoever is on the way.
    fs::remove_file(project.join(".cargo/config.toml")).unwrap();
    let outcome = sealed.world.cargo(&project, ["fetch"]).env("CARGO_HTTP_PROXY", &proxy).fails();
    outcome.says(&["opened for changes only", "yk-cargo seal my-reg --reads auth-required"]);
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty() && !seen.iter().any(|line| line.contains(TOKEN)), "{seen:?}");
    assert!(Seen::on(&sealed.world.card).nothing());
    assert_eq!(sealed.enrollments().sealed[0].reads, yk_cargo::enrollment::Reads::Open);
}

#[test]
fn a_project_that_has_the_token_take_another_way_gets_none() {
    let sealed = Sealed::new(Reads::Open);
    let world = &sealed.world;
    let (proxy, seen) = greedy_proxy();
    let project = world.project(&format!("[http]\nproxy = \"{proxy}\"\ncainfo = \"ca.pem\"\n"));
    for arguments in [&["publish", "--registry", NAME][..], &["yank", "alpha@0.1.0", "--registry", NAME]] {
        world.cargo(&project, arguments).fails();
    }
    let publish = json!({
        "v": 1, "registry": {"index-url": sealed.registry.index_url(), "name": NAME},
        "kind": "get", "operation": "publish", "name": "alpha", "vers": "0.1.0", "cksum": "0".repeat(64),
    });
    let answer = world.provider(&publish.to_string()).directory(&project).succeeds().answer();
    let message = answer["Err"]["message"].as_str().unwrap();
    for text in [
        "was not opened",
        "alpha/.cargo/config.toml sets `http.cainfo` and `http.proxy`",
        "hint: run cargo from another folder",
    ] {
        assert!(message.contains(text), "no {text:?} in {message}");
    }
    assert!(Seen::on(&world.card).nothing(), "neither PIN nor touch");
    assert!(!seen.lock().unwrap().iter().any(|line| line.contains(TOKEN)));
    let doctor = world.yk_cargo(["doctor"]).directory(&project).fails();
    assert!(doctor.stdout.contains("failed   transport: "), "{doctor:#?}");
    let status = world.yk_cargo(["status"]).directory(&project).succeeds();
    assert!(status.stdout.contains("cannot publish: "), "{status:#?}");
    // What the hint says.
    let manifest = project.join("Cargo.toml");
    let elsewhere = ["publish", "--registry", NAME, "--manifest-path", manifest.to_str().unwrap()];
    world.cargo(&world.path("work"), elsewhere).succeeds();
    assert_eq!(sealed.registry.done(), ["publish alpha 0.1.0"]);
}

/// Cargo takes `--config` from an alias too, and puts a project's words behind those of the person's own.
#[test]
fn an_alias_of_a_project_opens_no_token() {
    let sealed = Sealed::new(Reads::AuthRequired);
    let world = &sealed.world;
    let (proxy, seen) = greedy_proxy();
    let inline = format!(r#""--config", "http.proxy='{proxy}'""#);
    let own = fs::read_to_string(world.path("home/config.toml")).unwrap();
    world.write("home/config.toml", &format!("{own}\n[alias]\nmine = [\"fetch\"]\n"));
    let project = world.project("");
    let dependency = format!("[dependencies]\nbeta = {{ version = \"1\", registry = \"{NAME}\" }}\n");
    world.package("alpha", "0.1.0", &dependency);
    let elsewhere = format!("[http]\nproxy = \"{proxy}\"\n");
    world.write("work/alpha/other.toml", &elsewhere);
    world.write("work/alpha/sub/.cargo/config.toml", &elsewhere);
    let sub = format!("[package]\nname = \"sub\"\nversion = \"0.1.0\"\n[workspace]\n{dependency}");
    world.write("work/alpha/sub/Cargo.toml", &sub);
    world.write("work/alpha/sub/src/main.rs", "fn main() {}");
    let refused = |command: &str, aliases: &str, sets: &str| {
        world.write("work/alpha/.cargo/config.toml", &format!("[alias]\n{aliases}\n"));
        let outcome = world.cargo(&project, [command]).fails();
        let sets = format!("alpha/.cargo/config.toml sets `alias.{sets}`");
        outcome.says(&["the token of `my-reg` was not opened", &sets, "take the alias out of that file"]);
    };
    refused("mine", &format!("mine = [{inline}]"), "mine: --config");
    refused("theirs", &format!("theirs = [{inline}, \"fetch\"]"), "theirs: --config");
    // Cargo goes on with the alias that another one begins with, and takes the value from the one before.
    let value = format!("\"http.proxy='{proxy}'\"");
    refused("a", &format!("a = [\"b\", {value}]\nb = [\"fetch\", \"--config\"]"), "b: --config");
    refused("a", "a = \"b\"\nb = \"c other.toml\"\nc = \"fetch --config\"", "c: --config");
    refused("a", "a = \"b sub\"\nb = \"install --path\"", "b: --path");
    world.write("home/config.toml", &format!("{own}\n[alias]\nhalf = [\"fetch\", \"--config\"]\n"));
    refused("a", &format!("a = [\"half\", {value}]"), "a: --config");
    refused("half", &format!("half = [{value}]"), "half: --config");
    world.write("home/config.toml", &format!("{own}\n[alias]\nmine = [\"fetch\"]\n"));
    refused("other", "other = \"fetch --config=other.toml\"", "other: --config");
    refused("other", "other = \"install --path sub\"", "other: --path");
    assert!(!seen.lock().unwrap().iter().any(|line| line.contains(TOKEN)), "{seen:?}");
    assert!(Seen::on(&world.card).nothing());
    let status = world.yk_cargo(["status"]).directory(&project).succeeds();
    assert!(status.stdout.contains("sets `alias.other: --path`"), "{status:#?}");
    // What stays within the project's files, and what is for the program that cargo runs.
    let harmless = "[alias]\nmine = [\"-v\"]\ni = \"install --path .\"\nx = \"run -- --config other.toml\"\n";
    world.write("work/alpha/.cargo/config.toml", harmless);
    let status = world.yk_cargo(["status"]).directory(&project).succeeds();
    assert!(!status.stdout.contains("not opened"), "{status:#?}");
}

/// Cargo would wait for ever at the one, and take all memory for the other.
#[cfg(unix)]
#[test]
fn a_configuration_without_end_is_refused() {
    let world = World::enrolled();
    let project = world.project("");
    for (make, why) in [
        ("mkfifo config.toml", "it is a pipe and not a file"),
        ("truncate -s 65M config.toml", "it has more than 64 MB"),
    ] {
        world.shell(&format!("cd alpha/.cargo && rm config.toml && {make}"));
        let status = world.yk_cargo(["status"]).directory(&project).succeeds().stdout;
        let line = format!("cannot publish: cannot read {}/.cargo/config.toml: {why}", project.display());
        assert!(status.contains(&line), "no {line:?} in {status}");
    }
    world.shell("cd alpha/.cargo && rm config.toml && ln -s /dev/null config.toml");
    let status = world.yk_cargo(["status"]).directory(&project).succeeds().stdout;
    assert!(status.contains('\u{2713}'), "{status}");
}

/// Cargo asks us for the other URL, under the name that we know.
#[test]
fn a_project_that_gives_the_name_another_url_is_named() {
    let sealed = Sealed::new(Reads::Open);
    let evil = BearerRegistry::start(Reads::Open, TOKEN);
    let project = sealed.world.project(&format!("[registries.{NAME}]\nindex = \"{}\"\n", evil.index_url()));
    let outcome = sealed.world.cargo(&project, ["yank", "alpha@0.1.0", "--registry", NAME]).fails();
    outcome.says(&[
        "registry `my-reg` is enrolled as",
        &evil.index_url(),
        "Nothing was signed or opened. /",
        "alpha/.cargo/config.toml",
    ]);
    assert_eq!(evil.done(), Vec::<String>::new());
    assert!(Seen::on(&sealed.world.card).nothing());
}

/// What is signed is of use to whoever sees it for a few minutes, and for what it names.
#[test]
fn a_signed_token_takes_another_way_with_a_warning() {
    let world = World::enrolled();
    let project = world.project("[http]\ncheck-revoke = false\n");
    let outcome = world.publish(&project).succeeds();
    outcome.says(&[
        "alpha/.cargo/config.toml sets `http.check-revoke`: whoever wrote that may be able to see this token for `my-reg`",
    ]);
    let doctor = world.yk_cargo(["doctor"]).directory(&project).ends().stdout;
    assert!(doctor.contains("warning  transport: "), "{doctor}");
}

#[test]
fn a_registry_that_only_the_project_knows_is_not_taken_over_unasked() {
    let world = World::new();
    let project = world.known_to_the_project_only();
    let index = world.gateway.index_url().to_owned();
    let run = |arguments: &[&str]| world.yk_cargo(arguments).directory(&project);
    let unknown = [
        "your own configuration does not have `my-reg`",
        &index,
        "hint: if you trust it, add `[registries.my-reg]`",
    ];
    run(&["enroll", NAME, "--yes", "--configure"]).fails().says(&unknown);
    assert!(Seen::on(&world.card).nothing());
    // Whoever gives the URL has decided on the URL, not on the name.
    let outcome = run(&["enroll", &index, "--yes", "--configure"]).fails();
    outcome.says(&unknown);
    assert!(outcome.stdout.contains("registry-gateway key add"), "{outcome:#?}");
    assert_eq!(world.config(), "");
    world.add_keys("alice");
    let doctor = run(&["doctor"]).ends().stdout;
    assert!(
        doctor.contains("failed   credential provider: cargo does not use yk-cargo for `my-reg`"),
        "{doctor}"
    );
    // Its name is good for what is enrolled all the same.
    for arguments in
        [&["token", NAME, "--read"][..], &["attest", NAME], &["enroll", NAME, "--refresh", "--yes"]]
    {
        run(arguments).succeeds();
    }
    world.publish(&project).fails();
    world.write("home/config.toml", &format!("[registries.{NAME}]\ncredential-provider = \"yk-cargo\"\n"));
    world.publish(&project).succeeds();
    let doctor = run(&["doctor"]).ends().stdout;
    assert!(doctor.contains("ok       credential provider: cargo uses yk-cargo for `my-reg`"), "{doctor}");
}

#[test]
fn a_registry_that_only_the_project_knows_is_taken_over_with_a_yes() {
    let world = World::new();
    let project = world.known_to_the_project_only();
    let mut session =
        world.at_a_terminal(&format!("cd {}; yk-cargo enroll my-reg && echo DONE", project.display()));
    expect(
        &mut session,
        &[world.gateway.index_url(), "Copy `[registries.my-reg]` into your own configuration?", "[y/N] "],
    );
    session.send_line("y").unwrap();
    expect(&mut session, &["wrote its index to", "Make these keys", "[y/N] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["Write this into $CARGO_HOME/config.toml?", "[Y/n] "]);
    session.send_line("y").unwrap();
    expect(&mut session, &["DONE"]);
    world.add_keys("alice");
    world.publish(&project).succeeds();
    assert!(world.config().contains(world.gateway.index_url()));
}

/// A distribution's wrapper runs `.yk-cargo-wrapped`: what stays is the wrapper's name.
#[test]
fn the_wrapper_is_configured_and_not_what_it_wraps() {
    let world = World::new();
    let inner = world.path("store/.yk-cargo-wrapped");
    fs::create_dir_all(inner.parent().unwrap()).unwrap();
    // Not by this process: while it writes a program, a child that it has just forked could keep that from being started.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_yk-cargo")).arg(&inner).status().unwrap();
    assert!(copied.success());
    let wrapper = world.script("store/yk-cargo", &format!("#!/bin/sh\nexec {} \"$@\"\n", inner.display()));
    let path = format!("{}:/usr/bin:/bin", wrapper.parent().unwrap().display());
    let run = |arguments: &[&str]| world.run(wrapper.to_str().unwrap(), arguments);
    let enroll = ["enroll", NAME, "--yes", "--configure"];
    run(&enroll).env("PATH", &path).succeeds();
    assert!(world.config().contains("credential-provider = \"yk-cargo\""), "{}", world.config());
    let doctor = run(&["doctor"]).env("PATH", &path).ends().stdout;
    assert!(doctor.contains("ok       credential provider: cargo uses yk-cargo for `my-reg`"), "{doctor}");
    // Where it is on nobody's PATH, it is beside.
    world.write(
        "home/config.toml",
        &format!("[registries.{NAME}]\nindex = \"{}\"\n", world.gateway.index_url()),
    );
    run(&[&enroll[..], &["--existing"]].concat()).env("PATH", "/usr/bin:/bin").succeeds();
    assert!(world.config().contains(&format!("credential-provider = [{wrapper:?}]")), "{}", world.config());
}

/// Cargo gives a registry whose index is in a variable a name of its own, and reads that one's section.
#[test]
fn a_name_that_a_variable_changes() {
    for (name, variable, found) in [
        ("Acme", "CARGO_REGISTRIES_ACME_INDEX", "acme"),
        ("my-corp", "CARGO_REGISTRIES_MY_CORP_INDEX", "my_corp"),
    ] {
        let world = World::new();
        world.write("home/config.toml", "");
        let index = world.gateway.index_url();
        let enroll = world.yk_cargo(["enroll", name, "--yes", "--configure"]).env(variable, index);
        enroll.succeeds().says(&[&format!(
            "while {variable} is set, cargo takes `{name}` for another registry, `{found}`"
        )]);
        assert!(
            world.config().contains(&format!("[registries.{found}]\ncredential-provider")),
            "{}",
            world.config()
        );
        world.add_keys("alice");
        let package = world.package("alpha", "0.1.0", "");
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap().replace(NAME, name);
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        world.cargo(&package, ["publish", "--registry", name]).env(variable, index).succeeds();
        let doctor = world.yk_cargo(["doctor"]).env(variable, index).ends().stdout;
        assert!(
            doctor.contains(&format!("warning  credential provider: while {variable} is set")),
            "{doctor}"
        );
    }
}

/// Each file includes the next one twice, by two paths. Nobody waits for the last of them.
#[test]
fn files_that_include_each_other_without_end() {
    let world = World::new();
    world.write("home/x/y", "");
    world.write("home/config.toml", "include = ['x/../config.toml', './x/../config.toml']\n");
    for arguments in
        [&["migrate", "--dry-run"][..], &["enroll", NAME, "--yes"], &["doctor"], &["token", NAME, "--read"]]
    {
        let outcome = world.yk_cargo(arguments).fails();
        let shown = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(shown.contains("it includes too many files"), "{arguments:?}: {shown}");
    }
    assert_eq!(Seen::on(&world.card).pins(), 0);
}
