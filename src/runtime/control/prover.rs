//! Logins whose check is too slow for a core's turn: bcrypt and signatures, on threads of their own.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use super::Cores;
use crate::runtime::core::Request;
use crate::security::Proof;
use crate::shard::Shard;
use crate::types::limits::{LOGIN_PROOFS_MAX, LOGIN_PROVERS};
use crate::types::{ConnKey, ShardId};

/// A login of one core that waits for its check.
pub struct Login {
    shard: ShardId,
    key: ConnKey,
    proof: Proof,
}

/// A core's way to have logins checked.
#[derive(Clone)]
pub struct Prover(mpsc::Sender<Login>);

/// All cores share the queue.
pub fn queue() -> (Prover, mpsc::Receiver<Login>) {
    let (sender, receiver) = mpsc::channel(LOGIN_PROOFS_MAX);
    (Prover(sender), receiver)
}

impl Prover {
    /// Takes over what a turn left to check.
    pub fn take_on(&self, shard: &mut Shard) {
        if shard.effects.proofs.is_empty() {
            return;
        }
        for (key, proof) in std::mem::take(&mut shard.effects.proofs) {
            if self.0.try_send(Login { shard: shard.id(), key, proof }).is_err() {
                warn!("too many logins wait for their check");
                shard.on_proved(key, false);
            }
        }
    }
}

/// Checks logins, [`LOGIN_PROVERS`] at once, until no core asks any more.
pub async fn prove_all(mut logins: mpsc::Receiver<Login>, cores: Cores) {
    let free = Arc::new(Semaphore::new(LOGIN_PROVERS));
    while let Some(Login { shard, key, proof }) = logins.recv().await {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else { return };
        let cores = cores.clone();
        tokio::spawn(async move {
            // A check that panicked has proved nothing.
            let holds = tokio::task::spawn_blocking(move || proof.holds()).await.unwrap_or(false);
            drop(permit);
            cores.send(shard, Request::Proved(key, holds)).await;
        });
    }
}
