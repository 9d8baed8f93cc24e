//! What is told of streams and consumers (facts/jetstream-api.md §16).
