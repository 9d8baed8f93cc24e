//! `/subsz`, also known as `/subscriptionsz`: routing's numbers, and subscriptions where asked.

use serde::Serialize;

use super::connz::Page;
use super::go_text::timestamp;
use super::{Args, Refusal, totals};
use crate::monitor::facts::{GLOBAL_ACCOUNT, ServerFacts};
use crate::shard::snapshot::{RoutingTotals, SubscriptionQuery, SubscriptionSnapshot, Totals};
use crate::types::{Subject, Wall};

/// Rows that one shard gives for `test=`; `total` counts no more than these.
const TESTED_ROWS_MAX: usize = 64 * 1024;

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubszOptions {
    listed: bool,
    page: Page,
    account: Option<String>,
    /// Only subscriptions that a message to this subject would reach.
    test: Option<String>,
}

impl SubszOptions {
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        let some_text =
            |key| Some(args.text(key)).filter(|text| !text.is_empty()).map(str::to_owned);
        let listed = args.bool("subs")?;
        let page = Page::parse(args)?;
        let (account, test) = (some_text("acc"), some_text("test"));
        if let Some(raw) = &test
            && !Subject::parse(raw.as_bytes()).is_some_and(Subject::is_literal)
        {
            return Err(Refusal::TestSubject(raw.clone()));
        }
        Ok(Self { listed, page, account, test })
    }

    /// What to ask of every shard; `None` where the totals suffice.
    pub fn query(&self) -> Option<SubscriptionQuery> {
        if !self.listed || !self.wants_clients() {
            return None;
        }
        let test = self.test.as_ref().map(|subject| subject.clone().into_bytes());
        let limit = match test {
            Some(_) => TESTED_ROWS_MAX,
            None => self.page.offset.saturating_add(self.page.limit),
        };
        Some(SubscriptionQuery { test, limit })
    }

    /// All subscriptions are of clients, and all clients of the global account.
    fn wants_clients(&self) -> bool {
        self.account.as_ref().is_none_or(|account| account == GLOBAL_ACCOUNT)
    }
}

#[derive(Serialize, Debug)]
pub struct Subsz<'a> {
    server_id: &'a str,
    now: String,
    #[serde(flatten)]
    stats: SublistStats,
    total: u64,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<SubscriptionRow<'a>>,
}

/// The numbers of routing, here and in `/accountz`.
#[derive(Serialize, Debug)]
pub struct SublistStats {
    num_subscriptions: u64,
    num_cache: u64,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: f64,
    max_fanout: u64,
    avg_fanout: f64,
}

