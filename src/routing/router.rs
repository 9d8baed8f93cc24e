//! One shard's router: its subscriptions, the interest of the others, and the question between.

use std::rc::Rc;

use super::cache::Cache;
use super::changes::{InterestError, PendingChanges, decode};
use super::fanout::Fanout;
use super::hashing::PatternHash;
use super::interest::{Interest, find_or_insert_group};
use super::queue_group::GroupKey;
use super::slab::Slab;
use super::sublist;
use super::subscription::{Home, NewSubscription, SubKey, Subscription};
use crate::types::limits::SHARDS_MAX;
use crate::types::{AccountId, ShardId, Subject};

/// Subjects that are used once: no use remembering where they went.
const ONE_SHOT: [&[u8]; 3] = [b"_INBOX.", b"_R_.", b"$JS.ACK."];

#[derive(Clone, Copy, Debug)]
pub struct RouterSettings {
    /// Subjects whose fan-out is remembered (`limits::ROUTE_CACHE_SUBJECTS`).
    pub cache_subjects: usize,
    pub cache_enabled: bool,
}

pub struct Router {
    shard: ShardId,
    is_alone: bool,
    cache_enabled: bool,
    subs: Slab<Subscription>,
    interest: Interest,
    cache: Cache,
    last: LastRoute,
    pending: PendingChanges,
    /// Filled again for each subject that is not cached, unless someone still holds it.
    scratch: Rc<Fanout>,
    inserts: u64,
    removes: u64,
    matches: u64,
}

/// `/subsz` numbers of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoutingTotals {
    pub subscriptions: u64,
    pub cached: u64,
    pub inserts: u64,
    pub removes: u64,
    pub matches: u64,
    pub cache_hits: u64,
    pub fanout_max: u64,
    /// Sum of the fan-outs of cached subjects: divided by `cached` it is the average.
    pub fanout_sum: u64,
    /// Entries that tell what other shards want.
    pub remote_interest: u64,
}

/// The last subject that was routed from the cache.
#[derive(Default)]
struct LastRoute {
    account: AccountId,
    subject: Vec<u8>,
    /// Forgotten with any change of interest.
    fanout: Option<Rc<Fanout>>,
}

impl LastRoute {
    fn set(&mut self, account: AccountId, subject: &[u8], fanout: &Rc<Fanout>) {
        self.account = account;
        self.subject.clear();
        self.subject.extend_from_slice(subject);
        self.fanout = Some(Rc::clone(fanout));
    }
}

impl Router {
    /// `hash_seed` is the same on all shards of a server, and secret.
    pub fn new(shard: ShardId, shards: usize, hash_seed: u64, settings: RouterSettings) -> Self {
        assert!(shard.index() < shards && shards <= SHARDS_MAX);
        let cache_subjects = if settings.cache_enabled { settings.cache_subjects } else { 0 };
        Self {
            shard,
            is_alone: shards == 1,
            cache_enabled: cache_subjects != 0,
            subs: Slab::default(),
            interest: Interest::new(hash_seed),
            cache: Cache::new(cache_subjects),
            last: LastRoute::default(),
            pending: PendingChanges::new(hash_seed),
            scratch: Rc::default(),
            inserts: 0,
            removes: 0,
            matches: 0,
        }
    }

    pub fn subscribe(&mut self, new: NewSubscription<'_>) -> SubKey {
        self.inserts += 1;
        self.last.fanout = None;
        let hash = self.interest.pattern_hash(new.account, new.pattern);
        let Interest { hashing, sublist, groups, .. } = &mut self.interest;
        let pattern = sublist.find_or_insert(hashing, new.account, new.pattern, hash);
        let home = match new.queue {
            None => Home::pattern(pattern),
            Some(queue) => {
                Home::group(find_or_insert_group(hashing, sublist, groups, pattern, queue).0)
            }
        };
        let key = SubKey(self.subs.insert(Subscription::new(&new, home, 0)));
        let position = match new.queue {
            None => sublist.add_plain(pattern, key),
            Some(_) => {
                let local = &mut groups.get_mut(GroupKey(home.key())).local;
                local.push(key);
                local.len() as u32 - 1
            }
        };
        self.subs.get_mut(key.0).position = position;
        match new.queue {
            None if position == 0 => self.tell_plain(pattern, hash, true),
            None => {}
            Some(_) => self.tell_queue(GroupKey(home.key()), position, position + 1),
        }
        self.cache.changed(hash);
        key
    }

