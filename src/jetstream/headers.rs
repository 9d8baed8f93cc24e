//! Header blocks of messages: read and written.
