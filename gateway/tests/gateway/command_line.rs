//! The program as people start it.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::credential_provider::Provider;
use registry_gateway::keys::{NewKey, Role, User};
use registry_gateway::vault::Vault;
use rustix::process::Signal;

use crate::common::bearer_registry::{BearerRegistry, Say};
use crate::common::served::{Served, program, run, succeeds};
use crate::common::{Fixture, SoftwareKey, Upload, store};

/// Fails with 1; returns standard error.
#[track_caller]
fn fails(store: &Path, arguments: &[&str]) -> String {
    let output = run(store, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn serve_until_a_signal_and_administer_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("registry");
    let key = SoftwareKey::new(5);
    let (public, id) = (key.public.to_string(), key.public.id().to_string());
    let served = Served::new(&store, &[]);
    let token = key.token(&served.index_url, &Claims::read(Timestamp::now()));
    served.get("/index/config.json", &token).assert_refused(401, "is not registered here");
    let added = succeeds(
        &store,
        &["key", "add", "--user", "alice", "--role", "read", "--label", "laptop key", &public],
    );
    assert_eq!(added, format!("{id}\n"));
    served.get("/index/config.json", &token).assert_ok();
    let list = succeeds(&store, &["key", "list"]);
    assert!(list.starts_with(&format!("{id}\talice\tread\tsince 20")), "{list}");
    assert!(list.ends_with("\tlaptop key\n"), "{list}");
    assert_eq!(succeeds(&store, &["key", "revoke", &id[7..17]]), format!("{id}\n"));
    served.get("/index/config.json", &token).assert_refused(401, "was revoked at ");
    assert!(succeeds(&store, &["key", "list"]).contains("\trevoked 20"));
    served.stop(Signal::TERM);
    Served::new(&store, &["--open"]).stop(Signal::INT);
}

#[test]
fn no_token_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let store = folder.path().join("registry");
    let key = SoftwareKey::new(5);
    store::open(&store);
    succeeds(&store, &["key", "add", "--user", "alice", "--role", "read", &key.public.to_string()]);
    let mut command = program(&store);
    command.env("REGISTRY_GATEWAY_LOG", "trace").stderr(std::fs::File::create(&log).unwrap());
    let arguments = ["--listen", "127.0.0.1:0", "--challenges", "required", "--log-format", "json"];
    let served = Served::of(command, &arguments);
    let token = key.token(&served.index_url, &Claims::read(Timestamp::now()));
    served.get("/index/config.json", &token).assert_ok();
    served.get("/index/config.json", &token).assert_ok();
    served.get("/index/no/ne/none", &token).assert_refused(404, "nothing here");
    let refused = served.get("/index/config.json", &format!("{token}.x"));
    refused.assert_refused(401, "something follows");
    let login = refused.field("www-authenticate").unwrap();
    let challenge = login.split_once("challenge=\"").unwrap().1.split_once('"').unwrap().0;
    served.stop(Signal::TERM);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("something follows the token's footer"), "{log}");
    for secret in ["v3.public", &token[10..40], challenge] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<serde_json::Value> = lines.collect();
    let ours = |line: &&serde_json::Value| line["target"].as_str().unwrap().starts_with("registry_gateway");
    assert_eq!(lines.iter().find(|line| !ours(line)), None, "what others log may have anything in it");
    let refused = lines.into_iter().find(|line| line["fields"]["status"] == 401).unwrap();
    assert_eq!(refused["span"]["path"], "/index/config.json", "{refused}");
    assert_eq!(refused["span"]["client"], "127.0.0.1", "{refused}");
}

const SECRET: &str = "0123456789abcdefSECRET";

/// What the gateway shows to the registry behind is nobody else's affair, also when that one quotes it.
#[test]
fn no_credential_in_the_log_nor_in_an_answer() {
    for credential in [format!("Bearer {SECRET}"), format!("Custom key=\"{SECRET}\", n=1")] {
        let log = log_of_a_quoted_credential(|vault, alice, _| vault.seal(alice, &credential).unwrap());
        assert!(log.contains("the registry behind refuses our credential"), "{log}");
    }
}

