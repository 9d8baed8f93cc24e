//! Who publishes most: subjects and connections, estimated from samples.
//!
//! The message path compares two numbers; about [`HOT_SAMPLES_PER_SECOND`] messages a second are
//! looked at, and each stands for as many as there are between two. Counts are kept as in "Efficient
//! Computation of Frequent and Top-k Elements in Data Streams" (Metwally et al., 2005): a newcomer
//! takes the place of whoever has the least, with that count as its possible error.

use ahash::RandomState;

use super::snapshot::{Hot, HotSnapshot};
use crate::types::limits::{
    HOT_COUNTED_MAX, HOT_GAP_MAX, HOT_SAMPLES_PER_SECOND, HOT_SUBJECT_BYTES_MAX, HOT_WINDOW_NS,
};
use crate::types::time::{MILLISECOND, SECOND};
use crate::types::{ClientId, Mono};

#[derive(Debug)]
struct Sketch<T> {
    rows: Vec<Row<T>>,
}

#[derive(Debug)]
struct Row<T> {
    hash: u64,
    what: T,
    msgs: u64,
    error: u64,
}

impl<T> Default for Sketch<T> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}

impl<T: Clone> Sketch<T> {
    fn add(&mut self, hash: u64, msgs: u64, what: impl FnOnce() -> T) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.hash == hash) {
            row.msgs += msgs;
        } else if self.rows.len() < HOT_COUNTED_MAX {
            self.rows.push(Row { hash, what: what(), msgs, error: 0 });
        } else if let Some(least) = self.rows.iter_mut().min_by_key(|row| row.msgs) {
            let error = least.msgs;
            *least = Row { hash, what: what(), msgs: error + msgs, error };
        }
    }

    fn most_first(&self) -> Vec<Hot<T>> {
        let hot = |row: &Row<T>| Hot { what: row.what.clone(), msgs: row.msgs, error: row.error };
        let mut rows: Vec<_> = self.rows.iter().map(hot).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.msgs));
        rows
    }
}

/// What was counted in some time.
#[derive(Debug, Default)]
struct Window {
    began: Mono,
    subjects: Sketch<Box<[u8]>>,
    publishers: Sketch<ClientId>,
}

impl Window {
    fn snapshot(&self, until: Mono) -> HotSnapshot {
        let text = |hot: Hot<Box<[u8]>>| Hot {
            what: String::from_utf8_lossy(&hot.what).into_owned(),
            msgs: hot.msgs,
            error: hot.error,
        };
        HotSnapshot {
            window_ns: until.since(self.began),
            subjects: self.subjects.most_first().into_iter().map(text).collect(),
            publishers: self.publishers.most_first(),
        }
    }
}

/// About 30 KB when all places are taken.
#[derive(Debug)]
pub struct Heat {
    /// The message, counted since the start, that is looked at next.
    next: u64,
    /// Messages that a sample stands for: the average pause between two.
    gap: u64,
    /// Since when samples are counted, to see whether the gap is right, and how many there were.
    paced_since: Mono,
    samples: u64,
    random: u64,
    now: Window,
    /// The window before, complete.
    before: Option<(Window, Mono)>,
}

impl Default for Heat {
    fn default() -> Self {
        Self {
            next: 1,
            gap: 1,
            paced_since: Mono::default(),
            samples: 0,
            random: 0x9E37_79B9_7F4A_7C15,
            now: Window::default(),
            before: None,
        }
    }
}

/// How often the gap is looked at, and the samples there should be in between.
const PACE_NS: u64 = 10 * MILLISECOND;
const SAMPLES_PACED: u64 = HOT_SAMPLES_PER_SECOND * PACE_NS / SECOND;

impl Heat {
    /// Whether the message with this number, counted since the start, is looked at.
    pub fn wants(&self, number: u64) -> bool {
        number >= self.next
    }

    pub fn sample(
        &mut self,
        number: u64,
        subject: &[u8],
        publisher: ClientId,
        now: Mono,
        hasher: &RandomState,
    ) {
        if now.since(self.now.began) >= HOT_WINDOW_NS {
            let window = Window { began: now, ..Window::default() };
            self.before = Some((std::mem::replace(&mut self.now, window), now));
        }
        // Each message was as likely as 1 in `gap`, whatever lay before it.
        let msgs = self.gap;
        let known = &subject[..subject.len().min(HOT_SUBJECT_BYTES_MAX)];
        self.now.subjects.add(hasher.hash_one(known), msgs, || known.into());
        self.now.publishers.add(publisher.0, msgs, || publisher);
        self.samples += 1;
        if self.samples > 2 * SAMPLES_PACED {
            self.gap = (self.gap * 2).min(HOT_GAP_MAX);
        }
        self.next = number + self.pause();
    }

