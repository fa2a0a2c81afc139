//! Counters, in Prometheus' text format 0.0.4.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::log;
use crate::store::Outcome;

/// Statuses have three digits; the first is 1 to 5.
const STATUSES: usize = 500;
const MUTATIONS: [&str; 4] = ["publish", "yank", "unyank", "owners"];
const OUTCOMES: [&str; 3] = ["done", "refused", "failed"];
const FAILURES: [&str; 4] = ["unreachable", "slow", "credential", "failed"];

/// What was wrong with the registry behind, as far as operators act differently on it. It is attached to the answer
/// until that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFailure {
    /// It cannot be reached.
    Unreachable,
    /// It did not answer in time.
    Slow,
    /// It refuses a user's credential, or there is none.
    Credential,
    /// It failed, closed the connection, or did not answer as a registry does.
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
    upstream_failures: [AtomicU64; FAILURES.len()],
    accepted: AtomicU64,
    evicted: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    /// Makes request ids of different starts different.
    start: u32,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut start = [0; 4];
        // Without random bytes, ids may repeat after the next start, which is only a nuisance.
        let _ = aws_lc_rs::rand::fill(&mut start);
        Self {
            answers: Box::new([const { AtomicU64::new(0) }; STATUSES]),
            micros: AtomicU64::new(0),
            verifications: AtomicU64::new(0),
            known_reads: AtomicU64::new(0),
            changes: Default::default(),
            upstream_failures: Default::default(),
            accepted: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            start: u32::from_be_bytes(start),
        }
    }

    /// An id for the next request.
    pub(crate) fn request_id(&self) -> String {
        format!("{:08x}-{}", self.start, self.requests.fetch_add(1, Relaxed) + 1)
    }

    pub(crate) fn answered(&self, status: u16, took: Duration) {
        if let Some(count) = self.answers.get(usize::from(status).wrapping_sub(100)) {
            count.fetch_add(1, Relaxed);
        }
        self.micros.fetch_add(took.as_micros() as u64, Relaxed);
    }

    /// Counts a verified signature; that of an unknown key is only pretended to be verified.
    pub(crate) fn verification(&self) {
        self.verifications.fetch_add(1, Relaxed);
    }

    /// Counts a read whose signature was verified before.
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

    /// Counts a failure of the registry behind.
    pub(crate) fn upstream_failed(&self, failure: UpstreamFailure) {
        self.upstream_failures[failure as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn connected(&self) {
        self.accepted.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// Counts a connection that was closed to make room for another.
    pub(crate) fn evicted(&self) {
        self.evicted.fetch_add(1, Relaxed);
    }

    /// All counters as text. The store tells the number of changes without an outcome, if it can be read.
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
        for (failure, count) in FAILURES.iter().zip(&self.upstream_failures) {
            let labels = format!("{{reason=\"{failure}\"}}");
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
        head(&mut text, "log_lines_lost_total", "counter", "Lines of the log that could not be written.");
        line(&mut text, "log_lines_lost_total", "", log::lost());
        text
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP registry_gateway_{name} {help}\n# TYPE registry_gateway_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, count: u64) {
    let _ = writeln!(text, "registry_gateway_{name}{labels} {count}");
}
