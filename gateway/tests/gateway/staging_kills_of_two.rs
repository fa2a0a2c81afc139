//! SIGKILL of either of two gateways at any moment of stages and approvals, which go to them in turn.
#![cfg(target_os = "linux")]

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::config::PostgresConfig;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;
use serde_json::Value;

use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::load::{CLIENTS, Trouble as _};
use crate::common::machine::Machine;
use crate::common::moments::{Dice, MOST_TRIES, Moment, put};
use crate::common::round_robin::RoundRobin;
use crate::common::{Response, SoftwareKey, Upload, now};
use crate::kills_of_two::Two;

const VERSIONS: usize = 200;
const CRATES: [&str; 3] = ["crate0", "crate1", "crate2"];
const NEW: &str = "/api/v1/crates/new";

/// A machine that stages, and a person who approves.
struct Company<'a> {
    two: &'a Two,
    store: &'a Store,
    address: SocketAddr,
    machine: Machine,
    person: SoftwareKey,
    /// The approvals that were answered with 200: the token, and what it was for.
    approved: Mutex<Vec<(String, Upload)>>,
}

impl Company<'_> {
    /// Until it is published. Whatever has no answer, or one that there was trouble, is tried again.
    fn releases(&self, upload: &Upload, dice: &mut Dice) {
        for _ in 0..MOST_TRIES {
            let job = self.machine.token(self.store);
            match self.put(NEW, &job, &upload.body(), dice) {
                Ok(answer) if answer.status == 200 => {
                    if self.approves(number(&answer), upload, dice) {
                        return;
                    }
                }
                // It was approved, and the answer was lost.
                Ok(answer) if answer.text().contains("is already published") => return,
                Ok(answer) => assert!(is_to_be_repeated(&answer), "{answer:?} {}", answer.text()),
                Err(_) => {}
            }
            self.two.has_failed();
        }
        panic!("{} {} cannot be released", upload.name, upload.version);
    }

    /// Whether it is known to be published.
    fn approves(&self, id: i64, upload: &Upload, dice: &mut Dice) -> bool {
        let token = self.person.token(&self.index_url(), &Claims::mutate(now(), upload.mutation()));
        match self.put(&format!("/api/v1/staged/{id}/approve"), &token, b"", dice) {
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.json()["state"], "published");
                self.approved.lock().unwrap().push((token, upload.clone()));
                return true;
            }
            Ok(answer) => assert!(is_to_be_repeated(&answer), "{answer:?} {}", answer.text()),
            Err(_) => {}
        }
        // What the dead one has begun is settled by the other, or by itself when it is there again.
        loop {
            self.two.has_failed();
            match self.state(id).as_deref() {
                Ok("approving") | Err(_) => {}
                Ok(state) => return state == "published",
            }
        }
    }

    fn put(&self, path: &str, token: &str, body: &[u8], dice: &mut Dice) -> io::Result<Response> {
        let moment = Moment::of(dice);
        let victim = dice.roll() as usize % 2;
        put(&self.address.to_string(), path, token, body, moment, || self.two.happens(victim))
    }

    fn state(&self, id: i64) -> io::Result<String> {
        let token = self.person.token(&self.index_url(), &Claims::read(now()));
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        write!(
            stream,
            "GET /api/v1/staged/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nConnection: close\r\n\r\n"
        )?;
        let answer = io::read_to_string(stream)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no answer"))?;
        let shown: Value = serde_json::from_str(body)?;
        shown["state"].as_str().map(ToOwned::to_owned).ok_or_else(|| io::Error::other(answer))
    }

    fn index_url(&self) -> String {
        format!("sparse+http://{}/index/", self.address)
    }
}

/// There was trouble, or another request for the version is not settled yet.
fn is_to_be_repeated(answer: &Response) -> bool {
    answer.status >= 500 || answer.text().contains("is being published just now")
}

fn number(staged: &Response) -> i64 {
    let told = staged.json()["warnings"]["other"][0].as_str().unwrap().to_owned();
    told.split_once("is staged as number ").unwrap().1.split_once(',').unwrap().0.parse().unwrap()
}

#[test]
fn no_accepted_version_is_lost_or_doubled() {
    let Some(database) = Database::new() else { return };
    let store = Store::at(&database.place(OWNER), &PostgresConfig::default()).unwrap();
    let person = SoftwareKey::new(5);
    let (public, user) = (person.public, "alice".parse().unwrap());
    let new = NewKey { public, user, role: Role::Both, label: None, subject: None, expires: None };
    store.add_key(new, Timestamp::now()).unwrap();
    let machine = Machine::of(&store, 9, "alice", &CRATES);
    let balancer = RoundRobin::new();
    let address = balancer.address;
    let two = Two::new(database, &balancer, format!("http://{address}"));
    let approved = Mutex::default();
    let company = Company { two: &two, store: &store, address, machine, person, approved };
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut dice = Dice::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= VERSIONS {
                        return;
                    }
                    let upload = Upload::new(CRATES[number % CRATES.len()], &format!("1.0.{number}"));
                    company.releases(&upload, &mut dice);
                }
            });
        }
    });
    two.alive();
    assert!(two.deaths.load(Ordering::Relaxed) > 5);

    let all = store.published(None).unwrap();
    assert_eq!(all.len(), VERSIONS);
    for (token, upload) in company.approved.lock().unwrap().iter() {
        let of_it: Vec<_> = all
            .iter()
            .filter(|record| record.name == upload.name && record.version == upload.version)
            .collect();
        assert_eq!(of_it.len(), 1, "{} {}", upload.name, upload.version);
        assert_eq!(of_it[0].token, *token, "another token than the accepted one is its proof");
        let again = put(&address.to_string(), NEW, token, &upload.body(), None, || {}).unwrap();
        assert_eq!(again.status, 401, "the token for {} passes again", upload.version);
    }
    let sql = |sql: &str| two.database.sql(sql);
    for table in ["version", "published"] {
        assert_eq!(sql(&format!("SELECT count(*) FROM {table}")), VERSIONS.to_string(), "{table}");
    }
    assert_eq!(sql("SELECT count(DISTINCT intent) FROM published"), VERSIONS.to_string());
    assert_eq!(store.open_intents().unwrap(), []);
    assert_eq!(sql("SELECT count(*) FROM turn"), "0");
    assert!(store.all_staged().unwrap().is_empty());
    let found = store.discrepancies(store.now()).unwrap();
    assert!(found.is_empty(), "{found:?}");
    let verified = two.database.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}
