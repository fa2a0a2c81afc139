//! Registries that want a challenge in every mutation token, and those that answer nothing that would help.

use std::fs;

use yk_cargo::enrollment::{ChallengeSource, Enrollments};

use crate::asked::Asked;
use crate::asking_registry::{AskingRegistry, Challenges};
use crate::certificates::for_names;
use crate::loopback::answering;
use crate::trace::Seen;
use crate::world::{NAME, Reads, World};

/// Cargo passes on what it got with a 401 for cold reads only; each mutation finds a challenge of its own all the same.
#[test]
fn every_mutation_has_its_own_challenge() {
    for reads in [Reads::AuthRequired, Reads::Open] {
        let asked = Asked::new(reads, Challenges::Required);
        for (number, temperature) in [(1, "cold"), (2, "warm")] {
            if temperature == "cold" {
                asked.world.make_cold();
            }
            let package = asked.world.package("alpha", &format!("0.{number}.0"), "");
            asked.world.publish(&package).succeeds().says(&["Published alpha"]);
            asked.yank().succeeds();
            let undo = ["yank", "--undo", "alpha@0.1.0", "--registry", NAME];
            asked.world.cargo(&package, undo).succeeds();
            let list = ["owner", "--list", "alpha", "--registry", NAME];
            asked.world.cargo(&package, list).succeeds();
            let state = asked.registry.state();
            assert_eq!((state.mutations, state.paid), (4 * number, 4 * number), "{reads:?} {temperature}");
        }
        Seen::on(&asked.world.card).assert_well_mannered();
    }
}

/// The same with the gateway's own challenges: whether it wants them or only takes them, each mutation brings one.
#[test]
fn the_gateway_gets_its_challenges_back() {
    use registry_gateway::challenge::Challenges::{Optional, Required};
    for (reads, challenges) in [
        (Reads::AuthRequired, Required),
        (Reads::AuthRequired, Optional),
        (Reads::Open, Required),
        (Reads::Open, Optional),
    ] {
        let world = World::asked(reads, challenges).enroll();
        let source = if reads == Reads::Open { ChallengeSource::Api } else { ChallengeSource::Index };
        assert_eq!(world.registry().challenge, source, "{reads:?} {challenges:?}");
        for temperature in ["cold", "warm"] {
            if temperature == "cold" {
                world.make_cold();
            }
            let package = world.package("alpha", if temperature == "cold" { "0.1.0" } else { "0.2.0" }, "");
            world.publish(&package).succeeds().says(&["Published alpha"]);
            for change in [
                &["yank", "alpha@0.1.0"][..],
                &["yank", "--undo", "alpha@0.1.0"],
                &["owner", "--list", "alpha"],
            ] {
                world.cargo(&package, [change, &["--registry", NAME]].concat()).succeeds();
            }
        }
        let records = world.gateway.store().published(None).unwrap();
        for record in &records {
            let token = asymmetric_token::Untrusted::parse(&record.token).unwrap();
            assert!(token.unverified_claims().unwrap().challenge.is_some(), "{reads:?} {challenges:?}");
        }
        assert_eq!(records.len(), 2);
    }
}

#[test]
fn a_workspace_pays_for_each_crate() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Required);
    asked.world.write("work/Cargo.toml", "[workspace]\nmembers = [\"one\", \"two\"]\nresolver = \"3\"\n");
    asked.world.package("one", "0.1.0", "");
    asked.world.package("two", "0.1.0", "");
    let publish = ["publish", "--workspace", "--no-verify", "--registry", NAME];
    asked.world.cargo(&asked.world.path("work"), publish).succeeds();
    assert_eq!(asked.registry.state().paid, 2);
}