/// A provider says it aloud.
#[test]
#[cfg(target_os = "linux")]
fn no_credential_of_a_provider_in_the_log_nor_in_an_answer() {
    let log = log_of_a_quoted_credential(|vault, alice, folder| {
        let program = folder.join("provider");
        let answer = format!(
            r#"{{"Ok":{{"kind":"get","token":"Bearer {SECRET} ","cache":"never","operation_independent":true}}}}"#
        );
        let script = format!(
            "#!/bin/sh\necho '{{\"v\":[1]}}'; read x\nprintf 'I give \\033[2J{SECRET} now\\n' >&2; echo '{answer}'\n"
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let provider = Provider::new([program.to_str().unwrap().to_owned()]).unwrap();
        vault.seal_provider(alice, &provider).unwrap()
    });
    assert!(log.contains("I give \\u{1b}[2J… now"), "{log}");
}

fn log_of_a_quoted_credential(sealed: impl FnOnce(&Vault, &User, &Path) -> Vec<u8>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (log, config) = (folder.path().join("log"), folder.path().join("registry-gateway.toml"));
    let (store, registry) = (folder.path().join("registry"), BearerRegistry::start());
    succeeds(&store, &["init", folder.path().to_str().unwrap()]);
    let upstream =
        format!("[upstream]\nindex = \"{}/index/\"\nkey-file = \"credentials.key\"\n", registry.url());
    std::fs::write(&config, upstream).unwrap();
    let key = SoftwareKey::new(5);
    succeeds(&store, &["key", "add", "--user", "alice", "--role", "both", &key.public.to_string()]);
    let vault = Vault::open(&folder.path().join("credentials.key")).unwrap();
    let alice = "alice".parse().unwrap();
    let sealed = sealed(&vault, &alice, folder.path());
    store::open(&store).set_credential(&alice, &sealed, Timestamp::now()).unwrap();

    let mut command = program(&store);
    command.env("REGISTRY_GATEWAY_CONFIG", &config).env("REGISTRY_GATEWAY_LOG", "trace");
    command.stderr(std::fs::File::create(&log).unwrap());
    let served = Served::of(command, &["--listen", "127.0.0.1:0"]);
    let quoted = format!("the token {SECRET} is not good");
    let elsewhere = vec![("Location", "/file".to_owned())];
    registry.on("GET /index/he/ll/hello", Say::ok("{}"));
    registry.on("GET /dl/hello/1.0.0/download", Say::Answer("302 Found", elsewhere, Vec::new()));
    registry.on("GET /file", Say::no("403 Forbidden", &quoted));
    registry.on("GET /index/ot/he/other", Say::no("401 Unauthorized", &quoted));
    registry.on("GET /index/th/ir/third", Say::no("500 Internal Server Error", &quoted));
    registry.on("PUT /api/v1/crates/new", Say::ok("{}"));
    let upload = Upload::new("hello", "1.0.0");
    let publish = key.token(&served.index_url, &Claims::mutate(Timestamp::now(), upload.mutation()));
    let mut answers = vec![served.send("PUT", "/api/v1/crates/new", &publish, &upload.body())];
    answers[0].assert_ok();
    let read = key.token(&served.index_url, &Claims::read(Timestamp::now()));
    let download = "/api/v1/crates/hello/1.0.0/download";
    for path in ["/index/he/ll/hello", download, "/index/ot/he/other", "/index/th/ir/third"] {
        answers.push(served.get(path, &read));
    }
    served.stop(Signal::TERM);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 403, 502, 502]);
    assert!(registry.received().iter().any(|request| request.header.contains(SECRET)), "it was shown there");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains(SECRET), "{log}");
    for answer in answers {
        assert!(!answer.header.contains(SECRET) && !answer.text().contains(SECRET), "{answer:?}");
    }
    log
}

