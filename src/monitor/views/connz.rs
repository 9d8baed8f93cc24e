//! `/connz`: connections, open and remembered.
//!
//! Unlike other arguments, `filter_subject` is not read: the reference takes it only in requests
//! by message and shows every connection to those who pass it over HTTP.

mod row;
mod sort;

use serde::Serialize;

use super::go_text::timestamp;
use super::{Args, Refusal, totals};
use crate::monitor::facts::{GLOBAL_ACCOUNT, ServerFacts};
use crate::shard::snapshot::{ConnectionQuery, ConnectionSnapshot, ConnectionState, Totals};
use crate::types::pattern::overlap;
use crate::types::{ClientId, Wall};
use row::Row;
pub use sort::Sort;

/// Rows of a page where the asker does not say.
pub const LIMIT_DEFAULT: usize = 1024;

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConnzOptions {
    sort: Sort,
    /// Show user and account.
    auth: bool,
    subs: Subs,
    page: Page,
    client: Option<ClientId>,
    state: ConnectionState,
    user: Option<String>,
    account: Option<String>,
    /// Nobody has one.
    mqtt_client: Option<String>,
    /// Only who has a subscription that meets this.
    filter_subject: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Subs {
    #[default]
    Counted,
    Listed,
    Detailed,
}

/// Which rows of many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    pub offset: usize,
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self { offset: 0, limit: LIMIT_DEFAULT }
    }
}

impl Page {
    /// A negative offset is none; a limit below one is the default.
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        let offset = usize::try_from(args.int("offset")?).unwrap_or(0);
        let limit = match usize::try_from(args.int("limit")?) {
            Ok(limit) if limit > 0 => limit,
            _ => LIMIT_DEFAULT,
        };
        Ok(Self { offset, limit })
    }
}

impl ConnzOptions {
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        let some_text =
            |key| Some(args.text(key)).filter(|text| !text.is_empty()).map(str::to_owned);
        let auth = args.bool("auth")?;
        let subs = parse_subs(args)?;
        let mut page = Page::parse(args)?;
        let client = Some(args.uint("cid")?).filter(|&cid| cid > 0).map(ClientId);
        let state = parse_state(args.text("state"))?;
        let sort = Sort::parse(args.text("sort"))?;
        if sort.is_of_closed() && state != ConnectionState::Closed {
            return Err(Refusal::SortOfOpen(sort));
        }
        if client.is_some() {
            page.limit = 1;
        }
        let (user, account) = (some_text("user"), some_text("acc"));
        let mqtt_client = some_text("mqtt_client");
        let filter_subject = None;
        Ok(Self {
            sort,
            auth,
            subs,
            page,
            client,
            state,
            user,
            account,
            mqtt_client,
            filter_subject,
        })
    }

    /// Empty: everyone.
    #[must_use]
    pub fn filtered_by(self, subject: String) -> Self {
        Self { filter_subject: Some(subject).filter(|subject| !subject.is_empty()), ..self }
    }

    /// What to ask of every shard.
    pub fn query(&self) -> ConnectionQuery {
        ConnectionQuery {
            state: self.state,
            client: self.client,
            with_subscriptions: self.subs != Subs::Counted || self.filter_subject.is_some(),
        }
    }

    /// Whether `total` has to come from [`Totals`], because the rows are those of one connection.
    pub fn needs_totals(&self) -> bool {
        self.client.is_some()
    }

    fn wants(&self, row: &ConnectionSnapshot) -> bool {
        self.mqtt_client.is_none()
            && self.client.is_none_or(|client| client == row.client)
            && self.user.as_ref().is_none_or(|user| *user == row.authorized_user)
            && self.filter_subject.as_ref().is_none_or(|subject| has_interest(row, subject))
    }

    fn wants_account(&self, account: &str) -> bool {
        self.account.as_ref().is_none_or(|wanted| *wanted == account)
    }
}

fn has_interest(row: &ConnectionSnapshot, subject: &str) -> bool {
    row.subscriptions.iter().any(|sub| overlap(sub.subject.as_bytes(), subject.as_bytes()))
}

fn parse_subs(args: &Args) -> Result<Subs, Refusal> {
    if args.text("subs").eq_ignore_ascii_case("detail") {
        return Ok(Subs::Detailed);
    }
    Ok(if args.bool("subs")? { Subs::Listed } else { Subs::Counted })
}

fn parse_state(raw: &str) -> Result<ConnectionState, Refusal> {
    match raw.to_ascii_lowercase().as_str() {
        "" | "open" => Ok(ConnectionState::Open),
        "closed" => Ok(ConnectionState::Closed),
        "any" | "all" => Ok(ConnectionState::All),
        _ => Err(Refusal::State(raw.into())),
    }
}

#[derive(Serialize, Debug)]
pub struct Connz<'a> {
    server_id: &'a str,
    now: String,
    num_connections: usize,
    /// Of the state and account asked for, before the other filters.
    total: u64,
    offset: usize,
    limit: usize,
    connections: Option<Vec<Row<'a>>>,
}

/// `rows` are the answers of all shards to [`ConnzOptions::query`]; `shards` is empty unless
/// [`ConnzOptions::needs_totals`].
pub fn connz<'a>(
    facts: &'a ServerFacts,
    options: &ConnzOptions,
    shards: &[Totals],
    rows: &'a [ConnectionSnapshot],
    now: Wall,
) -> Connz<'a> {
    let page = options.page;
    if options.account.as_ref().is_some_and(|account| !facts.has_account(account)) {
        return unknown_account(page, now);
    }
    let of_account = rows.iter().filter(|row| options.wants_account(&row.account));
    let total = match options.needs_totals() {
        true => remembered(options, shards),
        false => of_account.clone().count() as u64,
    };
    let mut chosen: Vec<_> = of_account.filter(|row| options.wants(row)).collect();
    chosen.sort_by(|left, right| options.sort.order(left, right, now));
    let shown: Vec<_> = chosen
        .into_iter()
        .skip(page.offset)
        .take(page.limit)
        .map(|row| Row::of(row, options, now))
        .collect();
    Connz {
        server_id: &facts.server_id,
        now: timestamp(now),
        num_connections: shown.len(),
        total,
        offset: page.offset,
        limit: page.limit,
        connections: Some(shown),
    }
}

/// How many connections there are of the state and account asked for.
fn remembered(options: &ConnzOptions, shards: &[Totals]) -> u64 {
    // All clients are of the global account.
    if !options.wants_account(GLOBAL_ACCOUNT) {
        return 0;
    }
    let all = totals::sum(shards);
    match options.state {
        ConnectionState::Open => all.connections,
        ConnectionState::Closed => all.closed_connections,
        ConnectionState::All => all.connections + all.closed_connections,
    }
}

/// The reference's answer, an empty id and a null included: its clients were written against it.
fn unknown_account(page: Page, now: Wall) -> Connz<'static> {
    Connz {
        server_id: "",
        now: timestamp(now),
        num_connections: 0,
        total: 0,
        offset: page.offset,
        limit: page.limit,
        connections: None,
    }
}

#[cfg(test)]
mod tests;
