//! Gateways, networks and a primary that stop without a word during publishes, which go to two gateways in turn, and go on later:
//! what a kill does not show, because whoever was killed has closed its connections.
#![cfg(target_os = "linux")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex};
use std::thread;

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::Store;
use rustix::process::Signal;

use crate::common::cluster::replicated::Replicated;
use crate::common::database::Database;
use crate::common::load::{CLIENTS, Load, Schedule, Trouble};
use crate::common::moments::{Dice, Moment};
use crate::common::network::{Network, Weather};
use crate::common::round_robin::RoundRobin;
use crate::common::served::{Served, program, serve, signal};

/// How often something stops, and how many publishes there are from one time to the next.
const ROUNDS: usize = 2;
const BETWEEN: usize = 20;

/// What stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silent {
    /// The process of a gateway.
    Gateway,
    /// The network between a gateway and the database.
    Database,
    /// The network between the clients and a gateway.
    Clients,
}

/// A gateway with a network on either side.
struct Connected {
    served: Served,
    address: SocketAddr,
    to_database: Network,
    to_clients: Network,
}

impl Connected {
    fn new(database: &Database, base_url: &str) -> Self {
        let to_database = Network::to(database.socket());
        let (served, address) = serve(&database.url_at(to_database.address), base_url);
        Self { served, address, to_database, to_clients: Network::to_gateway(address) }
    }

    fn stops(&self, what: Silent) {
        match what {
            Silent::Gateway => signal(self.served.child.id(), Signal::STOP),
            Silent::Database => self.to_database.is(Weather::Silent),
            Silent::Clients => self.to_clients.is(Weather::Silent),
        }
    }

    /// What was sent meanwhile arrives, or the connections break.
    fn goes_on(&self, what: Silent, breaks: bool) {
        let network = match what {
            Silent::Gateway => return signal(self.served.child.id(), Signal::CONT),
            Silent::Database => &self.to_database,
            Silent::Clients => &self.to_clients,
        };
        if breaks {
            network.is(Weather::Away);
        }
        network.is(Weather::Good);
    }
}

/// Two gateways, of which one is cut off whenever a client asks for that.
struct Two<'a> {
    gateways: [Connected; 2],
    database: &'a Database,
    balancer: &'a RoundRobin,
    asker: Mutex<Option<Sender<usize>>>,
    schedule: Schedule,
}

impl Two<'_> {
    /// The proxy passes over the one that is silent, as it would find out. The other one goes on with every crate, whatever the
    /// silent one was at work on.
    fn falls_silent(&self, what: Silent, victims: Receiver<usize>, load: &Load) {
        for (round, victim) in victims.into_iter().take(ROUNDS).enumerate() {
            let (silent, other) = (&self.gateways[victim], &self.gateways[1 - victim]);
            silent.stops(what);
            self.balancer.lead_to(vec![other.to_clients.address]);
            if what != Silent::Clients {
                let is_dead = "UPDATE gateway SET heartbeat = heartbeat - INTERVAL '1 min'";
                self.database.sql(&format!("{is_dead} WHERE name LIKE '%({})'", silent.address));
            }
            load.goes_on_at(other.address, round, self);
            silent.goes_on(what, round % 2 == 1);
            self.balancer.lead_to(self.gateways.iter().map(|gateway| gateway.to_clients.address).collect());
        }
    }
}

impl Trouble for Two<'_> {
    fn is_due(&self, number: usize, dice: &mut Dice) -> Option<(Moment, usize)> {
        self.schedule.is_due(number, dice).map(|moment| (moment, dice.roll() as usize % 2))
    }

    fn happens(&self, victim: usize) {
        self.asker.lock().unwrap().as_ref().unwrap().send(victim).unwrap();
    }

    fn has_failed(&self) {}

    fn is_over(&self) {
        *self.asker.lock().unwrap() = None;
    }
}

