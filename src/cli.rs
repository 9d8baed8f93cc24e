//! The command line: flags of nats-server in all their spellings, and what they ask for.
//!
//! Knows flags and how they override the config file. Starts nothing: [`parse`] returns a
//! [`Command`] for `main`, and reads no more than the config file and a pid file.

mod spelling;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::config::options::{DUPLICATE_STORE_DIR, Monitor, Port};
use crate::config::{self, file};
use crate::config::{ConfigError, Options, Surroundings};
use crate::types::limits::CONFIG_BYTES_MAX;

/// Clients and their test suites decide by this version what a server can do.
pub const VERSION: &str = "2.15.1";

/// What `main` is to do.
#[derive(Debug)]
pub enum Command {
    /// Serve. The flags come along because a reload reads the file anew ([`Flags::load`]).
    Run { options: Box<Options>, flags: Box<Flags> },
    /// `-t`: the file is good; print [`Command::output`] on stderr.
    CheckConfig { file: PathBuf, digest: String },
    /// `-sl`: send and exit.
    Signal { signal: Signal, target: Target },
    /// `disk-check DIR`: measure the disk and print it.
    DiskCheck { directory: PathBuf },
    /// `debug-bundle FILE`: gather what tells of a server. `config` is its configuration without
    /// secrets, or why there is none.
    DebugBundle { options: Box<Options>, config: String, output: PathBuf },
    /// `-v`, `-h`: print on stdout and exit.
    Print(String),
}

impl Command {
    /// The text of commands that only print.
    pub fn output(&self) -> Option<String> {
        match self {
            Self::Run { .. }
            | Self::Signal { .. }
            | Self::DiskCheck { .. }
            | Self::DebugBundle { .. } => None,
            Self::CheckConfig { file, digest } => Some(format!(
                "nats-server: configuration file {} is valid ({digest})",
                file.display()
            )),
            Self::Print(text) => Some(text.clone()),
        }
    }
}

/// What a running server can be told (facts: config-and-ops §4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// SIGUSR2: lame duck mode.
    Ldm,
    /// SIGKILL.
    Stop,
    /// SIGINT.
    Quit,
    /// SIGTERM.
    Term,
    /// SIGUSR1: reopen the log file.
    Reopen,
    /// SIGHUP.
    Reload,
}

impl Signal {
    const ALL: [Self; 6] =
        [Self::Ldm, Self::Stop, Self::Quit, Self::Term, Self::Reopen, Self::Reload];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ldm => "ldm",
            Self::Stop => "stop",
            Self::Quit => "quit",
            Self::Term => "term",
            Self::Reopen => "reopen",
            Self::Reload => "reload",
        }
    }
}

/// Whom a signal goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Process(i32),
    /// The only other process of this executable's name.
    OnlyOther,
}

/// Why nothing is started. `Display` is what goes to stderr; the exit code is 1.
#[derive(Debug)]
pub enum CliError {
    /// A flag is wrong: its message and the usage. Unlike the reference, which exits with 0.
    Flag(String),
    Other(String),
    Config(ConfigError),
}

impl CliError {
    /// Without what `Display` adds for stderr: for the log line of a failed reload.
    pub fn reason(&self) -> String {
        match self {
            Self::Flag(text) | Self::Other(text) => text.clone(),
            Self::Config(error) => error.to_string(),
        }
    }

    /// What goes to stderr: as with the reference an empty line follows what is wrong with keys.
    pub fn printed(&self) -> String {
        let is_list = |error: &ConfigError| {
            matches!(
                error,
                ConfigError::Field { .. } | ConfigError::Several(_) | ConfigError::Empty { .. }
            )
        };
        let end = if matches!(self, Self::Config(error) if is_list(error)) { "\n" } else { "" };
        format!("{self}{end}")
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(text) => write!(f, "{text}\n\n{}", usage()),
            Self::Other(_) | Self::Config(_) => write!(f, "nats-server: {}", self.reason()),
        }
    }
}

