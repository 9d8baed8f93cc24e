//! The server's life on the control thread: start, listen, obey signals, stop.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Caught};
use nkeys::{KeyPair, XKey};
use sha2::{Digest, Sha256};
use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::boot::{self, Plan, Running};
use super::clock::Clock;
use super::control::accept::Acceptor;
use super::control::pages::Pages;
use super::control::{clerk, http, prover};
use super::core::Request;
use super::logging::Logger;
use super::process::{OwnFile, Ports, urls};
use super::ring::Ladder;
use super::{checks, cpus, jetstream};
use crate::cli::{Flags, VERSION};
use crate::config::options::{RingFeatures, WriteTimeout};
use crate::config::{Options, changes};
use crate::connection::settings::Identity;
use crate::connection::{Settings, Trace};
use crate::jetstream::Site;
use crate::monitor::ServerFacts;
use crate::protocol::ParserLimits;
use crate::security::{Access, NonceKey};
use crate::shard::placement::Policy;
use crate::types::{CloseReason, ShardId};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// A publish goes to another core, is stored there, and its ack comes back.
const SETTLE_ROUNDS: usize = 3;
/// A stop waits so long for the disk before clients are closed.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// In lame duck mode connections close at least this fast, one after the other.
const SHED_INTERVAL_MAX: Duration = Duration::from_secs(1);
const SHED_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// Serves until a signal ends it. The exit code is the reference's.
pub fn run(options: Options, flags: &Flags) -> ExitCode {
    let logger = match Logger::install(&options.log) {
        Ok(logger) => logger,
        Err(fault) => {
            eprintln!("nats-server: error opening log file: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => {
            error!(fatal = true, "the control thread cannot start: {fault}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(options, flags, logger)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            error!(fatal = true, "{refusal}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options, flags: &Flags, logger: Logger) -> Result<(), String> {
    // Before anybody can hear that the server is ready.
    let mut signals = Signals::new().map_err(|fault| fault.to_string())?;
    let mut server = tokio::select! {
        started = Server::start(options, logger) => started?,
        () = signals.stop() => {
            // Nothing was promised to anybody yet, and a recovery can be long.
            info!("Server Exiting..");
            std::process::exit(0)
        }
    };
    loop {
        match signals.next().await {
            Order::Stop(name) => {
                info!("Trapped \"{name}\" signal");
                break;
            }
            Order::Reload => {
                info!("Trapped \"hangup\" signal");
                server.reload(flags).await;
            }
            Order::Reopen => {
                info!("Trapped \"user defined signal 1\" signal");
                server.logger.reopen();
            }
            Order::LameDuck => {
                info!("Trapped \"user defined signal 2\" signal");
                server.enter_lame_duck().await;
                tokio::select! {
                    () = server.shed_clients() => break,
                    () = signals.stop() => break,
                }
            }
        }
    }
    server.stop().await;
    Ok(())
}

struct Server {
    options: Options,
    logger: Logger,
    running: Running,
    identity: Identity,
    access: Arc<Access>,
    nonce_key: NonceKey,
    acceptor: JoinHandle<()>,
    limits: Arc<super::control::accept::AcceptLimits>,
    facts: watch::Sender<Arc<ServerFacts>>,
    files: Vec<OwnFile>,
    ports: Ports,
}

impl Server {
    async fn start(options: Options, logger: Logger) -> Result<Self, String> {
        let cpus = cpus::plan(&options.weft)?;
        let mut warnings = Vec::new();
        checks::run(cpus.len(), options.limits.max_connections, &mut warnings)?;
        // Ours from now on, and open when the logs are recovered.
        let socket = bind("client", &options.listen.host, options.listen.port.to_bind()).await?;
        let bound = socket.local_addr().map_err(|fault| fault.to_string())?;
        let identity = identity(&options, bound)?;
        say_hello(&options, &identity, cpus.len());
        warnings.iter().for_each(|text| warn!("{text}"));
        options.warnings().iter().for_each(|text| warn!("{text}"));

        let clock = Clock::new();
        let secret = KeyPair::new_server().public_key();
        let secret =
            secret.bytes().fold(0, |hash: u64, byte| hash.rotate_left(5) ^ u64::from(byte));
        let nonce_key = nonce_key();
        let access = Arc::new(options.authorization.access(nonce_key));
        let began = clock.mono();
        let jetstream = start_jetstream(&options, &identity, cpus.len(), clock, secret)?;
        let plan = Plan {
            settings: Arc::new(settings(&options, &identity, &access)),
            jetstream,
            ladder: ladder(options.weft.ring_features),
            spin: options.weft.spin,
            cache_enabled: !options.disable_sublist_cache,
            moving: Policy {
                is_on: options.weft.move_connections && cpus.len() > 1,
                interval_ns: options.weft.move_interval.as_nanos() as u64,
                rate_min: options.weft.move_rate,
            },
            secret,
            cpus,
            clock,
        };
        let (prover, logins) = prover::queue();
        let (clerk, requests) = clerk::queue();
        let running = boot::start(&plan, &prover, &clerk).map_err(|fault| fault.to_string())?;
        running.announced().await;
        if plan.jetstream.is_some() {
            let took = Duration::from_nanos(clock.mono().since(began));
            info!("Took {took:?} to start JetStream");
        }
        tokio::spawn(prover::prove_all(logins, running.cores.clone()));

        let mut facts = server_facts(&options, &identity, &running, clock);
        let monitor = match &options.http {
            Some(http) => {
                let (host, port) = (options.http_host(), http.port.to_bind());
                let socket = bind("http", host, port).await?;
                let listener =
                    socket.listen(BACKLOG).map_err(|e| refused("http", host, port, &e))?;
                let bound = listener.local_addr().map_err(|fault| fault.to_string())?;
                facts.http_port = bound.port();
                info!("Starting http monitor on {bound}");
                Some((listener, bound))
            }
            None => None,
        };
        let (facts, watched) = watch::channel(Arc::new(facts));
        let mut ports = Ports { nats: urls("nats", bound), ..Ports::default() };
        let pages = Arc::new(Pages::new(running.cores.ask_handles(), watched, Clock::wall));
        tokio::spawn(clerk::answer_all(requests, Arc::clone(&pages), running.cores.clone()));
        if let Some((listener, bound)) = monitor {
            ports.monitoring = urls("http", bound);
            tokio::spawn(http::serve(listener, pages));
        }

        let listener = socket
            .listen(BACKLOG)
            .map_err(|fault| refused("client", &options.listen.host, bound.port(), &fault))?;
        let mut acceptor =
            Acceptor::new(running.cores.clone(), &options.weft, options.limits.max_connections);
        let limits = acceptor.limits();
        let acceptor = tokio::spawn(async move {
            loop {
                acceptor.accept(&listener).await;
            }
        });
        let files = Vec::new();
        let mut server = Self {
            options,
            logger,
            running,
            identity,
            access,
            nonce_key,
            acceptor,
            limits,
            facts,
            files,
            ports,
        };
        server.write_files()?;
        info!("Listening for client connections on {bound}");
        info!("Server is ready");
        Ok(server)
    }

    fn write_files(&mut self) -> Result<(), String> {
        if let Some(path) = &self.options.pid_file {
            let file = OwnFile::write_pid(path)
                .map_err(|fault| format!("could not write pid file {}: {fault}", path.display()))?;
            self.files.push(file);
        }
        if let Some(folder) = &self.options.ports_file_dir {
            let file = OwnFile::write_ports(folder, &self.ports).map_err(|fault| {
                format!("could not write ports file in {}: {fault}", folder.display())
            })?;
            self.files.push(file);
        }
        Ok(())
    }

    fn remove_files(&mut self) {
        for file in self.files.drain(..) {
            let path = file.path().display().to_string();
            if let Err(fault) = file.remove() {
                error!("cannot remove {path}: {fault}");
            }
        }
    }

    /// SIGHUP: the file is read anew; what may change changes, or nothing does.
    async fn reload(&mut self, flags: &Flags) {
        let new = flags.load().map_err(|refusal| refusal.reason());
        let outcome = new.and_then(|new| {
            if new.config_file.is_none() {
                return Err("a reload needs a configuration file".to_owned());
            }
            let list = changes(&self.options, &new).map_err(|refused| refused.to_string())?;
            Ok((new, list))
        });
        let (new, list) = match outcome {
            Ok(found) => found,
            Err(reason) => return error!("Failed to reload server configuration: {reason}"),
        };
        if let Err(fault) = self.logger.apply(&new.log) {
            return error!("Failed to reload server configuration: log file: {fault}");
        }
        let files_moved = (&self.options.pid_file, &self.options.ports_file_dir)
            != (&new.pid_file, &new.ports_file_dir);
        if self.options.authorization != new.authorization {
            self.access = Arc::new(new.authorization.access(self.nonce_key));
        }
        self.options = new;
        if files_moved {
            self.remove_files();
            if let Err(fault) = self.write_files() {
                error!("{fault}");
            }
        }
        self.advertise();
        self.limits.set_connections_max(self.options.limits.max_connections);
        self.tell_cores(false).await;
        self.shed_excess().await;
        for change in list {
            info!("{}", change.text);
        }
        let digest = self.options.config_digest.clone().unwrap_or_default();
        info!("Reloaded server configuration ({digest})");
    }

    /// Fewer connections may be open than are.
    async fn shed_excess(&self) {
        let cores = &self.running.cores;
        let mut loads: Vec<usize> =
            cores.handles.iter().map(|core| core.load.connections()).collect();
        let most = self.options.limits.max_connections as usize;
        let mut excess = vec![0; loads.len()];
        for _ in most..loads.iter().sum() {
            let fullest = (0..loads.len()).max_by_key(|&index| loads[index]).unwrap_or_default();
            loads[fullest] -= 1;
            excess[fullest] += 1;
        }
        for (index, count) in excess.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let shed = Request::Shed(count, CloseReason::MaxConnectionsExceeded);
            cores.send(ShardId(index as u16), shed).await;
        }
    }

    /// `client_advertise` stands in INFO in place of the listener.
    fn advertise(&mut self) {
        if let Ok(Some((host, port))) = self.options.client_advertise_address() {
            host.clone_into(&mut self.identity.host);
            self.identity.port = port.unwrap_or(self.identity.port);
        }
    }

    /// Gives the cores and the pages what the options and the identity say now.
    async fn tell_cores(&self, announce: bool) {
        let settings = Arc::new(settings(&self.options, &self.identity, &self.access));
        self.running.cores.send_all(|| Request::Settings(Arc::clone(&settings), announce)).await;
        let before = self.facts.borrow().clone();
        let mut facts = server_facts(&self.options, &self.identity, &self.running, Clock::new());
        facts.start = before.start;
        facts.http_port = before.http_port;
        self.facts.send_replace(Arc::new(facts));
    }

    /// No new clients; those that understand INFO are told to leave.
    async fn enter_lame_duck(&mut self) {
        info!("Entering lame duck mode, stop accepting new clients");
        self.acceptor.abort();
        // The listener is closed when the task is gone, and only then is that told.
        let _ = (&mut self.acceptor).await;
        self.identity.lame_duck = true;
        self.tell_cores(true).await;
    }

    /// After the grace period, closes client after client over the lame duck duration.
    async fn shed_clients(&self) {
        let grace = self.options.lame_duck_grace_period;
        tokio::time::sleep(grace).await;
        let cores = &self.running.cores;
        let clients = cores.connections();
        if clients == 0 {
            return;
        }
        info!("Closing existing clients");
        let left = self.options.lame_duck_duration.saturating_sub(grace);
        let interval = (left / u32::try_from(clients).unwrap_or(u32::MAX))
            .clamp(SHED_INTERVAL_MIN, SHED_INTERVAL_MAX);
        let steps = (left.as_nanos() / interval.as_nanos()).max(1) as usize;
        let batch = clients.div_ceil(steps);
        while cores.connections() > 0 {
            for _ in 0..batch {
                let shed = Request::Shed(1, CloseReason::ServerShutdown);
                cores.send(cores.most_loaded(), shed).await;
            }
            tokio::time::sleep(interval).await;
        }
    }

    async fn stop(mut self) {
        info!("Initiating Shutdown...");
        self.acceptor.abort();
        let has_jetstream = self.running.has_jetstream();
        if has_jetstream {
            info!("Initiating JetStream Shutdown...");
            if tokio::time::timeout(SETTLE_MAX, self.settle()).await.is_err() {
                warn!("the disk takes too long: what waits for it is not acknowledged");
            }
        }
        self.running.cores.send_all(|| Request::Stop).await;
        self.remove_files();
        self.running.join();
        if has_jetstream {
            info!("JetStream Shutdown");
        }
        info!("Server Exiting..");
    }

    /// Nothing is read any more; what was read is stored and acknowledged. What one core tells
    /// another in a round is done in the next.
    async fn settle(&self) {
        for _ in 0..SETTLE_ROUNDS {
            self.running.cores.hear_all(Request::Settle).await;
        }
    }
}

/// What signals ask for.
enum Order {
    Stop(&'static str),
    Reload,
    Reopen,
    LameDuck,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Whoever started the server may have blocked them: it obeys all the same, as the reference does.
    fn new() -> std::io::Result<Self> {
        let signals = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        };
        // Only now: one that is waiting would end the process as long as nobody catches it.
        let obeyed =
            [Caught::SIGINT, Caught::SIGTERM, Caught::SIGHUP, Caught::SIGUSR1, Caught::SIGUSR2];
        SigSet::from_iter(obeyed).thread_unblock()?;
        Ok(signals)
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            _ = self.interrupt.recv() => Order::Stop("interrupt"),
            _ = self.terminate.recv() => Order::Stop("terminated"),
            _ = self.hangup.recv() => Order::Reload,
            _ = self.user1.recv() => Order::Reopen,
            _ = self.user2.recv() => Order::LameDuck,
        }
    }

    /// While a lame duck only the end matters.
    async fn stop(&mut self) {
        loop {
            if let Order::Stop(name) = self.next().await {
                info!("Trapped \"{name}\" signal");
                return;
            }
        }
    }
}

/// An address that is ours, and that nobody can connect to yet.
async fn bind(what: &str, host: &str, port: u16) -> Result<TcpSocket, String> {
    let refused = |fault| refused(what, host, port, &fault);
    let mut addresses = tokio::net::lookup_host((host, port)).await.map_err(refused)?;
    let address = addresses.next().ok_or_else(|| format!("host {host} has no address"))?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bind = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(socket)
    };
    socket.and_then(bind).map_err(refused)
}

fn refused(what: &str, host: &str, port: u16, fault: &std::io::Error) -> String {
    format!("Error listening on {what} port: {host}:{port}, \"listen tcp {host}:{port}: {fault}\"")
}

/// Takes the store, if JetStream is wanted.
fn start_jetstream(
    options: &Options,
    identity: &Identity,
    shards: usize,
    clock: Clock,
    secret: u64,
) -> Result<Option<Arc<jetstream::Plan>>, String> {
    let Some(wanted) = jetstream::Wanted::of(options, secret) else { return Ok(None) };
    let options = options.jetstream.clone().unwrap_or_default();
    let site = Site {
        server_name: identity.server_name.clone(),
        server_id: identity.server_id.clone(),
        version: VERSION.to_owned(),
        domain: options.domain.clone(),
        options,
    };
    jetstream::Plan::new(&wanted, shards, site, clock).map(Arc::new).map(Some)
}

fn identity(options: &Options, bound: SocketAddr) -> Result<Identity, String> {
    let server_id = KeyPair::new_server().public_key();
    let jetstream = options.jetstream.as_ref();
    let mut identity = Identity {
        server_name: options.server_name.clone().unwrap_or_else(|| server_id.clone()),
        server_id,
        version: VERSION.to_owned(),
        git_commit: String::new(),
        go: concat!("weft", env!("CARGO_PKG_VERSION")).to_owned(),
        host: options.listen.host.clone(),
        port: bound.port(),
        xkey: XKey::new().public_key(),
        connect_urls: Vec::new(),
        jetstream: jetstream.is_some(),
        domain: jetstream.and_then(|it| it.domain.clone()).unwrap_or_default(),
        lame_duck: false,
    };
    if let Some((host, port)) = options.client_advertise_address().map_err(|e| e.to_string())? {
        host.clone_into(&mut identity.host);
        identity.port = port.unwrap_or(bound.port());
    }
    Ok(identity)
}

/// Fresh randomness, from where new keys have theirs.
fn nonce_key() -> NonceKey {
    let seed = KeyPair::new_user().seed().expect("a new pair has its seed");
    NonceKey(Sha256::digest(seed).into())
}

fn say_hello(options: &Options, identity: &Identity, cores: usize) {
    info!("Starting nats-server");
    info!("  Version:  {VERSION}");
    info!("  Weft:     {} on {cores} cores", env!("CARGO_PKG_VERSION"));
    info!("  Name:     {}", identity.server_name);
    info!("  ID:       {}", identity.server_id);
    if let (Some(file), Some(digest)) = (&options.config_file, &options.config_digest) {
        info!("Using configuration file: {} ({digest})", file.display());
    }
}

fn ladder(features: RingFeatures) -> Ladder {
    match features {
        RingFeatures::Linux5_10 => Ladder::V5_10,
        RingFeatures::Linux5_13 => Ladder::V5_13,
        RingFeatures::Linux5_19 => Ladder::V5_19,
        RingFeatures::Linux6_1 | RingFeatures::Auto => Ladder::V6_1,
    }
}

/// What the options say of connections.
pub fn settings(options: &Options, identity: &Identity, access: &Arc<Access>) -> Settings {
    let limits = &options.limits;
    Settings {
        parser: ParserLimits {
            max_control_line: limits.max_control_line,
            max_payload: limits.max_payload,
        },
        max_pending: limits.max_pending as u64,
        max_subscriptions: limits.max_subscriptions.unwrap_or(0),
        max_sub_tokens: limits.max_sub_tokens.map_or(0, usize::from),
        closed_kept: limits.max_closed_clients,
        ping_interval_ns: options.ping_interval.as_nanos() as u64,
        ping_max: options.ping_max,
        write_deadline_ns: options.write_deadline.as_nanos() as u64,
        write_retry: options.write_timeout == WriteTimeout::Retry,
        no_header_support: !options.headers,
        no_stall: options.no_fast_producer_stall,
        trace: options.log.trace.then(|| Trace {
            headers_only: options.log.trace_headers,
            system: options.log.trace_verbose,
            payload_bytes_max: options.log.max_traced_bytes.unwrap_or(0),
        }),
        identity: Arc::new(identity.clone()),
        access: Arc::clone(access),
    }
}

fn server_facts(
    options: &Options,
    identity: &Identity,
    running: &Running,
    clock: Clock,
) -> ServerFacts {
    let limits = &options.limits;
    let start = clock.now().wall;
    ServerFacts {
        server_id: identity.server_id.clone(),
        server_name: identity.server_name.clone(),
        version: VERSION.to_owned(),
        git_commit: identity.git_commit.clone(),
        go: identity.go.clone(),
        host: identity.host.clone(),
        port: identity.port,
        connect_urls: identity.connect_urls.clone(),
        max_connections: u64::from(limits.max_connections),
        max_subscriptions: limits.max_subscriptions.unwrap_or(0) as u64,
        ping_interval_ns: options.ping_interval.as_nanos() as u64,
        ping_max: options.ping_max,
        http_host: options.http.as_ref().map_or(String::new(), |_| options.http_host().to_owned()),
        http_base_path: options.http_base_path.clone(),
        auth_required: options.authorization.is_guarded(),
        auth_timeout_seconds: options.authorization.timeout.as_secs_f64(),
        tls_timeout_seconds: 2.0,
        max_control_line: limits.max_control_line as u64,
        max_payload: limits.max_payload as u64,
        max_pending: limits.max_pending as u64,
        write_deadline_ns: options.write_deadline.as_nanos() as u64,
        start,
        config_load_time: start,
        config_digest: options.config_digest.clone().unwrap_or_default(),
        tags: options.server_tags.clone(),
        metadata: options.server_metadata.clone(),
        feature_flags: options.feature_flags.clone(),
        system_account: "$SYS".to_owned(),
        weft_version: env!("CARGO_PKG_VERSION").to_owned(),
        shards: running.cores.count(),
        jetstream: running.jetstream_facts(),
        ..ServerFacts::default()
    }
}
