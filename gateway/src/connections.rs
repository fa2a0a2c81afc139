//! The open connections, and which one is closed when there is no room for another.
//!
//! A connection keeps its place against newcomers only while a request is worked on whose token was found to be good. Without a
//! token anybody can send half a request and wait, or ask for what takes long; so all such connections make room, the one
//! with the weakest reason to stay first, and among equals one of the address that has the most of them. Nobody has to make
//! room for an address that has as many connections as they have. So holding connections keeps nobody out.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::limits::Network;
use crate::metrics::Metrics;
pub(crate) use watched::Watched;

mod watched;

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    table: Mutex<Table>,
    freed: Notify,
    started: Instant,
    most: usize,
    most_per_peer: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a proxy of ours until it is known for which address it asks.
    peer: Option<Network>,
    state: Arc<Activity>,
}

/// What is known of a connection from outside.
#[derive(Debug, Default)]
struct Activity {
    /// When the last byte went in either direction, in milliseconds since the listener started.
    last: AtomicU64,
    /// A request is being answered.
    asks: AtomicBool,
    /// Its token is good.
    known: AtomicBool,
    /// The token of the request before was not.
    strange: AtomicBool,
    /// Bytes of its body are waited for.
    sends: AtomicBool,
    close: Notify,
}

/// The reason that a connection has to stay, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The other end has to do something, and nobody knows who that is: the connection is between two requests, or its request
    /// is not complete, or the other end takes its time to read an answer.
    Waiting,
    /// A request is worked on, and nobody knows yet who sent it.
    Unknown,
    /// A request with a good token is being sent.
    Sending,
    /// A request with a good token is worked on.
    Working,
}

/// The place of one connection. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
    activity: Arc<Activity>,
}

