//! What the gateway's own registry costs as there is more of one thing: entries of the log, versions, versions of one
//! crate, spent tokens, users, bytes. The argument is the program, `registry-gateway`, which is asked over HTTP where it
//! is asked over HTTP, and run where it is a command. Arguments after it choose tables by their first word.
//!
//! The stores are filled with SQL and not by a million publishes. What is measured is then done through the front door.

mod filling;
mod served;
mod table;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use filling::{Amounts, Folder, crate_name};
use served::{Client, Served, Upload};
use table::{Aim, Table, cost, percentile};

const TIMES: usize = 60;
const PUBLISHES: usize = 30;
const PUBLISHERS: usize = 8;
/// Changes of which an earlier run did not write what came of them.
const LEFT_OPEN: usize = 1_000;
const A_SECOND: Aim = Aim::Within(1_000);

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let program = PathBuf::from(arguments.next().expect("the program's path"));
    let chosen: Vec<_> = arguments.map(|word| word.to_string_lossy().into_owned()).collect();
    let tables: [(&str, fn(&Path)); 7] = [
        ("log", log),
        ("versions", versions),
        ("crate", one_crate),
        ("spent", spent),
        ("users", users),
        ("bytes", bytes),
        ("publishers", publishers),
    ];
    println!(
        "Milliseconds, lower quartiles, over one connection that is kept. The verdict is of the sizes from 1,000 on."
    );
    for (name, measure) in tables {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            measure(&program);
        }
    }
}

/// The crate that is asked for is published at the end of the log.
fn log(program: &Path) {
    let mut table = Table::new("entries of the log");
    for size in [100, 1_000, 10_000, 100_000, 1_000_000] {
        let folder = Folder::filled(program, &Amounts { log: size, ..Amounts::default() });
        let served = Served::start(program, &folder);
        table.add("start until it serves", A_SECOND, size, served.started_in);
        let mut client = served.client();
        table.add("publish", Aim::Flat, size, publishes(&mut client, "fresh", PUBLISHES));
        reads(&mut table, &mut client, size, "fresh", "1.7.0");
        table.add("yank and undo", Aim::Flat, size, yanks(&mut client, "fresh", "1.7.0"));
        table.add("metrics", Aim::Flat, size, cost(TIMES, || client.operators("/metrics")));
        table.add("checkpoint", Aim::Flat, size, cost(TIMES, || client.get("/log/checkpoint", None, 200)));
        table.add("tile", Aim::Flat, size, cost(TIMES, || client.get("/log/tile/0/000.p/99", None, 200)));
        table.add("leaves", Aim::Flat, size, cost(TIMES, || client.get("/log/leaves/0", None, 200)));
        drop(client);
        drop(served);
        folder.leave_open(LEFT_OPEN);
        let served = Served::start(program, &folder);
        table.add("start with 1,000 open changes", A_SECOND, size, served.started_in);
        drop(served);
        table.add("audit verify", Aim::Linear, size, run(program, &folder, &["audit", "verify"]));
    }
    table.print();
}

fn versions(program: &Path) {
    let mut table = Table::new("versions, ten to a crate");
    for size in [100, 1_000, 10_000, 100_000] {
        let folder =
            Folder::filled(program, &Amounts { versions: size, per_crate: 10, ..Amounts::default() });
        let served = Served::start(program, &folder);
        table.add("start until it serves", Aim::None, size, served.started_in);
        let mut client = served.client();
        table.add("publish", Aim::Flat, size, publishes(&mut client, "fresh", PUBLISHES));
        let name = crate_name(size / 20);
        reads(&mut table, &mut client, size, &name, "1.7.0");
        table.add("yank and undo", Aim::Flat, size, yanks(&mut client, &name, "1.7.0"));
        let path = |words: &str| format!("/api/v1/crates?q={words}");
        for (row, words) in [
            ("search, one match", name.as_str()),
            ("search, all match", "described"),
            ("search, one letter", "c"),
        ] {
            table.add(row, Aim::None, size, cost(TIMES, || client.get(&path(words), None, 200)));
        }
    }
    table.print();
}

fn one_crate(program: &Path) {
    let mut table = Table::new("versions of one crate");
    for size in [10, 100, 1_000, 10_000] {
        let folder =
            Folder::filled(program, &Amounts { versions: size, per_crate: size, ..Amounts::default() });
        let served = Served::start(program, &folder);
        let mut client = served.client();
        let name = crate_name(0);
        reads(&mut table, &mut client, size, &name, "1.7.0");
        table.add("yank and undo", Aim::None, size, yanks(&mut client, &name, "1.7.0"));
        table.add("publish", Aim::Flat, size, publishes(&mut client, &name, PUBLISHES));
    }
    table.print();
}

fn spent(program: &Path) {
    let mut table = Table::new("spent tokens that are remembered");
    for size in [100, 1_000, 10_000, 100_000, 900_000] {
        let folder = Folder::filled(program, &Amounts { spent: size, ..Amounts::default() });
        let served = Served::start(program, &folder);
        let mut client = served.client();
        table.add("publish", Aim::Flat, size, publishes(&mut client, "fresh", PUBLISHES));
    }
    table.print();
}

fn users(program: &Path) {
    let mut table = Table::new("users with a key each");
    for size in [100, 1_000, 10_000, 100_000] {
        let folder = Folder::filled(program, &Amounts { users: size, ..Amounts::default() });
        table.add("user list", Aim::Linear, size, run(program, &folder, &["user", "list"]));
        let served = Served::start(program, &folder);
        let mut client = served.client();
        let with_a_new_token = || {
            client.forget_token();
            client.get("/index/config.json", None, 200);
        };
        table.add("read with a new token", Aim::Flat, size, cost(TIMES, with_a_new_token));
        table.add("publish", Aim::Flat, size, publishes(&mut client, "fresh", PUBLISHES));
    }
    table.print();
}

