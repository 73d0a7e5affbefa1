//! How often a key and a neighbourhood of addresses may send, and a token read.
//!
//! Addresses live here alone, shortened to what a household or a company shares, in memory, and no longer than their
//! limit lasts. A proxy on the loopback is not limited: it stands for all its clients, and has limits of its own.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;

use deniable::WriteKey;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// Neighbourhoods or keys that are remembered before those that have been silent are forgotten.
const REMEMBERED: usize = 1 << 16;

/// The part of an address that is limited together: 24 bits of version 4, 56 bits of version 6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Neighbourhood {
    Four([u8; 3]),
    Six([u8; 7]),
}

impl Neighbourhood {
    /// The neighbourhood of an address; none for this machine's own.
    pub(super) fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            address if address.is_loopback() => None,
            IpAddr::V4(address) => address.octets().first_chunk().copied().map(Self::Four),
            IpAddr::V6(address) => address.octets().first_chunk().copied().map(Self::Six),
        }
    }
}

/// The most requests a second, lasting; four seconds' worth may come at once.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of a neighbourhood of addresses: 256 of version 4, or a /56 of version 6.
    pub neighbourhood: NonZeroU32,
    /// Of a write key.
    pub key: NonZeroU32,
    /// Of a token.
    pub token: NonZeroU32,
}

impl Default for Rates {
    /// 50 requests a second and neighbourhood, as a large office at the start of a day; 5,000 and key; 20 and token, for
    /// a page of figures that reads them one by one.
    fn default() -> Self {
        let positive = |rate| NonZeroU32::new(rate).expect("the rate is positive");
        Self { neighbourhood: positive(50), key: positive(5000), token: positive(20) }
    }
}

type Keyed<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Counts requests against [`Rates`].
pub(super) struct Limiter<C: Clock = DefaultClock> {
    neighbourhoods: Keyed<Neighbourhood, C>,
    keys: Keyed<WriteKey, C>,
    /// By their hash.
    tokens: Keyed<[u8; 32], C>,
}

impl Limiter {
    pub(super) fn new(rates: Rates) -> Self {
        Self::with_clock(rates, DefaultClock::default)
    }
}

impl<C: Clock> Limiter<C> {
    fn with_clock(rates: Rates, clock: impl Fn() -> C) -> Self {
        let quota = |rate: NonZeroU32| {
            Quota::per_second(rate)
                .allow_burst(rate.saturating_mul(NonZeroU32::new(4).expect("4 is positive")))
        };
        Self {
            neighbourhoods: RateLimiter::new(
                quota(rates.neighbourhood),
                DashMapStateStore::default(),
                clock(),
            ),
            keys: RateLimiter::new(quota(rates.key), DashMapStateStore::default(), clock()),
            tokens: RateLimiter::new(quota(rates.token), DashMapStateStore::default(), clock()),
        }
    }

    /// Counts a request of a neighbourhood. If there were too many, returns after how many seconds to come again.
    pub(super) fn check_neighbourhood(&self, neighbourhood: Neighbourhood) -> Result<(), u64> {
        check(&self.neighbourhoods, &neighbourhood)
    }

    /// Counts a request under a key. If there were too many, returns after how many seconds to come again.
    pub(super) fn check_key(&self, key: WriteKey) -> Result<(), u64> {
        check(&self.keys, &key)
    }

    /// Counts a request with a token, by its hash. If there were too many, returns after how many seconds to come again.
    pub(super) fn check_token(&self, sha256: [u8; 32]) -> Result<(), u64> {
        check(&self.tokens, &sha256)
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter(..)")
    }
}

fn check<K: Clone + Eq + std::hash::Hash, C: Clock>(limiter: &Keyed<K, C>, of: &K) -> Result<(), u64> {
    if limiter.len() > REMEMBERED {
        limiter.retain_recent();
    }
    limiter.check_key(of).map_err(|early| {
        let wait = early.earliest_possible().duration_since(limiter.clock().now());
        (std::time::Duration::from(wait).as_secs_f64().ceil() as u64).max(1)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rates(neighbourhood: u32, key: u32) -> Rates {
        let [neighbourhood, key] = [neighbourhood, key].map(|rate| NonZeroU32::new(rate).unwrap());
        Rates { neighbourhood, key, token: key }
    }

    #[test]
    fn each_neighbourhood_and_each_key_has_its_own_limit() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with_clock(rates(2, 1), || clock.clone());
        let of = |text: &str| Neighbourhood::of(text.parse().unwrap()).unwrap();
        let home = of("192.0.2.7");
        assert!((0..8).all(|_| limiter.check_neighbourhood(home).is_ok()));
        assert_eq!(limiter.check_neighbourhood(of("192.0.2.200")), Err(1));
        assert!(limiter.check_neighbourhood(of("192.0.3.7")).is_ok());
        clock.advance(Duration::from_secs(1));
        assert!((0..2).all(|_| limiter.check_neighbourhood(home).is_ok()));
        assert!(limiter.check_neighbourhood(home).is_err());
        assert!((0..4).all(|_| limiter.check_key(WriteKey([1; 16])).is_ok()));
        assert_eq!(limiter.check_key(WriteKey([1; 16])), Err(1));
        assert!(limiter.check_key(WriteKey([2; 16])).is_ok());
        assert!((0..4).all(|_| limiter.check_token([1; 32]).is_ok()));
        assert_eq!(limiter.check_token([1; 32]), Err(1));
        assert!(limiter.check_token([2; 32]).is_ok());
    }

    #[test]
    fn a_neighbourhood_is_a_prefix_and_this_machine_has_none() {
        let of = |text: &str| Neighbourhood::of(text.parse().unwrap());
        assert!(of("2001:db8:0:1200::1") == of("2001:db8:0:12ff:ffff::1"));
        assert!(of("2001:db8:0:1200::1") != of("2001:db8:0:1300::1"));
        assert!(of("::ffff:192.0.2.1") == of("192.0.2.99"));
        assert!([of("127.0.0.1"), of("::1"), of("::ffff:127.0.0.1")].iter().all(Option::is_none));
    }

    /// However many addresses come, those that are silent are forgotten.
    #[test]
    fn what_is_remembered_is_bounded() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with_clock(rates(100, 1), || clock.clone());
        for i in 0..3 * REMEMBERED as u32 {
            let [a, b, c, d] = i.to_be_bytes();
            limiter.check_neighbourhood(Neighbourhood::Six([a, b, c, d, 0, 0, 0])).unwrap();
            clock.advance(Duration::from_millis(1));
        }
        assert!(limiter.neighbourhoods.len() <= REMEMBERED + 1);
    }
}