#[test]
fn enroll_finds_out_what_a_registry_wants() {
    for (reads, challenges, source, said) in [
        (
            Reads::AuthRequired,
            Challenges::Required,
            ChallengeSource::Index,
            "needs a token for reads and issues a challenge for each mutation",
        ),
        (
            Reads::Open,
            Challenges::Required,
            ChallengeSource::Api,
            "needs no token for reads and issues a challenge for each mutation; a token is valid for 300 seconds",
        ),
        (
            Reads::AuthRequired,
            Challenges::Off,
            ChallengeSource::None,
            "needs a token for reads and issues no challenges",
        ),
        (
            Reads::Open,
            Challenges::Off,
            ChallengeSource::None,
            "needs no token for reads and issues no challenges; a token is valid for 300 seconds",
        ),
    ] {
        let asked = Asked::new(reads, challenges);
        let before = asked.enrolled();
        assert_eq!(before.challenge, source, "{reads:?} {challenges:?}");
        assert_eq!(before.reuse, if reads == Reads::Open { 240 } else { 45 }, "it does not know us yet");
        asked.refresh();
        assert_eq!(asked.enrolled().reuse, 240, "now it does");
        asked.enroll().says(&[said]);
    }
}

#[test]
fn enroll_goes_on_where_nobody_answers() {
    let world = World::new();
    let address = answering(std::iter::empty());
    world.wait("network = 1");
    let index = format!("sparse+http://{address}/index/");
    let outcome = world.yk_cargo(["enroll", &index, "--yes"]).succeeds();
    outcome.says(&[
        "warning: cannot ask the registry what it requires: http://127.0.0.1",
        "gave no answer within 1 seconds",
        "assuming that it issues no challenges; to ask again: yk-cargo enroll sparse+http://127",
    ]);
    let enrollments = Enrollments::load(&world.cargo_home()).unwrap();
    let registry = enrollments.registry(&index).unwrap();
    assert_eq!((registry.challenge, registry.reuse), (ChallengeSource::None, 45));
}

#[test]
fn a_registry_that_starts_asking() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Off);
    asked.yank().succeeds();
    asked.registry.state().challenges = Challenges::Required;
    asked.yank().fails().says(&["the token has no challenge of ours"]);
    // A cold read is where cargo passes the 401 on.
    asked.world.make_cold();
    let login = asked.world.cargo(&asked.world.path("work"), ["search", "alpha", "--registry", NAME]).ends();
    login.says(&["warning: `my-reg` now issues challenges", "yk-cargo enroll my-reg --refresh"]);
    asked.refresh().says(&["issues a challenge for each mutation"]);
    asked.yank().succeeds();
    assert_eq!(asked.registry.state().paid, 1);
}

#[test]
fn a_registry_that_stops_asking() {
    for reads in [Reads::AuthRequired, Reads::Open] {
        let asked = Asked::new(reads, Challenges::Required);
        asked.registry.state().challenges = Challenges::Off;
        asked.yank().succeeds().says(&["note: `my-reg` no longer issues challenges"]);
        asked.refresh();
        let outcome = asked.yank().succeeds();
        assert!(!outcome.stderr.contains("challenges"), "{outcome:#?}");
    }
}

/// An index that was opened, or closed, since it was enrolled: the challenge is found on the other way.
#[test]
fn a_registry_that_opens_or_closes_its_reads() {
    for (before, after) in [(Reads::AuthRequired, Reads::Open), (Reads::Open, Reads::AuthRequired)] {
        let asked = Asked::new(before, Challenges::Required);
        asked.registry.state().reads = after;
        asked.yank().succeeds();
        assert_eq!(asked.registry.state().paid, 1);
    }
}

fn answer(head: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
}

