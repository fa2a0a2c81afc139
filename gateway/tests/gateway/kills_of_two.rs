//! SIGKILL of either of two gateways at any moment of 500 publishes, which go to them in turn. Afterwards every accepted publish
//! is there, once; every token that was spent is still spent; every intent has an outcome.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::config::PostgresConfig;
use registry_gateway::keys::{NewKey, Role};
use registry_gateway::store::Store;

use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::round_robin::RoundRobin;
use crate::common::served::{Served, program};
use crate::common::{SoftwareKey, Upload, now};
use crate::kills::{Dice, MOST_TRIES, Moment, VERSIONS, publish};

/// What serves, and is started again whenever it was killed.
struct Two {
    database: Database,
    balancer: RoundRobin,
    addresses: [String; 2],
    served: [Mutex<Served>; 2],
    deaths: AtomicUsize,
}

impl Two {
    fn new(database: Database) -> Self {
        let balancer = RoundRobin::new();
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        balancer.lead_to(listeners.to_vec());
        let addresses = listeners.map(|address| address.to_string());
        let served = addresses.each_ref().map(|address| Mutex::new(start(&database, &balancer, address)));
        Self { database, balancer, addresses, served, deaths: AtomicUsize::new(0) }
    }

    fn kill(&self, number: usize) {
        let _ = self.served[number].lock().unwrap().child.kill();
    }

    /// Whichever was killed is started again. That it has ended is known before fifteen seconds have passed.
    fn alive(&self) {
        for (address, served) in self.addresses.iter().zip(&self.served) {
            let mut served = served.lock().unwrap();
            if served.child.try_wait().unwrap().is_some() {
                let silent = "UPDATE gateway SET heartbeat = heartbeat - INTERVAL '1 min'";
                self.database.sql(&format!("{silent} WHERE name LIKE '%({address})'"));
                *served = start(&self.database, &self.balancer, address);
                self.deaths.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn start(database: &Database, balancer: &RoundRobin, address: &str) -> Served {
    let mut command = program(Path::new(&database.url()));
    command.env("REGISTRY_GATEWAY_LOG", "off");
    Served::of(command, &["--listen", address, "--url", &format!("http://{}", balancer.address)])
}

#[test]
fn no_accepted_publish_is_lost_or_doubled() {
    let Some(database) = Database::new() else { return };
    let key = SoftwareKey::new(5);
    let user = "alice".parse().unwrap();
    let new =
        NewKey { public: key.public, user, role: Role::Both, label: None, subject: None, expires: None };
    let store = Store::at(&database.place(OWNER), &PostgresConfig::default()).unwrap();
    store.add_key(new, Timestamp::now()).unwrap();
    let two = Two::new(database);
    let address = two.balancer.address.to_string();
    let index_url = two.served[0].lock().unwrap().index_url.clone();
    let token = |upload: &Upload| key.token(&index_url, &Claims::mutate(now(), upload.mutation()));
    let next = AtomicUsize::new(0);
    let client = || {
        let (mut accepted, mut dice) = (HashMap::new(), Dice::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= VERSIONS {
                return accepted;
            }
            // Four crates, so that both are at work.
            let upload = Upload::new(&format!("crate{}", number % 4), &format!("1.0.{number}"));
            let mut tries = 0;
            loop {
                tries += 1;
                assert!(tries <= MOST_TRIES, "{} cannot be published", upload.version);
                let (moment, victim) = (Moment::of(&mut dice), dice.roll() as usize % 2);
                let token = token(&upload);
                match publish(&address, &token, &upload, moment, || two.kill(victim)) {
                    Ok(200) => {
                        accepted.insert(token, upload);
                        break;
                    }
                    // The answer to an earlier try was lost.
                    Ok(409) => break,
                    Ok(status) => assert!(status >= 500, "{status}"),
                    Err(_) => {}
                }
                two.alive();
            }
        }
    };
    let accepted: HashMap<_, _> = thread::scope(|scope| {
        let clients = [(); 4].map(|()| scope.spawn(client));
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    two.alive();
    assert!(two.deaths.load(Ordering::Relaxed) > 5);

    for (token, upload) in &accepted {
        // Whoever is refused before they have sent everything need not see the answer.
        let again = (0..MOST_TRIES).find_map(|_| publish(&address, token, upload, None, || {}).ok());
        assert_eq!(again, Some(401), "the token for {} passes again", upload.version);
        let path = format!("/api/v1/crates/{}/{}/download", upload.name, upload.version);
        let read = key.token(&index_url, &Claims::read(now()));
        assert!(two.served[0].lock().unwrap().get(&path, &read).body == upload.file, "{path}");
    }
    // Whoever changes a crate settles what was left open of it before.
    for number in 0..4 {
        let last = Upload::new(&format!("crate{number}"), "2.0.0");
        assert_eq!(publish(&address, &token(&last), &last, None, || {}).unwrap(), 200);
    }
    let all = VERSIONS + 4;
    assert_eq!(two.database.sql("SELECT count(*) FROM version"), all.to_string());
    assert_eq!(two.database.sql("SELECT count(DISTINCT (name, version)) FROM published"), all.to_string());
    assert_eq!(two.database.sql("SELECT count(*) FROM published"), all.to_string());
    assert_eq!(store.open_intents().unwrap(), []);
    let verified = two.database.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
