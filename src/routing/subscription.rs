//! One subscription: 40 bytes, since there may be millions.

use crate::types::{AccountId, Pattern};

/// A subscription in the shard's slab. Reused; valid until `unsubscribe`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubKey(pub u32);

#[derive(Clone, Copy, Debug)]
pub struct NewSubscription<'a> {
    pub account: AccountId,
    pub pattern: Pattern<'a>,
    pub queue: Option<&'a [u8]>,
    pub sid: &'a [u8],
    /// The connection's slot.
    pub owner: u32,
}

pub struct Subscription {
    sid: Sid,
    owner: u32,
    home: Home,
    /// Its place in the subscriber list of its pattern or queue group.
    pub(super) position: u32,
    delivered: Count,
    max: Count,
}

impl Subscription {
    pub(super) fn new(new: &NewSubscription<'_>, home: Home, position: u32) -> Self {
        let (delivered, max) = (Count::default(), Count::default());
        Self { sid: Sid::new(new.sid), owner: new.owner, home, position, delivered, max }
    }

    /// The connection's slot.
    #[inline]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    #[inline]
    pub fn sid(&self) -> &[u8] {
        match &self.sid {
            Sid::Short { len, bytes } => &bytes[..usize::from(*len)],
            Sid::Long(bytes) => bytes,
        }
    }

    #[inline]
    pub fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// From `UNSUB sid max`: the subscription ends with its `max`-th delivery. 0: it does not.
    #[inline]
    pub fn max(&self) -> u64 {
        self.max.get()
    }

    pub fn set_max(&mut self, max: u64) {
        self.max = Count::new(max);
    }

    /// Counts a delivery. True: it was the last that `max` allows.
    #[inline]
    pub fn count_delivery(&mut self) -> bool {
        let delivered = self.delivered.get() + 1;
        self.delivered = Count::new(delivered);
        let max = self.max.get();
        max != 0 && delivered >= max
    }

    /// Counts what was delivered elsewhere.
    pub fn add_delivered(&mut self, count: u64) {
        self.delivered = Count::new(self.delivered.get().saturating_add(count));
    }

    pub(super) fn home(&self) -> Home {
        self.home
    }
}

/// The pattern of a plain subscription, or the queue group of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Home(u32);

const GROUP_BIT: u32 = 1 << 31;

impl Home {
    pub fn pattern(key: u32) -> Self {
        Self(key)
    }

    pub fn group(key: u32) -> Self {
        Self(key | GROUP_BIT)
    }

    pub fn is_group(self) -> bool {
        self.0 & GROUP_BIT != 0
    }

    pub fn key(self) -> u32 {
        self.0 & !GROUP_BIT
    }
}

/// Clients number their subscriptions; what does not fit goes behind two pointers.
enum Sid {
    Short {
        len: u8,
        bytes: [u8; SID_SHORT],
    },
    #[expect(clippy::box_collection, reason = "a thin pointer, so that Sid is 16 bytes")]
    Long(Box<Vec<u8>>),
}

const SID_SHORT: usize = 14;

impl Sid {
    fn new(sid: &[u8]) -> Self {
        if sid.len() > SID_SHORT {
            return Self::Long(Box::new(sid.to_vec()));
        }
        let mut bytes = [0; SID_SHORT];
        bytes[..sid.len()].copy_from_slice(sid);
        Self::Short { len: sid.len() as u8, bytes }
    }
}

/// 48 bits: a year at ten million messages a second. Then it stands still.
#[derive(Clone, Copy, Default)]
struct Count([u16; 3]);

impl Count {
    fn new(count: u64) -> Self {
        let count = count.min((1 << 48) - 1);
        Self([count as u16, (count >> 16) as u16, (count >> 32) as u16])
    }

    fn get(self) -> u64 {
        u64::from(self.0[0]) | u64::from(self.0[1]) << 16 | u64::from(self.0[2]) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(sid: &[u8]) -> Subscription {
        let pattern = Pattern::parse(b"a").unwrap();
        let account = AccountId::GLOBAL;
        let new = NewSubscription { account, pattern, queue: None, sid, owner: 3 };
        Subscription::new(&new, Home::pattern(1), 0)
    }

    #[test]
    fn forty_bytes() {
        assert_eq!(size_of::<Subscription>(), 40);
        assert_eq!(size_of::<Option<Subscription>>(), 40);
    }

    #[test]
    fn sids_of_any_length() {
        for sid in [&b""[..], b"1", b"12345678901234", b"123456789012345", &[b'x'; 500]] {
            assert_eq!(subscription(sid).sid(), sid);
        }
    }

    #[test]
    fn ends_with_the_last_delivery_that_max_allows() {
        let mut sub = subscription(b"1");
        assert!(!sub.count_delivery());
        sub.set_max(3);
        assert!(!sub.count_delivery());
        assert!(sub.count_delivery());
        assert_eq!((sub.delivered(), sub.max()), (3, 3));
        sub.set_max(u64::MAX);
        assert_eq!(sub.max(), (1 << 48) - 1);
    }
}
