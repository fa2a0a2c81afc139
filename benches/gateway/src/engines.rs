//! The gateway's own registry with its store in a folder, and in a PostgreSQL on this host, in turns: index reads with their question
//! whether a key was revoked, publishes, memory, and what another gateway on the same database adds.
//!
//! The PostgreSQL is a cluster of this program's own, on the same disk, and waits for it as the folder does. It shares the cores.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use asymmetric_token::Claims;
use jiff::Timestamp;
use registry_gateway::config::PostgresConfig;
use registry_gateway::store::Store;
use registry_gateway::store_place::StorePlace;

use crate::front::{Front, verdict};
use crate::package::Package;
use crate::postgres::Server;
use crate::publish::put;
use crate::reads::{asked_for, median, rate_of, resident};

const ROUNDS: usize = 40;
const READS: usize = 2_000;
const PUBLISHES: usize = 60;
const PUBLISHERS: usize = 8;
const CONNECTIONS: usize = 200;
/// Connections, and requests of each. A build opens several, and there are several builds: whoever asks while it is found out whether a
/// key was revoked shares the next answer.
const READER_CONNECTIONS: usize = 32;
const READERS: [usize; 2] = [READER_CONNECTIONS, 40];
/// Bytes of a crate's file before it is packed.
const UNPACKED: usize = 4 << 10;

static NAMES: AtomicUsize = AtomicUsize::new(0);

/// Prints the table, where PostgreSQL is installed.
pub(crate) fn measure() {
    let Some(server) = Server::start() else {
        println!("Both engines: skipped, because PostgreSQL is not installed\n");
        return;
    };
    let StorePlace::Postgres(url) = server.url().parse().expect("an address") else {
        unreachable!("it is one of PostgreSQL")
    };
    Store::migrate_postgres(&url, &PostgresConfig::default()).expect("tables");
    let folder = Front::with_a_store();
    let postgres = Front::in_postgres(StorePlace::Postgres(url.clone()), true);
    let engines = [("in a folder", &folder), ("in a PostgreSQL", &postgres)];
    println!(
        "The built-in registry with its store in a folder, and in a PostgreSQL on the same two cores and the same disk, in turns"
    );
    reads(&engines);
    publishes(&engines);
    let second = Front::in_postgres(StorePlace::Postgres(url), false);
    another_gateway(&server, &postgres, &second);
    let token = postgres.token(&Claims::read(Timestamp::now()));
    let path = index_path(&published(&postgres));
    let _open: Vec<_> = (0..CONNECTIONS).map(|_| asked_for(postgres.address(), &path, &token)).collect();
    println!(
        "   {:>7} kB resident with {CONNECTIONS} connections open to the gateway on PostgreSQL, three gateways and the clients included \
         (aim: 65536){}\n",
        resident(),
        verdict(resident() <= 65_536)
    );
}

fn reads(engines: &[(&str, &Front); 2]) {
    let asked: Vec<_> = engines
        .iter()
        .map(|(_, front)| (index_path(&published(front)), front.token(&Claims::read(Timestamp::now()))))
        .collect();
    let mut rates = [Vec::new(), Vec::new()];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (at, (_, front)) in engines.iter().enumerate() {
            let (path, token) = &asked[at];
            let rate = rate_of(front.address(), path, token, READERS);
            if round > 0 {
                rates[at].push(rate);
            }
            times[at].extend(each(front.address(), path, token, READS / ROUNDS));
        }
    }
    println!(
        "   index reads a second over {READER_CONNECTIONS} connections ({ROUNDS} rounds, medians); one alone, from the request to the answer"
    );
    for (at, (name, _)) in engines.iter().enumerate() {
        let times = &mut times[at];
        times.sort();
        println!(
            "   {:>7.0} /s  {name}; half within {:.2} ms, 99 of 100 within {:.2} ms",
            median(rates[at].iter().copied()),
            milliseconds(times[times.len() / 2]),
            milliseconds(times[times.len() * 99 / 100])
        );
    }
    let ratio = 100.0 * median((0..ROUNDS).map(|round| rates[1][round] / rates[0][round]));
    println!(
        "   the PostgreSQL has {ratio:.0} % of the folder's rate (aim: 80 at least){}",
        verdict(ratio >= 80.0)
    );
}

