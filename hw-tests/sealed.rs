//! Bearer tokens, sealed: what cargo does with them at a registry that takes nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mock_card::Builder;
use serde_json::{Value, json};
use yk_cargo::enrollment::Enrollments;

use crate::bearer_registry::BearerRegistry;
use crate::terminal::expect;
use crate::trace::Seen;
use crate::world::{NAME, Outcome, PIN, Reads, Run, World};

pub(crate) const TOKEN: &str = "cioZ7gQ2sPretendToBeSecret0123456789";

/// A person with a card, a registry that takes bearer tokens, and the token sealed.
pub(crate) struct Sealed {
    pub(crate) world: World,
    pub(crate) registry: BearerRegistry,
}

impl Sealed {
    pub(crate) fn new(reads: Reads) -> Self {
        let sealed = Self::unsealed(reads, |card| card);
        sealed.seal(&[]).succeeds();
        sealed.world.card.power_off();
        sealed.world.card.clear_trace();
        sealed
    }

    /// Before anything was sealed.
    pub(crate) fn unsealed(reads: Reads, card: impl FnOnce(Builder) -> Builder) -> Self {
        let sealed =
            Self { world: World::with(Reads::Open, card), registry: BearerRegistry::start(reads, TOKEN) };
        let config = format!("[registries.{NAME}]\nindex = \"{}\"\n", sealed.registry.index_url());
        sealed.world.write("home/config.toml", &config);
        sealed
    }

    pub(crate) fn seal(&self, more: &[&str]) -> Run {
        let arguments = [&["seal", NAME, "--yes", "--configure", "--label", "laptop key"][..], more].concat();
        self.world.yk_cargo(arguments).input(&format!("{TOKEN}\n"))
    }

    pub(crate) fn file(&self) -> PathBuf {
        yk_cargo::sealed_files::path(&self.world.cargo_home(), &self.registry.index_url().parse().unwrap())
    }

    pub(crate) fn enrollments(&self) -> Enrollments {
        Enrollments::load(&self.world.cargo_home()).unwrap()
    }

    pub(crate) fn yank(&self) -> Run {
        self.world.cargo(&self.world.path("work"), ["yank", "alpha@0.1.0", "--registry", NAME])
    }

    /// Asks as cargo does.
    pub(crate) fn get(&self, what: Value) -> Outcome {
        let mut request = json!({
            "v": 1, "registry": {"index-url": self.registry.index_url(), "name": NAME}, "kind": "get",
        });
        request.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        self.world.provider(&request.to_string()).succeeds()
    }
}

#[test]
fn sealing_makes_one_key_and_one_file() {
    let sealed = Sealed::unsealed(Reads::Open, |card| card);
    let outcome = sealed.seal(&[]).succeeds();
    outcome.says(&[
        "made the key for sealed tokens in slot 95",
        "sealed the token of `my-reg`",
        "it is the same",
    ]);
    outcome.says(&["yk-cargo seal --add-card"]);
    let text = fs::read(sealed.file()).unwrap();
    assert!(text.starts_with(b"age-encryption.org/v1\n-> piv-p256 "));
    for (path, mode) in [(sealed.file(), 0o600), (sealed.world.path("home/yk-cargo/sealed"), 0o700)] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{}", path.display());
    }
    let seen = Seen::on(&sealed.world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1), "for the check");
    seen.assert_well_mannered();
    assert!(!outcome.stderr.contains(TOKEN) && !outcome.stdout.contains(TOKEN));
    for file in ["home/yk-cargo/enrollments.toml", "home/config.toml"] {
        assert!(!fs::read_to_string(sealed.world.path(file)).unwrap().contains(TOKEN));
    }
    sealed.seal(&[]).fails().says(&["a token for `my-reg` is already sealed", "--rotate"]);
    sealed.seal(&["--rotate"]).succeeds();
    assert_eq!(sealed.enrollments().sealing_keys.len(), 1, "the key serves every token");
}

