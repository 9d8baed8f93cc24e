//! Orders, filters and errors were taken from nats-server 2.15.1 with nine connections that differ
//! in every number.

use super::*;
use crate::monitor::views::fixtures::{NOW, connection, facts, shape, totals_of_shard};
use crate::shard::snapshot::{ConnectionExtra, SubscriptionSnapshot};
use crate::types::time::{MILLISECOND, SECOND};
use crate::types::{CloseReason, ShardId};

const SUBSCRIPTION: &str = "subject:str qgroup:str sid:str msgs:num max:num cid:num";

fn subscription(cid: u64) -> SubscriptionSnapshot {
    SubscriptionSnapshot {
        account: "$G".into(),
        subject: "a.>".into(),
        queue: "q".into(),
        sid: "1".into(),
        msgs: 3,
        max: 10,
        client: ClientId(cid),
    }
}

/// c5 to c9 are open and d10 to d13 have ended.
fn nine() -> Vec<ConnectionSnapshot> {
    let at = |ms: u64| Wall(NOW.0 - 10 * SECOND + ms * MILLISECOND);
    // cid, start, last activity, rtt in µs, in msgs, in bytes, out msgs, out bytes, subscriptions
    let rows = [
        (5, 0, 2148, 150_786, 0, 0, 8, 243, 3),
        (6, 263, 4094, 1_500_689, 3, 36, 5, 9, 1),
        (7, 1874, 1925, 413, 1, 100, 0, 0, 0),
        (8, 1986, 2148, 407, 0, 0, 1, 1, 2),
        (9, 2097, 2191, 357, 5, 9, 0, 0, 0),
        (10, 2208, 2259, 365, 0, 0, 0, 0, 1),
        (11, 2520, 2520, 314, 0, 0, 0, 0, 0),
        (12, 2832, 2923, 383, 1, 1, 0, 0, 2),
        (13, 4044, 4094, 386, 1, 1, 0, 0, 0),
    ];
    let mut all: Vec<_> = rows
        .into_iter()
        .map(|(cid, start, last, rtt, in_msgs, in_bytes, out_msgs, out_bytes, subs)| {
            ConnectionSnapshot {
                start: at(start),
                last_activity: at(last),
                rtt_ns: rtt * 1000,
                in_msgs,
                in_bytes,
                out_msgs,
                out_bytes,
                subscription_count: subs,
                authorized_user: if [6, 9, 11, 13].contains(&cid) { "y" } else { "x" }.into(),
                ..connection(cid)
            }
        })
        .collect();
    let ends = [(2319, false), (2571, true), (2944, false), (4155, false)];
    for (row, (stop, bad)) in all[5..].iter_mut().zip(ends) {
        let why = if bad { CloseReason::ProtocolViolation } else { CloseReason::ClientClosed };
        row.closed = Some((at(stop), why));
    }
    all[6].pending_bytes = 35;
    all
}

/// What the shards hand over, and `total` and cids of what is shown.
fn ask(query: &str) -> (u64, Vec<u64>) {
    let options = ConnzOptions::parse(&Args::parse(query)).unwrap();
    let asked = options.query();
    let mut rows = nine();
    rows.retain(|row| match asked.state {
        ConnectionState::Open => row.closed.is_none(),
        ConnectionState::Closed => row.closed.is_some(),
        ConnectionState::All => true,
    });
    rows.retain(|row| asked.client.is_none_or(|client| client == row.client));
    // Five open and four closed, on one shard.
    let shard = Totals { connections: 5, closed_connections: 4, ..totals_of_shard(0) };
    let facts = facts();
    let view = connz(&facts, &options, &[shard], &rows, NOW);
    let cids: Vec<_> = view.connections.unwrap_or_default().iter().map(Row::cid).collect();
    assert_eq!(cids.len(), view.num_connections);
    (view.total, cids)
}