fn one_falls_silent(what: Silent) {
    let Some(database) = Database::new() else { return };
    let store = database.open().unwrap();
    let balancer = RoundRobin::new();
    let load = Load::new(&store, balancer.address);
    let gateways = [(); 2].map(|()| Connected::new(&database, &load.base_url()));
    balancer.lead_to(gateways.iter().map(|gateway| gateway.to_clients.address).collect());
    let (asker, victims) = mpsc::channel();
    let (asker, schedule) = (Mutex::new(Some(asker)), Schedule::new(ROUNDS, BETWEEN));
    let two = Two { gateways, database: &database, balancer: &balancer, asker, schedule };
    thread::scope(|scope| {
        scope.spawn(|| two.falls_silent(what, victims, &load));
        load.publishes(two.schedule.publishes(), &two);
    });
    load.is_whole(&store, |command| database.run(command), |sql| database.sql(sql));
}

#[test]
fn a_gateway_that_is_stopped() {
    one_falls_silent(Silent::Gateway);
}

#[test]
fn a_gateway_that_the_database_does_not_hear() {
    one_falls_silent(Silent::Database);
}

#[test]
fn a_gateway_that_its_clients_do_not_hear() {
    one_falls_silent(Silent::Clients);
}

/// A primary that is stopped until so many publishes have failed.
struct Primary<'a> {
    servers: &'a Replicated,
    asker: Mutex<Option<Sender<()>>>,
    schedule: Schedule,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    is_frozen: bool,
    failed: usize,
}

impl Primary<'_> {
    fn freezes(&self, asked: Receiver<()>) {
        for (patience, ()) in [1, CLIENTS].into_iter().zip(asked) {
            let frozen = self.servers.primary().freeze();
            let mut state = self.state.lock().unwrap();
            *state = State { is_frozen: true, failed: 0 };
            state = self.changed.wait_while(state, |state| state.failed < patience).unwrap();
            frozen.go_on();
            state.is_frozen = false;
            self.changed.notify_all();
        }
    }
}

impl Trouble for Primary<'_> {
    fn is_due(&self, number: usize, dice: &mut Dice) -> Option<(Moment, usize)> {
        self.schedule.is_due(number, dice).map(|moment| (moment, 0))
    }

    fn happens(&self, _: usize) {
        self.asker.lock().unwrap().as_ref().unwrap().send(()).unwrap();
    }

    fn has_failed(&self) {
        let mut state = self.state.lock().unwrap();
        state.failed += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| state.is_frozen).unwrap());
    }

    fn is_over(&self) {
        *self.asker.lock().unwrap() = None;
        self.state.lock().unwrap().failed = CLIENTS;
        self.changed.notify_all();
    }
}

/// Once until somebody is refused, and once until everybody has been told something: also whoever waited for a COMMIT.
#[test]
fn a_primary_that_is_stopped() {
    let Some(servers) = Replicated::new() else { return };
    let url = servers.url();
    let store = Store::at(&url.parse().unwrap(), &PostgresConfig::default()).unwrap();
    let balancer = RoundRobin::new();
    let load = Load::new(&store, balancer.address);
    let gateways = [(); 2].map(|()| serve(&url, &load.base_url()));
    balancer.lead_to(gateways.iter().map(|(_, address)| *address).collect());
    let (asker, asked) = mpsc::channel();
    let state = Mutex::new(State { is_frozen: false, failed: 0 });
    let (schedule, changed) = (Schedule::new(2, BETWEEN), Condvar::new());
    let primary = Primary { servers: &servers, asker: Mutex::new(Some(asker)), schedule, state, changed };
    thread::scope(|scope| {
        scope.spawn(|| primary.freezes(asked));
        load.publishes(primary.schedule.publishes(), &primary);
    });
    let run = |command: &[&str]| program(Path::new(&url)).args(command).output().unwrap();
    load.is_whole(&store, run, |sql| servers.sql(sql));
}