/// One PIN and one touch, and the placeholder is not sent anywhere.
#[test]
fn a_publish_at_an_open_registry() {
    let sealed = Sealed::new(Reads::Open);
    let package = sealed.world.package("alpha", "0.1.0", "");
    let outcome = sealed.world.publish(&package).succeeds();
    outcome.says(&[
        "opening the token of `my-reg` for publish of `alpha 0.1.0` with YubiKey 12345678 (laptop key)",
    ]);
    assert_eq!(sealed.registry.done(), ["publish alpha 0.1.0"]);
    assert_eq!(sealed.registry.state().reads_with_token, 0, "reads need none, and get none");
    let seen = Seen::on(&sealed.world.card);
    assert_eq!((seen.pins(), seen.touches(), seen.transactions()), (1, 1, 2));
    seen.assert_well_mannered();
    assert!(!outcome.stderr.contains(TOKEN), "{outcome:#?}");
    sealed.yank().succeeds();
    sealed.world.cargo(&package, ["yank", "--undo", "alpha@0.1.0", "--registry", NAME]).succeeds();
    sealed.world.cargo(&package, ["owner", "--list", "alpha", "--registry", NAME]).succeeds();
    assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0", "unyank alpha 0.1.0", "owners alpha"]);
}

#[test]
fn a_publish_at_a_registry_whose_reads_need_the_token() {
    let sealed = Sealed::new(Reads::AuthRequired);
    for version in ["0.1.0", "0.2.0"] {
        sealed.world.card.power_off();
        sealed.world.card.clear_trace();
        let outcome = sealed.world.publish(&sealed.world.package("alpha", version, "")).succeeds();
        outcome.says(&["opening the token of `my-reg` for reading with YubiKey 12345678"]);
        assert_eq!(sealed.registry.done(), [format!("publish alpha {version}")]);
        let seen = Seen::on(&sealed.world.card);
        assert_eq!((seen.pins(), seen.touches()), (1, 1), "cold or warm");
    }
    assert!(sealed.registry.state().reads_with_token > 0);
}

/// Three crates that depend on each other, within the 15 seconds for which the card remembers a touch.
#[test]
fn a_workspace_costs_one_pin_and_one_touch() {
    for reads in [Reads::Open, Reads::AuthRequired] {
        let sealed = Sealed::new(reads);
        let world = &sealed.world;
        world.write("work/Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\", \"c\"]\nresolver = \"3\"\n");
        let on = |name: &str| {
            format!(
                "[dependencies]\n{name} = {{ version = \"1\", path = \"../{name}\", registry = \"{NAME}\" }}\n"
            )
        };
        for (name, dependencies) in [("a", String::new()), ("b", on("a")), ("c", on("b"))] {
            world.package(name, "1.0.0", &dependencies);
        }
        let publish = ["publish", "--workspace", "--registry", NAME, "--no-verify"];
        world.cargo(&world.path("work"), publish).succeeds();
        assert_eq!(sealed.registry.done(), ["publish a 1.0.0", "publish b 1.0.0", "publish c 1.0.0"]);
        let seen = Seen::on(&world.card);
        assert_eq!((seen.pins(), seen.touches()), (1, 1), "{reads:?}");
    }
}

#[test]
fn the_read_that_cargo_sends_first_touches_no_card() {
    let sealed = Sealed::new(Reads::Open);
    sealed.world.card.unplug();
    let answer = sealed.get(json!({"operation": "read"})).answer();
    assert_eq!(
        (&answer["Ok"]["cache"], &answer["Ok"]["operation_independent"]),
        (&json!("session"), &json!(false))
    );
    assert_ne!(answer["Ok"]["token"], TOKEN);
    assert_eq!(Seen::on(&sealed.world.card).transactions(), 0);
    sealed.world.card.plug();
    let answer = sealed.get(json!({"operation": "yank", "name": "alpha", "vers": "0.1.0"})).answer();
    assert_eq!(
        answer["Ok"],
        json!({"kind": "get", "token": TOKEN, "cache": "never", "operation_independent": false})
    );
}

