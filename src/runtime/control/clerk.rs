//! Requests to the server that concern all cores (`$SYS.REQ.…`): from a core to the pages, and the
//! answers back.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Cores;
use super::pages::Pages;
use crate::runtime::core::Request;
use crate::shard::Shard;
use crate::shard::services::{SystemAnswer, SystemRequest};
use crate::types::ShardId;
use crate::types::limits::SYSTEM_REQUESTS_MAX;

/// A core's way to have requests answered.
#[derive(Clone)]
pub struct Clerk(mpsc::Sender<(ShardId, SystemRequest)>);

/// All cores share the queue.
pub fn queue() -> (Clerk, mpsc::Receiver<(ShardId, SystemRequest)>) {
    let (sender, receiver) = mpsc::channel(SYSTEM_REQUESTS_MAX);
    (Clerk(sender), receiver)
}

impl Clerk {
    /// Takes over what a turn was asked.
    pub fn take_on(&self, shard: &mut Shard) {
        for request in std::mem::take(&mut shard.effects.requests) {
            if let Err(refused) = self.0.try_send((shard.id(), request)) {
                let (_, request) = refused.into_inner();
                let why = "too many requests wait for an answer".to_owned();
                shard.answer_system(&request, &SystemAnswer::Refused(why));
            }
        }
    }
}

/// Answers one after the other, until no core asks any more.
pub async fn answer_all(
    mut requests: mpsc::Receiver<(ShardId, SystemRequest)>,
    pages: Arc<Pages>,
    cores: Cores,
) {
    while let Some((shard, request)) = requests.recv().await {
        let answer = pages.system(&request).await;
        cores.send(shard, Request::Answered(Box::new((request, answer)))).await;
    }
}
