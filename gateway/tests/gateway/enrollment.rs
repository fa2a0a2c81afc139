//! Enrollment over HTTP: by an invite, by another key's word, and each way to be refused.
#![cfg(unix)]

use std::thread;

use asymmetric_token::{Claims, Enrollment, KeyId, Mutation};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use mock_card::{PinPolicy, TouchPolicy};
use registry_gateway::attestation::Mode;
use registry_gateway::enrollment::InviteCode;
use registry_gateway::keys::{NewKey, Role};
use serde_json::{Value, json};

use crate::common::attested::{AttestedKey, card, mock_authorities};
use crate::common::{Fixture, Response, SoftwareKey};

const PATH: &str = "/api/v1/enroll";

impl Fixture {
    fn terms(&self) -> Value {
        let response = self.send("GET", PATH, None, b"");
        response.assert_ok();
        response.json()
    }

    fn nonce(&self) -> String {
        self.terms()["nonce"].as_str().unwrap().to_owned()
    }

    /// A code for Carol, who is made if new.
    fn invite(&self) -> String {
        let store = self.running().store();
        let carol = "carol".parse().unwrap();
        let _ = store.add_user(&carol, false, Timestamp::now());
        store.invite(&carol, Timestamp::now()).unwrap().0.to_string()
    }

    fn enroll(&self, request: &Value) -> Response {
        self.send("POST", PATH, None, request.to_string().as_bytes())
    }

    fn add_key_until(&self, key: &SoftwareKey, user: &str, until: Timestamp) {
        let (user, role, expires) = (user.parse().unwrap(), Role::Publish, Some(until));
        let new = NewKey { public: key.public, user, role, label: None, subject: None, expires };
        self.running().store().add_key(new, Timestamp::now()).unwrap();
    }

    fn owner_of(&self, key: &SoftwareKey) -> Option<String> {
        let key = self.running().store().key(key.public.id()).unwrap();
        key.filter(|key| key.revoked.is_none()).map(|key| key.user.to_string())
    }
}

fn carols() -> [(SoftwareKey, Role); 2] {
    [(SoftwareKey::new(11), Role::Read), (SoftwareKey::new(12), Role::Publish)]
}

fn consent(nonce: &str, role: Role, keys: &[KeyId]) -> Enrollment {
    Enrollment { issued_at: Timestamp::now(), challenge: nonce.to_owned(), role, keys: keys.to_vec() }
}

fn ids(keys: &[(SoftwareKey, Role)]) -> Vec<KeyId> {
    keys.iter().map(|(key, _)| key.public.id()).collect()
}

/// A request as it should be, but for the credential.
fn request(url: &str, nonce: &str, keys: &[(SoftwareKey, Role)]) -> Value {
    let all = ids(keys);
    let keys: Vec<_> = keys
        .iter()
        .map(|(key, role)| {
            json!({
                "role": role.as_str(),
                "public": key.public.to_string(),
                "proof": key.enrollment(url, &consent(nonce, *role, &all)),
                "attestation": null,
            })
        })
        .collect();
    json!({ "version": 1, "nonce": nonce, "label": "laptop key", "keys": keys })
}

fn with(mut request: Value, name: &str, value: impl Into<Value>) -> Value {
    request[name] = value.into();
    request
}

#[test]
fn the_terms() {
    let fixture = Fixture::with(|config| {
        config.attestation.policy = Mode::Require;
        config.attestation.minimum_firmware = Some("5.7.0".parse().unwrap());
    });
    let terms = fixture.terms();
    let expires = terms["expires"].as_i64().unwrap() - Timestamp::now().as_second();
    assert!((590..=600).contains(&expires), "{terms}");
    assert_eq!(terms["index"], fixture.url());
    assert_eq!((&terms["version"], &terms["attestation"]), (&json!(1), &json!("require")));
    assert_eq!((&terms["min-firmware"], &terms["window"]), (&json!("5.7.0"), &json!(900)));
    assert_ne!(fixture.nonce(), fixture.nonce());
    let refused = fixture.send("GET", "/index/config.json", None, b"");
    let header = refused.field("www-authenticate").unwrap();
    assert!(header.contains(&format!("enroll=\"{}\"", fixture.running().base_url())), "{header}");
}

