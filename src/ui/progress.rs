//! How far something has come that takes longer than a second.

use std::time::{Duration, Instant};

use super::Ui;
use super::countdown::rewrite;

/// Nobody is told of what is over by then.
const SILENCE: Duration = Duration::from_secs(1);

/// How often the line is drawn anew.
const STEP: Duration = Duration::from_millis(100);

/// A bar on a terminal, which is gone when it is dropped; elsewhere one line.
#[derive(Debug)]
pub struct Progress {
    ui: Ui,
    text: String,
    total: usize,
    next: Instant,
    said: bool,
}

impl Progress {
    pub(super) fn begin(ui: Ui, text: String, total: usize) -> Self {
        Self { ui, text, total, next: Instant::now() + SILENCE, said: false }
    }

    /// So many are done. To be called a few times a second, whether that has changed or not.
    pub fn at(&mut self, done: usize) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        self.next = now + STEP;
        if self.ui.wipe_line {
            rewrite(&line(&self.text, done, self.total));
        } else if !self.said {
            self.ui.say(format_args!("{} ({} in all)", self.text, self.total));
        }
        self.said = true;
    }
}

/// `text [=====>    ] 5/10`
fn line(text: &str, done: usize, total: usize) -> String {
    const WIDTH: usize = 25;
    let filled = (WIDTH * done).checked_div(total).unwrap_or(WIDTH).min(WIDTH);
    let head = if filled < WIDTH { ">" } else { "" };
    let rest = WIDTH - filled - head.len();
    format!("{text} [{}{head}{}] {done}/{total}", "=".repeat(filled), " ".repeat(rest))
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.said && self.ui.wipe_line {
            rewrite("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_fills() {
        assert_eq!(line("x", 0, 4), format!("x [>{}] 0/4", " ".repeat(24)));
        assert_eq!(line("x", 2, 4), format!("x [{}>{}] 2/4", "=".repeat(12), " ".repeat(12)));
        assert_eq!(line("x", 4, 4), format!("x [{}] 4/4", "=".repeat(25)));
    }
}