impl std::error::Error for CliError {}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// The flags that are obeyed, as one long form each; `spelling.rs` rewrites all others to these.
#[derive(Clone, PartialEq, Debug, Default, Parser)]
#[command(
    name = "nats-server",
    about = "A NATS-compatible message broker",
    long_about = None,
    override_usage = "nats-server [options]\n       nats-server disk-check <dir>\n       nats-server debug-bundle [options] <file.tar.gz>",
    args_override_self = true,
    disable_help_flag = true,
    next_help_heading = "Server Options"
)]
pub struct Flags {
    /// Bind to host address [also: --net] [default: 0.0.0.0]
    #[arg(short = 'a', long, value_name = "host")]
    addr: Option<String>,
    /// Use port for clients, -1 for any [default: 4222]
    #[arg(short = 'p', long, value_name = "port")]
    port: Option<i64>,
    /// Server name [also: --name] [default: the server's id]
    #[arg(short = 'n', long = "server_name", value_name = "name")]
    server_name: Option<String>,
    /// File to store the process id
    #[arg(short = 'P', long = "pid", value_name = "file")]
    pid_file: Option<PathBuf>,
    /// Use port for http monitoring
    #[arg(short = 'm', long = "http_port", value_name = "port")]
    http_port: Option<i64>,
    /// Configuration file
    #[arg(short = 'c', long, value_name = "file")]
    config: Option<PathBuf>,
    /// Test configuration and exit
    #[arg(short = 't', long = "t", value_name = "bool")]
    check: Option<bool>,
    /// Send ldm, stop, quit, term, reopen or reload to a server: a pid, a pid file or the only
    /// other one [also: -sl]
    #[arg(long, value_name = "signal[=pid]")]
    signal: Option<String>,
    /// Host and port to advertise to clients
    #[arg(long = "client_advertise", value_name = "host:port")]
    client_advertise: Option<String>,
    /// Creates <executable>_<pid>.ports in this directory
    #[arg(long = "ports_file_dir", value_name = "dir")]
    ports_file_dir: Option<PathBuf>,

    /// File to redirect log output to
    #[arg(short = 'l', long = "log", value_name = "file", help_heading = LOGGING)]
    log_file: Option<PathBuf>,
    /// Timestamp log entries [default: true]
    #[arg(short = 'T', long, value_name = "bool", help_heading = LOGGING)]
    logtime: Option<bool>,
    /// Timestamps in UTC
    #[arg(long = "logtime_utc", value_name = "bool", help_heading = LOGGING)]
    logtime_utc: Option<bool>,
    /// Enable debugging output
    #[arg(short = 'D', long, value_name = "bool", help_heading = LOGGING)]
    debug: Option<bool>,
    /// Trace the raw protocol
    #[arg(short = 'V', long, value_name = "bool", help_heading = LOGGING)]
    trace: Option<bool>,
    /// Debug and trace [also: -DV]
    #[arg(long = "DV", value_name = "bool", help_heading = LOGGING)]
    debug_trace: Option<bool>,
    /// Trace the system account as well [also: -VV]
    #[arg(long = "VV", value_name = "bool", help_heading = LOGGING)]
    trace_verbose: Option<bool>,
    /// Debug and trace the system account as well [also: -DVV]
    #[arg(long = "DVV", value_name = "bool", help_heading = LOGGING)]
    debug_trace_verbose: Option<bool>,
    /// Log file size at which it is rotated
    #[arg(long = "log_size_limit", value_name = "bytes", help_heading = LOGGING)]
    log_size_limit: Option<i64>,
    /// Bytes of a message that traces show [default: all]
    #[arg(long = "max_traced_msg_len", value_name = "bytes", help_heading = LOGGING)]
    max_traced_msg_len: Option<i64>,