#[test]
fn an_invite_is_good_once() {
    let fixture = Fixture::new();
    let (code, nonce) = (fixture.invite(), fixture.nonce());
    let good = with(request(fixture.url(), &nonce, &carols()), "invite", code.clone());
    let response = fixture.enroll(&good);
    assert_eq!(response.status, 201, "{}", response.text());
    let answer = response.json();
    let expected: Vec<_> = ids(&carols()).iter().map(ToString::to_string).collect();
    assert_eq!((&answer["user"], &answer["keys"]), (&json!("carol"), &json!(expected)));
    assert!(answer["text"].as_str().unwrap().contains("enrolled for carol"), "{answer}");
    let read = SoftwareKey::new(11).token(fixture.url(), &Claims::read(Timestamp::now()));
    fixture.send("GET", "/index/config.json", Some(&read), b"").assert_ok();

    fixture.enroll(&good).assert_refused(401, "the nonce was used before");
    let other = [(SoftwareKey::new(13), Role::Both)];
    let again = with(request(fixture.url(), &fixture.nonce(), &other), "invite", code.clone());
    fixture.enroll(&again).assert_refused(401, "this invite was used at");

    // The answer to the first request may have been lost: the same keys are no error.
    let repeated = with(request(fixture.url(), &fixture.nonce(), &carols()), "invite", code);
    let response = fixture.enroll(&repeated);
    assert_eq!(response.status, 201, "{}", response.text());
    assert!(response.json()["text"].as_str().unwrap().contains("already enrolled for carol"));
}

/// Whoever has yet to make keys can ask first.
#[test]
fn an_invite_is_looked_at_without_keys() {
    let fixture = Fixture::new();
    let code = fixture.invite();
    let ask =
        |code: &str| fixture.enroll(&with(request(fixture.url(), &fixture.nonce(), &[]), "invite", code));
    ask("0000-0000-0000-0000-0000-0000").assert_refused(401, "this invite is not known here");
    for _ in 0..2 {
        let answer = ask(&code);
        assert_eq!((answer.status, answer.json()), (200, json!({ "version": 1, "user": "carol" })));
    }
    let nonce = fixture.nonce();
    let keys = with(request(fixture.url(), &nonce, &carols()), "invite", code.clone());
    assert_eq!(fixture.enroll(&keys).status, 201);
    ask(&code).assert_refused(401, "this invite was used at");
}

#[test]
fn invites_that_are_none() {
    let fixture = Fixture::new();
    let nonce = fixture.nonce();
    let good = request(fixture.url(), &nonce, &carols());
    let invited = |code: &str| fixture.enroll(&with(good.clone(), "invite", code));
    invited(&InviteCode::random().to_string()).assert_refused(401, "this invite is not known here");
    invited("ABCD").assert_refused(400, "this is not an invite code");
    let first = fixture.invite();
    fixture.invite();
    invited(&first).assert_refused(401, "this invite is not known here");

    let store = fixture.running().store();
    let dave = "dave".parse().unwrap();
    store.add_user(&dave, false, Timestamp::now()).unwrap();
    let yesterday = Timestamp::now() - SignedDuration::from_secs(86_400);
    let (expired, _) = store.invite(&dave, yesterday).unwrap();
    invited(&expired.to_string()).assert_refused(401, "this invite expired at");
    let (removed, _) = store.invite(&dave, Timestamp::now()).unwrap();
    store.remove_user(&dave, Timestamp::now()).unwrap();
    invited(&removed.to_string()).assert_refused(401, "this invite is not known here");
    assert_eq!(fixture.owner_of(&SoftwareKey::new(12)), None);

    // None of that used the nonce up.
    let code = fixture.invite();
    assert_eq!(invited(&code.to_lowercase()).status, 201);
}

