//! Questions that the index answers, whatever holds the bytes.

use std::collections::HashSet;
use std::ops::ControlFlow;

use crate::storage::{Entry, Seq, StreamIndex, SubjectId, SubjectState};
use crate::types::Pattern;
use crate::types::limits::DELETED_LISTED_MAX;

use super::super::filter::Filter;
use super::Scan;

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
    let Some(from) = first_candidate(index, filter, from.max(index.first_seq())) else {
        return Scan::End;
    };
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

/// Nothing before it is wanted. For plain subjects the bounds of each tell.
fn first_candidate(index: &StreamIndex, filter: &Filter, from: Seq) -> Option<Seq> {
    if !filter.is_literal() {
        return Some(from);
    }
    let subjects = index.subjects();
    let states = filter.patterns().filter_map(|name| subjects.get(subjects.find(name.bytes())?));
    states.filter(|state| state.last >= from).map(|state| state.first.max(from)).min()
}

pub fn count(index: &StreamIndex, visible: Seq, filter: &mut Filter, from: Seq) -> u64 {
    let hidden = visible.next();
    let from = from.max(index.first_seq());
    if from > visible {
        return 0;
    }
    if filter.is_all() {
        return index.count_from(from) - index.count_from(hidden);
    }
    if index.count_from(from) <= index.messages() / 2 {
        return count_between(index, filter, from, hidden);
    }
    let total: u64 = wanted_subjects(index, filter).map(|(_, state)| state.count).sum();
    let before = count_between(index, filter, index.first_seq(), from);
    let behind = count_between(index, filter, hidden, Seq(u64::MAX));
    total - before - behind
}

fn count_between(index: &StreamIndex, filter: &mut Filter, from: Seq, to: Seq) -> u64 {
    let mut count = 0;
    index.walk(from, |entry| {
        if entry.seq >= to {
            return ControlFlow::Break(());
        }
        count += u64::from(filter.wants(index, entry.subject));
        ControlFlow::Continue(())
    });
    count
}

/// The subjects a filter wants: look-ups for plain ones, else a walk over all.
fn wanted_subjects<'a>(
    index: &'a StreamIndex,
    filter: &'a Filter,
) -> Box<dyn Iterator<Item = (SubjectId, &'a SubjectState)> + 'a> {
    let subjects = index.subjects();
    if !filter.is_literal() {
        return Box::new(subjects.iter().filter(|(_, state)| filter.matches(&state.name)));
    }
    let ids = filter.patterns().filter_map(|name| subjects.find(name.bytes()));
    Box::new(ids.filter_map(|id| Some((id, subjects.get(id)?))))
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
pub fn last_per_subject(index: &mut StreamIndex, filter: &mut Filter, up_to: Seq) -> Vec<Seq> {
    let mut found = Vec::new();
    // Those whose last is not known without a look at the messages.
    let mut open = HashSet::new();
    for (id, state) in wanted_subjects(index, filter) {
        if state.last <= up_to && !state.last_is_stale {
            found.push(state.last);
        } else if state.first <= up_to {
            open.insert(id);
        }
    }
    if !open.is_empty() {
        index.walk_back(up_to, |entry: Entry| {
            if open.remove(&entry.subject) {
                found.push(entry.seq);
            }
            if open.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
    }
    found.sort_unstable();
    found
}