    /// User that clients have to name
    #[arg(long, value_name = "user", help_heading = AUTHORIZATION)]
    user: Option<String>,
    /// Password of that user
    #[arg(long, value_name = "password", help_heading = AUTHORIZATION)]
    pass: Option<String>,
    /// Token that clients have to present
    #[arg(long, value_name = "token", help_heading = AUTHORIZATION)]
    auth: Option<String>,

    /// Enable JetStream [also: -js]
    #[arg(long, value_name = "bool", help_heading = JETSTREAM)]
    jetstream: Option<bool>,
    /// Streams are kept in <dir>/weft [also: -sd]
    #[arg(long = "store_dir", value_name = "dir", help_heading = JETSTREAM)]
    store_dir: Option<PathBuf>,

    /// CPUs to run on, like 0-3,6 [default: all allowed]
    #[arg(long, value_name = "cpus", help_heading = CORES)]
    cores: Option<String>,
    /// Shards, each a thread [default: one per CPU]
    #[arg(long, value_name = "count", help_heading = CORES)]
    shards: Option<i64>,
    /// How long an idle core polls before it sleeps; `auto`: where that pays
    #[arg(long, value_name = "duration", help_heading = CORES)]
    spin: Option<String>,
    /// Use no io_uring newer than that of Linux <version>
    #[arg(long = "ring_features", value_name = "version", help_heading = CORES)]
    ring_features: Option<String>,

    /// Show this message
    #[arg(short = 'h', long, value_name = "bool", help_heading = COMMON)]
    help: Option<bool>,
    /// Show version
    #[arg(short = 'v', long, value_name = "bool", help_heading = COMMON)]
    version: Option<bool>,
}

const LOGGING: &str = "Logging Options";
const AUTHORIZATION: &str = "Authorization Options";
const JETSTREAM: &str = "JetStream Options";
const CORES: &str = "Core Options";
const COMMON: &str = "Common Options";

/// Understands the arguments, without the program's name. Reads files and the environment.
pub fn parse(args: impl Iterator<Item = OsString>) -> Result<Command, CliError> {
    parse_in(args, &PROCESS)
}

/// The files and variables this process sees.
const PROCESS: Surroundings<'static> =
    Surroundings { read: &read_config, variable: &|name| std::env::var(name).ok() };