/// Nobody is asked for a PIN, and nothing is asked of the card, for a token that could not be made.
#[test]
fn a_registry_that_gives_no_challenge() {
    let challenges = |count: usize| {
        (0..count).map(|n| format!("\r\nWWW-Authenticate: Cargo challenge=\"{n}\"")).collect::<String>()
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let drip = std::iter::once(b"HTTP/1.1 401 No\r\nX: ".to_vec()).chain(std::iter::repeat_with(|| {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        b"x".to_vec()
    }));
    let endless =
        std::iter::once(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).chain(std::iter::repeat(vec![b' '; 4096]));
    let evil = "401 No\r\nWWW-Authenticate: Cargo challenge=\"\u{1b}[2J\"";
    let elsewhere = "302 Found\r\nLocation: http://evil.example/\u{7f}index/config.json";
    for (address, says) in [
        (closed, &["cannot reach http://127.0.0.1", "onnection refused"][..]),
        (answering(std::iter::empty()), &["gave no answer within 1 seconds"]),
        (answering(drip.take(10_000)), &["gave no answer within 1 seconds"]),
        (answering(std::iter::once(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())), &["does not answer in HTTP"]),
        (answering(endless), &["sent a longer answer than a registry should"]),
        (answering(std::iter::once(answer("503 Busy"))), &["answers with status 503"]),
        (answering(std::iter::once(answer("200 OK"))), &["is not an index configuration"]),
        (
            answering(std::iter::once(answer(&format!("401 No{}", challenges(2))))),
            &["can be read in two ways"],
        ),
        (answering(std::iter::once(answer(&format!("401 No{}", challenges(5000))))), &["http://127.0.0.1"]),
        (answering(std::iter::once(answer(evil))), &["http://127.0.0.1"]),
        (answering(std::iter::once(answer(elsewhere))), &["http://127.0.0.1"]),
        (
            answering(std::iter::once(answer("302 Found\r\nLocation: http://evil.example/"))),
            &["redirects to http://evil.example/, which is not followed"],
        ),
        (
            answering(std::iter::once(answer("302 Found\r\nLocation: /index/config.json"))),
            &["which is not followed"],
        ),
    ] {
        let asked = Asked::new(Reads::AuthRequired, Challenges::Required);
        asked.world.wait("network = 1");
        asked.world.card.power_off();
        asked.world.card.clear_trace();
        asked.moves_to(address);
        let outcome = asked.world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).fails();
        outcome.says(&["error: cannot get a challenge from `my-reg`", "nothing was signed"]).says(says);
        let is_because = |causes: &[&str]| causes.iter().any(|cause| outcome.stderr.contains(cause));
        let next = if is_because(&["does not answer in HTTP", "which is not followed"]) {
            "hint: check the registry's URL in cargo's configuration"
        } else if is_because(&["is not an index configuration"]) {
            "hint: no registry is there: check its URL in cargo's configuration"
        } else {
            "hint: try again when"
        };
        outcome.says(&[next]);
        assert!(!outcome.stderr.contains(['\u{1b}', '\u{7f}']), "{outcome:#?}");
        assert!(Seen::on(&asked.world.card).nothing(), "{outcome:#?}");
    }
}

#[test]
fn a_clock_that_is_wrong() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Required);
    asked.registry.state().date = Some("Sat, 01 Jan 2000 00:00:00 GMT");
    let outcome = asked.yank().succeeds();
    outcome.says(&[
        "warning: this computer's clock is",
        "days ahead of the registry's; it may refuse the token",
    ]);
}

/// Where cargo goes through a proxy, so do we: here to one that is not there, and around it.
#[test]
fn a_proxy() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Required);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = || {
        let token = asked.world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
        token.env("CARGO_HTTP_PROXY", format!("http://{closed}"))
    };
    token().fails().says(&["cannot reach"]);
    token().env("NO_PROXY", "127.0.0.1").succeeds();
    token()
        .env("CARGO_HTTP_PROXY", "gopher://x")
        .fails()
        .says(&["cannot use the proxy that is set for cargo"]);
    token().env("NO_PROXY", "*").env("CARGO_HTTP_CAINFO", "/no/such.pem").fails().says(&["/no/such.pem"]);
}

