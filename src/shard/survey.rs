//! Answers to the control thread, found in slices: a page about a million subscriptions makes no
//! long turn.
//!
//! Rows are of the moment in which their slice was taken. What ends meanwhile may be missing; no
//! connection is shown twice, and a subscription only if its connection's table was put in order
//! between two slices.

use super::Shard;
use super::latency::Stage;
use super::room::ShardGate;
use super::snapshot::{
    Answer, ConnectionQuery, ConnectionState, Query, SlowSnapshot, SubscriptionQuery,
    SubscriptionSnapshot, Totals,
};
use crate::connection::{Connection, Journey};
use crate::jetstream::{Step, Walk};
use crate::routing::SubKey;
use crate::types::limits::{ANSWER_SLICE_STEPS, SLOW_SHOWN_MAX};
use crate::types::{ConnKey, Pattern};

/// A question under way.
#[derive(Debug)]
pub struct Survey {
    query: Query,
    found: Answer,
    /// The next connection that has ended, counted since the start of the shard; `None` when all
    /// were looked at, and later ones are no matter.
    ended: Option<u64>,
    /// The next slot of a connection.
    slot: usize,
    list: Option<List>,
    walk: Walk,
}

/// The subscriptions of one connection, on the way through its table.
#[derive(Clone, Copy, Debug)]
struct List {
    owner: ConnKey,
    buckets: usize,
    at: usize,
}

impl Survey {
    pub fn new(query: Query) -> Self {
        let found = match &query {
            Query::Totals => Answer::Totals(Box::default()),
            Query::Connections(_) => Answer::Connections(Vec::new()),
            Query::Subscriptions(_) => Answer::Subscriptions(Vec::new()),
            Query::JetStream(_) => Answer::JetStream(Box::default()),
            Query::Latencies => Answer::Latencies(Box::default()),
        };
        let walk = match &query {
            Query::JetStream(query) => Walk::new(query.clone()),
            _ => Walk::default(),
        };
        Self { query, found, ended: Some(0), slot: 0, list: None, walk }
    }
}

/// What a slice is measured in: looking at something, and making a row of it.
const LOOK: usize = 1;
const ROW: usize = 4;
/// A copy of some 26 KB.
const HISTOGRAM: usize = 64;

impl Shard {
    /// Takes one more slice. `true`: the answer is whole.
    pub fn survey(&mut self, survey: &mut Survey) -> bool {
        if let Query::JetStream(_) = survey.query {
            return self.survey_jetstream(&mut survey.walk);
        }
        let mut steps = 0;
        while steps < ANSWER_SLICE_STEPS {
            match self.step(survey) {
                Some(cost) => steps += cost,
                None => return true,
            }
        }
        false
    }

    /// The answer of a survey that is whole.
    pub fn conclude(&self, survey: Survey) -> Answer {
        match survey.found {
            Answer::Totals(counted) => {
                let Totals { connections, pending_bytes, .. } = *counted;
                let mut totals = self.totals.clone();
                totals.connections = connections;
                totals.pending_bytes = pending_bytes;
                totals.moves = self.moves.totals;
                totals.closed_connections = self.closed.len() as u64;
                totals.routing = self.router.totals();
                Answer::Totals(Box::new(totals))
            }
            Answer::JetStream(_) => {
                let found = self.jetstream.as_ref().map(|found| found.conclude(survey.walk));
                Answer::JetStream(Box::new(found.unwrap_or_default()))
            }
            Answer::Latencies(counted) => {
                Answer::Latencies(Box::new(self.latency_snapshot(*counted)))
            }
            found => found,
        }
    }

    fn survey_jetstream(&mut self, walk: &mut Walk) -> bool {
        let Some(mut jetstream) = self.jetstream.take() else { return true };
        let now = self.now;
        let mut steps = 0;
        let is_whole = loop {
            match jetstream.look(walk, now, &mut ShardGate(self)) {
                Step::Done => break true,
                Step::Later => break false,
                Step::Looked(things) => steps += things * LOOK,
                Step::Row => steps += ROW,
            }
            if steps >= ANSWER_SLICE_STEPS {
                break false;
            }
        };
        self.jetstream = Some(jetstream);
        is_whole
    }

    /// All slices at once.
    #[cfg(any(test, feature = "testing"))]
    pub fn answer(&mut self, query: &Query) -> Answer {
        let mut survey = Survey::new(query.clone());
        while !self.survey(&mut survey) {}
        self.conclude(survey)
    }