/// Whatever is logged on the way, on whichever thread.
#[test]
fn the_log_says_for_which_request() {
    let folder = tempfile::tempdir().unwrap();
    let (log, store) = (folder.path().join("log"), folder.path().join("registry"));
    let key = SoftwareKey::new(5);
    store::open(&store);
    succeeds(&store, &["key", "add", "--user", "alice", "--role", "both", &key.public.to_string()]);
    let mut command = program(&store);
    command.env("REGISTRY_GATEWAY_LOG", "info").stderr(std::fs::File::create(&log).unwrap());
    let served = Served::of(command, &["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let mut upload = Upload::new("hello", "1.0.0");
    upload.json = br#"{"name":"hello","vers":"1.0.0","from_a_newer_cargo":true}"#.to_vec();
    let token = key.token(&served.index_url, &Claims::mutate(Timestamp::now(), upload.mutation()));
    let answer = served.send("PUT", "/api/v1/crates/new", &token, &upload.body());
    answer.assert_ok();
    let id = answer.field("x-request-id").unwrap().to_owned();
    served.send("PUT", "/api/v1/crates/new", &token, &upload.body()).assert_refused(401, "was used before");
    served.stop(Signal::TERM);
    let log = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |message: &str| lines.iter().find(|line| line["fields"]["message"] == message).unwrap();
    for message in ["unknown fields in the metadata were dropped", "settled"] {
        assert_eq!(said(message)["span"]["id"], *id, "{message}");
    }
    for message in ["settled", "refused"] {
        let span = &said(message)["span"];
        assert_eq!((&span["user"], &span["key"]), (&"alice".into(), &key.public.id().to_string().into()));
    }
}

#[test]
fn plain_http_stays_on_this_computer_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let text = fails(folder.path(), &["serve", "--listen", address]);
        assert!(text.starts_with("error: `listen` must be a loopback address"), "{text}");
        assert!(text.contains("\nhint: put a proxy that ends TLS in front"), "{text}");
    }
}

#[test]
fn one_server_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path(), &[]);
    let text = fails(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert!(text.starts_with("error: another registry-gateway serves "), "{text}");
    assert!(text.contains("\nhint: stop the other one"), "{text}");
    served.stop(Signal::TERM);
}

#[test]
fn a_port_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let text = fails(folder.path(), &["serve", "--listen", &address]);
    assert!(text.starts_with(&format!("error: cannot listen on {address}\n  because: ")), "{text}");
    assert!(text.contains("hint: another program has this port"), "{text}");
    let config = folder.path().join("registry-gateway.toml");
    std::fs::write(&config, "plain-http = true\n").unwrap();
    let elsewhere =
        fails(folder.path(), &["serve", "--config", config.to_str().unwrap(), "--listen", "192.0.2.1:8000"]);
    assert!(elsewhere.contains("must be addresses of this computer"), "{elsewhere}");
}

#[test]
fn a_key_belongs_to_one_user() {
    let folder = tempfile::tempdir().unwrap();
    store::open(folder.path());
    let public = SoftwareKey::new(5).public.to_string();
    succeeds(folder.path(), &["key", "add", "--user", "alice", "--role", "both", &public]);
    let again = fails(folder.path(), &["key", "add", "--user", "bob", "--role", "read", &public]);
    assert!(again.contains("is already registered, for alice\nhint: a key belongs to one user"), "{again}");
    // The same user may have it corrected.
    succeeds(folder.path(), &["key", "add", "--user", "alice", "--role", "read", "--label", "desk", &public]);
    let list = succeeds(folder.path(), &["key", "list"]);
    assert!(
        list.lines().count() == 1 && list.contains("alice\tread\t") && list.ends_with("desk\n"),
        "{list}"
    );
    let id = SoftwareKey::new(5).public.id().to_string();
    for short in ["", "k3.pid.", &id[7..14]] {
        assert!(fails(folder.path(), &["key", "revoke", short]).contains("is too short to name a key"));
    }
    succeeds(folder.path(), &["key", "revoke", &id[7..15]]);
    let again = fails(folder.path(), &["key", "add", "--user", "bob", "--role", "read", &public]);
    assert!(again.contains("is already registered, for alice, and revoked"), "{again}");
    assert!(fails(folder.path(), &["key", "revoke", &id]).contains("is already revoked"));
}

