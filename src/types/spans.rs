//! How many things began when: what a histogram is told once a turn, not once a message.

use super::Mono;

/// Counts by their beginning. What begins together stands in one row, so that a turn of a thousand
/// messages makes a row or two.
#[derive(Debug, Default)]
pub struct Spans(Vec<(Mono, u64)>);

impl Spans {
    /// `count` more that began then.
    pub fn add(&mut self, began: Mono, count: u64) {
        match self.0.last_mut() {
            Some((at, counted)) if *at == began => *counted += count,
            _ if count == 0 => {}
            _ => self.0.push((began, count)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what `other` holds.
    pub fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }

    /// Takes all, as nanoseconds until `now` and how many took them.
    pub fn end(&mut self, now: Mono) -> impl Iterator<Item = (u64, u64)> {
        self.0.drain(..).map(move |(began, count)| (now.since(began), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_together_is_counted_together() {
        let mut spans = Spans::default();
        spans.add(Mono(5), 0);
        assert!(spans.is_empty());
        spans.add(Mono(5), 2);
        spans.add(Mono(5), 3);
        spans.add(Mono(9), 1);
        assert_eq!(spans.end(Mono(10)).collect::<Vec<_>>(), [(5, 5), (1, 1)]);
        assert!(spans.is_empty());
    }
}
