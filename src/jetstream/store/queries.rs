//! Questions that the index answers, whatever holds the bytes.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::storage::{Bound, Seq, StreamIndex, SubjectId, SubjectState};
use crate::types::Pattern;
use crate::types::limits::DELETED_LISTED_MAX;

use super::super::filter::Filter;
use super::Scan;

/// Messages that are looked at before subjects are.
const PATIENCE: usize = 256;
/// Subjects whose next messages are compared rather than all messages walked.
const FEW: usize = 64;

type Ids = HashSet<SubjectId, ahash::RandomState>;

pub fn deleted_len(index: &StreamIndex) -> u64 {
    let span = index.last_seq().0.saturating_add(1).saturating_sub(index.first_seq().0);
    span.saturating_sub(index.messages())
}

/// At most `DELETED_LISTED_MAX` of them.
pub fn deleted(index: &StreamIndex) -> Vec<Seq> {
    let len = deleted_len(index).min(DELETED_LISTED_MAX as u64) as usize;
    let mut gaps = Vec::with_capacity(len);
    if len == 0 {
        return gaps;
    }
    let mut expected = index.first_seq();
    let mut fill = |expected: &mut Seq, to: Seq| {
        while *expected < to && gaps.len() < len {
            gaps.push(*expected);
            *expected = expected.next();
        }
        gaps.len() < len
    };
    index.walk(expected, |entry| {
        let goes_on = fill(&mut expected, entry.seq);
        expected = entry.seq.next();
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    fill(&mut expected, index.last_seq().next());
    gaps
}

pub fn next(
    index: &StreamIndex,
    visible: Seq,
    filter: &mut Filter,
    from: Seq,
    budget: &mut usize,
) -> Scan {
    let mut from = from.max(index.first_seq());
    if filter.is_literal() {
        match first_bound(index, filter, from) {
            None => return Scan::End,
            Some(Bound { seq, is_exact: true }) => {
                return if seq <= visible { Scan::Found(seq) } else { Scan::End };
            }
            Some(bound) => from = bound.seq,
        }
    }
    let mut patience = (*budget).min(PATIENCE);
    let granted = patience;
    let end = walk(index, visible, filter, from, &mut patience);
    *budget -= granted - patience;
    match end {
        Scan::Later(at) if *budget > 0 => match few_bound(index, filter, at) {
            Few::Unknown => walk(index, visible, filter, at, budget),
            Few::None => Scan::End,
            Few::At(Bound { seq, is_exact: true }) if seq <= visible => Scan::Found(seq),
            Few::At(bound) => walk(index, visible, filter, bound.seq, budget),
        },
        end => end,
    }
}

/// Looks at one message after the other.
fn walk(
    index: &StreamIndex,
    visible: Seq,
    filter: &mut Filter,
    from: Seq,
    budget: &mut usize,
) -> Scan {
    let mut end = Scan::End;
    index.walk(from, |entry| {
        if entry.seq > visible {
            return ControlFlow::Break(());
        }
        if *budget == 0 {
            end = Scan::Later(entry.seq);
            return ControlFlow::Break(());
        }
        *budget -= 1;
        if filter.wants(index, entry.subject) {
            end = Scan::Found(entry.seq);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    end
}

/// Where the next message is, if the filter wants few subjects and these are known.
enum Few {
    Unknown,
    None,
    At(Bound),
}

fn few_bound(index: &StreamIndex, filter: &Filter, from: Seq) -> Few {
    let subjects = index.subjects();
    let mut first: Option<Bound> = None;
    for pattern in filter.patterns() {
        let Some(ids) = subjects.few_matching(pattern, FEW) else { return Few::Unknown };
        let states = ids.into_iter().filter_map(|id| subjects.get(id));
        first = states.filter_map(|state| state.next(from)).chain(first).min();
    }
    first.map_or(Few::None, Few::At)
}

/// Where the first message of any of a filter's plain subjects is, from `from` on.
fn first_bound(index: &StreamIndex, filter: &Filter, from: Seq) -> Option<Bound> {
    let subjects = index.subjects();
    let states = filter.patterns().filter_map(|name| subjects.get(subjects.find(name.bytes())?));
    // One that is only a bound comes before an exact one at the same place, and is walked from.
    states.filter_map(|state| state.next(from)).min()
}

pub fn count(index: &StreamIndex, visible: Seq, filter: &mut Filter, from: Seq) -> u64 {
    let from = from.max(index.first_seq());
    if from > visible {
        return 0;
    }
    if filter.is_all() {
        return index.count_from(from) - index.count_from(visible.next());
    }
    let mut count = 0;
    // Subjects whose messages must be walked, and how many these have.
    let (mut open, mut open_count) = (Ids::default(), 0);
    for (id, state) in wanted_subjects(index, filter) {
        if from <= state.first && state.last <= visible {
            count += state.count;
        } else if let Some(seqs) = state.seqs() {
            count += seqs.filter(|seq| (from..=visible).contains(seq)).count() as u64;
        } else {
            open.insert(id);
            open_count += state.count;
        }
    }
    if open.is_empty() {
        count
    } else if index.count_from(from) <= index.messages() / 2 {
        count + count_between(index, &open, from, visible.next())
    } else {
        let before = count_between(index, &open, index.first_seq(), from);
        let behind = count_between(index, &open, visible.next(), Seq(u64::MAX));
        count + open_count - before - behind
    }
}

fn count_between(index: &StreamIndex, wanted: &Ids, from: Seq, to: Seq) -> u64 {
    let mut count = 0;
    index.walk(from, |entry| {
        if entry.seq >= to {
            return ControlFlow::Break(());
        }
        count += u64::from(wanted.contains(&entry.subject));
        ControlFlow::Continue(())
    });
    count
}

/// The subjects a filter wants, each once.
fn wanted_subjects<'a>(
    index: &'a StreamIndex,
    filter: &'a Filter,
) -> Box<dyn Iterator<Item = (SubjectId, &'a SubjectState)> + 'a> {
    let subjects = index.subjects();
    if filter.is_all() || filter.patterns().any(|pattern| pattern.prefix().is_empty()) {
        return Box::new(subjects.iter().filter(|(_, state)| filter.matches(&state.name)));
    }
    let each = filter.patterns().enumerate().flat_map(move |(at, pattern)| {
        let is_new = move |(_, state): &(_, &SubjectState)| {
            !filter.patterns().take(at).any(|earlier| earlier.matches(&state.name))
        };
        subjects.matching(pattern).filter(is_new)
    });
    Box::new(each)
}

pub fn subjects(
    index: &mut StreamIndex,
    pattern: Option<Pattern<'_>>,
    mut visit: impl FnMut(&[u8], SubjectId, Seq, Seq, u64),
) {
    let covers = |state: &SubjectState| pattern.is_none_or(|pattern| pattern.matches(&state.name));
    let stale: Vec<SubjectId> = index
        .subjects()
        .iter()
        .filter(|(_, state)| (state.first_is_stale || state.last_is_stale) && covers(state))
        .map(|(id, _)| id)
        .collect();
    for id in stale {
        index.subject_range(id);
    }
    let mut tell = |(id, state): (SubjectId, &SubjectState)| {
        visit(&state.name, id, state.first, state.last, state.count);
    };
    match pattern {
        Some(pattern) => index.subjects().matching(pattern).for_each(tell),
        None => index.subjects().iter().for_each(&mut tell),
    }
}

/// Ascending.
pub fn last_per_subject(index: &StreamIndex, filter: &Filter, up_to: Seq) -> Vec<Seq> {
    let mut found = Vec::new();
    // Those whose last is not known without a look at the messages.
    let mut open = Ids::default();
    for (id, state) in wanted_subjects(index, filter) {
        match state.previous(up_to) {
            Some(Bound { seq, is_exact: true }) => found.push(seq),
            Some(_) => drop(open.insert(id)),
            None => {}
        }
    }
    if !open.is_empty() {
        index.walk_back(up_to, |entry| {
            if open.remove(&entry.subject) {
                found.push(entry.seq);
            }
            if open.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    found.sort_unstable();
    found
}