/// Read tokens have no challenge: cargo uses them again, and the registry is not asked for one.
#[test]
fn reads_ask_for_nothing() {
    let asked = Asked::new(Reads::AuthRequired, Challenges::Required);
    asked.moves_to(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let token = asked.world.yk_cargo(["token", NAME, "--read"]).succeeds().stdout;
    let token = asymmetric_token::Untrusted::parse(token.trim_end()).unwrap();
    assert_eq!(token.unverified_claims().unwrap().challenge, None);
}

/// TLS as cargo does it: with the certificates set for it, else with the system's.
#[test]
fn a_registry_behind_tls() {
    let (certificate, tls) = for_names(&["localhost"]);
    let registry = AskingRegistry::start_tls(Reads::AuthRequired, Challenges::Required, tls);
    let asked = Asked::at(registry);
    assert_eq!(asked.enrolled().challenge, ChallengeSource::None, "the system does not trust it");
    let file = asked.world.write("ca.pem", &certificate);
    let enroll = ["enroll", NAME, "--refresh", "--yes"];
    asked.world.yk_cargo(enroll).env("CARGO_HTTP_CAINFO", &file).succeeds();
    assert_eq!(asked.enrolled().challenge, ChallengeSource::Index);
    asked.yank().env("CARGO_HTTP_CAINFO", &file).succeeds();
    assert_eq!(asked.registry.state().paid, 1);
    asked.world.card.clear_trace();
    let token = || asked.world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]);
    // Said otherwise where the system has no authorities at all.
    token().fails().says(&["https://localhost", "certificate"]);
    assert!(Seen::on(&asked.world.card).nothing());
    let config = fs::read_to_string(asked.world.path("home/config.toml")).unwrap();
    asked.world.write("home/config.toml", &format!("{config}[http]\ncainfo = {:?}\n", file));
    token().succeeds();
}

/// A company's own authority: what to do is said in words, and nothing is shown that only a programmer would understand.
#[test]
fn an_unknown_authority_is_explained() {
    let (_, tls) = for_names(&["localhost"]);
    let registry = AskingRegistry::start_tls(Reads::AuthRequired, Challenges::Required, tls);
    let world = World::new();
    let outcome = world.yk_cargo(["enroll", &registry.index_url(), "--yes"]).succeeds();
    outcome.says(&[
        "was issued by an authority that this computer does not trust",
        "set its certificate as `cainfo` in [http] of $CARGO_HOME/config.toml",
    ]);
    for raw in ["UnknownIssuer", "InvalidCertificate", "rustls", "WARN", "ERROR"] {
        assert!(!outcome.stderr.contains(raw), "{raw}: {outcome:#?}");
    }
}

/// The address is right, and the scheme is not.
#[test]
fn https_where_there_is_no_tls() {
    let world = World::new();
    let address = answering(std::iter::once(answer("400 Bad Request")));
    let index = format!("sparse+https://{address}/index/");
    let outcome = world.yk_cargo(["enroll", &index, "--yes"]).succeeds();
    outcome.says(&[&format!(
        "https://{address}/index/config.json does not answer with TLS; check the registry's URL: is it http://, or another port?"
    )]);
    assert!(!outcome.stderr.contains("InvalidContentType"), "{outcome:#?}");
}

/// A touch for a change that will be refused is a touch in vain. Where everybody may read the index, it is known before.
#[test]
fn what_is_not_there_is_not_signed_for() {
    use registry_gateway::challenge::Challenges::{Off, Required};
    for challenges in [Off, Required] {
        let world = World::asked(Reads::Open, challenges).enroll();
        world.publish(&world.package("One_Thing", "0.1.0", "")).succeeds();
        world.card.clear_trace();
        let yank = |version: &str| world.cargo(&world.path("work"), ["yank", version, "--registry", NAME]);
        yank("one_thing@0.1.0").fails().says(&[
            "`my-reg` has no one_thing 0.1.0: the crate is called `One_Thing` there; nothing was signed",
            "hint: run the command again with the name One_Thing",
        ]);
        assert_eq!(world.card.trace().len(), 0, "the card is not asked");
        // A copy of the index may be old, and a yank may be urgent.
        yank("One_Thing@0.2.0").fails().says(&["does not have One_Thing 0.2.0; it may refuse the change"]);
        yank("One_Thing@0.1.0").succeeds();
    }
}
