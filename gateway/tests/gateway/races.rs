//! Two gateways on one database are asked at the same moment, until chance has had its chances.
#![cfg(target_os = "linux")]

use std::num::NonZeroU32;
use std::sync::Barrier;
use std::thread;

use asymmetric_token::{Claims, Mutation};
use jiff::Timestamp;
use registry_gateway::keys::Role;

use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::{Fixture, SoftwareKey, Upload, crate_file, now};

/// So many crates are changed at a time, each through both gateways.
const LANES: usize = 4;

/// Two gateways whose limits nobody reaches here.
fn two(database: &Database) -> [Fixture; 2] {
    [(); 2].map(|()| {
        Fixture::with(|config| {
            config.store = database.place(OWNER);
            config.url = Some("http://crates.test".to_owned());
            config.verifications_per_peer = NonZeroU32::MAX;
            config.verifications_per_key = NonZeroU32::MAX;
        })
    })
}

/// Runs this many rounds, each with a crate's name and a number of its own.
fn rounds(number: usize, round: impl Fn(&str, usize) + Sync) {
    thread::scope(|scope| {
        for lane in 0..LANES {
            let round = &round;
            scope.spawn(move || {
                for number in (lane..number).step_by(LANES) {
                    round(&format!("lane{lane}"), number);
                }
            });
        }
    });
}

/// Sends a request to each of them at the same moment; returns their statuses.
fn at_once(requests: [impl FnOnce() -> u16 + Send; 2]) -> [u16; 2] {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let both = requests.map(|request| {
            scope.spawn(|| {
                barrier.wait();
                request()
            })
        });
        both.map(|one| one.join().unwrap())
    })
}

/// The log is whole, the tables say what it says, and nothing is left open.
#[track_caller]
fn is_whole(database: &Database, changes: usize) {
    let verified = database.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    for table in ["open_intent", "turn"] {
        assert_eq!(database.sql(&format!("SELECT count(*) FROM {table}")), "0", "{table}");
    }
    let done = "SELECT count(*) FROM audit WHERE entry LIKE '%\"outcome\":\"done\"%'";
    assert_eq!(database.sql(done), changes.to_string());
}

#[test]
fn one_token_at_both() {
    const ROUNDS: usize = 1_000;
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    for lane in 0..LANES {
        gateways[0].publish(&Upload::new(&format!("lane{lane}"), "1.0.0")).assert_ok();
    }
    rounds(ROUNDS, |name, number| {
        let (crate_name, version) = (name.parse().unwrap(), "1.0.0".parse().unwrap());
        let (method, path, mutation) = if (number / LANES).is_multiple_of(2) {
            ("DELETE", "yank", Mutation::Yank { name: crate_name, version })
        } else {
            ("PUT", "unyank", Mutation::Unyank { name: crate_name, version })
        };
        let path = format!("/api/v1/crates/{name}/1.0.0/{path}");
        let token = gateways[0].token(mutation);
        let send = |gateway: &Fixture| gateway.send(method, &path, Some(&token), b"").status;
        let mut statuses = at_once(gateways.each_ref().map(|gateway| move || send(gateway)));
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "round {number}");
    });
    is_whole(&database, LANES + ROUNDS);
}

/// The version that is there is the one whose publisher was told so.
#[test]
fn two_files_of_one_version() {
    const ROUNDS: usize = 300;
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    rounds(ROUNDS, |name, number| {
        let version = format!("1.0.{number}");
        let uploads = ["one", "other"].map(|text| {
            let manifest = format!("[package]\nname = \"{name}\"\nversion = \"{version}\"\n");
            let file =
                crate_file(name, &version, &[("Cargo.toml", manifest.as_bytes()), ("text", text.as_bytes())]);
            Upload { file, ..Upload::new(name, &version) }
        });
        let [one, other] = [0, 1].map(|n| (&gateways[n], &uploads[n]));
        let statuses = at_once([one, other].map(|(gateway, upload)| move || gateway.publish(upload).status));
        let there = match statuses {
            [200, 409] => &uploads[0],
            [409, 200] => &uploads[1],
            others => panic!("round {number}: {others:?}"),
        };
        let file = gateways[number % 2].get(&format!("/api/v1/crates/{name}/{version}/download"));
        assert_eq!(file.body, there.file, "round {number}");
    });
    is_whole(&database, ROUNDS);
}

/// Whoever publishes a crate first owns it.
#[test]
fn two_owners_of_one_crate() {
    const ROUNDS: usize = 300;
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    rounds(ROUNDS, |_, number| {
        let name = format!("crate{number}");
        let uploads = ["1.0.0", "2.0.0"].map(|version| Upload::new(&name, version));
        let claims = Claims::mutate(now(), uploads[1].mutation());
        let tokens =
            [gateways[0].publish_token(&uploads[0]), gateways[1].bob.token(gateways[1].url(), &claims)];
        let parts = [0, 1].map(|n| (&gateways[n], &tokens[n], &uploads[n]));
        let statuses =
            at_once(parts.map(|(gateway, token, upload)| move || gateway.put_new(token, upload).status));
        assert!(matches!(statuses, [200, 403] | [403, 200]), "round {number}: {statuses:?}");
    });
    assert_eq!(database.sql("SELECT count(*) FROM version"), ROUNDS.to_string());
    is_whole(&database, ROUNDS);
}

/// While others read, so that the next request finds a look at the keys under way.
#[test]
fn a_revocation_at_one_and_a_read_at_the_other() {
    const ROUNDS: usize = 300;
    let Some(database) = Database::new() else { return };
    let gateways = two(&database);
    let others = gateways[0].read_token();
    for round in 0..ROUNDS {
        let mut secret = [9; 48];
        secret[..2].copy_from_slice(&(round as u16).to_be_bytes());
        let key = SoftwareKey::of(secret);
        let [revokes, reads] = [round % 2, 1 - round % 2].map(|n| &gateways[n]);
        revokes.add_key(&key, "carol", Role::Read);
        let token = key.token(reads.url(), &Claims::read(Timestamp::now()));
        let read = |token: &str| reads.send("GET", "/index/config.json", Some(token), b"");
        read(&token).assert_ok();
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 1..3 {
                scope.spawn(|| {
                    barrier.wait();
                    (0..4).for_each(|_| read(&others).assert_ok());
                });
            }
            barrier.wait();
            let id = key.public.id().to_string();
            revokes.running().store().revoke_key(&id, Timestamp::now()).unwrap();
            read(&token).assert_refused(401, "was revoked at");
        });
    }
    is_whole(&database, 0);
}