#[test]
fn orders() {
    let rows: [(&str, &[u64]); 26] = [
        ("", &[5, 6, 7, 8, 9]),
        ("sort=cid", &[5, 6, 7, 8, 9]),
        ("sort=start", &[5, 6, 7, 8, 9]),
        ("sort=subs", &[5, 8, 6, 7, 9]),
        ("sort=pending", &[5, 6, 7, 8, 9]),
        ("sort=msgs_to", &[5, 6, 8, 7, 9]),
        ("sort=msgs_from", &[9, 6, 7, 5, 8]),
        ("sort=bytes_to", &[5, 6, 8, 7, 9]),
        ("sort=bytes_from", &[7, 6, 9, 5, 8]),
        ("sort=last", &[6, 9, 5, 8, 7]),
        ("sort=idle", &[7, 5, 8, 9, 6]),
        ("sort=uptime", &[9, 8, 7, 6, 5]),
        ("sort=rtt", &[6, 5, 7, 8, 9]),
        ("state=closed", &[10, 11, 12, 13]),
        ("state=closed&sort=subs", &[12, 10, 11, 13]),
        ("state=closed&sort=pending", &[11, 10, 12, 13]),
        ("state=closed&sort=msgs_from", &[12, 13, 10, 11]),
        ("state=closed&sort=last", &[13, 12, 11, 10]),
        ("state=closed&sort=idle", &[10, 11, 12, 13]),
        ("state=closed&sort=uptime", &[11, 10, 13, 12]),
        ("state=closed&sort=rtt", &[13, 12, 10, 11]),
        ("state=closed&sort=stop", &[13, 12, 11, 10]),
        ("state=closed&sort=reason", &[10, 12, 13, 11]),
        ("state=all&sort=uptime", &[11, 10, 13, 12, 9, 8, 7, 6, 5]),
        ("state=any&sort=rtt", &[6, 5, 7, 8, 13, 12, 10, 9, 11]),
        ("state=ALL&sort=idle", &[7, 5, 8, 9, 10, 11, 12, 6, 13]),
    ];
    for (query, expected) in rows {
        assert_eq!(ask(query).1, expected, "{query}");
    }
}

#[test]
fn filters_and_pages() {
    let rows: [(&str, u64, &[u64]); 18] = [
        ("sort=subs&limit=2", 5, &[5, 8]),
        ("sort=subs&limit=2&offset=1", 5, &[8, 6]),
        ("sort=subs&limit=2&offset=4", 5, &[9]),
        ("limit=2&offset=5", 5, &[]),
        ("limit=-1&offset=-1", 5, &[5, 6, 7, 8, 9]),
        ("state=all&limit=6&offset=4", 9, &[9, 10, 11, 12, 13]),
        ("user=x", 5, &[5, 7, 8]),
        ("user=x&state=all", 9, &[5, 7, 8, 10, 12]),
        ("user=none", 5, &[]),
        ("mqtt_client=x", 5, &[]),
        ("acc=$G", 5, &[5, 6, 7, 8, 9]),
        ("acc=$SYS", 0, &[]),
        ("cid=5", 5, &[5]),
        ("cid=5&state=closed", 4, &[]),
        ("cid=10&state=all", 9, &[10]),
        ("cid=5&offset=1", 5, &[]),
        ("cid=5&acc=$SYS", 0, &[]),
        // The reference loses the account of a client that left $G and shows nothing here.
        ("acc=$G&state=closed", 4, &[10, 11, 12, 13]),
    ];
    for (query, total, expected) in rows {
        assert_eq!(ask(query), (total, expected.to_vec()), "{query}");
    }
}

