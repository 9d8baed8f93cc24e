//! The errors of the JetStream API (facts/jetstream-api.md §18).