impl Connections {
    /// At most `most` connections, and `most_per_peer` from one address.
    pub(crate) fn new(most: usize, most_per_peer: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            freed: Notify::new(),
            started: Instant::now(),
            most,
            most_per_peer,
            metrics,
        })
    }

    /// How many there may be.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// A place for a new connection; waits while requests with good tokens are worked on everywhere. A proxy of ours has as
    /// many as it wants.
    ///
    /// `None`: this address has enough.
    pub(crate) async fn place(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Option<Place> {
        let peer = (!is_proxy).then(|| Network::of(peer));
        loop {
            let freed = self.freed.notified();
            {
                let mut table = self.table();
                let shares = table.shares();
                let own = peer.and_then(|peer| shares.get(&peer)).copied().unwrap_or_default();
                if own >= self.most_per_peer {
                    self.evict(&mut table, &shares, |entry, _| entry.peer == peer)?;
                    return Some(self.seat(&mut table, peer));
                }
                if table.open.len() < self.most
                    || self
                        .evict(&mut table, &shares, |entry, share| share > own || entry.peer == peer)
                        .is_some()
                {
                    return Some(self.seat(&mut table, peer));
                }
                if table.open.values().any(|entry| entry.state.standing() < Standing::Working) {
                    return None;
                }
            }
            freed.await;
        }
    }

    fn seat(self: &Arc<Self>, table: &mut Table, peer: Option<Network>) -> Place {
        table.next += 1;
        let (id, activity) = (table.next, Arc::new(Activity::default()));
        activity.last.store(self.now(), Relaxed);
        table.open.insert(id, Entry { peer, state: activity.clone() });
        self.metrics.connected();
        Place { connections: self.clone(), id, activity }
    }

    /// Closes the one among these that has the weakest reason to stay: of those of one standing, one of the address with the
    /// most connections, and of these the one that has been silent longest.
    fn evict(
        &self,
        table: &mut Table,
        shares: &HashMap<Network, usize>,
        among: impl Fn(&Entry, usize) -> bool,
    ) -> Option<()> {
        let rank = |(id, entry): (&u64, &Entry)| {
            let share = entry.peer.and_then(|peer| shares.get(&peer)).copied().unwrap_or(1);
            let standing = entry.state.standing();
            let goes = standing < Standing::Working && among(entry, share);
            goes.then(|| (standing, Reverse(share), entry.state.last.load(Relaxed), *id))
        };
        let (.., id) = table.open.iter().filter_map(rank).min()?;
        let entry = table.open.remove(&id)?;
        entry.state.close.notify_one();
        self.metrics.evicted();
        Some(())
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// How many connections each address has.
    fn shares(&self) -> HashMap<Network, usize> {
        let mut shares = HashMap::new();
        for peer in self.open.values().filter_map(|entry| entry.peer) {
            *shares.entry(peer).or_default() += 1;
        }
        shares
    }
}

impl Activity {
    fn standing(&self) -> Standing {
        match (self.asks.load(Relaxed), self.known.load(Relaxed), self.sends.load(Relaxed)) {
            (false, ..) | (true, false, true) => Standing::Waiting,
            (true, false, false) => Standing::Unknown,
            (true, true, true) => Standing::Sending,
            (true, true, false) => Standing::Working,
        }
    }
}

impl Place {
    /// Resolves when the connection has to make room for another.
    pub(crate) async fn lost(&self) {
        self.activity.close.notified().await;
    }

    /// A request is being answered until this is dropped. Who asks is not known yet.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.activity.known.store(false, Relaxed);
        self.activity.asks.store(true, Relaxed);
        Work(self.clone())
    }

    /// For whom a proxy of ours asks.
    pub(crate) fn asks_for(&self, client: IpAddr) {
        if let Some(entry) = self.connections.table().open.get_mut(&self.id) {
            entry.peer = Some(Network::of(client));
        }
    }

    /// The token of the request that is being answered is good.
    pub(crate) fn is_known(&self) {
        self.activity.known.store(true, Relaxed);
    }

    /// Whether the request that was answered last had no good token.
    pub(crate) fn is_strange(&self) -> bool {
        self.activity.strange.load(Relaxed)
    }

    /// More of the request that is being answered is waited for until this is dropped.
    pub(crate) fn wait(self: &Arc<Self>) -> Wait {
        self.activity.sends.store(true, Relaxed);
        // Whoever waits for a place has to look again, because this connection can be closed now.
        self.connections.freed.notify_one();
        Wait(self.clone())
    }

    /// Watches the stream for activity. The connection ends if the other end does not read an answer for so long.
    pub(crate) fn watch<S>(self: &Arc<Self>, stream: S, patience: Duration) -> Watched<S> {
        Watched::new(stream, self.clone(), patience)
    }

    fn progress(&self) {
        self.activity.last.store(self.connections.now(), Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().open.remove(&self.id);
        self.connections.metrics.disconnected();
        self.connections.freed.notify_one();
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub(crate) struct Work(Arc<Place>);

impl Drop for Work {
    fn drop(&mut self) {
        let activity = &self.0.activity;
        self.0.progress();
        activity.strange.store(!activity.known.load(Relaxed), Relaxed);
        activity.asks.store(false, Relaxed);
        self.0.connections.freed.notify_one();
    }
}

/// See [`Place::wait`].
#[derive(Debug)]
pub(crate) struct Wait(Arc<Place>);

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.progress();
        self.0.activity.sends.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    fn room(most: usize) -> Arc<Connections> {
        Connections::new(most, most / 2, Arc::new(Metrics::new()))
    }

    fn peer(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    /// Comes in, or is turned away; waiting would be neither.
    async fn comes(room: &Arc<Connections>, from: IpAddr) -> Option<Arc<Place>> {
        let place = timeout(Duration::from_secs(5), room.place(from, false)).await;
        place.expect("nobody waits").map(Arc::new)
    }

    async fn several(room: &Arc<Connections>, from: IpAddr, number: usize) -> Vec<Arc<Place>> {
        let mut places = Vec::new();
        for _ in 0..number {
            places.push(comes(room, from).await.unwrap());
        }
        places
    }

    fn is_in(place: &Place) -> bool {
        place.connections.table().open.contains_key(&place.id)
    }

    fn left(places: &[Arc<Place>]) -> usize {
        places.iter().filter(|place| is_in(place)).count()
    }

    #[tokio::test]
    async fn the_address_with_the_most_makes_room_and_takes_from_nobody_with_fewer() {
        let room = room(8);
        let stranger = comes(&room, peer(1)).await.unwrap();
        let (four, three) = (several(&room, peer(2), 4).await, several(&room, peer(3), 3).await);
        let another = comes(&room, peer(4)).await.unwrap();
        assert_eq!((left(&four), left(&three)), (3, 3));
        let mut more = Vec::new();
        for _ in 0..100 {
            for from in [2, 3] {
                more.push(comes(&room, peer(from)).await.unwrap());
                assert!(is_in(&stranger) && is_in(&another));
            }
        }
    }

    #[tokio::test]
    async fn the_weakest_reason_goes_first_and_good_work_never() {
        let room = room(4);
        let [working, sending, unknown, body] = [1, 2, 3, 4].map(peer);
        let mut places = Vec::new();
        for from in [working, sending, unknown, body] {
            places.push(comes(&room, from).await.unwrap());
        }
        let _asked: Vec<_> = places.iter().map(Place::work).collect();
        places[0].is_known();
        places[1].is_known();
        let _sent = [places[1].wait(), places[3].wait()];
        let order = places.iter().map(|place| place.activity.standing());
        use Standing::{Sending, Unknown, Waiting, Working};
        assert_eq!(order.collect::<Vec<_>>(), [Working, Sending, Unknown, Waiting]);
        let mut newcomers = Vec::new();
        for gone in [3, 2, 1] {
            let newcomer = room.place(peer(10), true).await.map(Arc::new).unwrap();
            newcomer.work();
            assert!(!is_in(&places[gone]), "{gone}");
            std::mem::forget(newcomer.work());
            newcomer.is_known();
            newcomers.push(newcomer);
        }
        assert!(is_in(&places[0]));
        let full = timeout(Duration::from_millis(50), room.place(peer(11), false)).await;
        assert!(full.is_err(), "it waits");
    }

    #[tokio::test]
    async fn who_asks_through_a_proxy_is_counted_by_name() {
        let room = room(8);
        let mut places = Vec::new();
        for from in [1, 1, 1, 1, 1, 2, 3, 4] {
            let place = room.place(peer(99), true).await.unwrap();
            place.asks_for(peer(from));
            places.push(Arc::new(place));
        }
        for _ in 0..4 {
            places.push(Arc::new(room.place(peer(99), true).await.unwrap()));
            places.last().unwrap().asks_for(peer(1));
        }
        assert_eq!(left(&places[5..8]), 3);
    }

    /// What can happen to a place, and to whom.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Comes(u8),
        Leaves,
        Asks,
        IsKnown,
        Sends,
        EndsSending,
        IsAnswered,
    }

    fn event() -> impl Strategy<Value = (Event, prop::sample::Index)> {
        let one = prop_oneof![
            4 => (0_u8..5).prop_map(Event::Comes),
            1 => Just(Event::Leaves),
            2 => Just(Event::Asks),
            1 => Just(Event::IsKnown),
            1 => Just(Event::Sends),
            1 => Just(Event::EndsSending),
            1 => Just(Event::IsAnswered),
        ];
        (one, any::<prop::sample::Index>())
    }

    /// A place, and what it holds while something is done there.
    type Held = (Arc<Place>, u8, Option<Work>, Option<Wait>);

    fn happens(held: &mut Vec<Held>, event: Event, at: usize) {
        let (place, _, work, wait) = &mut held[at];
        match event {
            Event::Comes(_) => {}
            Event::Leaves => drop(held.swap_remove(at)),
            Event::Asks => *work = Some(place.work()),
            Event::IsKnown => place.is_known(),
            Event::Sends => *wait = Some(place.wait()),
            Event::EndsSending => *wait = None,
            Event::IsAnswered => (*work, *wait) = (None, None),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However they come and go: there are never too many, good work is never pushed out, nobody takes from an address
        /// that has no more, and somebody new comes in wherever good work leaves room.
        #[test]
        fn room_is_made_fairly(events in prop::collection::vec(event(), 0..200)) {
            let runtime = Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let room = room(6);
                let mut held: Vec<Held> = Vec::new();
                for (event, index) in events {
                    let Event::Comes(from) = event else {
                        if !held.is_empty() {
                            let at = index.index(held.len());
                            happens(&mut held, event, at);
                        }
                        continue;
                    };
                    let before = room.table().shares();
                    let share = |from: u8| *before.get(&Network::of(peer(from))).unwrap_or(&0);
                    let standings: Vec<_> = held.iter().map(|(place, ..)| place.activity.standing()).collect();
                    let free = held.len() < 6 || standings.iter().any(|one| *one < Standing::Working);
                    let Ok(came) = timeout(Duration::ZERO, room.place(peer(from), false)).await else {
                        prop_assert!(!free, "it waits, and there is room");
                        continue;
                    };
                    prop_assert!(came.is_some() || share(from) > 0, "turned away, and has nothing yet");
                    let gone: Vec<_> = (0..held.len()).filter(|at| !is_in(&held[*at].0)).collect();
                    prop_assert!(gone.len() <= 1);
                    for at in gone {
                        prop_assert!(standings[at] < Standing::Working);
                        let loser = held[at].1;
                        prop_assert!(loser == from || share(loser) > share(from));
                        held.swap_remove(at);
                    }
                    held.extend(came.map(|place| (Arc::new(place), from, None, None)));
                    prop_assert!(room.table().open.len() <= 6);
                }
                Ok(())
            })?;
        }
    }
}
