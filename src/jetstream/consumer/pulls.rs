//! A pull arrives (`$JS.API.CONSUMER.MSG.NEXT.<stream>.<consumer>`).

use super::super::context::Context;
use super::super::headers;
use super::super::store::Store;
use super::request::PullRequest;
use super::status::{self, Status};
use super::*;

/// What this server speaks, as `Nats-Required-Api-Level` counts it.
const API_LEVEL: i64 = 5;

impl Consumer {
    /// Takes a pull, or tells at once why not. A poll has to follow.
    pub fn on_pull(
        &mut self,
        ctx: &mut Context<'_>,
        store: &Store,
        body: &[u8],
        inbox: &[u8],
        block: &[u8],
    ) {
        if inbox.is_empty() {
            return;
        }
        let Way::Pull(pull) = &self.way else {
            return status::send(ctx.out, self.account, inbox, &Status::PushBased);
        };
        if requires_more(block) {
            return status::send(ctx.out, self.account, inbox, &Status::RequiredApiLevel);
        }
        let request = match PullRequest::parse(body) {
            Ok(request) => request,
            Err(why) => {
                return status::send(ctx.out, self.account, inbox, &Status::BadRequest(&why));
            }
        };
        if let Err(status) = pull.check(&request) {
            return status::send(ctx.out, self.account, inbox, &status);
        }
        self.active_at = ctx.now.mono;
        if request.no_wait {
            self.refresh_backlog(store, ctx.log.as_deref());
        }
        match self.may_wait(ctx, &request) {
            Ok(true) => {
                let Way::Pull(pull) = &mut self.way else { return };
                pull.admit(&request, inbox, ctx.now.mono);
            }
            Ok(false) => {}
            Err(status) => status::send(ctx.out, self.account, inbox, &status),
        }
    }

    /// Whether the pull is taken, silently dropped, or refused because of what else is there.
    fn may_wait(
        &mut self,
        ctx: &mut Context<'_>,
        request: &PullRequest<'_>,
    ) -> Result<bool, Status<'static>> {
        let is_placed = self.state.cursor != Seq(0);
        let to_come = self.backlog.count() + self.state.pending.queued() as u64;
        let (_, mut desk, _) = desk(ctx, self.account);
        let Way::Pull(pull) = &mut self.way else { return Ok(false) };
        if request.no_wait && is_placed {
            if to_come == 0 && request.expires == 0 {
                return Err(Status::NoMessages);
            }
            if to_come > 0 && !pull.is_empty() {
                pull.expire(&mut desk, false);
                pull.drop_deserted(&mut desk);
                if to_come < pull.wanted() {
                    return Err(Status::RequestsPending);
                }
            }
        }
        match pull.is_full(&mut desk) {
            false => Ok(true),
            // A client with heartbeats asks again by itself when they stay away.
            true if request.idle_heartbeat > 0 => Ok(false),
            true => Err(Status::ExceededWaiting),
        }
    }
}

/// The asker wants an API level above ours, or says so in words nobody understands.
fn requires_more(block: &[u8]) -> bool {
    let Some(level) = headers::get(block, "Nats-Required-Api-Level") else { return false };
    let level = std::str::from_utf8(level).ok().and_then(|text| text.parse::<i64>().ok());
    level.is_none_or(|level| level > API_LEVEL)
}
