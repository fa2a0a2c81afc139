//! Rate limits for verifying signatures. A stranger can make the gateway verify one, which takes a quarter of a
//! millisecond, so verifications are counted before they are done.
//!
//! Who signed a token is not known before its signature is verified: anybody can write any key id into a token. If key
//! ids were counted alone, whoever has seen one token of a person could lock that person out. So a key id is counted
//! together with the address it comes from, and each address has a larger account for all its tokens.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use asymmetric_token::KeyId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// The places for accounts of each kind. Somebody who has thousands of addresses, as everybody with an IPv6 /48 has, can use them all, and is
/// far from emptying them.
const PLACES: u64 = 1 << 16;

/// The accounts of addresses, and of keys. `C` is the clock.
#[derive(Debug)]
pub(crate) struct Limits<C: Clock = DefaultClock> {
    /// By [`Network`].
    peers: Accounts<C>,
    /// By key id and [`Network`].
    keys: Accounts<C>,
}

/// The limit is reached. The next signature will be verified after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait(pub(crate) Duration);

impl Limits {
    /// Limits of so many verifications a minute. All of them may come at once.
    pub(crate) fn new(per_peer: NonZeroU32, per_key: NonZeroU32) -> Self {
        Self::with_clock(per_peer, per_key, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn with_clock(per_peer: NonZeroU32, per_key: NonZeroU32, clock: C) -> Self {
        Self {
            peers: Accounts::new(per_peer, PLACES, clock.clone()),
            keys: Accounts::new(per_key, PLACES, clock),
        }
    }

    /// Counts one verification. `key` is the key id in the token, if there is such a key.
    ///
    /// # Errors
    /// [`Wait`]; nothing should be verified then.
    pub(crate) fn count(&self, peer: IpAddr, key: Option<KeyId>) -> Result<(), Wait> {
        let network = Network::of(peer);
        self.peers.count(network)?;
        key.map_or(Ok(()), |key| self.keys.count((key, network)))
    }
}

/// The accounts of one kind, in so many places. Which account has which place is chosen by a secret of this process: there is always
/// room for another one, and nobody can choose with whom to share.
#[derive(Debug)]
struct Accounts<C: Clock> {
    limiter: RateLimiter<u64, HashMapStateStore<u64>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    secret: RandomState,
    places: u64,
}

impl<C: Clock + Clone> Accounts<C> {
    fn new(per_minute: NonZeroU32, places: u64, clock: C) -> Self {
        let limiter = RateLimiter::hashmap_with_clock(Quota::per_minute(per_minute), clock.clone());
        Self { limiter, clock, secret: RandomState::new(), places }
    }

    fn count(&self, account: impl Hash) -> Result<(), Wait> {
        let place = self.secret.hash_one(account) % self.places;
        self.limiter.check_key(&place).map_err(|until| Wait(until.wait_time_from(self.clock.now())))
    }
}

/// What one subscriber has: an IPv4 address, or the first 64 bits of an IPv6 address (RFC 6177).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn limits(per_peer: u32, per_key: u32) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let number = |n| NonZeroU32::new(n).unwrap();
        (Limits::with_clock(number(per_peer), number(per_key), clock.clone()), clock)
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn key(text: &str) -> Option<KeyId> {
        Some(format!("k3.pid.{}", text.repeat(44)).parse().unwrap())
    }

    #[test]
    fn an_account_is_empty_and_fills_again() {
        let (limits, clock) = limits(60, 6);
        for _ in 0..6 {
            assert_eq!(limits.count(peer("192.0.2.1"), key("A")), Ok(()));
        }
        assert_eq!(limits.count(peer("192.0.2.1"), key("A")), Err(Wait(Duration::from_secs(10))));
        assert_eq!(limits.count(peer("192.0.2.1"), key("B")), Ok(()), "another key");
        assert_eq!(limits.count(peer("192.0.2.2"), key("A")), Ok(()), "the same key, from elsewhere");
        clock.advance(Duration::from_secs(10));
        assert_eq!(limits.count(peer("192.0.2.1"), key("A")), Ok(()));
    }

    #[test]
    fn an_address_pays_for_all_that_it_sends() {
        let (limits, _) = limits(6, 60);
        for _ in 0..6 {
            assert_eq!(limits.count(peer("192.0.2.1"), None), Ok(()), "a key that nobody has");
        }
        assert_eq!(limits.count(peer("192.0.2.1"), key("A")), Err(Wait(Duration::from_secs(10))));
        assert_eq!(limits.count(peer("::ffff:192.0.2.1"), None), Err(Wait(Duration::from_secs(10))));
    }

    #[test]
    fn an_ipv6_subscriber_has_one_account() {
        assert_eq!(Network::of(peer("2001:db8:1:2::1")), Network::of(peer("2001:db8:1:2:ffff::9")));
        assert_ne!(Network::of(peer("2001:db8:1:2::1")), Network::of(peer("2001:db8:1:3::1")));
    }

    #[test]
    fn accounts_are_bounded() {
        let accounts = Accounts::new(NonZeroU32::MIN, 3, FakeRelativeClock::default());
        let counted = (0..1000).filter(|n| accounts.count(n) == Ok(())).count();
        assert_eq!((counted, accounts.limiter.len()), (3, 3));
    }

    /// A /48 has 65,536 networks, and a table of as many accounts would be full.
    #[test]
    fn whoever_comes_from_everywhere_keeps_nobody_out() {
        let (limits, _) = limits(60, 60);
        for n in 0..=u16::MAX {
            let one = Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, 1);
            assert_eq!(limits.count(one.into(), None), Ok(()));
        }
        assert_eq!(limits.count(peer("192.0.2.1"), key("A")), Ok(()));
    }
}
