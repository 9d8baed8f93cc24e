//! A consumer's life across restarts.

use super::super::config::{ConsumerConfig, Mode, parse};
use super::journal::{self, Entry, Identity, Unreadable};
use super::settings::Settings;
use super::*;
use crate::types::json;

impl Consumer {
    /// A consumer as its records tell: a whole and the deltas behind it, oldest first.
    ///
    /// A delta that cannot be read ends it: what was known before it holds, so at worst messages
    /// are delivered again.
    pub fn restore(
        name: &str,
        home: &Home<'_>,
        whole: &[u8],
        deltas: &[Vec<u8>],
        now: Now,
    ) -> Result<Self, Unreadable> {
        let mut found = None;
        let mut state = journal::decode(whole, now, |identity| {
            let config = parse::<ConsumerConfig>(identity.config, Mode::Lenient, "").ok()?;
            let state = State::new(config.ack_policy, Seq(0));
            found = Some((identity.clone(), config));
            Some(state)
        })?;
        let (identity, config) = found.ok_or(Unreadable)?;
        let settings = Settings::of(&config);
        for delta in deltas {
            if journal::apply(&mut state, delta, now, |times| settings.wait(times)).is_err() {
                tracing::error!(stream = home.stream, consumer = name, "a delta is unreadable");
                break;
            }
        }
        let cursor = state.cursor;
        let mut consumer = Self::of_state(name, &config, home, now, state);
        consumer.created = identity.created;
        consumer.start = identity.start;
        consumer.skip_until = identity.skip_until;
        consumer.is_pause_told = consumer.is_paused(now);
        consumer.journal = home.is_durable.then(|| Journal::restored(cursor, whole.len(), deltas));
        Ok(consumer)
    }

    /// The whole state as bytes.
    pub fn record(&self, now: Now) -> Vec<u8> {
        let config = json::compact(&self.config());
        let identity = Identity {
            created: self.created,
            config: &config,
            start: self.start,
            skip_until: self.skip_until,
        };
        journal::encode(&identity, &self.state, now)
    }

    /// What changed since this was asked for last; `None`: nothing, or it need not survive.
    pub fn take_journal(&mut self, now: Now) -> Option<Entry> {
        let mut journal = self.journal.take()?;
        let is_awaited = self.wants_journal_now();
        let entry = journal.take(now, self.state.cursor, is_awaited, || self.record(now));
        self.journal = Some(journal);
        entry
    }

    /// Something is to be written, sooner or later.
    pub fn owes_journal(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.is_owed(self.state.cursor))
    }

    /// Somebody waits for what is to be written.
    pub fn wants_journal_now(&self) -> bool {
        !self.confirmations.is_empty()
    }

    /// More changed than steps can tell.
    pub fn want_whole(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.want_whole();
        }
    }
}
