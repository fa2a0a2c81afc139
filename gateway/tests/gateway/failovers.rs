//! SIGKILL of the primary, with all its processes, again and again during publishes, which go to two gateways in turn. A standby
//! that was away comes back then, and the one takes over that has most of what was committed. The dead server comes back as a
//! copy of it.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Condvar, Mutex};
use std::thread;

use registry_gateway::config::PostgresConfig;
use registry_gateway::store::Store;

use crate::common::cluster::replicated::Replicated;
use crate::common::load::{Load, Schedule, Trouble};
use crate::common::moments::{Dice, Moment, VERSIONS};
use crate::common::round_robin::RoundRobin;
use crate::common::served::{program, serve};

const DEATHS: usize = 10;
/// Publishes from one death to the next.
const BETWEEN: usize = VERSIONS / DEATHS;

/// Who is asked for the primary's death, and told when it is dead.
struct Primary<'a> {
    servers: &'a Replicated,
    asker: Mutex<Option<Sender<Sender<()>>>>,
    deaths: Schedule,
    /// Poisoned if something has gone wrong with the servers.
    administers: Mutex<()>,
    is_alive: Mutex<bool>,
    lives_again: Condvar,
}

impl<'a> Primary<'a> {
    fn new(servers: &'a Replicated, deaths: Schedule) -> (Self, Receiver<Sender<()>>) {
        let (asker, askers) = mpsc::channel();
        let (asker, administers) = (Mutex::new(Some(asker)), Mutex::new(()));
        let (is_alive, lives_again) = (Mutex::new(true), Condvar::new());
        (Self { servers, asker, deaths, administers, is_alive, lives_again }, askers)
    }

    /// Whoever asks while the dead one is made a standby waits until that is there.
    fn dies(&self, askers: Receiver<Sender<()>>) {
        let _administers = self.administers.lock().unwrap();
        let mut behind = self.servers.misses_something();
        for is_dead in askers.into_iter().take(self.deaths.times) {
            *self.is_alive.lock().unwrap() = false;
            self.servers.primary().kill();
            is_dead.send(()).unwrap();
            self.servers.comes_back(behind);
            let dead = self.servers.fails_over();
            *self.is_alive.lock().unwrap() = true;
            self.lives_again.notify_all();
            self.servers.copies(dead);
            behind = self.servers.misses_something();
        }
    }
}

impl Trouble for Primary<'_> {
    fn is_due(&self, number: usize, dice: &mut Dice) -> Option<(Moment, usize)> {
        self.deaths.is_due(number, dice).map(|moment| (moment, 0))
    }

    fn happens(&self, _: usize) {
        let (is_dead, died) = mpsc::channel();
        self.asker.lock().unwrap().as_ref().unwrap().send(is_dead).unwrap();
        died.recv().unwrap();
    }

    fn has_failed(&self) {
        assert!(!self.administers.is_poisoned());
        let is_alive = self.is_alive.lock().unwrap();
        drop(self.lives_again.wait_while(is_alive, |is_alive| !*is_alive).unwrap());
    }

    fn is_over(&self) {
        *self.asker.lock().unwrap() = None;
    }
}

#[test]
fn no_accepted_publish_is_lost_or_doubled() {
    let Some(servers) = Replicated::new() else { return };
    let store = Store::at(&servers.url().parse().unwrap(), &PostgresConfig::default()).unwrap();
    let balancer = RoundRobin::new();
    let load = Load::new(&store, balancer.address);
    let url = servers.url();
    let gateways = [(); 2].map(|()| serve(&url, &load.base_url()));
    balancer.lead_to(gateways.iter().map(|(_, address)| *address).collect());
    let (primary, askers) = Primary::new(&servers, Schedule::new(DEATHS, BETWEEN));
    thread::scope(|scope| {
        scope.spawn(|| primary.dies(askers));
        load.publishes(primary.deaths.publishes(), &primary);
    });
    let run = |command: &[&str]| program(Path::new(&url)).args(command).output().unwrap();
    load.is_whole(&store, run, |sql| servers.sql(sql));
}
