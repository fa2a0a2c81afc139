//! The time that the mock takes: for a command through libpcsclite, beside the applet alone, and from the start until
//! it is ready.
//!
//! In the median, a command should take no more than 0.1 ms longer than the applet alone, and the start no more than 10
//! ms.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use mock_card::{Card, Firmware, MockCard};

/// GET VERSION, which is the least work for a card.
const COMMAND: [u8; 4] = [0x00, 0xFD, 0x00, 0x00];
const SELECT: [u8; 10] = [0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08];

/// Tells this program to be the client, because libpcsclite finds its daemon by the environment of the process.
const CLIENT: &str = "MOCK_CARD_BENCH_CLIENT";

criterion_group!(benches, round_trip, ready);

fn main() {
    if std::env::var_os(CLIENT).is_some() {
        return be_the_client();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("GET VERSION");
    let mut card = Card::new(Firmware::default(), 1).unwrap();
    card.transmit(&SELECT);
    group.bench_function("applet alone", |bencher| bencher.iter(|| card.transmit(&COMMAND)));
    let mock = MockCard::builder().start().unwrap();
    let mut client = Client::start(&mock);
    group.bench_function("through libpcsclite", |bencher| {
        bencher.iter_custom(|count| {
            let taken = client.transmit(count);
            mock.clear_trace();
            taken
        });
    });
    group.finish();
}

fn ready(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start");
    group.bench_function("in this process, and stop", |bencher| {
        bencher.iter(|| MockCard::builder().start().unwrap());
    });
    group.bench_function("mock-card serve, until ready", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| serve_until_ready()).sum());
    });
    group.finish();
}

fn serve_until_ready() -> Duration {
    let begun = Instant::now();
    let mut mock = Command::new(env!("CARGO_BIN_EXE_mock-card"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(mock.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "ready"));
    let taken = begun.elapsed();
    mock.stdin.take().unwrap().write_all(b"quit\n").unwrap();
    mock.wait().unwrap();
    taken
}

/// A process that transmits a number of times, and tells how long that took.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    fn start(mock: &MockCard) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(CLIENT, "1")
            .env("PCSCLITE_CSOCK_NAME", mock.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    fn transmit(&mut self, count: u64) -> Duration {
        writeln!(self.stdin.as_mut().unwrap(), "{count}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        Duration::from_nanos(line.trim().parse().unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

fn be_the_client() {
    use pcsc::{Context, Protocols, Scope, ShareMode};
    let context = Context::establish(Scope::User).unwrap();
    let reader = context.list_readers_owned().unwrap().remove(0);
    let card = context.connect(&reader, ShareMode::Shared, Protocols::T1).unwrap();
    let mut buffer = [0; 264];
    card.transmit(&SELECT, &mut buffer).unwrap();
    for line in std::io::stdin().lines() {
        let count: u64 = line.unwrap().parse().unwrap();
        let begun = Instant::now();
        for _ in 0..count {
            assert_eq!(card.transmit(&COMMAND, &mut buffer).unwrap().len(), 5);
        }
        let mut output = std::io::stdout();
        writeln!(output, "{}", begun.elapsed().as_nanos()).and_then(|()| output.flush()).unwrap();
    }
}
