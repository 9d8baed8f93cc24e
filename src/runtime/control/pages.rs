//! The pages of the monitoring port: which there are, what each asks of the shards, and which
//! view it shows.
//!
//! Not here, on purpose: `/stacksz` and `/debug/vars` show the innards of the Go runtime, which we
//! have none of; they are 404.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::timeout;

use super::ask::{ShardHandles, Unanswered};
use super::process_facts::ProcessReader;
use crate::jetstream::{Figures, FiguresQuery};
use crate::monitor::ServerFacts;
use crate::monitor::looks::{Looks, Span};
use crate::monitor::views::accounts::Accstatz;
use crate::monitor::views::connz::{ConnzOptions, connz};
use crate::monitor::views::healthz::{Health, HealthzOptions, healthz};
use crate::monitor::views::jsz::{JszOptions, jsz};
use crate::monitor::views::latencyz::{Format, LatencyzOptions, hlog, latencyz};
use crate::monitor::views::metrics::{Metrics, metrics};
use crate::monitor::views::requests::RequestOptions;
use crate::monitor::views::subsz::{SubszOptions, subsz};
use crate::monitor::views::{Args, Refusal, accounts, index, json, standalone, varz};
use crate::shard::services::{SystemAnswer, SystemQuestion, SystemRequest};
use crate::shard::snapshot::{ConnectionSnapshot, Totals};
use crate::types::Wall;
use crate::types::limits::{MONITOR_PAGES_MAX, MONITOR_REQUEST_NS_MAX};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    Index,
    Varz,
    Connz,
    Subsz,
    Healthz,
    Accountz,
    Accstatz,
    Jsz,
    Routez,
    Leafz,
    Gatewayz,
    Raftz,
    IpQueuesz,
    Latencyz,
    LatencyzLog,
    Metrics,
}

/// A path of the port.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub path: &'static str,
    pub page: Page,
    /// In the index; empty for a path that is not listed there.
    title: &'static str,
    /// Under which path `http_req_stats` counts it. The reference leaves out two.
    counted: Option<&'static str>,
}

const fn route(path: &'static str, page: Page, title: &'static str) -> Route {
    Route { path, page, title, counted: Some(path) }
}

/// A new page is a line here, a variant, and an arm in [`Pages::show`].
pub const ROUTES: [Route; 17] = [
    route("/", Page::Index, ""),
    route("/varz", Page::Varz, "General"),
    route("/jsz", Page::Jsz, "JetStream"),
    route("/connz", Page::Connz, "Connections"),
    route("/accountz", Page::Accountz, "Accounts"),
    route("/accstatz", Page::Accstatz, "Account Stats"),
    route("/subsz", Page::Subsz, "Subscriptions"),
    Route { counted: Some("/subsz"), ..route("/subscriptionsz", Page::Subsz, "") },
    route("/routez", Page::Routez, "Routes"),
    route("/leafz", Page::Leafz, "LeafNodes"),
    route("/gatewayz", Page::Gatewayz, "Gateways"),
    Route { counted: None, ..route("/raftz", Page::Raftz, "Raft Groups") },
    Route { counted: None, ..route("/ipqueuesz", Page::IpQueuesz, "") },
    route("/healthz", Page::Healthz, "Health Probe"),
    route("/latencyz", Page::Latencyz, "Latency"),
    Route { counted: Some("/latencyz"), ..route("/latencyz.hlog", Page::LatencyzLog, "") },
    route("/metrics", Page::Metrics, "Metrics"),
];

/// What a page is made of, before it is a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    Json {
        status: u16,
        body: Vec<u8>,
    },
    Html(String),
    /// For Prometheus.
    Metrics(String),
    Text {
        status: u16,
        body: String,
    },
}

/// Why there is no page.
enum Failure {
    Refused(Refusal),
    Unanswered(Unanswered),
}

/// All that pages are made of.
pub struct Pages {
    shards: ShardHandles,
    /// Replaced when settings are reloaded.
    facts: watch::Receiver<Arc<ServerFacts>>,
    clock: fn() -> Wall,
    process: Mutex<ProcessReader>,
    looks: Mutex<Looks>,
    /// Beside [`ROUTES`].
    requests: [AtomicU64; ROUTES.len()],
    turns: Semaphore,
}

impl Pages {
    pub fn new(
        shards: ShardHandles,
        facts: watch::Receiver<Arc<ServerFacts>>,
        clock: fn() -> Wall,
    ) -> Self {
        Self {
            shards,
            facts,
            clock,
            process: Mutex::new(ProcessReader::start()),
            looks: Mutex::default(),
            requests: Default::default(),
            turns: Semaphore::new(MONITOR_PAGES_MAX),
        }
    }

