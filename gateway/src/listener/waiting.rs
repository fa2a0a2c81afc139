//! Who has come and has no place yet. The system hands out connections in the order in which they came, so whoever makes
//! thousands would have everybody else wait for all of them. Here each address has its turn.

use std::collections::{HashMap, VecDeque};

use crate::limits::Network;

/// Those who wait.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    /// Connections of our proxies, which have no turns: nobody knows yet for whom they ask.
    of_proxies: VecDeque<T>,
    /// Nowhere is an empty queue.
    others: HashMap<Network, VecDeque<T>>,
    /// The addresses of the others, in the order of their turns.
    turns: VecDeque<Network>,
    /// How many others there are.
    number: usize,
    most: usize,
}

impl<T> Waiting<T> {
    /// Room for so many besides those of proxies.
    pub(super) fn new(most: usize) -> Self {
        let (of_proxies, others, turns) = Default::default();
        Self { of_proxies, others, turns, number: 0, most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of_proxies.is_empty() && self.turns.is_empty()
    }

    /// Whether more should come in before somebody has got a place. There is room for others, for one of them is dropped; those
    /// of proxies wait outside.
    pub(super) fn has_room(&self) -> bool {
        self.of_proxies.len() < self.most
    }

    /// Adds one; `None` is a proxy of ours. If there are too many, one of the address that has the most is dropped: the one
    /// that has waited longest.
    pub(super) fn add(&mut self, from: Option<Network>, one: T) {
        let Some(from) = from else { return self.of_proxies.push_back(one) };
        let queue = self.others.entry(from).or_default();
        if queue.is_empty() {
            self.turns.push_back(from);
        }
        queue.push_back(one);
        self.number += 1;
        if self.number > self.most {
            let fullest = self.others.iter().max_by_key(|(_, queue)| queue.len()).map(|(from, _)| *from);
            fullest.and_then(|fullest| self.take(fullest));
        }
    }

    /// The next one, of the address whose turn it is.
    pub(super) fn next(&mut self) -> Option<T> {
        if let Some(next) = self.of_proxies.pop_front() {
            return Some(next);
        }
        let from = *self.turns.front()?;
        self.turns.rotate_left(1);
        self.take(from)
    }

    fn take(&mut self, from: Network) -> Option<T> {
        let queue = self.others.get_mut(&from)?;
        let one = queue.pop_front();
        self.number -= 1;
        if queue.is_empty() {
            self.others.remove(&from);
            self.turns.retain(|turn| *turn != from);
        }
        one
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn from(n: u8) -> Option<Network> {
        Some(Network::of(Ipv4Addr::new(192, 0, 2, n).into()))
    }

    fn all<T>(mut waiting: Waiting<T>) -> Vec<T> {
        std::iter::from_fn(|| waiting.next()).collect()
    }

    #[test]
    fn each_address_has_its_turn() {
        let mut waiting = Waiting::new(10);
        for (n, who) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (2, "b2"), (3, "c1")] {
            waiting.add(from(n), who);
        }
        waiting.add(None, "proxy");
        assert_eq!(all(waiting), ["proxy", "a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn whoever_sends_many_loses_many() {
        let mut waiting = Waiting::new(4);
        waiting.add(from(9), 0);
        for number in 1..1000 {
            waiting.add(from(1), number);
        }
        waiting.add(from(8), 1000);
        assert!(!waiting.is_empty() && waiting.has_room());
        assert_eq!(all(waiting), [0, 998, 1000, 999]);
    }

    #[test]
    fn those_of_proxies_are_not_dropped() {
        let mut waiting = Waiting::new(2);
        for number in 0..3 {
            waiting.add(None, number);
        }
        assert!(!waiting.has_room());
        assert_eq!(all(waiting), [0, 1, 2]);
    }
}