#[test]
fn reads_that_need_the_token_get_it_for_the_whole_run() {
    let sealed = Sealed::new(Reads::AuthRequired);
    let answer = sealed.get(json!({"operation": "read"})).answer();
    assert_eq!(
        answer["Ok"],
        json!({"kind": "get", "token": TOKEN, "cache": "session", "operation_independent": true})
    );
}

/// The registry was open when the token was sealed, and refuses reads now. That it says so opens the token for nothing
/// more; the person can, and can take it back.
#[test]
fn a_registry_that_closes_its_index_gets_the_token_when_the_person_says_so() {
    let sealed = Sealed::new(Reads::Open);
    sealed.registry.state().reads = Reads::AuthRequired;
    let package = sealed.world.package("alpha", "0.1.0", "");
    let refused = || {
        sealed.world.make_cold();
        let outcome = sealed.world.publish(&package).fails();
        outcome.says(&["opened for changes only", "yk-cargo seal my-reg --reads auth-required"]);
    };
    refused();
    refused();
    assert!(Seen::on(&sealed.world.card).nothing());
    assert_eq!(sealed.registry.done(), Vec::<String>::new());
    let reads = |reads: &str| sealed.world.yk_cargo(["seal", NAME, "--reads", reads]).succeeds();
    reads("auth-required").says(&["the token of `my-reg` is opened for every read too"]);
    sealed.world.publish(&package).succeeds();
    assert_eq!(sealed.registry.done(), ["publish alpha 0.1.0"]);
    // A new token is opened for no more than the old one was.
    reads("open").says(&["is opened for changes only"]);
    sealed.seal(&["--rotate"]).succeeds();
    refused();
    sealed
        .world
        .yk_cargo(["seal", "crates-io", "--yes", "--reads", "auth-required"])
        .input(TOKEN)
        .fails()
        .says(&["crates.io needs no token for reads"]);
}

#[test]
fn cargo_login_seals_and_logout_removes() {
    for reads in [Reads::Open, Reads::AuthRequired] {
        let sealed = Sealed::unsealed(reads, |card| card);
        sealed.world.configure_provider();
        let work = sealed.world.path("work");
        let login = || sealed.world.cargo(&work, ["login", "--registry", NAME]).input(&format!("{TOKEN}\n"));
        login().succeeds().says(&["sealed the token of `my-reg` for one card", "it is the same"]);
        sealed.yank().succeeds();
        assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0"]);
        login().succeeds();
        let logout = sealed.world.cargo(&work, ["logout", "--registry", NAME]).succeeds();
        logout.says(&[
            "removed the sealed token of `my-reg`",
            "revoke it there",
            "stays in slot 95 of YubiKey 12345678",
        ]);
        assert!(!sealed.file().exists() && sealed.enrollments().sealed.is_empty());
        sealed.yank().fails().says(&["no token found for `my-reg`"]);
        let again = sealed.world.cargo(&work, ["logout", "--registry", NAME]).succeeds();
        again.says(&["not currently logged in"]);
        login().succeeds().says(&["sealed the token"]);
        assert_eq!(sealed.enrollments().sealing_keys.len(), 1, "the key is used again");
    }
}

