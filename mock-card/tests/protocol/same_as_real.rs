//! The same script with the mock and with a real pcscd. The results are equal.

use crate::real_daemon::RealDaemon;
use crate::script::{self, World};
use crate::start;

#[test]
fn the_real_daemon_answers_the_same() {
    let real = match RealDaemon::start() {
        Ok(real) => real,
        Err(reason) => {
            skipped(&reason);
            return;
        }
    };
    let real = script::play(World::Real(real));
    let mock = script::play(World::Mock(start()));
    assert!(real.calls >= 150, "{} calls", real.calls);
    let mut title = "";
    let mut different = Vec::new();
    for (real, mock) in real.lines.iter().zip(&mock.lines) {
        if real.starts_with("==") {
            title = real;
        }
        if real != mock {
            different.push(format!("{title}\n  real {real}\n  mock {mock}"));
        }
    }
    assert!(different.is_empty(), "{} differences:\n{}", different.len(), different.join("\n"));
    assert_eq!(mock.lines.len(), real.lines.len());
}

#[allow(clippy::print_stderr, reason = "nobody shall take a comparison that did not happen for one")]
fn skipped(reason: &str) {
    eprintln!("skipped, the mock is not compared with a real pcscd: {reason}");
}
