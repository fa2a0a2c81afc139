//! What a machine does that stages without a card, and what people and consumers see of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use asymmetric_token::{PublicKey, Untrusted};
use registry_gateway::keys::{NewKey, Role};
use serde_json::json;
use yk_cargo::registry::staged::is_staging_token;

use crate::asked::Asked;
use crate::asking_registry::Challenges;
use crate::lock_registry::{ALICE, Locked, MALLORY, Somebody};
use crate::staged_versions::crate_file;
use crate::trace::Seen;
use crate::world::{NAME, Reads, World};

const BOB: Somebody = Somebody(3);

const VARIABLE: &str = "CARGO_REGISTRIES_MY_REG_TOKEN";

fn token() -> String {
    format!("rgs_{}", "a".repeat(43))
}

#[test]
fn crate_files_are_staged_in_the_order_of_their_dependencies() {
    let asked = Asked::new(Reads::Open, Challenges::Off);
    let index = asked.registry.index_url();
    let dependency = format!(
        "[dependencies.alpha]\nversion = \"1\"\nregistry-index = \"{index}\"\n[features]\nmore = [\"alpha\"]\n"
    );
    let beta = crate_file("beta", "1.0.0", &dependency, &[]);
    fs::write(asked.world.path("work/b.crate"), &beta).unwrap();
    fs::write(asked.world.path("work/a.crate"), crate_file("alpha", "1.0.0", "", &[])).unwrap();
    let push = || asked.world.yk_cargo(["stage", "push", "--registry", NAME, "b.crate", "a.crate"]);
    push().fails().says(&[
        "cargo has no token for this registry",
        &format!("put the staging token that the registry gives to machines into {VARIABLE}"),
    ]);
    // With such a token the registry would publish, and nobody would have approved it.
    push()
        .env(VARIABLE, "secret")
        .fails()
        .says(&["is not a staging token: the registry would publish at once"]);
    asked.registry.state().staging.token = token();
    let outcome = push().env(VARIABLE, token()).succeeds();
    assert!(
        outcome.stdout.starts_with("staged alpha 1.0.0\n    | this is not published yet\\u{1b}[2J: yk-cargo stage approve\nstaged beta"),
        "{outcome:#?}"
    );
    let state = asked.registry.state();
    let [(alpha, _), (metadata, file)] = &state.staging.pushed[..] else { panic!("two were staged") };
    assert_eq!((&alpha["name"], &metadata["name"], file), (&json!("alpha"), &json!("beta"), &beta));
    assert_eq!(metadata["deps"][0]["name"], "alpha");
    assert_eq!(metadata["deps"][0]["version_req"], "^1");
    assert_eq!(metadata["features"], json!({"more": ["alpha"]}));
    assert!(Seen::on(&asked.world.card).nothing());
}

#[test]
fn a_machine_without_an_identity_has_a_key_in_a_file() {
    let asked = Asked::new(Reads::Open, Challenges::Required);
    let made = asked.world.yk_cargo(["stage", "new-key", "ci.key"]).succeeds();
    let public: PublicKey = made.stdout.trim().parse().unwrap();
    made.says(&[&format!("registry-gateway key add --user NAME --role stage --crate CRATE {public}")]);
    let file = asked.world.path("work/ci.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = fs::read_to_string(&file).unwrap();
    assert!(!made.stdout.contains("k3.secret") && !made.stderr.contains(secret.trim()), "{made:#?}");
    asked.world.yk_cargo(["stage", "new-key", "ci.key"]).fails().says(&["ci.key already exists"]);

    let sign = ["token", NAME, "--stage", "--key-file", "ci.key"];
    let token_of = |printed: &str| {
        let token = Untrusted::parse(printed.trim()).unwrap().verify(&public).unwrap();
        assert_eq!((token.claims.mutation, token.footer.url), (None, asked.registry.index_url()));
    };
    token_of(&asked.world.yk_cargo(sign).succeeds().stdout);
    let from_stdin = ["token", NAME, "--stage", "--key-file", "-"];
    token_of(&asked.world.yk_cargo(from_stdin).input(&secret).succeeds().stdout);
    let exchange = [&sign[..], &["--exchange"]].concat();
    asked.world.yk_cargo(&exchange[..]).fails().says(&["the registry refuses: it says\n    | who is that"]);
    asked.registry.state().keys.push(public);
    // Whatever the registry gives, only a staging token is printed.
    asked.registry.state().staging.token = "secret\u{1b}".into();
    asked
        .world
        .yk_cargo(&exchange[..])
        .fails()
        .says(&["does not answer like a registry that keeps staged versions"]);
    asked.registry.state().staging.token = token();
    assert_eq!(asked.world.yk_cargo(&exchange[..]).succeeds().stdout.trim(), token());

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    asked.world.yk_cargo(sign).succeeds().says(&["others can read the key in ci.key: chmod 600 ci.key"]);
    for wrong in ["", "k3.secret.AAAA", "k3.public.AAAA", &format!("k3.secret.{}", "A".repeat(64))] {
        fs::write(&file, wrong).unwrap();
        asked.world.yk_cargo(sign).fails().says(&["there is no secret key in ci.key", "stage new-key FILE"]);
    }
    for change in [&["--yank", "alpha@1.0.0"][..], &["--owners", "alpha"], &["--publish", "ci.key"]] {
        let with_key = [&["token", NAME, "--key-file", "ci.key"], change].concat();
        asked.world.yk_cargo(with_key).fails().says(&["cannot be used with"]);
    }
    // A machine that only builds has cargo read with such a token.
    fs::write(&file, &secret).unwrap();
    token_of(&asked.world.yk_cargo(["token", NAME, "--read", "--key-file", "ci.key"]).succeeds().stdout);
    assert!(Seen::on(&asked.world.card).nothing());
}

#[test]
fn what_waits_is_told() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Required);
    let status = || asked.world.yk_cargo(["status"]).succeeds().stdout;
    assert!(!status().contains("stage"), "nothing waits");
    let mut state = asked.registry.state();
    for name in ["alpha", "beta", "gamma"] {
        state.stage(name, "1.0.0", "", &[]);
    }
    state.staging.stages.get_mut(&3).unwrap()["may_approve"] = false.into();
    drop(state);
    let waits = "2 staged versions wait for your approval at `my-reg`: yk-cargo stage list --registry my-reg";
    assert!(status().contains(waits), "{}", status());
    let json: serde_json::Value =
        serde_json::from_str(&asked.world.yk_cargo(["status", "--json"]).succeeds().stdout).unwrap();
    assert_eq!(json["registries"][0]["staged-waiting"], 2);
    let doctor = asked.world.yk_cargo(["doctor"]).ends().stdout;
    assert!(doctor.contains(&format!("note     staged: {waits}")), "{doctor}");
}