fn each(address: SocketAddr, path: &str, token: &str, times: usize) -> Vec<Duration> {
    let mut connection = asked_for(address, path, token);
    (0..times)
        .map(|_| {
            let started = Instant::now();
            crate::reads::ask_for(&mut connection, path, token);
            started.elapsed()
        })
        .collect()
}

fn publishes(engines: &[(&str, &Front); 2]) {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..PUBLISHES + 5 {
        for (at, (_, front)) in engines.iter().enumerate() {
            let time = publish(front).1;
            // The first ones open connections.
            if round >= 5 {
                times[at].push(time);
            }
        }
    }
    let [folder, postgres] = times.map(|mut times| {
        times.sort();
        milliseconds(times[times.len() / 2])
    });
    println!("   a publish of a small crate ({PUBLISHES} in turns, medians)");
    println!("   {folder:>7.1} ms  in a folder");
    println!(
        "   {postgres:>7.1} ms  in a PostgreSQL: {:.2} times as long (aim: 1.3 at most){}",
        postgres / folder,
        verdict(postgres / folder <= 1.3)
    );
}

/// Two gateways on two cores with their database and their clients show only where the time goes. What each read and each publish
/// costs of a gateway's core and of the database's says how many gateways one database can have.
fn another_gateway(server: &Server, one: &Front, other: &Front) {
    for (name, fronts) in [("one gateway", vec![one]), ("two gateways", vec![one, other])] {
        let (started, count) = (Instant::now(), PUBLISHERS * 20);
        let (ours, theirs) = (cpu(&[std::process::id()]), cpu(&server.processes()));
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let front = fronts[publisher % fronts.len()];
                scope.spawn(move || (0..20).for_each(|_| drop(published(front))));
            }
        });
        let seconds = started.elapsed().as_secs_f64();
        let ours = (cpu(&[std::process::id()]) - ours) / count as f64;
        let theirs = (cpu(&server.processes()) - theirs) / count as f64;
        println!(
            "   {:>7.0} publishes a second by {PUBLISHERS} publishers through {name}; each takes {:.1} ms of a core in the gateway and its \
             clients, and {:.1} ms in PostgreSQL",
            count as f64 / seconds,
            ours * 1e3,
            theirs * 1e3
        );
    }
    let path = index_path(&published(one));
    let token = one.token(&Claims::read(Timestamp::now()));
    let (ours, theirs) = (cpu(&[std::process::id()]), cpu(&server.processes()));
    let count = 20;
    for _ in 0..count {
        rate_of(one.address(), &path, &token, READERS);
    }
    let reads = (count * READERS[0] * READERS[1]) as f64;
    let [ours, theirs] = [cpu(&[std::process::id()]) - ours, cpu(&server.processes()) - theirs];
    println!(
        "   {:>7.0} us of a core for an index read in the gateway and its client, and {:.1} us in PostgreSQL: a database core serves {:.0} \
         gateways' cores",
        ours / reads * 1e6,
        theirs / reads * 1e6,
        ours / theirs.max(1e-9)
    );
}

/// Publishes a crate of its own; returns its name.
fn published(front: &Front) -> String {
    publish(front).0
}

/// The same, and the time from the connection to the end of the answer.
fn publish(front: &Front) -> (String, Duration) {
    let name = format!("crate-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    let package = Package::new(&name, "1.0.0", UNPACKED);
    let token = front.token(&Claims::mutate(Timestamp::now(), package.mutation()));
    let time = put(front.address(), &token, &package.body(), None);
    (name, time)
}

fn index_path(name: &str) -> String {
    format!("/index/{}/{}/{name}", &name[..2], &name[2..4])
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Seconds of a core that processes have had, with those of their children that were waited for.
fn cpu(processes: &[u32]) -> f64 {
    // USER_HZ is 100 on every Linux that anybody has.
    let ticks = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
        fields[11..15].iter().map(|ticks| ticks.parse::<f64>().ok()).sum::<Option<f64>>()
    };
    processes.iter().filter_map(ticks).sum::<f64>() / 100.0
}