#[test]
fn of_two_at_once_one_wins() {
    let fixture = Fixture::new();
    let code = fixture.invite();
    let requests: Vec<_> = (20..26)
        .map(|seed| {
            let keys = [(SoftwareKey::new(seed), Role::Both)];
            with(request(fixture.url(), &fixture.nonce(), &keys), "invite", code.clone())
        })
        .collect();
    let statuses: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            requests.iter().map(|request| scope.spawn(|| fixture.enroll(request).status)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let count = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(201), count(401)), (1, 5), "{statuses:?}");
    let owned = (20..26).filter(|seed| fixture.owner_of(&SoftwareKey::new(*seed)).is_some()).count();
    assert_eq!(owned, 1);
}

#[test]
fn the_nonce_is_ours_and_fresh() {
    let (fixture, elsewhere) = (Fixture::new(), Fixture::new());
    let code = fixture.invite();
    for nonce in ["x".to_owned(), elsewhere.nonce()] {
        let wrong = with(request(fixture.url(), &nonce, &carols()), "invite", code.clone());
        fixture.enroll(&wrong).assert_refused(401, "the nonce is not from this registry");
    }
}

/// A proof counts for the key, role, keys, nonce, registry and time it was made for, and for nothing else.
#[test]
fn a_proof_counts_for_one_request_only() {
    let fixture = Fixture::new();
    let (code, nonce, url) = (fixture.invite(), fixture.nonce(), fixture.url());
    let keys = carols();
    let publish = &keys[1].0;
    let all = ids(&keys);
    let good = with(request(url, &nonce, &keys), "invite", code);
    let proven = |proof: String| {
        let mut request = good.clone();
        request["keys"][1]["proof"] = proof.into();
        fixture.enroll(&request)
    };
    let consent = |nonce: &str, role, keys: &[KeyId]| consent(nonce, role, keys);
    let says = |response: Response, text: &str| response.assert_refused(401, text);

    says(proven("x".into()), "the proof of the publish key does not hold: not an asymmetric token");
    let forged = keys[0].0.enrollment(url, &consent(&nonce, Role::Publish, &all));
    says(proven(forged), "the token was made by another key");
    let stolen = publish.enrollment(url, &consent(&nonce, Role::Publish, &all[1..]));
    says(proven(stolen), "it was signed for other keys");
    let other_nonce = publish.enrollment(url, &consent(&fixture.nonce(), Role::Publish, &all));
    says(proven(other_nonce), "it was signed for another nonce");
    let other_role = publish.enrollment(url, &consent(&nonce, Role::Both, &all));
    says(proven(other_role), "it was signed for another role");
    let other_url = publish.enrollment("sparse+https://evil.example/", &consent(&nonce, Role::Publish, &all));
    says(proven(other_url), "this registry is");
    let mut old = consent(&nonce, Role::Publish, &all);
    old.issued_at -= SignedDuration::from_secs(1000);
    says(proven(publish.enrollment(url, &old)), "is the clock right?");
    let read = Claims { challenge: Some(nonce.clone()), ..Claims::read(Timestamp::now()) };
    says(proven(publish.token(url, &read)), "not an `enroll` token");
    let token = publish.enrollment(url, &consent(&nonce, Role::Publish, &all));
    let (head, rest) = token.split_at(30);
    says(
        proven(format!("{head}{}{}", if rest.starts_with('A') { "B" } else { "A" }, &rest[1..])),
        "does not hold",
    );
    assert_eq!(fixture.owner_of(publish), None);
    assert_eq!(fixture.enroll(&good).status, 201);
}