impl SublistStats {
    pub fn of(routing: &RoutingTotals) -> Self {
        Self {
            num_subscriptions: routing.subscriptions,
            num_cache: routing.cached,
            num_inserts: routing.inserts,
            num_removes: routing.removes,
            num_matches: routing.matches,
            cache_hit_rate: ratio(routing.cache_hits, routing.matches),
            max_fanout: routing.fanout_max,
            avg_fanout: ratio(routing.fanout_sum, routing.cached),
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[derive(Serialize, Debug)]
pub struct SubscriptionRow<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account_tag: &'a str,
    subject: &'a str,
    #[serde(rename = "qgroup", skip_serializing_if = "str::is_empty")]
    queue: &'a str,
    sid: &'a str,
    msgs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u64>,
    cid: u64,
}

impl<'a> SubscriptionRow<'a> {
    pub fn of(row: &'a SubscriptionSnapshot) -> Self {
        Self { account: &row.account, account_tag: &row.account, ..Self::without_account(row) }
    }

    pub fn without_account(row: &'a SubscriptionSnapshot) -> Self {
        Self {
            account: "",
            account_tag: "",
            subject: &row.subject,
            queue: &row.queue,
            sid: &row.sid,
            msgs: row.msgs,
            max: Some(row.max).filter(|&max| max > 0),
            cid: row.client.0,
        }
    }
}

/// `rows` are the answers of all shards to [`SubszOptions::query`].
pub fn subsz<'a>(
    facts: &'a ServerFacts,
    options: &SubszOptions,
    shards: &[Totals],
    rows: &'a [SubscriptionSnapshot],
    now: Wall,
) -> Subsz<'a> {
    let routing = match options.wants_clients() {
        true => totals::sum(shards).routing,
        false => RoutingTotals::default(),
    };
    let total = match (&options.test, options.listed) {
        (_, false) => 0,
        (Some(_), true) => rows.len() as u64,
        // Never less than the rows at hand: they were counted a moment later.
        (None, true) => routing.subscriptions.max(rows.len() as u64),
    };
    let shown = rows.iter().skip(options.page.offset).take(options.page.limit);
    Subsz {
        server_id: &facts.server_id,
        now: timestamp(now),
        stats: SublistStats::of(&routing),
        total,
        offset: options.page.offset,
        limit: options.page.limit,
        subscriptions_list: shown.map(SubscriptionRow::of).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::fixtures::{NOW, facts, shape, totals_of_shard};
    use crate::types::ClientId;

    const STATS: &str = "server_id:str now:str num_subscriptions:num num_cache:num num_inserts:num \
        num_removes:num num_matches:num cache_hit_rate:num max_fanout:num avg_fanout:num total:num \
        offset:num limit:num";

    fn row(sid: &str) -> SubscriptionSnapshot {
        SubscriptionSnapshot {
            account: "$G".into(),
            subject: "a".into(),
            queue: String::new(),
            sid: sid.into(),
            msgs: 0,
            max: 0,
            client: ClientId(5),
        }
    }

    fn options(query: &str) -> SubszOptions {
        SubszOptions::parse(&Args::parse(query)).unwrap()
    }

    #[test]
    fn shapes() {
        let facts = facts();
        let shown = |query, rows: &[SubscriptionSnapshot]| {
            shape(&subsz(&facts, &options(query), &[totals_of_shard(0)], rows, NOW))
        };
        assert_eq!(shown("", &[]), STATS);
        assert_eq!(
            shown("subs=1", &[row("1")]),
            format!(
                "{STATS} subscriptions_list:[{{account:str account_tag:str subject:str sid:str msgs:num cid:num}}]"
            )
        );
        // Past the end the list is left out, not empty.
        assert_eq!(shown("subs=1&offset=9", &[row("1")]), STATS);
    }

    #[test]
    fn pages_totals_and_accounts() {
        let facts = facts();
        let rows = [row("1"), row("2"), row("3")];
        let shards = [totals_of_shard(0), totals_of_shard(1)];
        // query, num_subscriptions, total, limit, sids shown
        let table: [(&str, u64, u64, u64, &[&str]); 6] = [
            ("subs=1", 16, 16, 1024, &["1", "2", "3"]),
            ("subs=true&limit=1&offset=1", 16, 16, 1, &["2"]),
            ("subs=1&limit=0&offset=-1", 16, 16, 1024, &["1", "2", "3"]),
            ("subs=1&test=a", 16, 3, 1024, &["1", "2", "3"]),
            ("subs=1&acc=$SYS", 0, 0, 1024, &[]),
            ("subs=1&acc=NOPE", 0, 0, 1024, &[]),
        ];
        for (query, subscriptions, total, limit, sids) in table {
            let options = options(query);
            let given = if options.query().is_some() { &rows[..] } else { &[] };
            let view = serde_json::to_value(subsz(&facts, &options, &shards, given, NOW)).unwrap();
            let shown: Vec<_> = view["subscriptions_list"]
                .as_array()
                .map(|list| list.iter().map(|row| row["sid"].as_str().unwrap()).collect())
                .unwrap_or_default();
            assert_eq!(view["num_subscriptions"], subscriptions, "{query}");
            assert_eq!(view["total"], total, "{query}");
            assert_eq!(view["limit"], limit, "{query}");
            assert_eq!(shown, sids, "{query}");
        }
    }

    #[test]
    fn rates_are_of_all_shards() {
        let facts = facts();
        let shards = [totals_of_shard(0), totals_of_shard(1)];
        let view = subsz(&facts, &options(""), &shards, &[], NOW);
        let view = serde_json::to_value(view).unwrap();
        assert_eq!(
            (view["cache_hit_rate"].as_f64(), view["avg_fanout"].as_f64()),
            (Some(0.25), Some(1.5))
        );
        let idle = serde_json::to_value(subsz(&facts, &options(""), &[], &[], NOW)).unwrap();
        assert_eq!(idle["cache_hit_rate"].as_f64(), Some(0.0));
    }

    #[test]
    fn asks_the_shards_only_for_what_is_shown() {
        let limit = |query| options(query).query().map(|query| query.limit);
        assert_eq!(limit(""), None);
        assert_eq!(limit("test=a"), None);
        assert_eq!(limit("subs=1&limit=5&offset=7"), Some(12));
        assert_eq!(limit("subs=1&test=a&limit=5"), Some(TESTED_ROWS_MAX));
    }

    #[test]
    fn refusals() {
        for raw in ["foo.*", "a..b", ">"] {
            let refusal = SubszOptions::parse(&Args::parse(&format!("test={raw}"))).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                format!("invalid test subject, must be valid publish subject: {raw}")
            );
        }
        assert!(SubszOptions::parse(&Args::parse("subs=detail")).is_err());
    }
}