    /// Looks at one thing, and says what it cost. `None`: all was looked at.
    fn step(&self, survey: &mut Survey) -> Option<usize> {
        if let (Query::Subscriptions(query), Answer::Subscriptions(rows)) =
            (&survey.query, &survey.found)
            && rows.len() >= query.limit
        {
            return None;
        }
        if let Answer::Latencies(found) = &mut survey.found
            && let Some(stage) = Stage::ALL.get(found.histograms.len())
        {
            found.histograms.push(self.latencies.of(*stage).clone());
            return Some(HISTOGRAM);
        }
        // The ended first: who ends later has its row, or gets none.
        if let Some(at) = survey.ended {
            let next = self.step_ended(survey, at);
            survey.ended = next.map(|(at, _)| at);
            return Some(next.map_or(LOOK, |(_, cost)| cost));
        }
        if let Some(list) = survey.list {
            return self.step_list(survey, list);
        }
        let slot = survey.slot;
        survey.slot += 1;
        let conn = match self.connections.at(slot)? {
            // One on its way is shown by the core that it leaves.
            Some(conn) if conn.is_open() && conn.journey != Journey::Arriving => conn,
            _ => return Some(LOOK),
        };
        match (&survey.query, &mut survey.found) {
            (Query::Totals, Answer::Totals(totals)) => {
                totals.connections += 1;
                totals.pending_bytes += conn.outbound.owed();
            }
            (Query::Connections(query), Answer::Connections(rows)) if wants(query, conn) => {
                rows.push(self.snapshot(conn));
                survey.list = query.with_subscriptions.then(|| List::of(conn));
                return Some(ROW);
            }
            (Query::Latencies, Answer::Latencies(found)) => {
                found.connections += 1;
                if let Some(slow) = self.slow_snapshot(conn) {
                    note_slow(&mut found.slow, slow);
                    return Some(ROW);
                }
            }
            (Query::Subscriptions(_), _) => survey.list = Some(List::of(conn)),
            _ => {}
        }
        Some(LOOK)
    }

    /// The number behind the one looked at, and what that cost.
    fn step_ended(&self, survey: &mut Survey, at: u64) -> Option<(u64, usize)> {
        let (Query::Connections(query), Answer::Connections(rows)) =
            (&survey.query, &mut survey.found)
        else {
            return None;
        };
        if query.state == ConnectionState::Open {
            return None;
        }
        let (at, row) = self.closed.from(at)?;
        if query.client.is_some_and(|only| only != row.client) {
            return Some((at + 1, LOOK));
        }
        rows.push(row.clone());
        Some((at + 1, ROW))
    }

    fn step_list(&self, survey: &mut Survey, list: List) -> Option<usize> {
        let found = &mut survey.found;
        let conn = self.connections.get(list.owner).filter(|conn| conn.is_open());
        let Some(conn) = conn else {
            survey.list = None;
            if let Answer::Connections(rows) = found {
                // It ended, and its list with it.
                rows.pop();
            }
            return Some(LOOK);
        };
        if conn.sids.buckets() != list.buckets {
            // The table grew: once more from its start.
            survey.list = Some(List::of(conn));
            forget_list(found, conn);
            return Some(LOOK);
        }
        survey.list = Some(List { at: list.at + 1, ..list }).filter(|next| next.at < list.buckets);
        let Some(sub) = conn.sids.in_bucket(list.at) else { return Some(LOOK) };
        match (&survey.query, found) {
            (Query::Subscriptions(query), Answer::Subscriptions(rows)) => {
                if !self.passes(sub, query) {
                    return Some(LOOK);
                }
                rows.push(self.subscription_snapshot(sub));
            }
            (_, Answer::Connections(rows)) => {
                let row = rows.last_mut().expect("a list is of the last row");
                row.subscriptions.push(self.subscription_snapshot(sub));
            }
            _ => {}
        }
        Some(ROW)
    }

    fn passes(&self, sub: SubKey, query: &SubscriptionQuery) -> bool {
        let Some(test) = query.test.as_deref() else { return true };
        let (_, pattern) = self.router.pattern_of(sub);
        Pattern::parse(pattern).is_some_and(|pattern| pattern.matches(test))
    }

    pub(super) fn subscription_snapshot(&self, sub: SubKey) -> SubscriptionSnapshot {
        let subscription = self.router.subscription(sub);
        let (_, pattern) = self.router.pattern_of(sub);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        SubscriptionSnapshot {
            account: "$G".to_owned(),
            subject: text(pattern),
            queue: text(self.router.queue_of(sub).unwrap_or_default()),
            sid: text(subscription.sid()),
            msgs: subscription.delivered(),
            max: subscription.max(),
            client: self.connections.owner(subscription.owner()).client,
        }
    }
}