#[test]
fn a_request_has_one_reading() {
    let fixture = Fixture::new();
    let keys = carols();
    let good = with(request(fixture.url(), &fixture.nonce(), &keys), "invite", fixture.invite());
    let refused = |request: &Value, text: &str| fixture.enroll(request).assert_refused(400, text);
    refused(&with(good.clone(), "version", 2), "version 1 of the enrollment protocol");
    refused(&with(good.clone(), "more", 1), "unknown field `more`");
    refused(&with(good.clone(), "label", ""), "a label is");
    for unseen in [
        "a\u{1b}",
        "a\u{202e}b",
        "a\u{200b}b",
        "\u{2066}a",
        "a\u{3164}",
        "a\u{2028}b",
        "\u{a0}\u{3000}",
        "\u{2800}",
    ] {
        refused(
            &with(good.clone(), "label", unseen),
            "a label is 1 to 64 characters, none of which is invisible",
        );
    }
    refused(&with(good.clone(), "endorsement", "v3.public.x"), "either an invite or an endorsement");
    refused(&with(good.clone(), "invite", Value::Null), "either an invite or an endorsement");
    let without = with(request(fixture.url(), &fixture.nonce(), &[]), "endorsement", "v3.public.x");
    refused(&without, "1 to 4 different keys");
    let twice = [good["keys"][0].clone(), good["keys"][0].clone()];
    refused(&with(good.clone(), "keys", json!(twice)), "1 to 4 different keys");
    let five = request(fixture.url(), &fixture.nonce(), &[]);
    let many: Vec<_> = (30..35)
        .map(|seed| {
            json!({ "role": "both", "public": SoftwareKey::new(seed).public.to_string(), "proof": "" })
        })
        .collect();
    refused(&with(with(five, "invite", good["invite"].clone()), "keys", many), "1 to 4 different keys");
    for (name, value, text) in [
        ("role", json!("admin"), "a role is"),
        ("public", json!("k3.public.x"), "a public key cannot be used"),
        ("attestation", json!(["!"]), "an attestation is"),
        ("attestation", json!(["", "", "", "", "", "", ""]), "an attestation is"),
        ("id", json!("k3.pid.x"), "unknown field `id`"),
    ] {
        let mut bad = good.clone();
        bad["keys"][0][name] = value;
        refused(&bad, text);
    }
    let text = good.to_string();
    let twice = text.replacen('{', "{\"version\":1,", 1);
    fixture.send("POST", PATH, None, twice.as_bytes()).assert_refused(400, "duplicate field `version`");
    fixture.send("POST", PATH, None, format!("{text}x").as_bytes()).assert_refused(400, "not as documented");
    fixture.send("POST", PATH, None, b"\xFF").assert_refused(400, "not as documented");
    let long = format!("{text}{}", " ".repeat(256 << 10));
    fixture.send("POST", PATH, None, long.as_bytes()).assert_refused(413, "an enrollment has");
    assert_eq!(fixture.owner_of(&keys[1].0), None);
}

#[test]
fn a_key_belongs_to_one_user() {
    let fixture = Fixture::new();
    let alices = [(SoftwareKey::new(2), Role::Publish)];
    let taken = with(request(fixture.url(), &fixture.nonce(), &alices), "invite", fixture.invite());
    fixture.enroll(&taken).assert_refused(409, "is already registered, for alice");
    let both = [(SoftwareKey::new(14), Role::Read), (SoftwareKey::new(2), Role::Publish)];
    let code = fixture.invite();
    let half = with(request(fixture.url(), &fixture.nonce(), &both), "invite", code.clone());
    fixture.enroll(&half).assert_refused(409, "is already registered, for alice");
    assert_eq!(fixture.owner_of(&SoftwareKey::new(14)), None, "all or none");
    let good = with(request(fixture.url(), &fixture.nonce(), &carols()), "invite", code);
    assert_eq!(fixture.enroll(&good).status, 201, "the invite was not used up");

    let carol = carols()[1].0.public.id().to_string();
    fixture.running().store().revoke_key(&carol, Timestamp::now()).unwrap();
    let back = with(request(fixture.url(), &fixture.nonce(), &carols()), "invite", fixture.invite());
    fixture.enroll(&back).assert_refused(409, "for carol, and revoked");
}

