//! Cards that lie: other serial numbers, keys and signatures than the real ones, answers cut short, too long, without
//! an end. No token leaves the process, nothing wrong is enrolled, and nothing is broken afterwards.

use mock_card::{Effect, Fault, MockCard};
use yk_cargo::enrollment::Enrollments;

use crate::trace::Seen;
use crate::world::{NAME, World};

/// What can happen to any answer.
const LIES: [Effect; 7] = [
    Effect::Truncate(0),
    Effect::Truncate(1),
    Effect::Truncate(4),
    Effect::Pad(1),
    Effect::Pad(300),
    Effect::Corrupt(0),
    Effect::StatusWord(0x9000),
];

fn tells(card: &MockCard, nth: usize, effect: Effect) {
    card.clear_faults();
    card.inject(Fault::Transmit { nth, effect });
}

impl World {
    /// The provider's refusal of a token, in one line.
    #[track_caller]
    fn refusal(&self, operation: &str) -> String {
        let request = serde_json::json!({
            "v": 1, "registry": {"index-url": self.gateway.index_url(), "name": NAME},
            "kind": "get", "operation": operation, "name": "alpha", "vers": "0.1.0",
        });
        let outcome = self.provider(&request.to_string()).succeeds();
        let answer = outcome.answer();
        assert_eq!(answer["Err"]["kind"], "other", "{outcome:#?}");
        assert!(!outcome.stdout.contains("v3.public"), "{outcome:#?}");
        answer["Err"]["message"].as_str().unwrap().to_owned()
    }
}

/// SELECT, GET SERIAL, the signature, each in turn with every lie. Between the last two, a yank asks for the PIN's state:
/// what is said there decides nothing but whether a person is asked.
#[test]
fn no_token_comes_of_a_lie() {
    let world = World::enrolled();
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    for (operation, commands) in [("read", [1, 2, 3]), ("yank", [1, 2, 4])] {
        for nth in commands {
            for lie in LIES {
                tells(&world.card, nth, lie);
                let refusal = world.refusal(operation);
                assert!(!refusal.contains("a bug"), "{operation} {nth} {lie:?}: {refusal}");
            }
        }
    }
    world.card.clear_faults();
    world.yk_cargo(["token", NAME, "--yank", "alpha@0.1.0"]).succeeds();
    Seen::on(&world.card).assert_well_mannered();
}

#[test]
fn a_card_that_never_stops_talking() {
    let world = World::enrolled();
    world.card.inject(Fault::Endless);
    let refusal = world.refusal("read");
    assert!(refusal.contains("answer without an end"), "{refusal}");
    world
        .yk_cargo(["enroll", "sparse+http://localhost:9/", "--yes"])
        .fails()
        .says(&["answer without an end"]);
}

/// Each in its own words.
#[test]
fn what_a_lie_is_called() {
    let world = World::enrolled();
    for (nth, lie, says) in [
        (1, Effect::Truncate(1), "the YubiKey's PIV application cannot be selected"),
        (2, Effect::Corrupt(3), "is plugged in, but this needs YubiKey 12345678 (laptop key)"),
        (2, Effect::Pad(1), "serial number"),
        // The integers within the signature, and the tag before them.
        (3, Effect::Corrupt(20), "the card's signature does not match the enrolled key; no token was made"),
        (3, Effect::Corrupt(0), "signature"),
        // A length that promises more than there is.
        (3, Effect::Corrupt(1), "signature"),
        (3, Effect::Pad(1), "signature"),
    ] {
        tells(&world.card, nth, lie);
        let refusal = world.refusal("read");
        assert!(refusal.contains(says), "{nth} {lie:?}: {refusal}");
    }
}

/// The first command of each kind that `enroll` sends, with every lie: either it stops, or it enrolls the keys that are
/// on the card; and an honest run afterwards finishes.
#[test]
fn no_wrong_key_is_enrolled() {
    let honest = World::new();
    honest.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
    let seen = Seen::on(&honest.card);
    let mut kinds = seen.instructions();
    let all = kinds.clone();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.len() >= 8, "{kinds:?}");
    for kind in kinds {
        let nth = all.iter().position(|name| *name == kind).unwrap() + 1;
        for lie in LIES.into_iter().chain([Effect::Corrupt(50)]) {
            let world = World::new();
            tells(&world.card, nth, lie);
            let outcome = world.yk_cargo(["enroll", NAME, "--yes"]).ends();
            assert!(!outcome.stderr.contains("panicked"), "{kind} {lie:?}: {outcome:#?}");
            if !outcome.status.success() {
                outcome.says(&["error: "]);
                world.card.clear_faults();
                world.yk_cargo(["enroll", NAME, "--yes"]).succeeds();
            }
            let enrollments = Enrollments::load(&world.cargo_home()).unwrap();
            assert!(enrollments.pending.is_empty(), "{kind} {lie:?}: {enrollments:#?}");
            for operation in [&["--read"][..], &["--yank", "alpha@0.1.0"]] {
                world.yk_cargo([&["token", NAME][..], operation].concat()).succeeds();
            }
        }
    }
}