/// One byte more than is allowed shows that a file is too large, be it endless.
fn read_config(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(CONFIG_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse_in(
    args: impl Iterator<Item = OsString>,
    surroundings: &Surroundings<'_>,
) -> Result<Command, CliError> {
    let line = spelling::rewrite(args).map_err(CliError::Flag)?;
    let matches = command()
        .try_get_matches_from(&line.flags)
        .map_err(|error| CliError::Flag(error.to_string()))?;
    let flags =
        Flags::from_arg_matches(&matches).map_err(|error| CliError::Flag(error.to_string()))?;

    let word = line.word.as_deref();
    if flags.version == Some(true) || word == Some("version") {
        return Ok(Command::Print(format!("nats-server: v{VERSION}")));
    }
    if flags.help == Some(true) || word == Some("help") {
        return Ok(Command::Print(usage()));
    }
    if word == Some("disk-check") {
        return match line.rest.as_slice() {
            [directory] => Ok(Command::DiskCheck { directory: directory.into() }),
            _ => Err(CliError::Other("disk-check needs one directory".to_owned())),
        };
    }
    if word == Some("debug-bundle") {
        return debug_bundle(&line.flags, &line.rest, surroundings);
    }
    if let Some(word) = word {
        return Err(CliError::Other(format!("unrecognized command: {word:?}")));
    }
    if let Some(flag) = line.refused {
        return Err(CliError::Other(format!("flag \"{flag}\" is not supported yet")));
    }
    if let Some(signal) = &flags.signal {
        return parse_signal(signal, surroundings);
    }
    if flags.check == Some(true) {
        return flags.check_config(surroundings);
    }
    let options = Box::new(flags.load_in(surroundings)?);
    Ok(Command::Run { options, flags: Box::new(flags) })
}

fn usage() -> String {
    command().render_help().to_string()
}

/// A switch may stand without value, and takes one only behind `=`.
fn command() -> clap::Command {
    Flags::command().mut_args(|arg| {
        let is_switch = arg.get_value_names().is_some_and(|names| names == ["bool"]);
        if !is_switch {
            return arg;
        }
        arg.num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true)
    })
}

/// The server's own flags before or behind the word tell where it is. A configuration that cannot
/// be read is no hindrance: it may be what is wrong.
fn debug_bundle(
    before: &[String],
    rest: &[String],
    surroundings: &Surroundings<'_>,
) -> Result<Command, CliError> {
    let behind = spelling::rewrite(rest.iter().map(OsString::from)).map_err(CliError::Flag)?;
    let wrong = || CliError::Other("debug-bundle needs one file to write".to_owned());
    let output = behind.word.filter(|_| behind.rest.is_empty()).ok_or_else(wrong)?;
    // The program's name stands first in each.
    let line = before.iter().chain(behind.flags.iter().skip(1));
    let matches =
        command().try_get_matches_from(line).map_err(|error| CliError::Flag(error.to_string()))?;
    let flags =
        Flags::from_arg_matches(&matches).map_err(|error| CliError::Flag(error.to_string()))?;
    let (options, fault) = match flags.load_in(surroundings) {
        Ok(options) => (options, None),
        Err(fault) => {
            let mut options = Options::default();
            let without_file = Flags { config: None, ..flags.clone() };
            without_file.overlay(&mut options).map_err(CliError::Other)?;
            (options, Some(fault.reason()))
        }
    };
    let config = match (fault, &flags.config) {
        (Some(reason), _) => format!("{reason}\n"),
        (None, None) => "{}\n".to_owned(),
        (None, Some(path)) => {
            let map = file::parse(path, surroundings)?;
            format!("{:#}\n", config::shown(&map))
        }
    };
    let (options, output) = (Box::new(options), PathBuf::from(output));
    Ok(Command::DebugBundle { options, config, output })
}

/// `signal[=pid or pid file]`.
fn parse_signal(text: &str, surroundings: &Surroundings<'_>) -> Result<Command, CliError> {
    let (name, target) = match text.split_once('=') {
        Some((name, target)) => (name, Some(target)),
        None => (text, None),
    };
    let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name);
    let signal = signal.ok_or_else(|| CliError::Other(format!("unknown signal {name:?}")))?;
    let target = match target {
        None | Some("") => Target::OnlyOther,
        Some(target) => Target::Process(find_pid(target, surroundings)?),
    };
    Ok(Command::Signal { signal, target })
}

/// A number, or the path of a file that holds one.
fn find_pid(text: &str, surroundings: &Surroundings<'_>) -> Result<i32, CliError> {
    // 0 and negative numbers are process groups, and no server.
    let pid = |text: &str| text.trim().parse::<i32>().ok().filter(|&pid| pid > 0);
    let invalid = |text: &str| CliError::Other(format!("invalid pid: {text}"));
    if let Some(pid) = pid(text) {
        return Ok(pid);
    }
    let content = (surroundings.read)(Path::new(text)).map_err(|_| invalid(text))?;
    let content = String::from_utf8_lossy(&content);
    pid(&content).ok_or_else(|| invalid(&content))
}

impl Flags {
    /// At a reload: the options as [`parse`] would find them now.
    pub fn load(&self) -> Result<Options, CliError> {
        self.load_in(&PROCESS)
    }

    /// The options of the file overlaid with the flags, validated.
    fn load_in(&self, surroundings: &Surroundings<'_>) -> Result<Options, CliError> {
        let mut options = match &self.config {
            Some(path) => Options::from_file(path, surroundings)?,
            None => Options::default(),
        };
        self.overlay(&mut options).map_err(CliError::Other)?;
        options.validate()?;
        Ok(options)
    }

