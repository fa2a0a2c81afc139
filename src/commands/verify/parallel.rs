//! The same work for each of many things, some at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How often the caller hears how much is done, while nothing else happens.
const TICK: Duration = Duration::from_millis(100);

/// Does the work, on up to `most` threads, and gives what came of it in the same order. `at` hears how many are done.
pub(super) fn each<T: Sync, R: Send>(
    things: &[T],
    most: usize,
    mut at: impl FnMut(usize),
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<Option<R>> = things.iter().map(|_| None).collect();
    thread::scope(|scope| {
        let (done, is_done) = mpsc::channel();
        for _ in 0..most.min(things.len()) {
            let (done, next, work) = (done.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((place, thing)) = take(things, next) {
                    if done.send((place, work(thing))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let mut count = 0;
        loop {
            match is_done.recv_timeout(TICK) {
                Ok((place, result)) => {
                    results[place] = Some(result);
                    count += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            at(count);
        }
    });
    results.into_iter().map(|result| result.expect("each thing was taken by one thread")).collect()
}

fn take<'a, T>(things: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    things.get(place).map(|thing| (place, thing))
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn results_are_in_the_order_of_the_things() {
        let things: Vec<_> = (0..1000).collect();
        let mut seen = 0;
        let doubled = each(&things, 8, |done| seen = done, |thing| thing * 2);
        assert!(doubled.iter().zip(&things).all(|(double, thing)| *double == thing * 2));
        assert_eq!(seen, 1000);
        assert!(each(&[] as &[u8], 8, |_| (), |_| ()).is_empty());
    }
}