#[test]
fn a_publish_key_can_vouch() {
    let fixture = Fixture::new();
    let url = fixture.url();
    let new = [(SoftwareKey::new(15), Role::Both)];
    let vouched = |endorser: &SoftwareKey, role, change: &dyn Fn(&mut Enrollment)| {
        let nonce = fixture.nonce();
        let mut word = consent(&nonce, role, &ids(&new));
        change(&mut word);
        fixture.enroll(&with(request(url, &nonce, &new), "endorsement", endorser.enrollment(url, &word)))
    };
    let as_is = |_: &mut Enrollment| {};
    vouched(&fixture.read, Role::Read, &as_is).assert_refused(403, "the key has the role `read` here");
    vouched(&fixture.read, Role::Publish, &as_is).assert_refused(401, "it was signed for another role");
    vouched(&SoftwareKey::new(16), Role::Publish, &as_is).assert_refused(401, "is not registered here");
    let others = |word: &mut Enrollment| word.keys = vec![SoftwareKey::new(17).public.id()];
    vouched(&fixture.publish, Role::Publish, &others).assert_refused(401, "it was signed for other keys");
    let late = |word: &mut Enrollment| word.challenge = "x".into();
    vouched(&fixture.publish, Role::Publish, &late).assert_refused(401, "it was signed for another nonce");
    assert_eq!(fixture.owner_of(&new[0].0), None);

    assert_eq!(vouched(&fixture.publish, Role::Publish, &as_is).status, 201);
    assert_eq!(fixture.owner_of(&new[0].0).as_deref(), Some("alice"));
    let store = fixture.running().store();
    store.revoke_key(&fixture.publish.public.id().to_string(), Timestamp::now()).unwrap();
    vouched(&fixture.publish, Role::Publish, &as_is).assert_refused(401, "was revoked at");
}

/// Otherwise a term that an administrator set could be outlived.
#[test]
fn who_was_vouched_for_goes_with_the_voucher() {
    let fixture = Fixture::new();
    let temp = SoftwareKey::new(40);
    let until = Timestamp::now() + SignedDuration::from_secs(3600);
    fixture.add_key_until(&temp, "erin", until);
    let new = [(SoftwareKey::new(41), Role::Both)];
    let nonce = fixture.nonce();
    let word = temp.enrollment(fixture.url(), &consent(&nonce, Role::Publish, &ids(&new)));
    let response = fixture.enroll(&with(request(fixture.url(), &nonce, &new), "endorsement", word));
    assert_eq!(response.status, 201, "{}", response.text());
    let enrolled = fixture.running().store().key(new[0].0.public.id()).unwrap().unwrap();
    assert_eq!(enrolled.expires, Some(until));

    // The other way round: who can vouch for a key cannot take its term away.
    let short = Timestamp::now() + SignedDuration::from_secs(60);
    fixture.add_key_until(&new[0].0, "erin", short);
    let nonce = fixture.nonce();
    let word = temp.enrollment(fixture.url(), &consent(&nonce, Role::Publish, &ids(&new)));
    assert_eq!(fixture.enroll(&with(request(fixture.url(), &nonce, &new), "endorsement", word)).status, 201);
    let enrolled = fixture.running().store().key(new[0].0.public.id()).unwrap().unwrap();
    assert_eq!((enrolled.role, enrolled.expires), (Role::Both, Some(short)));
}

