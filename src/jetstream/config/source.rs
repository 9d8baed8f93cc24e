//! What a stream is fed from, and the smaller objects within a stream's configuration
//! (facts/jetstream-api.md §3, §11).

use super::moment::Moment;
use super::values::Nanos;
use super::wire::object;

object! {
    /// Another stream that this one mirrors or draws from.
    pub struct StreamSource as "server.StreamSource" {
        name: String = always "name",
        opt_start_seq: u64 = filled "opt_start_seq",
        opt_start_time: Option<Moment> = filled "opt_start_time",
        filter_subject: String = filled "filter_subject",
        subject_transforms: Vec<SubjectTransform> = filled "subject_transforms"
            as "[]server.SubjectTransformConfig",
        external: Option<External> = filled "external",
        /// A durable consumer of the origin to draw through, instead of one made for the purpose.
        consumer: Option<SourceConsumer> = filled "consumer",
    }
}

object! {
    /// Where to ask for a stream of another domain or account.
    pub struct External as "server.ExternalStream" {
        api: String = always "api",
        deliver: String = always "deliver",
    }
}

object! {
    pub struct SourceConsumer as "server.StreamConsumerSource" {
        name: String = filled "name",
        deliver_subject: String = filled "deliver_subject",
    }
}

object! {
    /// Subjects that match `source` are stored as `destination`; empty: unchanged.
    pub struct SubjectTransform as "server.SubjectTransformConfig" {
        source: String = always "src",
        destination: String = always "dest",
    }
}

object! {
    /// Stored messages that match `source` are published again as `destination`.
    pub struct RePublish as "server.RePublish" {
        source: String = filled "src",
        destination: String = always "dest",
        headers_only: bool = filled "headers_only",
    }
}

object! {
    pub struct Placement as "server.Placement" {
        cluster: String = filled "cluster",
        tags: Vec<String> = filled "tags",
        preferred: String = filled "preferred",
    }
}

object! {
    /// Defaults and ceilings for a stream's consumers; 0 is none.
    pub struct ConsumerLimits as "server.StreamConsumerLimits" {
        inactive_threshold: Nanos = filled "inactive_threshold",
        max_ack_pending: i64 = filled "max_ack_pending" as "int",
    }
}
