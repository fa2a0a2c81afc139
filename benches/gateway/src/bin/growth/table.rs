//! A table of costs by size, and what they show.

use std::time::{Duration, Instant};

use super::milliseconds;

/// What a cost should do as the size grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Stay, within twice.
    Flat,
    /// Grow no faster.
    Linear,
    /// Take no more milliseconds at any size.
    Within(u32),
    /// It is only shown.
    None,
}

/// Costs in milliseconds.
pub(crate) struct Table {
    of: &'static str,
    rows: Vec<(&'static str, Aim, Vec<(usize, f64)>)>,
}

impl Table {
    pub(crate) fn new(of: &'static str) -> Self {
        Self { of, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: &'static str, aim: Aim, size: usize, cost: f64) {
        match self.rows.iter_mut().find(|known| known.0 == row) {
            Some(known) => known.2.push((size, cost)),
            None => self.rows.push((row, aim, vec![(size, cost)])),
        }
    }

    pub(crate) fn print(&self) {
        let sizes = self.rows.first().map_or(&[][..], |row| &row.2);
        let sizes: String = sizes.iter().map(|(size, _)| format!("{:>9}", short(*size))).collect();
        println!("\n{:<34}{sizes}", self.of);
        for (row, aim, costs) in &self.rows {
            let growth = Growth::of(costs);
            let cells: String = costs.iter().map(|(_, cost)| format!("{cost:>9.2}")).collect();
            let held = match aim {
                Aim::Within(most) => costs.iter().all(|(_, cost)| *cost <= f64::from(*most)),
                Aim::Flat => growth == Growth::Flat,
                Aim::Linear => growth <= Growth::Linear,
                Aim::None => true,
            };
            let missed = if held { "" } else { ": MISSED" };
            println!("   {row:<31}{cells}  {}{missed}", growth.as_str());
        }
    }
}

/// How a cost grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Growth {
    Flat,
    Logarithmic,
    Linear,
    Worse,
}

impl Growth {
    /// Of the sizes from 1,000 on. Twice as much is taken for the same, for that is what a busy computer makes of it.
    fn of(costs: &[(usize, f64)]) -> Self {
        let large: Vec<_> = costs.iter().filter(|(size, _)| *size >= 1_000).collect();
        let (Some((least, first)), Some((most, last))) = (large.first(), large.last()) else {
            return Self::Flat;
        };
        let (least, most, ratio) = (*least as f64, *most as f64, last / first);
        let bounds =
            [(1.0, Self::Flat), (most.ln() / least.ln(), Self::Logarithmic), (most / least, Self::Linear)];
        let within = bounds.into_iter().find(|(bound, _)| ratio <= 2.0 * bound);
        within.map_or(Self::Worse, |(_, growth)| growth)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Logarithmic => "logarithmic",
            Self::Linear => "linear",
            Self::Worse => "worse than linear",
        }
    }
}

/// 100,000 is `100k`.
fn short(size: usize) -> String {
    match size {
        1_000_000.. => format!("{}M", size / 1_000_000),
        1_000.. => format!("{}k", size / 1_000),
        _ => size.to_string(),
    }
}

/// What a quarter of the times stays below, in milliseconds. Whatever else the computer does only adds to a time.
pub(crate) fn cost(times: usize, mut work: impl FnMut()) -> f64 {
    let one = |_| {
        let started = Instant::now();
        work();
        started.elapsed()
    };
    percentile((0..times).map(one).collect(), 25)
}

pub(crate) fn percentile(mut times: Vec<Duration>, part: usize) -> f64 {
    times.sort();
    milliseconds(times[(times.len() - 1) * part / 100])
}