/// Such as one that is in the store from before, when it was taken.
#[test]
fn a_label_that_would_reorder_a_list_is_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let store = store::open(folder.path());
    let public = SoftwareKey::new(5).public;
    let (user, label) = ("alice".parse().unwrap(), Some("lap\u{202e}pot\u{200b}".to_owned()));
    let new = NewKey { public, user, role: Role::Read, label, subject: None, expires: None };
    store.add_key(new, Timestamp::now()).unwrap();
    let list = succeeds(folder.path(), &["key", "list"]);
    assert!(list.ends_with("\tlap\\u{202e}pot\\u{200b}\n"), "{list}");
}

#[test]
fn which_key_to_revoke() {
    let folder = tempfile::tempdir().unwrap();
    store::open(folder.path());
    let public = SoftwareKey::new(5).public.to_string();
    succeeds(folder.path(), &["key", "add", "--user", "alice", "--role", "both", &public]);
    assert!(
        fails(folder.path(), &["key", "revoke", "abcdefgh"])
            .contains("error: no key id begins with `abcdefgh`\nhint: see")
    );
}

/// A slip in the folder's name makes no empty store.
#[test]
fn a_store_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let typo = folder.path().join("regsitry");
    for arguments in [
        &["key", "list"][..],
        &["key", "revoke", "abcdefgh"],
        &["invite", "alice"],
        &["audit", "verify"],
        &["doctor"],
        &["record"],
    ] {
        let text = fails(&typo, arguments);
        assert!(text.contains("there is no store in ") && text.contains("hint: give its folder"), "{text}");
    }
    assert!(!typo.exists());
}

#[test]
fn wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let public = SoftwareKey::new(5).public.to_string();
    for (arguments, text) in [
        (vec!["serve", "--window", "0"], "invalid value '0'"),
        (
            vec!["key", "add", "--user", "alice", "--role", "all", &public],
            "a role is `read`, `publish`, `both` or `stage`",
        ),
        (vec!["key", "add", "--user", "a b", "--role", "read", &public], "a user name is"),
        (
            vec!["key", "add", "--user", "alice", "--role", "read", "k3.secret.x"],
            "a public key is `k3.public.`",
        ),
        (
            vec!["key", "add", "--user", "alice", "--role", "read", "--subject", "a b", &public],
            "without spaces",
        ),
    ] {
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(text), "{error}");
    }
    for unseen in ["a\u{202e}b", "a\u{200b}", "a\nb", " ", ""] {
        let output = run(
            folder.path(),
            &["key", "add", "--user", "alice", "--role", "read", "--label", unseen, &public],
        );
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            output.status.code() == Some(2) && error.contains("a label is 1 to 64 characters"),
            "{error}"
        );
    }
    assert!(!folder.path().join("registry.db").exists());
}

#[test]
fn a_url_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    for url in [
        "crates.example",
        "https://",
        "https://c.example/?x",
        "ftp://c.example",
        "https:///x",
        "https://c.example/x",
        "http://:9",
    ] {
        let text = fails(folder.path(), &["serve", "--listen", "127.0.0.1:0", "--url", url]);
        assert!(text.contains(&format!("`{url}` cannot be the registry's URL")), "{text}");
    }
}

#[test]
fn the_store_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("registry");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    Served::new(&store, &[]).stop(Signal::TERM);
    assert_eq!(mode(&store), 0o700);
    assert_eq!(mode(&store.join("crates")), 0o700);
    assert_eq!(mode(&store.join("registry.db")), 0o600);
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o750)).unwrap();
    let text = fails(&store, &["key", "list"]);
    assert!(text.contains("is open to other users of this computer\nhint: run `chmod 700 "), "{text}");
}