    pub fn unsubscribe(&mut self, sub: SubKey) {
        self.removes += 1;
        self.last.fanout = None;
        let subscription = self.subs.remove(sub.0);
        let (home, position) = (subscription.home(), subscription.position);
        let Interest { sublist, groups, .. } = &mut self.interest;
        let (pattern, moved) = if home.is_group() {
            let group = groups.get_mut(GroupKey(home.key()));
            sublist::swap_remove(&mut group.local, position);
            (group.pattern(), group.local.get(position as usize).copied())
        } else {
            (home.key(), sublist.remove_plain(home.key(), position))
        };
        if let Some(moved) = moved {
            self.subs.get_mut(moved.0).position = position;
        }
        let hash = self.interest.sublist.hash(&self.interest.hashing, pattern);
        self.cache.changed(hash);
        if home.is_group() {
            let key = GroupKey(home.key());
            let members = self.interest.groups.get(key).local.len() as u32;
            self.tell_queue(key, members + 1, members);
            self.interest.release_group(key);
        } else if self.interest.sublist.plain(pattern).is_empty() {
            self.tell_plain(pattern, hash, false);
        }
        let Interest { hashing, sublist, .. } = &mut self.interest;
        sublist.release(hashing, pattern, hash);
    }

    #[inline]
    pub fn subscription(&self, sub: SubKey) -> &Subscription {
        self.subs.get(sub.0)
    }

    #[inline]
    pub fn subscription_mut(&mut self, sub: SubKey) -> &mut Subscription {
        self.subs.get_mut(sub.0)
    }

    /// The account and the pattern's text.
    pub fn pattern_of(&self, sub: SubKey) -> (AccountId, &[u8]) {
        let home = self.subs.get(sub.0).home();
        let Interest { sublist, groups, .. } = &self.interest;
        let is_group = home.is_group();
        sublist.text(if is_group { groups.get(GroupKey(home.key())).pattern() } else { home.key() })
    }

    pub fn queue_of(&self, sub: SubKey) -> Option<&[u8]> {
        let home = self.subs.get(sub.0).home();
        home.is_group().then(|| &**self.interest.groups.name(GroupKey(home.key())))
    }

    /// The answer to the last question, if this is the same one and no interest changed since: a
    /// publisher that stays with its subject costs one comparison.
    #[inline]
    pub fn again(&mut self, account: AccountId, subject: &[u8]) -> Option<Rc<Fanout>> {
        let fanout = self.last.fanout.as_ref()?;
        if *self.last.subject != *subject || self.last.account != account {
            return None;
        }
        self.matches += 1;
        Some(Rc::clone(fanout))
    }

    /// Whether somebody subscribed to this very subject, not to a pattern it matches.
    pub fn is_named(&mut self, account: AccountId, subject: Subject<'_>) -> bool {
        if self.interest.is_named_elsewhere(account, subject) {
            return true;
        }
        let fanout = self.route(account, subject);
        fanout.locals().any(|sub| self.pattern_of(sub).1 == subject.bytes())
    }

    /// Who wants a message.
    #[inline]
    pub fn route(&mut self, account: AccountId, subject: Subject<'_>) -> Rc<Fanout> {
        self.matches += 1;
        let bytes = subject.bytes();
        let hash = self.interest.hashing.subject(account, bytes);
        let is_cacheable = self.cache_enabled && !is_one_shot(bytes);
        if is_cacheable && let Some(fanout) = self.cache.hit(hash, account, bytes) {
            self.last.set(account, bytes, &fanout);
            return fanout;
        }
        self.resolve(account, subject, hash, is_cacheable)
    }