    pub fn facts(&self) -> Arc<ServerFacts> {
        Arc::clone(&self.facts.borrow())
    }

    /// Answers in bounded time. `query` is what follows the `?`.
    ///
    /// Each request counts in `http_req_stats`; the reference passes over some with bad arguments.
    pub async fn answer(&self, route: usize, query: &str) -> Reply {
        self.requests[route].fetch_add(1, Ordering::Relaxed);
        let page = ROUTES[route].page;
        let shown = async {
            let _turn = self.turns.acquire().await;
            self.show(page, &Args::parse(query)).await
        };
        match timeout(Duration::from_nanos(MONITOR_REQUEST_NS_MAX), shown).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(Failure::Refused(refusal))) => {
                Reply::Text { status: refusal.status(), body: refusal.to_string() }
            }
            Ok(Err(Failure::Unanswered(unanswered))) => {
                tracing::warn!("monitoring: {unanswered}");
                Reply::Text { status: 503, body: unanswered.to_string() }
            }
            Err(_) => Reply::Text { status: 503, body: "too many monitoring requests".into() },
        }
    }

    /// The answer to a request by message, in bounded time.
    pub async fn system(&self, request: &SystemRequest) -> SystemAnswer {
        let facts = self.facts();
        let options = match RequestOptions::parse(&request.body) {
            Ok(options) => options,
            Err(why) => return SystemAnswer::Malformed(why),
        };
        if !options.is_for(&facts) {
            return SystemAnswer::Silence;
        }
        let shown = async {
            let _turn = self.turns.acquire().await;
            self.show_system(&facts, request.question, &options).await
        };
        match timeout(Duration::from_nanos(MONITOR_REQUEST_NS_MAX), shown).await {
            Ok(Ok(json)) => SystemAnswer::Data(json.into()),
            Ok(Err(Failure::Refused(refusal))) => SystemAnswer::Refused(refusal.to_string()),
            Ok(Err(Failure::Unanswered(unanswered))) => {
                tracing::warn!("system request: {unanswered}");
                SystemAnswer::Refused(unanswered.to_string())
            }
            Err(_) => SystemAnswer::Refused("too many monitoring requests".into()),
        }
    }

    async fn show_system(
        &self,
        facts: &ServerFacts,
        question: SystemQuestion,
        options: &RequestOptions,
    ) -> Result<Vec<u8>, Failure> {
        match question {
            SystemQuestion::Connections => {
                let options = options.connz()?;
                let (totals, rows) = self.connections(&options).await?;
                Ok(json::compact(&connz(facts, &options, &totals, &rows, self.now())))
            }
            SystemQuestion::AccountStats => {
                let totals = self.shards.totals().await?;
                Ok(json::compact(&Accstatz::of_clients(facts, &totals, self.now())))
            }
        }
    }

    async fn show(&self, page: Page, args: &Args) -> Result<Reply, Failure> {
        let facts = &*self.facts();
        match page {
            Page::Index => Ok(Reply::Html(index::index(facts, &listed()))),
            Page::Varz => self.varz(facts).await,
            Page::Connz => self.connz(facts, args).await,
            Page::Subsz => self.subsz(facts, args).await,
            Page::Healthz => self.healthz(facts, args).await,
            Page::Accountz => {
                let totals = self.shards.totals().await?;
                document(&accounts::accountz(facts, args, &totals, self.now())?)
            }
            Page::Accstatz => {
                let totals = self.shards.totals().await?;
                document(&accounts::accstatz(facts, args, &totals, self.now())?)
            }
            Page::Jsz => self.jsz(facts, args).await,
            Page::Routez => document(&standalone::routez(facts, args, self.now())?),
            Page::Leafz => document(&standalone::leafz(facts, args, self.now())?),
            Page::Gatewayz => document(&standalone::gatewayz(facts, args, self.now())?),
            Page::Raftz => Err(standalone::raftz().into()),
            Page::IpQueuesz => document(&standalone::ipqueuesz(args)?),
            Page::Latencyz => self.latencyz(facts, LatencyzOptions::parse(args)?).await,
            Page::LatencyzLog => {
                self.latencyz(facts, LatencyzOptions::parse(args)?.into_hlog()).await
            }
            Page::Metrics => self.metrics().await,
        }
    }

    async fn varz(&self, facts: &ServerFacts) -> Result<Reply, Failure> {
        let totals = self.shards.totals().await?;
        let jetstream = self.jetstream(facts, FiguresQuery::Sums).await?;
        let process = self.process.lock().await.read();
        let requests = self.requests_by_path();
        document(&varz::varz(facts, process, &requests, &totals, &jetstream, self.now()))
    }

    async fn jsz(&self, facts: &ServerFacts, args: &Args) -> Result<Reply, Failure> {
        let options = JszOptions::parse(args)?;
        let figures = self.jetstream(facts, options.query()).await?;
        document(&jsz(facts, &options, &figures, self.now())?)
    }

    /// By shard; nothing with JetStream off.
    async fn jetstream(
        &self,
        facts: &ServerFacts,
        query: FiguresQuery,
    ) -> Result<Vec<Figures>, Failure> {
        match &facts.jetstream {
            Some(_) => Ok(self.shards.jetstream(query).await?),
            None => Ok(Vec::new()),
        }
    }

    async fn connz(&self, facts: &ServerFacts, args: &Args) -> Result<Reply, Failure> {
        let options = ConnzOptions::parse(args)?;
        let (totals, rows) = self.connections(&options).await?;
        document(&connz(facts, &options, &totals, &rows, self.now()))
    }

    /// What the view is made of.
    async fn connections(
        &self,
        options: &ConnzOptions,
    ) -> Result<(Vec<Totals>, Vec<ConnectionSnapshot>), Failure> {
        let totals = match options.needs_totals() {
            true => self.shards.totals().await?,
            false => Vec::new(),
        };
        Ok((totals, self.shards.connections(options.query()).await?))
    }

    async fn subsz(&self, facts: &ServerFacts, args: &Args) -> Result<Reply, Failure> {
        let options = SubszOptions::parse(args)?;
        let totals = self.shards.totals().await?;
        let rows = match options.query() {
            Some(query) => self.shards.subscriptions(query).await?,
            None => Vec::new(),
        };
        document(&subsz(facts, &options, &totals, &rows, self.now()))
    }

    /// Healthy means that every shard takes its turns, that no log has failed, and that there is
    /// what was asked for.
    async fn healthz(&self, facts: &ServerFacts, args: &Args) -> Result<Reply, Failure> {
        let options = HealthzOptions::parse(args)?;
        let figures = self.shards.jetstream(options.query()).await;
        let health = match &figures {
            Err(unanswered) => Health::Unavailable(unanswered.to_string()),
            Ok(_) if facts.jetstream.is_none() => Health::Ok,
            Ok(figures) => Health::of(&options, figures),
        };
        let view = healthz(&options, health);
        Ok(Reply::Json { status: view.code(), body: json::compact(&view) })
    }

    async fn latencyz(
        &self,
        facts: &ServerFacts,
        options: LatencyzOptions,
    ) -> Result<Reply, Failure> {
        let shards = self.shards.latencies().await?;
        let mut looks = self.looks.lock().await;
        let spans = looks.look(&options.viewer, options.reset, facts.start, self.now(), shards);
        match options.format {
            Format::Json => document(&latencyz(facts, &options, &spans)),
            Format::Hlog => Ok(Reply::Text { status: 200, body: hlog(facts, &options, &spans) }),
        }
    }

    async fn metrics(&self) -> Result<Reply, Failure> {
        let facts = self.facts();
        let totals = self.shards.totals().await?;
        let shards = self.shards.latencies().await?;
        let latencies = Span { from: facts.start, to: self.now(), shards };
        let process = self.process.lock().await.read();
        let requests = self.requests_by_path();
        let jetstream = self.jetstream(&facts, FiguresQuery::Sums).await?;
        let metrics = metrics(Metrics { facts, process, requests, totals, jetstream, latencies });
        Ok(Reply::Metrics(metrics))
    }

    fn now(&self) -> Wall {
        (self.clock)()
    }

    /// Paths that were asked for at least once.
    fn requests_by_path(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for (route, count) in ROUTES.iter().zip(&self.requests) {
            let count = count.load(Ordering::Relaxed);
            if let Some(path) = route.counted
                && count > 0
            {
                *counts.entry(path).or_default() += count;
            }
        }
        counts
    }
}

fn document(view: &impl Serialize) -> Result<Reply, Failure> {
    Ok(Reply::Json { status: 200, body: json::pretty(view) })
}

/// Paths and titles of the index.
fn listed() -> Vec<(&'static str, &'static str)> {
    let titled = ROUTES.iter().filter(|route| !route.title.is_empty());
    titled.map(|route| (route.path, route.title)).collect()
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}
