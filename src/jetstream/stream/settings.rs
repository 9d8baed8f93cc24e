//! What a changed configuration changes at once.

use super::Stream;
use super::intake::Rules;
use super::recovery::Recovery;
use super::republish::Republish;
use crate::jetstream::config::{Compression, StreamConfig};
use crate::jetstream::context::Context;
use crate::storage::Refusal;
use crate::types::Transform;

impl Stream {
    /// Takes a configuration that was found to be a permitted change of the present one. To be
    /// told when [`Stream::appended`] is settled.
    pub fn update(&mut self, ctx: &mut Context<'_>, config: StreamConfig) -> Result<(), Refusal> {
        self.seen = ctx.now;
        let before = std::mem::replace(&mut self.config, config);
        if let Err(refusal) = self.write_record(ctx) {
            self.config = before;
            return Err(refusal);
        }
        self.apply_config();
        self.part_with_sources(ctx);
        self.judge_all_subjects();
        self.expiry.look_again();
        self.make_room(ctx);
        // What a shorter age ends is gone when the change is told.
        if self.recovery == Recovery::Done {
            self.expire(ctx);
        }
        Ok(())
    }

    /// What is kept ready of the configuration.
    pub(super) fn apply_config(&mut self) {
        self.rules = Rules::of(&self.config);
        self.store.pack(self.config.compression == Compression::S2);
        self.dedup.set_window(self.config.duplicate_window.ns());
        self.sourcing.configure(&self.config, self.seen.mono);
        self.republish = Republish::of(&self.config);
        // A rule that was accepted compiles.
        self.transform = self
            .config
            .subject_transform
            .as_ref()
            .and_then(|rule| Transform::parse(&rule.source, &rule.destination).ok());
    }
}
