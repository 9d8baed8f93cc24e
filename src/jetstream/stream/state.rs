//! What can be told of a stream (facts/jetstream-api.md §3).

use std::collections::BTreeMap;

use super::Stream;
use crate::jetstream::config::wire::object;
use crate::jetstream::context::Context;
use crate::jetstream::info::{Page, StreamInfo, StreamInfoPage, StreamState};
use crate::jetstream::store::Moment;
use crate::types::limits::SUBJECTS_PAGE;
use crate::types::{Pattern, Wall};

object! {
    /// The body of `STREAM.INFO`.
    pub struct InfoRequest as "server.JSApiStreamInfoRequest" {
        offset: i64 = filled "offset" as "int",
        deleted_details: bool = filled "deleted_details",
        /// Counts of the subjects it covers are wanted.
        subjects_filter: String = filled "subjects_filter",
    }
}

impl Stream {
    /// What the stream holds, visible or not: to be told when [`Stream::appended`] is settled.
    /// The host adds the number of consumers. `None`: a read is under way, ask again.
    pub fn state(&mut self, ctx: &mut Context<'_>) -> Option<StreamState> {
        self.make_room(ctx);
        let Moment::At(first_time) = self.store.first_time(ctx.log.as_deref_mut()) else {
            return None;
        };
        let Moment::At(last_time) = self.store.last_time(ctx.log.as_deref_mut()) else {
            return None;
        };
        let log = ctx.log.as_deref();
        let last_seq = self.store.last_seq(log).0;
        let first_seq = self.store.first_seq(log).0;
        Some(StreamState {
            messages: self.store.messages(log),
            bytes: self.store.bytes(log),
            // A stream that never had a message begins at 0, unless it was told where to begin.
            first_seq: if last_seq == 0 { 0 } else { first_seq },
            first_ts: Wall(first_time),
            last_seq,
            // Of a message that was not kept only the stream knows.
            last_ts: Wall(if last_time == 0 { self.last_time } else { last_time }),
            num_subjects: self.store.subjects_len(log) as u64,
            num_deleted: self.store.deleted_len(log),
            ..StreamState::default()
        })
    }

    /// The body of `STREAM.INFO` but for consumers and cluster, which the host adds. `None` as in
    /// [`Stream::state`].
    pub fn info(&mut self, ctx: &mut Context<'_>, request: &InfoRequest) -> Option<StreamInfoPage> {
        let mut state = self.state(ctx)?;
        if request.deleted_details {
            let deleted = self.store.deleted(ctx.log.as_deref());
            state.deleted = deleted.into_iter().map(|seq| seq.0).collect();
        }
        let mut page = Page::default();
        if !request.subjects_filter.is_empty() {
            (page, state.subjects) = self.subjects(ctx, request);
        }
        let (mirror, sources) = self.source_infos(ctx.now);
        let info = StreamInfo {
            mirror,
            sources,
            config: self.config.clone().with_server_metadata(&ctx.site.version),
            created: self.created,
            state,
            domain: ctx.site.domain.clone(),
            ts: ctx.now.wall,
            ..StreamInfo::default()
        };
        Some(StreamInfoPage { page, info: Some(info) })
    }

    fn subjects(
        &mut self,
        ctx: &mut Context<'_>,
        request: &InfoRequest,
    ) -> (Page, BTreeMap<String, u64>) {
        let Some(pattern) = Pattern::parse(request.subjects_filter.as_bytes()) else {
            return (Page::default(), BTreeMap::new());
        };
        let mut all = BTreeMap::new();
        self.store.subjects(ctx.log.as_deref_mut(), Some(pattern), |name, _, _, _, count| {
            all.insert(String::from_utf8_lossy(name).into_owned(), count);
        });
        if all.is_empty() {
            return (Page::default(), all);
        }
        let total = all.len() as u64;
        let offset = u64::try_from(request.offset).unwrap_or(0).min(total);
        let page = Page { total, offset, limit: SUBJECTS_PAGE as u64 };
        let shown = all.into_iter().skip(offset as usize).take(SUBJECTS_PAGE).collect();
        (page, shown)
    }
}