    /// Only the rules of each key: what keys mean together is judged at start.
    fn check_config(&self, surroundings: &Surroundings<'_>) -> Result<Command, CliError> {
        let Some(file) = self.config.clone() else {
            let text = "must specify [-c, --config] option to check configuration file syntax";
            return Err(CliError::Other(text.to_owned()));
        };
        let options = Options::from_file(&file, surroundings)?;
        let digest = options.config_digest.unwrap_or_default();
        Ok(Command::CheckConfig { file, digest })
    }

    fn overlay(&self, options: &mut Options) -> Result<(), String> {
        let port =
            |number: i64| Port::from_number(number).ok_or_else(|| format!("invalid port {number}"));
        replace(&mut options.listen.host, self.addr.clone().filter(|host| !host.is_empty()));
        match self.port {
            Some(0) | None => {}
            Some(number) => options.listen.port = port(number)?,
        }
        match self.http_port {
            Some(0) | None => {}
            Some(number) => {
                let host = options.http.take().and_then(|http| http.host);
                options.http = Some(Monitor { host, port: port(number)? });
            }
        }
        set(&mut options.server_name, &self.server_name);
        set(&mut options.client_advertise, &self.client_advertise);
        set(&mut options.pid_file, &self.pid_file);
        set(&mut options.ports_file_dir, &self.ports_file_dir);
        self.overlay_authorization(options);
        self.overlay_log(options);
        self.overlay_jetstream(options)?;
        self.overlay_weft(options)
    }

    fn overlay_jetstream(&self, options: &mut Options) -> Result<(), String> {
        match self.jetstream {
            Some(true) => {
                options.jetstream.get_or_insert_default();
            }
            Some(false) => options.jetstream = None,
            None => {}
        }
        // Unlike other flags it does not replace what the file says: so does the reference.
        if self.store_dir.is_some() && options.store_dir.is_some() {
            return Err(DUPLICATE_STORE_DIR.into());
        }
        set(&mut options.store_dir, &self.store_dir);
        Ok(())
    }

    fn overlay_authorization(&self, options: &mut Options) {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let auth = &mut options.authorization;
        replace(&mut auth.user, given(&self.user));
        replace(&mut auth.password, given(&self.pass));
        replace(&mut auth.token, given(&self.auth));
    }

    fn overlay_log(&self, options: &mut Options) {
        let log = &mut options.log;
        let verbose = self.trace_verbose.or(self.debug_trace_verbose);
        replace(&mut log.logtime, self.logtime);
        replace(&mut log.logtime_utc, self.logtime_utc);
        replace(&mut log.debug, self.debug_trace_verbose.or(self.debug_trace).or(self.debug));
        replace(&mut log.trace, verbose.or(self.debug_trace).or(self.trace));
        replace(&mut log.trace_verbose, verbose);
        set(&mut log.file, &self.log_file);
        // Zero and below is no limit.
        if let Some(limit) = self.log_size_limit {
            log.size_limit_bytes = u64::try_from(limit).ok().filter(|&limit| limit > 0);
        }
        if let Some(limit) = self.max_traced_msg_len {
            log.max_traced_bytes = usize::try_from(limit).ok().filter(|&limit| limit > 0);
        }
    }

    fn overlay_weft(&self, options: &mut Options) -> Result<(), String> {
        if let Some(cores) = &self.cores {
            options.weft.cores = Some(cores.parse()?);
        }
        if let Some(shards) = self.shards {
            options.weft.set_shards(shards)?;
        }
        if let Some(spin) = &self.spin {
            options.weft.spin = spin.parse()?;
        }
        if let Some(features) = &self.ring_features {
            options.weft.ring_features = features.parse()?;
        }
        Ok(())
    }
}

fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// As [`replace`] for what may be unset; a flag cannot unset it.
fn set<T: Clone>(place: &mut Option<T>, value: &Option<T>) {
    if value.is_some() {
        place.clone_from(value);
    }
}
