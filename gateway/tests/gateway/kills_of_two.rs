//! SIGKILL of either of two gateways at any moment of 500 publishes, which go to them in turn.
#![cfg(target_os = "linux")]

use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::Store;

use crate::common::cluster::OWNER;
use crate::common::database::Database;
use crate::common::load::{Load, Trouble};
use crate::common::moments::{Dice, Moment, VERSIONS};
use crate::common::round_robin::RoundRobin;
use crate::common::served::{Served, program};

/// What serves, and is started again whenever it was killed.
pub(crate) struct Two {
    pub(crate) database: Database,
    base_url: String,
    addresses: [String; 2],
    served: [Mutex<Served>; 2],
    pub(crate) deaths: AtomicUsize,
}

impl Two {
    pub(crate) fn new(database: Database, balancer: &RoundRobin, base_url: String) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        balancer.lead_to(listeners.to_vec());
        let addresses = listeners.map(|address| address.to_string());
        let served = addresses.each_ref().map(|address| Mutex::new(start(&database, &base_url, address)));
        Self { database, base_url, addresses, served, deaths: AtomicUsize::new(0) }
    }

    /// Whichever was killed is started again. That it has ended is known before fifteen seconds have passed.
    pub(crate) fn alive(&self) {
        for (address, served) in self.addresses.iter().zip(&self.served) {
            let mut served = served.lock().unwrap();
            if served.child.try_wait().unwrap().is_some() {
                let silent = "UPDATE gateway SET heartbeat = heartbeat - INTERVAL '1 min'";
                self.database.sql(&format!("{silent} WHERE name LIKE '%({address})'"));
                *served = start(&self.database, &self.base_url, address);
                self.deaths.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Trouble for Two {
    fn is_due(&self, _: usize, dice: &mut Dice) -> Option<(Moment, usize)> {
        Moment::of(dice).map(|moment| (moment, dice.roll() as usize % 2))
    }

    fn happens(&self, victim: usize) {
        let mut served = self.served[victim].lock().unwrap();
        let _ = served.child.kill();
        served.child.wait().unwrap();
    }

    fn has_failed(&self) {
        self.alive();
    }
}

fn start(database: &Database, base_url: &str, address: &str) -> Served {
    let mut command = program(Path::new(&database.url()));
    command.env("REGISTRY_GATEWAY_LOG", "off");
    Served::of(command, &["--listen", address, "--url", base_url])
}

#[test]
fn no_accepted_publish_is_lost_or_doubled() {
    let Some(database) = Database::new() else { return };
    let store = Store::at(&database.place(OWNER), &PostgresConfig::default()).unwrap();
    let balancer = RoundRobin::new();
    let load = Load::new(&store, balancer.address);
    let two = Two::new(database, &balancer, load.base_url());
    load.publishes(VERSIONS, &two);
    two.alive();
    assert!(two.deaths.load(Ordering::Relaxed) > 5);
    let database = &two.database;
    load.is_whole(&store, |command| database.run(command), |sql| database.sql(sql));
}