/// The consumer's list wants two of three people to have signed.
#[test]
fn a_lock_file_needs_as_many_signers_as_the_list_wants() {
    let locked = Locked::new();
    let list = |approvals: &str| {
        let keys = [ALICE.entry("alice"), BOB.entry("bob"), Somebody(4).entry("carol")].concat();
        format!(
            "{keys}[[signer]]\nindex = \"INDEX\"\ncrate = \"hello\"\nsigners = [\"alice\", \"bob\", \"carol\"]\n{approvals}\n"
        )
    };
    let with = |others: &[Somebody]| {
        let mut proof = ALICE.proof(&locked.index, "hello", "1.0.0");
        let approval = |by: &Somebody| {
            let proof = by.proof(&locked.index, "hello", "1.0.0");
            json!({"token": proof["token"], "public": proof["public"], "role": "publish", "attestation": null})
        };
        proof["approvals"] = others.iter().map(approval).collect();
        locked.answers("hello", "1.0.0", "200 OK", proof.to_string());
        proof
    };
    locked.locks(&[("hello", "1.0.0")]);
    locked.trusts(&list("approvals = 2"));
    with(&[]);
    locked.is(
        18,
        "too few approvals",
        "2 of the signers named for this crate must sign it, but only alice signed it",
    );
    with(&[ALICE]);
    locked.is(18, "too few approvals", "only alice signed it");
    with(&[MALLORY]);
    locked.is(18, "too few approvals", "only alice signed it");
    // The approval is one of another file.
    let mut proof = with(&[BOB]);
    let other = BOB.proof_of(&locked.index, "hello", "1.0.0", asymmetric_token::Checksum([1; 32]));
    proof["approvals"][0]["token"] = other["token"].clone();
    locked.answers("hello", "1.0.0", "200 OK", proof.to_string());
    locked.is(16, "bad", "the token was signed for a file with checksum 0101");
    with(&[BOB]);
    locked.is(0, "trusted", "signed by alice");
    fs::remove_dir_all(locked.computer.path("home/yk-cargo/proofs")).unwrap();
    // A key that has taken the place of Alice's is Alice's.
    let rotation = ALICE.gives_way(BOB, [ALICE, BOB], &locked.index, "hello");
    let alice_alone = list("approvals = 2").replace("\"alice\", \"bob\", \"carol\"", "\"alice\", \"carol\"");
    locked.trusts(&format!("{alice_alone}{rotation}"));
    with(&[BOB]);
    locked.is(18, "too few approvals", "only alice signed it");
    with(&[Somebody(4)]);
    locked.is(0, "trusted", "signed by alice");
    // A project's list can want more, and not less.
    locked.trusts(&list(""));
    locked.project_trusts(&list("approvals = 3"));
    locked.is(18, "too few approvals", "by this project's own list");
    for wrong in ["approvals = 0", "approvals = 4"] {
        locked.trusts(&list(wrong));
        locked.verify(&[]).fails().says(&["`approvals` is from 1 to the number of signers that are named"]);
    }
    fs::remove_file(locked.list()).unwrap();
}

/// The gateway takes such a key's token, once, and gives a staging token for it.
#[test]
fn the_gateway_exchanges_the_token_of_a_stage_key() {
    for reads in [Reads::AuthRequired, Reads::Open] {
        let world = World::with(reads, |card| card);
        let made = world.yk_cargo(["stage", "new-key", "ci.key"]).succeeds();
        let key = NewKey {
            public: made.stdout.trim().parse().unwrap(),
            user: "ci".parse().unwrap(),
            role: Role::Stage,
            label: None,
            subject: None,
            expires: None,
        };
        world.gateway.store().add_key(key, jiff::Timestamp::now()).unwrap();
        let exchange = ["token", NAME, "--stage", "--key-file", "ci.key", "--exchange"];
        let [one, other] = [(); 2].map(|()| world.yk_cargo(exchange).succeeds().stdout);
        assert!(
            is_staging_token(one.trim()) && is_staging_token(other.trim()) && one != other,
            "{one} {other}"
        );
    }
}
