//! `/accountz` and `/accstatz`. There are two accounts: that of all clients, and the system's,
//! which nobody can log into.

use serde::Serialize;

use super::go_text::timestamp;
use super::subsz::SublistStats;
use super::{Args, Refusal, totals};
use crate::monitor::facts::{GLOBAL_ACCOUNT, ServerFacts};
use crate::shard::snapshot::Totals;
use crate::types::Wall;

#[derive(Serialize, Debug)]
pub struct Accountz<'a> {
    server_id: &'a str,
    now: String,
    system_account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<[&'a str; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail<'a>>,
}

#[derive(Serialize, Debug)]
struct AccountDetail<'a> {
    account_name: &'a str,
    update_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_system: Option<bool>,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: u64,
    client_connections: u64,
    subscriptions: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<Export>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<Import<'a>>,
    name_tag: &'a str,
    sublist_stats: SublistStats,
}

/// A service that clients may ask the system account for. Of the reference's,
/// `$SYS.DEBUG.SUBSCRIBERS` is not served.
#[derive(Serialize, Debug)]
struct Export {
    subject: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    response_type: &'static str,
}

#[derive(Serialize, Debug)]
struct Import<'a> {
    subject: &'static str,
    account: &'a str,
    to: &'static str,
    local_subject: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    invalid: bool,
    /// Whether the service learns who asks.
    share: bool,
    tracking: bool,
}

fn exports(jetstream: bool) -> Vec<Export> {
    let services = [
        ("$SYS.REQ.ACCOUNT.*.CONNZ", "Streamed"),
        ("$SYS.REQ.ACCOUNT.*.STATZ", "Streamed"),
        ("$SYS.REQ.USER.*.INFO", "Singleton"),
        ("$JS.API.>", "Singleton"),
    ];
    let shown = services.into_iter().take(if jetstream { 4 } else { 3 });
    shown
        .map(|(subject, response_type)| Export { subject, kind: "service", response_type })
        .collect()
}

fn imports(system_account: &str, jetstream: bool) -> Vec<Import<'_>> {
    let services = [
        ("$SYS.REQ.ACCOUNT.$G.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ", false),
        ("$SYS.REQ.ACCOUNT.$G.CONNZ", "$SYS.REQ.SERVER.PING.CONNZ", false),
        ("$SYS.REQ.ACCOUNT.$G.STATZ", "$SYS.REQ.ACCOUNT.PING.STATZ", false),
        ("$SYS.REQ.USER.$G.INFO", "$SYS.REQ.USER.INFO", true),
        ("$JS.API.>", "$JS.API.>", true),
    ];
    let shown = services.into_iter().take(if jetstream { 5 } else { 4 });
    let import = |(subject, to, share)| Import {
        subject,
        account: system_account,
        to,
        local_subject: to,
        kind: "service",
        invalid: false,
        share,
        tracking: false,
    };
    shown.map(import).collect()
}

/// All accounts, or the one of `acc=`.
pub fn accountz<'a>(
    facts: &'a ServerFacts,
    args: &Args,
    shards: &[Totals],
    now: Wall,
) -> Result<Accountz<'a>, Refusal> {
    let wanted = args.text("acc");
    let (accounts, account_detail) = match facts.accounts().into_iter().find(|&name| name == wanted)
    {
        Some(name) => (None, Some(detail(facts, name, shards))),
        None if wanted.is_empty() => (Some(facts.accounts()), None),
        None => return Err(Refusal::UnknownAccount(wanted.into())),
    };
    Ok(Accountz {
        server_id: &facts.server_id,
        now: timestamp(now),
        system_account: &facts.system_account,
        accounts,
        account_detail,
    })
}

fn detail<'a>(facts: &'a ServerFacts, name: &'a str, shards: &[Totals]) -> AccountDetail<'a> {
    let all = of_account(name, shards);
    let (is_system, jetstream) = (name == facts.system_account, facts.jetstream.is_some());
    AccountDetail {
        account_name: name,
        update_time: timestamp(facts.config_load_time),
        is_system: Some(true).filter(|_| is_system),
        expired: false,
        complete: true,
        jetstream_enabled: jetstream && !is_system,
        leafnode_connections: 0,
        client_connections: all.connections,
        subscriptions: all.routing.subscriptions,
        exports: if is_system { exports(jetstream) } else { Vec::new() },
        imports: if is_system { Vec::new() } else { imports(&facts.system_account, jetstream) },
        name_tag: name,
        sublist_stats: SublistStats::of(&all.routing),
    }
}

fn of_account(name: &str, shards: &[Totals]) -> Totals {
    if name == GLOBAL_ACCOUNT { totals::sum(shards) } else { Totals::default() }
}

#[derive(Serialize, Debug)]
pub struct Accstatz<'a> {
    server_id: &'a str,
    now: String,
    account_statz: Vec<AccountStats<'a>>,
}

#[derive(Serialize, Debug)]
struct AccountStats<'a> {
    acc: &'a str,
    name: &'a str,
    conns: u64,
    leafnodes: u64,
    /// Clients and leaf nodes of now, not those of the past.
    total_conns: u64,
    num_subscriptions: u64,
    sent: Traffic,
    received: Traffic,
    slow_consumers: u64,
}

