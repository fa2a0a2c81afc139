//! Bearer tokens: sealed, opened, given back, and moved out of the clear.

use std::fs;

use serde_json::{Value, json};

use crate::bearer_registry::BearerRegistry;
use crate::trace::Seen;
use crate::world::{NAME, Outcome, Reads, Run, World};

const TOKEN: &str = "cioZ7gQ2sPretendToBeSecret0123456789";

/// A person with a card, and a registry that takes bearer tokens.
pub(crate) struct Sealed {
    pub(crate) world: World,
    registry: BearerRegistry,
}

impl Sealed {
    pub(crate) fn new() -> Self {
        let sealed = Self { world: World::new(), registry: BearerRegistry::start(Reads::Open, TOKEN) };
        let index = sealed.registry.index_url();
        sealed.world.write("home/config.toml", &format!("[registries.{NAME}]\r\nindex = \"{index}\"\r\n"));
        sealed
    }

    pub(crate) fn seal(&self) -> Run {
        let arguments = ["seal", NAME, "--yes", "--configure", "--label", "laptop key"];
        self.world.yk_cargo(arguments).input(&format!("{TOKEN}\r\n"))
    }

    /// A request of cargo's for this registry.
    pub(crate) fn request(&self, what: &Value) -> String {
        let mut request = json!({"v": 1, "registry": {"index-url": self.registry.index_url(), "name": NAME}});
        request.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        request.to_string()
    }

    fn yank(&self) -> Outcome {
        let yank = json!({"kind": "get", "operation": "yank", "name": "alpha", "vers": "0.1.0"});
        self.world.provider(&self.request(&yank)).succeeds()
    }

    fn opened(outcome: &Outcome) -> Value {
        outcome.answer()["Ok"]["token"].clone()
    }
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_token_is_sealed_opened_and_given_back() {
    let sealed = Sealed::new();
    let outcome = sealed.seal().succeeds();
    outcome.says(&["made the key for sealed tokens in slot 95", "sealed the token of `my-reg`"]);
    assert!(!outcome.stderr.contains(TOKEN) && !outcome.stdout.contains(TOKEN));
    let folder = fs::read_dir(sealed.world.path("home/yk-cargo/sealed")).unwrap();
    let files: Vec<_> = folder.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(files.len() == 1 && files[0].starts_with(b"age-encryption.org/v1\n-> piv-p256 "));

    sealed.world.card.power_off();
    sealed.world.card.clear_trace();
    let yank = sealed.yank();
    yank.says(&["opening the token of `my-reg` for yank of `alpha 0.1.0` with YubiKey 12345678"]);
    assert_eq!(Sealed::opened(&yank), TOKEN);
    let seen = Seen::on(&sealed.world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1));
    seen.assert_well_mannered();

    sealed.world.yk_cargo(["unseal", NAME, "--restore", "--yes"]).succeeds();
    assert!(sealed.world.read("home/credentials.toml").contains(TOKEN));
    assert!(!sealed.world.read("home/config.toml").contains("credential-provider"));
    assert!(sealed.world.enrollments().sealed.is_empty());
}

/// What an editor on Windows has written keeps its line ends.
#[test]
#[ignore = "cargo xtask windows runs it"]
fn a_token_in_clear_is_migrated() {
    let sealed = Sealed::new();
    let credentials = format!(
        "# mine\r\n[registries.{NAME}]\r\ntoken = \"{TOKEN}\" # since May\r\n\r\n[registries.other]\r\nsecret-key = 'x'\r\n"
    );
    sealed.world.write("home/credentials.toml", &credentials);
    let before = sealed.world.read("home/config.toml");
    let outcome = sealed.world.yk_cargo(["migrate", "--all", "--yes"]).succeeds();
    outcome.says(&["removed the token of `my-reg` from"]);
    assert!(!outcome.stderr.contains(TOKEN));
    let seen = Seen::on(&sealed.world.card);
    assert_eq!((seen.pins(), seen.touches()), (1, 1));
    let left = sealed.world.read("home/credentials.toml");
    assert_eq!(
        left,
        "# mine\r\n[registries.my-reg]\r\n# since May\r\n\r\n[registries.other]\r\nsecret-key = 'x'\r\n"
    );
    let config = sealed.world.read("home/config.toml");
    assert!(config.starts_with(&before) && config.contains("credential-provider = "), "{config:?}");
    assert_eq!(config.matches('\n').count(), config.matches("\r\n").count(), "{config:?}");
    assert_eq!(Sealed::opened(&sealed.yank()), TOKEN);
}

#[test]
#[ignore = "cargo xtask windows runs it"]
fn cargo_login_seals_and_logout_removes() {
    let sealed = Sealed::new();
    let ask = |what: Value| sealed.world.provider(&sealed.request(&what)).succeeds();
    let login = ask(json!({"kind": "login", "token": TOKEN}));
    login.says(&["sealed the token of `my-reg` for one card"]);
    assert_eq!(login.answer(), json!({"Ok": {"kind": "login"}}));
    assert_eq!(Sealed::opened(&sealed.yank()), TOKEN);
    let logout = ask(json!({"kind": "logout"}));
    logout.says(&["removed the sealed token of `my-reg`"]);
    assert_eq!(logout.answer(), json!({"Ok": {"kind": "logout"}}));
    assert!(sealed.world.enrollments().sealed.is_empty());
    assert_eq!(ask(json!({"kind": "logout"})).answer(), json!({"Err": {"kind": "not-found"}}));
}
