//! Questions to the shards. A shard that does not answer is named; nobody waits for it for long.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::jetstream::{Figures, FiguresQuery};
use crate::runtime::core::Request;
use crate::shard::snapshot::{
    Answer, ConnectionQuery, ConnectionSnapshot, LatencySnapshot, Query, SubscriptionQuery,
    SubscriptionSnapshot, Totals,
};
use crate::types::ShardId;
use crate::types::limits::{CONTROL_ANSWER_NS_MAX, CONTROL_ROWS_NS_MAX};

/// Rings a shard's doorbell: it may be parked when a request is put before it.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The way to one shard.
#[derive(Clone)]
pub struct ShardHandle {
    requests: mpsc::Sender<Request>,
    wake: Wake,
}

impl ShardHandle {
    pub fn new(requests: mpsc::Sender<Request>, wake: Wake) -> Self {
        Self { requests, wake }
    }
}

/// The way to all shards, in the order of their ids.
#[derive(Clone)]
pub struct ShardHandles {
    shards: Vec<ShardHandle>,
    /// Instead of the limits.
    patience: Option<Duration>,
}

/// A shard that gave no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unanswered {
    shard: ShardId,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// Its queue of requests is full.
    Busy,
    /// It took longer than this.
    Silent(Duration),
    /// It has stopped.
    Gone,
}

impl ShardHandles {
    pub fn new(shards: Vec<ShardHandle>) -> Self {
        Self { shards, patience: None }
    }

    /// Gives up earlier than the limits say.
    #[cfg(test)]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// One answer of each shard. They are asked all at once and share one deadline.
    pub async fn ask(&self, query: Query) -> Result<Vec<Answer>, Unanswered> {
        let limit = match query {
            Query::Totals | Query::JetStream(FiguresQuery::Logs) => CONTROL_ANSWER_NS_MAX,
            Query::Connections(_)
            | Query::Subscriptions(_)
            | Query::JetStream(_)
            | Query::Latencies => CONTROL_ROWS_NS_MAX,
        };
        let patience = self.patience.unwrap_or(Duration::from_nanos(limit));
        let deadline = Instant::now() + patience;
        let mut replies = Vec::with_capacity(self.shards.len());
        for (index, shard) in self.shards.iter().enumerate() {
            replies.push(Self::send(index, shard, query.clone())?);
        }
        let mut answers = Vec::with_capacity(replies.len());
        for (index, reply) in replies.into_iter().enumerate() {
            let answer = timeout_at(deadline, reply).await;
            let answer = answer.map_err(|_| unanswered(index, Why::Silent(patience)))?;
            answers.push(answer.map_err(|_| unanswered(index, Why::Gone))?);
        }
        Ok(answers)
    }

    pub async fn totals(&self) -> Result<Vec<Totals>, Unanswered> {
        let pick = |answer| match answer {
            Answer::Totals(totals) => Some(*totals),
            _ => None,
        };
        Ok(self.ask(Query::Totals).await?.into_iter().filter_map(pick).collect())
    }

    /// One row for each connection, also where it moved from shard to shard meanwhile. One may then be
    /// missing.
    pub async fn connections(
        &self,
        query: ConnectionQuery,
    ) -> Result<Vec<ConnectionSnapshot>, Unanswered> {
        let pick = |answer| match answer {
            Answer::Connections(rows) => Some(rows),
            _ => None,
        };
        let answers = self.ask(Query::Connections(query)).await?;
        let mut rows: Vec<_> = answers.into_iter().filter_map(pick).flatten().collect();
        let mut open = HashSet::new();
        rows.retain(|row| row.closed.is_some() || open.insert(row.client));
        Ok(rows)
    }

    pub async fn subscriptions(
        &self,
        query: SubscriptionQuery,
    ) -> Result<Vec<SubscriptionSnapshot>, Unanswered> {
        let pick = |answer| match answer {
            Answer::Subscriptions(rows) => Some(rows),
            _ => None,
        };
        let answers = self.ask(Query::Subscriptions(query)).await?;
        Ok(answers.into_iter().filter_map(pick).flatten().collect())
    }

    /// By shard.
    pub async fn jetstream(&self, query: FiguresQuery) -> Result<Vec<Figures>, Unanswered> {
        let pick = |answer| match answer {
            Answer::JetStream(figures) => Some(*figures),
            _ => None,
        };
        Ok(self.ask(Query::JetStream(query)).await?.into_iter().filter_map(pick).collect())
    }

    pub async fn latencies(&self) -> Result<Vec<LatencySnapshot>, Unanswered> {
        let pick = |answer| match answer {
            Answer::Latencies(latencies) => Some(*latencies),
            _ => None,
        };
        Ok(self.ask(Query::Latencies).await?.into_iter().filter_map(pick).collect())
    }

    fn send(
        index: usize,
        shard: &ShardHandle,
        query: Query,
    ) -> Result<oneshot::Receiver<Answer>, Unanswered> {
        let (reply, answer) = oneshot::channel();
        shard.requests.try_send(Request::Ask(query, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => unanswered(index, Why::Busy),
            mpsc::error::TrySendError::Closed(_) => unanswered(index, Why::Gone),
        })?;
        (shard.wake)();
        Ok(answer)
    }
}

fn unanswered(index: usize, why: Why) -> Unanswered {
    let shard = ShardId(u16::try_from(index).expect("shards are at most SHARDS_MAX"));
    Unanswered { shard, why }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = self.shard;
        match self.why {
            Why::Busy => write!(f, "shard {shard} has too many monitoring requests waiting"),
            Why::Silent(patience) => write!(f, "shard {shard} did not answer within {patience:?}"),
            Why::Gone => write!(f, "shard {shard} has stopped"),
        }
    }
}

impl std::error::Error for Unanswered {}