/// crates.io has the URL of its git index, whatever cargo really reads, and a provider in a place of its own. Cargo lets
/// its own tests put another registry in its place.
#[test]
fn crates_io_by_its_own_rules() {
    let sealed = Sealed::unsealed(Reads::Open, |card| card);
    let arguments = ["seal", "crates-io", "--yes", "--configure"];
    sealed
        .world
        .yk_cargo(arguments)
        .input(&format!("{TOKEN}\n"))
        .succeeds()
        .says(&["sealed the token of `crates-io`"]);
    let config = fs::read_to_string(sealed.world.path("home/config.toml")).unwrap();
    assert!(config.contains("[registry]\ncredential-provider = "), "{config}");
    let entry = &sealed.enrollments().sealed[0];
    assert_eq!(entry.index, "https://github.com/rust-lang/crates.io-index");
    let package = sealed.world.package("alpha", "0.1.0", "");
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    fs::write(package.join("Cargo.toml"), manifest.replace("publish = [\"my-reg\"]\n", "")).unwrap();
    sealed.world.card.clear_trace();
    let in_its_place = |arguments: &[&str]| {
        let index = sealed.registry.index_url();
        sealed.world.cargo(&package, arguments).env("__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS", index)
    };
    let outcome = in_its_place(&["publish"]).succeeds();
    outcome.says(&["opening the token of `crates-io` for publish of `alpha 0.1.0`"]);
    assert_eq!(sealed.registry.done(), ["publish alpha 0.1.0"]);
    let seen = Seen::on(&sealed.world.card);
    assert_eq!((seen.all_signatures(), sealed.registry.state().reads_with_token), (1, 0));
    in_its_place(&["logout"]).succeeds().says(&["removed the sealed token of `crates-io`"]);
}

/// What was written for it goes again, the table as well; somebody's own comment stays.
#[test]
fn restoring_leaves_nothing_of_ours_in_cargos_configuration() {
    for (before, after) in [("", ""), ("# mine\n[registry]\n", "# mine\n[registry]\n")] {
        let sealed = Sealed::unsealed(Reads::Open, |card| card);
        let file = sealed.world.path("home/config.toml");
        let registries = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{registries}{before}")).unwrap();
        let seal = sealed.world.yk_cargo(["seal", "crates-io", "--yes", "--configure"]);
        seal.input(&format!("{TOKEN}\n")).succeeds();
        assert!(fs::read_to_string(&file).unwrap().contains("[registry]\ncredential-provider"));
        sealed.world.yk_cargo(["unseal", "crates-io", "--restore", "--yes"]).succeeds();
        assert_eq!(fs::read_to_string(&file).unwrap().trim_end(), format!("{registries}{after}").trim_end());
    }
}

/// The card that opens them is there, so it is another one that is missing.
#[test]
fn without_another_card_none_is_added() {
    let sealed = Sealed::new(Reads::Open);
    sealed.world.write("home/yk-cargo/config.toml", "[wait]\ninsertion = 0\n");
    let mut session = sealed.world.at_a_terminal("yk-cargo seal --add-card; echo STATUS $?");
    expect(&mut session, &["left): "]);
    session.send_line(PIN).unwrap();
    expect(&mut session, &["error: no other YubiKey is plugged in", "hint: plug in the YubiKey", "STATUS 1"]);
}

#[test]
fn unseal_prints_only_to_a_person() {
    let sealed = Sealed::new(Reads::Open);
    let outcome = sealed.world.yk_cargo(["unseal", NAME]).fails();
    outcome.says(&["there is no terminal to ask on"]);
    assert!(outcome.stdout.is_empty() && Seen::on(&sealed.world.card).nothing());
}

#[test]
fn restore_gives_the_token_back_to_cargo() {
    let sealed = Sealed::new(Reads::Open);
    let before = "# mine\n[registries.other]\ntoken = \"o\"\n";
    sealed.world.write("home/credentials.toml", before);
    let outcome = sealed.world.yk_cargo(["unseal", NAME, "--restore", "--yes"]).succeeds();
    outcome.says(&["credentials.toml", "cargo no longer uses yk-cargo for this registry"]);
    assert!(!outcome.stderr.contains(TOKEN));
    let file = sealed.world.path("home/credentials.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(before) && text.contains(&format!("token = \"{TOKEN}\"")), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!sealed.file().exists() && sealed.enrollments().sealed.is_empty());
    let config = fs::read_to_string(sealed.world.path("home/config.toml")).unwrap();
    assert!(!config.contains("credential-provider"), "{config}");
    sealed.yank().succeeds();
    assert_eq!(sealed.registry.done(), ["yank alpha 0.1.0"]);
}
