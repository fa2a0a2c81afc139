//! What is counted, in Prometheus' text format 0.0.4.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::store::Outcome;

/// Statuses have three digits; the first is 1 to 5.
const STATUSES: usize = 500;
const MUTATIONS: [&str; 4] = ["publish", "yank", "unyank", "owners"];
const OUTCOMES: [&str; 3] = ["done", "refused", "failed"];
const TROUBLES: [&str; 4] = ["unreachable", "slow", "credential", "failed"];

/// What was wrong with the registry behind, as far as operators do different things about it. Rides on the answer from where
/// it is known to where answers are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing was sent.
    Unreachable,
    /// No answer in time.
    Slow,
    /// It refuses what we have for a user, or we have nothing.
    Credential,
    /// It failed, hung up, or answered nonsense.
    Failed,
}

/// Counters of one gateway since its start.
#[derive(Debug)]
pub(crate) struct Metrics {
    answers: Box<[AtomicU64; STATUSES]>,
    micros: AtomicU64,
    verifications: AtomicU64,
    known_reads: AtomicU64,
    changes: [[AtomicU64; OUTCOMES.len()]; MUTATIONS.len()],
    troubles: [AtomicU64; TROUBLES.len()],
    accepted: AtomicU64,
    evicted: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    /// Of this start, so that request ids of two starts differ.
    start: u32,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut start = [0; 4];
        // An id that is the same after the next start would be a nuisance and no more.
        let _ = aws_lc_rs::rand::fill(&mut start);
        Self {
            answers: Box::new([const { AtomicU64::new(0) }; STATUSES]),
            micros: AtomicU64::new(0),
            verifications: AtomicU64::new(0),
            known_reads: AtomicU64::new(0),
            changes: Default::default(),
            troubles: Default::default(),
            accepted: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            start: u32::from_be_bytes(start),
        }
    }

    /// A name for the next request.
    pub(crate) fn request_id(&self) -> String {
        format!("{:08x}-{}", self.start, self.requests.fetch_add(1, Relaxed) + 1)
    }

    pub(crate) fn answered(&self, status: u16, took: Duration) {
        if let Some(count) = self.answers.get(usize::from(status).wrapping_sub(100)) {
            count.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// A signature was verified, or an unknown key's pretended to be.
    pub(crate) fn verification(&self) {
        self.verifications.fetch_add(1, Relaxed);
    }

    /// A read token's signature was remembered.
    pub(crate) fn known_read(&self) {
        self.known_reads.fetch_add(1, Relaxed);
    }

    pub(crate) fn changed(&self, mutation: &str, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Done => 0,
            Outcome::Refused(_) => 1,
            Outcome::Failed(_) => 2,
        };
        if let Some(mutation) = MUTATIONS.iter().position(|word| *word == mutation) {
            self.changes[mutation][outcome].fetch_add(1, Relaxed);
        }
    }

    /// The registry behind did not do its part.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.troubles[trouble as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// A connection was closed to make room.
    pub(crate) fn evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    /// All of it. The number of changes whose outcome is not known yet is the store's to say, if it can.
    pub(crate) fn text(&self, changes_open: Option<u64>) -> String {
        let mut text = String::new();
        head(&mut text, "requests_total", "counter", "Answers by status.");
        for (at, count) in self.answers.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                let labels = format!("{{status=\"{}\"}}", at + 100);
                line(&mut text, "requests_total", &labels, count);
            }
        }
        head(&mut text, "request_seconds", "summary", "From a request's header to its answer's.");
        let micros = self.micros.load(Relaxed);
        let _ = writeln!(text, "registry_gateway_request_seconds_sum {}", micros as f64 / 1e6);
        let count = self.answers.iter().map(|count| count.load(Relaxed)).sum();
        line(&mut text, "request_seconds_count", "", count);
        head(&mut text, "changes_total", "counter", "Changes by mutation and what came of them.");
        for (mutation, counts) in MUTATIONS.iter().zip(&self.changes) {
            for (outcome, count) in OUTCOMES.iter().zip(counts) {
                let labels = format!("{{mutation=\"{mutation}\",outcome=\"{outcome}\"}}");
                line(&mut text, "changes_total", &labels, count.load(Relaxed));
            }
        }
        if let Some(open) = changes_open {
            head(&mut text, "changes_open", "gauge", "Changes under way, or whose outcome is not known yet.");
            line(&mut text, "changes_open", "", open);
        }
        head(
            &mut text,
            "behind_failures_total",
            "counter",
            "Answers that the registry behind is to blame for.",
        );
        for (trouble, count) in TROUBLES.iter().zip(&self.troubles) {
            let labels = format!("{{reason=\"{trouble}\"}}");
            line(&mut text, "behind_failures_total", &labels, count.load(Relaxed));
        }
        for (name, kind, help, count) in [
            ("verifications_total", "counter", "Signatures verified.", &self.verifications),
            ("known_reads_total", "counter", "Reads with a token verified before.", &self.known_reads),
            ("connections_total", "counter", "Connections accepted.", &self.accepted),
            ("connections_evicted_total", "counter", "Connections closed to make room.", &self.evicted),
            ("connections", "gauge", "Connections open now.", &self.open),
        ] {
            head(&mut text, name, kind, help);
            line(&mut text, name, "", count.load(Relaxed));
        }
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP registry_gateway_{name} {help}\n# TYPE registry_gateway_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, count: u64) {
    let _ = writeln!(text, "registry_gateway_{name}{labels} {count}");
}