/// Otherwise a key whose tokens have to name a subject could get itself one whose tokens need not.
#[test]
fn who_was_vouched_for_has_the_vouchers_subject() {
    let fixture = Fixture::new();
    let add = |seed, role, subject: Option<&str>| {
        let (key, subject) = (SoftwareKey::new(seed), subject.map(str::to_owned));
        let user = "erin".parse().unwrap();
        let new = NewKey { public: key.public, user, role, label: None, subject, expires: None };
        fixture.running().store().add_key(new, Timestamp::now()).unwrap();
        key
    };
    let voucher = add(40, Role::Publish, Some("erin-1"));
    let (bound, free) = (add(42, Role::Read, Some("erin-2")), add(43, Role::Read, None));
    for (new, subject) in [(SoftwareKey::new(41), "erin-1"), (bound, "erin-2"), (free, "erin-1")] {
        let (id, nonce) = (new.public.id(), fixture.nonce());
        let new = [(new, Role::Both)];
        let word = voucher.enrollment(fixture.url(), &consent(&nonce, Role::Publish, &ids(&new)));
        let response = fixture.enroll(&with(request(fixture.url(), &nonce, &new), "endorsement", word));
        assert_eq!(response.status, 201, "{}", response.text());
        let enrolled = fixture.running().store().key(id).unwrap().unwrap();
        assert_eq!(enrolled.subject.as_deref(), Some(subject));
        let read = |subject: Option<&str>| {
            let claims = Claims { subject: subject.map(str::to_owned), ..Claims::read(Timestamp::now()) };
            fixture.send("GET", "/index/config.json", Some(&new[0].0.token(fixture.url(), &claims)), b"")
        };
        read(None).assert_refused(403, &format!("but the key is registered with `{subject}`"));
        read(Some(subject)).assert_ok();
    }
}

#[test]
fn an_enroll_token_opens_no_other_door() {
    let fixture = Fixture::new();
    let token = fixture
        .publish
        .enrollment(fixture.url(), &consent(&fixture.nonce(), Role::Publish, &[fixture.publish.public.id()]));
    for (method, path) in [
        ("GET", "/index/config.json"),
        ("PUT", "/api/v1/crates/new"),
        ("DELETE", "/api/v1/crates/a/1.0.0/yank"),
        ("GET", "/api/v1/crates/a/owners"),
    ] {
        let response = fixture.send(method, path, Some(&token), b"");
        response.assert_refused(401, "an `enroll` token is good for enrollment and nothing else");
    }
    let name = "a".parse().unwrap();
    let owners = fixture.token(Mutation::Owners { name });
    let nonce = fixture.nonce();
    let other = with(request(fixture.url(), &nonce, &carols()), "endorsement", owners);
    fixture.enroll(&other).assert_refused(401, "not an `enroll` token");
}

fn attested(url: &str, nonce: &str, key: &AttestedKey, proof: &SoftwareKey, role: Role) -> Value {
    let consent = consent(nonce, role, &[key.public.id()]);
    let chain: Vec<_> = key.chain.iter().map(|der| STANDARD.encode(der)).collect();
    json!({ "version": 1, "nonce": nonce, "label": "x", "keys": [{
        "role": role.as_str(),
        "public": key.public.to_string(),
        "proof": proof.enrollment(url, &consent),
        "attestation": chain,
    }]})
}

/// A key of a mock card cannot sign here; what is looked at is that the rule is asked at all, and named. That a card's
/// keys pass is shown with a card, by the client's tests.
#[test]
fn attestation_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::with(|config| {
        config.attestation.policy = Mode::Require;
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, mock_authorities()).unwrap();
        config.attestation.roots = vec![roots];
    });
    let (code, url) = (fixture.invite(), fixture.url());
    let without = with(request(url, &fixture.nonce(), &carols()), "invite", code.clone());
    fixture
        .enroll(&without)
        .assert_refused(403, "the read key is not enrolled: this registry wants the YubiKey's attestation");
    let mut borrowed =
        AttestedKey::made(&mut card("5.7.4", None), 0x82, PinPolicy::Once, TouchPolicy::Always);
    let software = SoftwareKey::new(18);
    let nonce = fixture.nonce();
    borrowed.public = software.public;
    let borrowed = with(attested(url, &nonce, &borrowed, &software, Role::Publish), "invite", code);
    fixture.enroll(&borrowed).assert_refused(403, "the attestation is about another key");
    assert_eq!(fixture.owner_of(&software), None);
}