    /// At random, so that no pattern of the publishers stays unseen.
    fn pause(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        1 + self.random % (2 * self.gap - 1)
    }

    /// A turn begins, after so many messages. What was fast may be slow now.
    pub fn begin_turn(&mut self, number: u64, now: Mono) {
        if now.since(self.paced_since) < PACE_NS {
            return;
        }
        if self.samples * 2 < SAMPLES_PACED && self.gap > 1 {
            self.gap = (self.gap / 4).max(1);
            self.next = number + self.pause();
        }
        (self.paced_since, self.samples) = (now, 0);
    }

    /// Of the last whole window; of the one at hand where that is old enough or the first.
    pub fn snapshot(&self, now: Mono) -> HotSnapshot {
        match &self.before {
            Some((window, ended)) if now.since(self.now.began) < HOT_WINDOW_NS => {
                window.snapshot(*ended)
            }
            _ => self.now.snapshot(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Publishes `per_turn` messages in each of `turns` turns, a millisecond apart.
    fn publish(heat: &mut Heat, turns: u64, per_turn: u64, subject: impl Fn(u64) -> String) -> u64 {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let (mut number, mut samples) = (0, 0);
        for turn in 1..=turns {
            let now = Mono(turn * MILLISECOND);
            heat.begin_turn(number, now);
            for _ in 0..per_turn {
                number += 1;
                if heat.wants(number) {
                    samples += 1;
                    let subject = subject(number);
                    heat.sample(number, subject.as_bytes(), ClientId(number % 3), now, &hasher);
                }
            }
        }
        samples
    }

    #[test]
    fn the_busiest_subject_is_found_among_many_with_few_looks() {
        let mut heat = Heat::default();
        // Half of all messages go to one subject, the others to a thousand.
        let subject = |number: u64| match number % 2 {
            0 => "hot".to_owned(),
            _ => format!("cold.{}", number / 2 % 1000),
        };
        let samples = publish(&mut heat, 5000, 1000, subject);
        assert!(samples < 6 * 2 * HOT_SAMPLES_PER_SECOND, "{samples} samples in 5 s");
        let found = heat.snapshot(Mono(5000 * MILLISECOND));
        let hot = &found.subjects[0];
        assert_eq!(hot.what, "hot");
        let share = hot.msgs as f64 / 5_000_000.0;
        assert!((0.4..0.6).contains(&share), "{share}");
        assert_eq!(found.subjects.len(), HOT_COUNTED_MAX);
        assert_eq!(found.publishers.len(), 3);
    }

    #[test]
    fn what_comes_first_in_a_burst_is_not_taken_for_more_than_it_is() {
        let mut heat = Heat::default();
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let mut number = 0;
        for turn in 1..400 {
            let now = Mono(turn * 20 * MILLISECOND);
            heat.begin_turn(number, now);
            for place in 0..500 {
                number += 1;
                if heat.wants(number) {
                    let subject = format!("s.{}", place / 100);
                    heat.sample(number, subject.as_bytes(), ClientId(1), now, &hasher);
                }
            }
        }
        let found = heat.snapshot(Mono(400 * 20 * MILLISECOND));
        let all: u64 = found.subjects.iter().map(|hot| hot.msgs).sum();
        assert!((0.8..1.2).contains(&(all as f64 / number as f64)), "{all} of {number}");
        for hot in &found.subjects {
            let share = hot.msgs as f64 / all as f64;
            assert!((0.15..0.25).contains(&share), "{} has {share}", hot.what);
        }
    }

    #[test]
    fn slow_traffic_is_counted_exactly() {
        let mut heat = Heat::default();
        publish(&mut heat, 1000, 1, |number| format!("s.{}", number % 10));
        let found = heat.snapshot(Mono(1000 * MILLISECOND));
        let counted: u64 = found.subjects.iter().map(|hot| hot.msgs).sum();
        assert!((990..=1000).contains(&counted), "{counted}");
        assert!(found.subjects.iter().all(|hot| hot.error == 0));
    }

    #[test]
    fn an_old_window_gives_way() {
        let mut heat = Heat::default();
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let say = |heat: &mut Heat, number, subject: &[u8], at| {
            heat.begin_turn(number - 1, Mono(at));
            heat.sample(number, subject, ClientId(1), Mono(at), &hasher);
        };
        say(&mut heat, 1, b"old", HOT_WINDOW_NS);
        say(&mut heat, 2, b"new", 2 * HOT_WINDOW_NS);
        let names = |found: HotSnapshot| -> Vec<String> {
            found.subjects.into_iter().map(|hot| hot.what).collect()
        };
        assert_eq!(names(heat.snapshot(Mono(2 * HOT_WINDOW_NS + 1))), ["old"]);
        assert_eq!(names(heat.snapshot(Mono(3 * HOT_WINDOW_NS))), ["new"]);
    }
}