fn wants(query: &ConnectionQuery, conn: &Connection) -> bool {
    query.state != ConnectionState::Closed && query.client.is_none_or(|only| only == conn.client)
}

/// Keeps those that owe most, in that order.
fn note_slow(list: &mut Vec<SlowSnapshot>, slow: SlowSnapshot) {
    let at = list.partition_point(|other| other.pending_bytes >= slow.pending_bytes);
    list.insert(at, slow);
    list.truncate(SLOW_SHOWN_MAX);
}

/// Takes back what was listed of a connection.
fn forget_list(found: &mut Answer, conn: &Connection) {
    match found {
        Answer::Connections(rows) => {
            if let Some(row) = rows.last_mut() {
                row.subscriptions.clear();
            }
        }
        Answer::Subscriptions(rows) => rows.retain(|row| row.client != conn.client),
        Answer::Totals(_) | Answer::JetStream(_) | Answer::Latencies(_) => {}
    }
}

impl List {
    fn of(conn: &Connection) -> Self {
        Self { owner: conn.key, buckets: conn.sids.buckets(), at: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::stage::Stage;

    fn subscribe(stage: &mut Stage, key: ConnKey, sids: std::ops::Range<usize>) {
        sids.for_each(|sid| {
            stage.say(key, &format!("SUB s.{sid} {sid}\r\n"));
        });
    }

    fn connections(with_subscriptions: bool) -> Query {
        let state = ConnectionState::All;
        Query::Connections(ConnectionQuery { state, with_subscriptions, ..Default::default() })
    }

    /// The answer, what happens after each slice, and how many slices there were.
    fn surveyed(
        stage: &mut Stage,
        query: Query,
        mut meanwhile: impl FnMut(&mut Stage, usize),
    ) -> (Answer, usize) {
        let mut survey = Survey::new(query);
        let mut slices = 1;
        while !stage.0.survey(&mut survey) {
            meanwhile(stage, slices);
            slices += 1;
        }
        (stage.0.conclude(survey), slices)
    }

    #[test]
    fn long_answers_come_in_slices() {
        let mut stage = Stage::new([]);
        let key = stage.open();
        subscribe(&mut stage, key, 0..10_000);
        let least = 10_000 * ROW / ANSWER_SLICE_STEPS;
        let (answer, slices) = surveyed(&mut stage, connections(true), |_, _| {});
        let Answer::Connections(rows) = answer else { panic!() };
        let mut sids: Vec<_> = rows[0].subscriptions.iter().map(|sub| sub.sid.as_str()).collect();
        sids.sort_unstable();
        sids.dedup();
        assert_eq!((rows.len(), sids.len()), (1, 10_000));
        assert!(slices >= least, "{slices} slices");
        let query = SubscriptionQuery { test: Some(b"s.77".to_vec()), limit: 1 };
        let (answer, slices) = surveyed(&mut stage, Query::Subscriptions(query), |_, _| {});
        let Answer::Subscriptions(rows) = answer else { panic!() };
        assert_eq!((rows.len(), rows[0].subject.as_str()), (1, "s.77"));
        assert!(slices > 1);
        let query = SubscriptionQuery { test: None, limit: 7 };
        let (answer, slices) = surveyed(&mut stage, Query::Subscriptions(query), |_, _| {});
        assert!(matches!(answer, Answer::Subscriptions(rows) if rows.len() == 7) && slices == 1);
    }

    #[test]
    fn a_connection_that_ends_or_grows_meanwhile_is_shown_once_or_not_at_all() {
        let mut stage = Stage::new([]);
        let keys = [stage.open(), stage.open()];
        subscribe(&mut stage, keys[0], 0..5000);
        subscribe(&mut stage, keys[1], 0..5000);
        let (answer, _) = surveyed(&mut stage, connections(true), |stage, slice| {
            if slice == 2 {
                stage.say(keys[0], "FOO\r\n");
            }
            if slice == 10 {
                subscribe(stage, keys[1], 5000..20_000);
            }
        });
        let Answer::Connections(rows) = answer else { panic!() };
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].subscriptions.len(), 20_000);
    }

    #[test]
    fn totals_count_the_open_and_the_remembered() {
        let mut stage = Stage::new([]);
        let keys = [stage.open(), stage.open(), stage.open()];
        stage.say(keys[1], "FOO\r\n");
        let Answer::Totals(totals) = stage.0.answer(&Query::Totals) else { panic!() };
        assert_eq!((totals.connections, totals.closed_connections), (2, 1));
        let Answer::Connections(rows) = stage.0.answer(&connections(false)) else { panic!() };
        assert_eq!(rows.iter().filter(|row| row.closed.is_some()).count(), 1);
        assert_eq!(rows.len(), 3);
    }
}