impl<'a> AccountStats<'a> {
    fn of(name: &'a str, all: &Totals) -> Self {
        Self {
            acc: name,
            name,
            conns: all.connections,
            leafnodes: 0,
            total_conns: all.connections,
            num_subscriptions: all.routing.subscriptions,
            sent: Traffic::of_clients(all.out_msgs, all.out_bytes),
            received: Traffic::of_clients(all.in_msgs, all.in_bytes),
            slow_consumers: totals::slow_consumers(all),
        }
    }
}

#[derive(Serialize, Debug, Default)]
struct Traffic {
    #[serde(flatten)]
    all: Volume,
    gateways: Volume,
    routes: Volume,
    leafs: Volume,
}

#[derive(Serialize, Debug, Default)]
struct Volume {
    msgs: u64,
    bytes: u64,
}

impl Traffic {
    fn of_clients(msgs: u64, bytes: u64) -> Self {
        Self { all: Volume { msgs, bytes }, ..Self::default() }
    }
}

impl<'a> Accstatz<'a> {
    /// Of the account of all clients, used or not: what they are told by message.
    pub fn of_clients(facts: &'a ServerFacts, shards: &[Totals], now: Wall) -> Self {
        let account_statz =
            vec![AccountStats::of(GLOBAL_ACCOUNT, &of_account(GLOBAL_ACCOUNT, shards))];
        Self { server_id: &facts.server_id, now: timestamp(now), account_statz }
    }
}

/// Accounts with connections; all of them with `unused=1`.
pub fn accstatz<'a>(
    facts: &'a ServerFacts,
    args: &Args,
    shards: &[Totals],
    now: Wall,
) -> Result<Accstatz<'a>, Refusal> {
    let unused_too = args.bool("unused")?;
    let stats = facts.accounts().into_iter().filter_map(|name| {
        let all = of_account(name, shards);
        (unused_too || all.connections > 0).then(|| AccountStats::of(name, &all))
    });
    Ok(Accstatz {
        server_id: &facts.server_id,
        now: timestamp(now),
        account_statz: stats.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::fixtures::{NOW, facts, shape, totals_of_shard};

    const DETAIL: &str = "server_id:str now:str system_account:str account_detail:{account_name:str \
        update_time:str expired:bool complete:bool jetstream_enabled:bool leafnode_connections:num \
        client_connections:num subscriptions:num imports:[{subject:str account:str to:str \
        local_subject:str type:str invalid:bool share:bool tracking:bool}] name_tag:str \
        sublist_stats:{num_subscriptions:num num_cache:num num_inserts:num num_removes:num \
        num_matches:num cache_hit_rate:num max_fanout:num avg_fanout:num}}";
    const IMPORTS: &str = "imports:[{subject:str account:str to:str local_subject:str type:str \
        invalid:bool share:bool tracking:bool}]";
    const EXPORTS: &str = "exports:[{subject:str type:str response_type:str}]";

    #[test]
    fn accounts_are_listed_or_one_is_shown() {
        let (facts, shards) = (facts(), [totals_of_shard(0)]);
        let shown = |query| accountz(&facts, &Args::parse(query), &shards, NOW);
        assert_eq!(
            shape(&shown("").unwrap()),
            "server_id:str now:str system_account:str accounts:[str]"
        );
        assert_eq!(shape(&shown("acc=$G").unwrap()), DETAIL);
        assert_eq!(
            shape(&shown("acc=%24SYS").unwrap()),
            DETAIL.replace("expired", "is_system:bool expired").replace(IMPORTS, EXPORTS)
        );
        let refusal = shown("acc=NOPE").unwrap_err();
        assert_eq!(
            (refusal.status(), refusal.to_string().as_str()),
            (400, "Account NOPE does not exist")
        );
    }

    #[test]
    fn traffic_is_that_of_the_clients_account() {
        let (facts, shards) = (facts(), [totals_of_shard(0), totals_of_shard(1)]);
        let statz = |query, shards| {
            let view = accstatz(&facts, &Args::parse(query), shards, NOW).unwrap();
            serde_json::to_value(view).unwrap()["account_statz"].clone()
        };
        let used = statz("", &shards[..]);
        assert_eq!(used.as_array().unwrap().len(), 1);
        assert_eq!((&used[0]["acc"], &used[0]["conns"]), (&"$G".into(), &6.into()));
        assert_eq!(
            (&used[0]["sent"]["msgs"], &used[0]["received"]["bytes"]),
            (&40.into(), &200.into())
        );
        assert_eq!(statz("unused=1", &shards[..])[1]["acc"], "$SYS");
        assert_eq!(statz("", &[]), serde_json::json!([]));
        assert!(accstatz(&facts, &Args::parse("unused=x"), &shards, NOW).is_err());
    }

    #[test]
    fn shape_of_accstatz() {
        let (facts, shards) = (facts(), [totals_of_shard(0)]);
        let traffic = "{msgs:num bytes:num gateways:{msgs:num bytes:num} \
                       routes:{msgs:num bytes:num} leafs:{msgs:num bytes:num}}";
        assert_eq!(
            shape(&accstatz(&facts, &Args::default(), &shards, NOW).unwrap()),
            format!(
                "server_id:str now:str account_statz:[{{acc:str name:str conns:num leafnodes:num \
                 total_conns:num num_subscriptions:num sent:{traffic} received:{traffic} \
                 slow_consumers:num}}]"
            )
        );
    }
}