#[test]
fn refusals() {
    let rows = [
        ("sort=bogus", "invalid sorting option: bogus"),
        ("sort=CID", "invalid sorting option: CID"),
        ("sort=stop", "sort by stop only valid on closed connections"),
        ("sort=reason&state=any", "sort by reason only valid on closed connections"),
        ("state=zzz", "Error decoding state for zzz"),
        (
            "auth=x",
            r#"Error decoding boolean for 'auth': strconv.ParseBool: parsing "x": invalid syntax"#,
        ),
        (
            "subs=2",
            r#"Error decoding boolean for 'subs': strconv.ParseBool: parsing "2": invalid syntax"#,
        ),
        ("limit=x", r#"Error decoding int for 'limit': strconv.Atoi: parsing "x": invalid syntax"#),
        (
            "offset=x",
            r#"Error decoding int for 'offset': strconv.Atoi: parsing "x": invalid syntax"#,
        ),
        (
            "cid=-1",
            r#"Error decoding uint64 for 'cid': strconv.ParseUint: parsing "-1": invalid syntax"#,
        ),
    ];
    for (query, expected) in rows {
        let refusal = ConnzOptions::parse(&Args::parse(query)).unwrap_err();
        assert_eq!((refusal.status(), refusal.to_string()), (400, expected.into()), "{query}");
    }
}

fn document(query: &str, row: ConnectionSnapshot) -> serde_json::Value {
    let options = ConnzOptions::parse(&Args::parse(query)).unwrap();
    serde_json::to_value(connz(&facts(), &options, &[], &[row], NOW)).unwrap()
}

#[test]
fn a_bare_connection_shows_the_fixed_fields() {
    let (facts, rows) = (facts(), [connection(5)]);
    assert_eq!(
        shape(&connz(&facts, &ConnzOptions::default(), &[], &rows, NOW)),
        "server_id:str now:str num_connections:num total:num offset:num limit:num connections:[{\
         cid:num kind:str type:str ip:str port:num start:str last_activity:str rtt:str uptime:str \
         idle:str pending_bytes:num in_msgs:num out_msgs:num in_bytes:num out_bytes:num \
         subscriptions:num weft:{shard:num}}]"
    );
    let row = &document("", connection(5))["connections"][0];
    assert_eq!(row["rtt"], "442µs");
    assert_eq!((&row["uptime"], &row["idle"]), (&"9s".into(), &"3s".into()));
}

#[test]
fn a_full_connection_shows_every_field_in_order() {
    let full = |closed| ConnectionSnapshot {
        closed,
        stalls: 2,
        extra: ConnectionExtra {
            shard: ShardId(1),
            waiting_ns: 1,
            crowded_since: Some(NOW),
            stalls_asked: 1,
        },
        name: "n".into(),
        lang: "rust".into(),
        version: "1".into(),
        authorized_user: "bob".into(),
        subscriptions: vec![subscription(5)],
        ..connection(5)
    };
    let ended = Some((NOW, CloseReason::ClientClosed));
    let head = "{cid:num kind:str type:str ip:str port:num start:str last_activity:str ";
    let numbers = "rtt:str uptime:str idle:str pending_bytes:num in_msgs:num out_msgs:num \
                   in_bytes:num out_bytes:num stalls:num subscriptions:num name:str lang:str version:str";
    let detail = "subscriptions_list_detail";
    let ours = "weft:{shard:num crowded_since:str waiting_ns:num stalls_asked:num}";
    let rows = [
        (
            "subs=1&auth=1",
            None,
            format!(
                "{head}{numbers} authorized_user:str subscriptions_list:[str] name_tag:str {ours}}}"
            ),
        ),
        (
            "subs=1&auth=1",
            ended,
            format!(
                "{head}stop:str reason:str {numbers} authorized_user:str subscriptions_list:[str]}}"
            ),
        ),
        ("subs=Detail", None, format!("{head}{numbers} {detail}:[{{{SUBSCRIPTION}}}] {ours}}}")),
        (
            "subs=detail",
            ended,
            format!(
                "{head}stop:str reason:str {numbers} {detail}:[{{account:str account_tag:str {SUBSCRIPTION}}}]}}"
            ),
        ),
        ("", None, format!("{head}{numbers} {ours}}}")),
    ];
    let facts = facts();
    for (query, closed, expected) in rows {
        let query = format!("{query}&state=all");
        let options = ConnzOptions::parse(&Args::parse(&query)).unwrap();
        let all = [full(closed)];
        let got = shape(&connz(&facts, &options, &[], &all, NOW));
        let row = got.split_once("connections:[").unwrap().1.strip_suffix(']').unwrap();
        assert_eq!(row, expected, "{query} {closed:?}");
    }
}

#[test]
fn the_account_is_named_unless_it_is_everybodys() {
    let row = ConnectionSnapshot { account: "A".into(), ..connection(5) };
    let shown = document("auth=1", row.clone())["connections"][0].clone();
    assert_eq!((&shown["account"], &shown["name_tag"]), (&"A".into(), &"A".into()));
    assert!(document("", row)["connections"][0].get("account").is_none());
}

#[test]
fn an_unknown_account_gets_the_references_empty_page() {
    let view = document("acc=NOPE&limit=7&offset=3&cid=4", connection(4));
    assert_eq!(view["server_id"], "");
    assert_eq!(view["connections"], serde_json::Value::Null);
    assert_eq!((&view["offset"], &view["limit"]), (&3.into(), &1.into()));
}

#[test]
fn a_mapped_address_is_shown_as_ipv4() {
    let peer = "[::ffff:10.0.0.1]:99".parse().unwrap();
    let row = ConnectionSnapshot { peer, ..connection(5) };
    assert_eq!(document("", row)["connections"][0]["ip"], "10.0.0.1");
}