fn bytes(program: &Path) {
    let mut table = Table::new("bytes of a crate file");
    for size in [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000] {
        let folder = Folder::filled(program, &Amounts { versions: 10, per_crate: 10, ..Amounts::default() });
        folder.enlarge(&crate_name(0), "1.7.0", size);
        let served = Served::start(program, &folder);
        let mut client = served.client();
        let path = download(&crate_name(0), "1.7.0");
        table.add("download", Aim::Linear, size, cost(9, || client.get(&path, None, 200)));
    }
    table.print();
}

/// Index reads of one client, alone, while others publish once a second, and as fast as they can.
fn publishers(program: &Path) {
    let folder = Folder::filled(program, &Amounts { versions: 10_000, per_crate: 10, ..Amounts::default() });
    let served = Served::start(program, &folder);
    let mut reader = served.client();
    let path = index(&crate_name(7));
    let mut times = |while_it_lasts: &dyn Fn(usize) -> bool| {
        let mut times = Vec::new();
        while while_it_lasts(times.len()) {
            let started = Instant::now();
            reader.get(&path, None, 200);
            times.push(started.elapsed());
        }
        times
    };
    let alone = times(&|done| done < 20_000);
    let mut beside = |name: &str, uploads: usize, each: Duration| {
        let mut clients: Vec<_> = (0..PUBLISHERS).map(|_| served.client()).collect();
        // Packing and signing are the clients' work, and are done before.
        let uploads: Vec<Vec<_>> = clients
            .iter_mut()
            .enumerate()
            .map(|(n, client)| {
                let upload = |version| client.upload(&format!("{name}{n}"), &format!("1.{version}.0"));
                (0..uploads).map(upload).collect()
            })
            .collect();
        let published = AtomicBool::new(false);
        thread::scope(|scope| {
            let publish = |client: &mut Client, uploads: &[Upload]| {
                for upload in uploads {
                    let due = Instant::now() + each;
                    client.publish(upload);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            };
            let publishing: Vec<_> = clients
                .iter_mut()
                .zip(&uploads)
                .map(|(client, uploads)| scope.spawn(move || publish(client, uploads)))
                .collect();
            let waiting = scope.spawn(|| {
                publishing.into_iter().for_each(|publishing| publishing.join().expect("published"));
                published.store(true, Ordering::Relaxed);
            });
            let times = times(&|_| !published.load(Ordering::Relaxed));
            waiting.join().expect("it waits");
            times
        })
    };
    let paced = beside("paced", 10, Duration::from_secs(1));
    let hurried = beside("hurried", 60, Duration::ZERO);
    let [alone, paced, hurried] =
        [alone, paced, hurried].map(|times| [50, 99].map(|part| percentile(times.clone(), part)));
    println!("\nIndex reads beside {PUBLISHERS} publishers");
    for (who, [half, most]) in
        [("alone", alone), ("each publishes once a second", paced), ("as fast as they can", hurried)]
    {
        println!(
            "   {half:>8.2} ms, 99 of 100 within {most:.2}: {:.1} times as long (aim: 2 at most)  {who}",
            most / alone[1]
        );
    }
}

/// Rows that every table of the registry has.
fn reads(table: &mut Table, client: &mut Client, size: usize, name: &str, version: &str) {
    let proof = |version: &str| format!("/api/v1/crates/{name}/{version}/proof");
    table.add("proof", Aim::Flat, size, cost(TIMES, || client.get(&proof(version), None, 200)));
    table.add("proof of none", Aim::Flat, size, cost(TIMES, || client.get(&proof("9.9.9"), None, 404)));
    let file = download(name, version);
    table.add("download", Aim::Flat, size, cost(TIMES, || client.get(&file, None, 200)));
    let index = index(name);
    table.add("index file", Aim::None, size, cost(TIMES, || client.get(&index, None, 200)));
    let tag = client.tag(&index);
    table.add("index file, 304", Aim::Flat, size, cost(TIMES, || client.get(&index, Some(&tag), 304)));
}

/// Publishes new versions of a crate.
fn publishes(client: &mut Client, name: &str, times: usize) -> f64 {
    let uploads: Vec<_> = (0..times).map(|n| client.upload(name, &format!("1.{n}.0-new"))).collect();
    let mut uploads = uploads.iter();
    // The first version is what reads ask for where nothing else was published.
    if name == "fresh" {
        let first = client.upload(name, "1.7.0");
        client.publish(&first);
    }
    cost(times, || client.publish(uploads.next().expect("one for each time")))
}

/// Half the time that yanking a version and undoing it takes.
fn yanks(client: &mut Client, name: &str, version: &str) -> f64 {
    let tokens: Vec<_> = (0..TIMES).map(|n| client.yank_token(name, version, n % 2 == 0)).collect();
    let mut tokens = tokens.iter().enumerate();
    cost(TIMES, || {
        let (n, token) = tokens.next().expect("one for each time");
        client.set_yanked(name, version, n % 2 == 0, token);
    })
}

/// Seconds are rare here, so this is one run.
fn run(program: &Path, folder: &Folder, command: &[&str]) -> f64 {
    let started = Instant::now();
    folder.run(program, command);
    milliseconds(started.elapsed())
}

fn index(name: &str) -> String {
    format!("/index/{}/{}/{name}", &name[..2], &name[2..4])
}

fn download(name: &str, version: &str) -> String {
    format!("/api/v1/crates/{name}/{version}/download")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
