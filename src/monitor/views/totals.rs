//! One server's numbers from those of its shards.

use crate::shard::snapshot::{RoutingTotals, Totals};

/// The server's totals: sums, except for the largest fan-out.
pub fn sum(shards: &[Totals]) -> Totals {
    let mut all = Totals::default();
    for one in shards {
        all.connections += one.connections;
        all.total_connections += one.total_connections;
        all.closed_connections += one.closed_connections;
        all.in_msgs += one.in_msgs;
        all.in_bytes += one.in_bytes;
        all.out_msgs += one.out_msgs;
        all.out_bytes += one.out_bytes;
        all.slow_consumers_pending += one.slow_consumers_pending;
        all.slow_consumers_deadline += one.slow_consumers_deadline;
        all.stale_connections += one.stale_connections;
        all.stalled_clients += one.stalled_clients;
        all.pending_bytes += one.pending_bytes;
        all.peer_msgs += one.peer_msgs;
        all.peer_batches += one.peer_batches;
        all.moves.begun += one.moves.begun;
        all.moves.done += one.moves.done;
        all.moves.abandoned += one.moves.abandoned;
        all.turns += one.turns;
        add_routing(&mut all.routing, &one.routing);
    }
    all
}

fn add_routing(all: &mut RoutingTotals, one: &RoutingTotals) {
    all.subscriptions += one.subscriptions;
    all.cached += one.cached;
    all.inserts += one.inserts;
    all.removes += one.removes;
    all.matches += one.matches;
    all.cache_hits += one.cache_hits;
    // Of one shard: a subject's fan-out over all shards is nowhere known.
    all.fanout_max = all.fanout_max.max(one.fanout_max);
    all.fanout_sum += one.fanout_sum;
    all.remote_interest += one.remote_interest;
}

/// Clients cut because they did not take their messages.
pub fn slow_consumers(totals: &Totals) -> u64 {
    totals.slow_consumers_pending + totals.slow_consumers_deadline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::fixtures::totals_of_shard;

    #[test]
    fn every_counter_is_summed() {
        let one = totals_of_shard(0);
        let both = sum(&[one.clone(), totals_of_shard(1)]);
        let doubled =
            format!("{:?}", Totals { shard: one.shard, ..sum(&[one.clone(), one.clone()]) });
        // The fixture gives both shards the same counters, so a forgotten field shows.
        assert_eq!(format!("{both:?}"), doubled);
        assert_eq!(both.total_connections, 2 * one.total_connections);
        assert_eq!(both.routing.fanout_max, one.routing.fanout_max);
        assert_eq!(both.routing.fanout_sum, 2 * one.routing.fanout_sum);
        assert_eq!(slow_consumers(&both), 2 * slow_consumers(&one));
    }

    #[test]
    fn no_shards_are_no_numbers() {
        assert_eq!(sum(&[]).connections, 0);
    }
}