    fn resolve(
        &mut self,
        account: AccountId,
        subject: Subject<'_>,
        hash: u64,
        is_cacheable: bool,
    ) -> Rc<Fanout> {
        let bucket = self.interest.hashing.bucket(account, subject.bytes());
        let is_admitted = is_cacheable && self.cache.admits(hash);
        if Rc::get_mut(&mut self.scratch).is_none() {
            self.scratch = Rc::default();
        }
        if let Some(fanout) = Rc::get_mut(&mut self.scratch) {
            self.interest.resolve(account, subject, hash, bucket, fanout);
            if is_admitted {
                fanout.shrink();
            }
        }
        if is_admitted {
            let fanout = Rc::clone(&self.scratch);
            self.cache.insert(hash, account, subject.bytes(), bucket, fanout);
        }
        Rc::clone(&self.scratch)
    }

    /// Appends what changed since the last call, to be sent to every other shard. False: nothing.
    pub fn encode_interest_changes(&mut self, out: &mut Vec<u8>) -> bool {
        self.pending.encode(out)
    }

    /// What another shard encoded. Batches of one shard are applied in their order.
    pub fn apply_interest(&mut self, from: ShardId, encoded: &[u8]) -> Result<(), InterestError> {
        if from == self.shard || from.index() >= SHARDS_MAX {
            return Err(InterestError);
        }
        self.last.fanout = None;
        let Self { interest, cache, .. } = self;
        decode(encoded, |change| interest.apply(cache, from, change))
    }

    pub fn totals(&self) -> RoutingTotals {
        let mut totals = RoutingTotals {
            subscriptions: self.subs.len() as u64,
            inserts: self.inserts,
            removes: self.removes,
            matches: self.matches,
            cache_hits: self.cache.hits(),
            remote_interest: self.interest.remote_len() as u64,
            ..RoutingTotals::default()
        };
        for fanout in self.cache.fresh() {
            let size = fanout.len() as u64;
            totals.cached += 1;
            totals.fanout_sum += size;
            totals.fanout_max = totals.fanout_max.max(size);
        }
        totals
    }

    /// Plain interest in a pattern began or ended.
    fn tell_plain(&mut self, key: u32, hash: PatternHash, wanted: bool) {
        if self.is_alone {
            return;
        }
        let Interest { hashing, sublist, .. } = &self.interest;
        match hash {
            PatternHash::Wild { .. } => {
                let (account, text) = sublist.text(key);
                self.pending.flip_wild(account, text, wanted);
            }
            PatternHash::Plain(hash) if !sublist.has_plain_twin(hashing, key, hash) => {
                self.pending.flip_hash(hash, wanted);
            }
            PatternHash::Plain(_) => {}
        }
    }

    fn tell_queue(&mut self, key: GroupKey, before: u32, members: u32) {
        if self.is_alone {
            return;
        }
        let Interest { sublist, groups, .. } = &self.interest;
        let (account, text) = sublist.text(groups.get(key).pattern());
        self.pending.set_queue(account, text, groups.name(key), before, members);
    }

    #[cfg(test)]
    pub(super) fn collide(&mut self, mask: u64) {
        self.interest.hashing.mask = mask;
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.interest.sublist.is_empty()
            && self.interest.groups.is_clean()
            && self.interest.remote_len() == 0
    }

    #[cfg(test)]
    pub(super) fn cache_len(&self) -> usize {
        self.cache.len()
    }
}

#[inline]
fn is_one_shot(subject: &[u8]) -> bool {
    matches!(subject, [b'_' | b'$', ..])
        && ONE_SHOT.iter().any(|prefix| subject.starts_with(prefix))
}