#[test]
fn the_record_of_a_publish_verifies_again() {
    let fixture = Fixture::new();
    let upload = Upload::new("hello", "1.0.0");
    fixture.publish(&upload).assert_ok();
    fixture.publish(&Upload::new("hello", "1.0.1")).assert_ok();
    let store = fixture.folder.path();
    let shown = succeeds(store, &["record", "hello@1.0.0"]);
    for text in [
        "hello 1.0.0\n".to_owned(),
        format!("  checksum   {}\n", upload.checksum()),
        " by alice\n".to_owned(),
        format!("  key        {}\n", fixture.publish.public.id()),
        format!("  public     {}\n", fixture.publish.public),
        format!(" for {}\n", fixture.url()),
        "  verified   the key signed this checksum; the stored file has it, and the index says what the file says\n".to_owned(),
    ] {
        assert!(shown.contains(&text), "{shown} does not have {text}");
    }
    assert_eq!(succeeds(store, &["record"]).matches("  verified ").count(), 2);
    assert!(fails(store, &["record", "hello@2.0.0"]).contains("hello@2.0.0 was not published here"));

    store::spoil_crate_file(store, "hello", "1.0.0", Some("another"));
    let output = run(store, &["record", "hello@1.0.0"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("  NOT VERIFIED  the crate file has the checksum"), "{text}");
}

#[test]
fn a_start_misses_a_crate_file() {
    let mut fixture = Fixture::new();
    fixture.publish(&Upload::new("hello", "1.0.0")).assert_ok();
    fixture.running.take().unwrap().stop();
    let store = fixture.folder.path();
    store::spoil_crate_file(store, "hello", "1.0.0", None);
    let text = fails(store, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(text.contains("hello-1.0.0.crate is missing\nhint: restore the store from a backup"), "{text}");
}

/// What a real bash offers for a command line of these words, each after a blank; `=` and `:` break them for bash.
fn offered(words: &[&str]) -> String {
    let script = "source <(registry-gateway completions bash); COMP_LINE=$1; COMP_WORDS=(\"${@:2}\"); COMP_CWORD=$(($# - 2)); COMP_TYPE=9
        function=$(complete -p registry-gateway); function=${function##*-F }; last=${COMP_WORDS[COMP_CWORD]}
        ${function% *} registry-gateway \"${last#[=:]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let folder = Path::new(env!("CARGO_BIN_EXE_registry-gateway")).parent().unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let line = format!("registry-gateway {}", words.join(" "));
    let broken = line.replace('=', "\n=\n").replace(':', "\n:\n").replace(' ', "\n");
    let pieces: Vec<_> =
        broken.split('\n').filter(|piece| !piece.is_empty() || line.ends_with(' ')).collect();
    let mut bash = Command::new("bash");
    let output = bash.args(["-c", script, "bash", &line]).args(pieces).env("PATH", path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bash_completes_options_and_what_they_take() {
    assert_eq!(offered(&["serve", "--chall"]), "--challenges\n");
    assert_eq!(offered(&["serve", "--challenges", ""]), "off\noptional\nrequired\n");
    assert_eq!(offered(&["key", "add", "--role", ""]), "read\npublish\nboth\nstage\n");
    assert_eq!(offered(&["--log-format", "j"]), "json\n");
    assert_eq!(offered(&["user", "li"]), "list\n");
    assert_eq!(offered(&["--log-format=j"]), "json\n");
    assert_eq!(offered(&["serve", "--challenges="]), "off\noptional\nrequired\n");
    assert_eq!(offered(&["--log-format=json", "user", "li"]), "list\n");
}

#[test]
fn the_man_page_has_environment_files_and_examples() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = || Command::new(env!("CARGO_BIN_EXE_registry-gateway"));
    assert!(gateway().arg("man").arg(folder.path()).status().unwrap().success());
    assert!(folder.path().join("registry-gateway-store-copy.1").exists());
    let page = folder.path().join("registry-gateway.1");
    let mut man = Command::new("man");
    let shown =
        man.args(["--warnings", "-E", "utf8", "-l"]).arg(page).env("MANWIDTH", "400").output().unwrap();
    assert!(shown.status.success() && shown.stderr.is_empty(), "{shown:?}");
    let text = String::from_utf8(shown.stdout).unwrap();
    for title in ["ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES"] {
        assert!(text.lines().any(|line| line == title), "no {title} in {text}");
    }
    let examples = text.split("\nEXAMPLES\n").nth(1).unwrap().lines();
    let examples = examples.take_while(|line| line.is_empty() || line.starts_with(' ')).map(str::trim);
    let examples: Vec<_> = examples.filter(|line| line.starts_with("registry-gateway ")).collect();
    assert!(examples.len() > 4, "{text}");
    for example in examples {
        // With --help an option that does not exist is refused, and nothing is done.
        let words = example.split(' ').skip(1);
        assert!(gateway().args(words).arg("--help").output().unwrap().status.success(), "{example}");
    }
}
