//! What the API tells of streams, consumers and accounts, in the reference's order.
