//! `/healthz`: compact, because probes read it every second.
//!
//! Without JetStream the arguments that ask for it are checked for sense and find nothing wrong,
//! even for streams that no one has, as on the reference. With it a log that failed makes the
//! server unhealthy whatever was asked: it stays read-only until a restart.

use serde::Serialize;

use super::{Args, Refusal};
use crate::jetstream::{Figures, FiguresQuery};
use crate::monitor::facts::GLOBAL_ACCOUNT;

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthzOptions {
    details: bool,
    /// What to ask is incomplete.
    missing: Option<Missing>,
    /// Accounts, streams and consumers are no matter.
    server_only: bool,
    account: String,
    stream: String,
    consumer: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    Stream,
    Account,
}

impl HealthzOptions {
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        args.bool("js-enabled")?;
        let enabled_only = args.bool("js-enabled-only")?;
        let server_only = args.bool("js-server-only")?;
        args.bool("js-meta-only")?;
        let details = args.bool("details")?;
        let given = |key| args.text(key).to_owned();
        let (account, stream, consumer) = (given("account"), given("stream"), given("consumer"));
        let missing = match (account.is_empty(), stream.is_empty(), consumer.is_empty()) {
            (_, true, false) => Some(Missing::Stream),
            (true, false, _) => Some(Missing::Account),
            _ => None,
        };
        let server_only = server_only || enabled_only;
        Ok(Self { details, missing, server_only, account, stream, consumer })
    }

    pub fn query(&self) -> FiguresQuery {
        match self.server_only || self.stream.is_empty() || self.account != GLOBAL_ACCOUNT {
            true => FiguresQuery::Logs,
            false => FiguresQuery::Stream(self.stream.clone()),
        }
    }
}

/// How the server is, as far as the asker of the shards could tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    Ok,
    /// Why it does not serve.
    Unavailable(String),
    /// Why JetStream does not.
    LogFailed(String),
    NoAccount,
    NoStream,
    NoConsumer,
}

impl Health {
    /// From the answers of all shards to the query, with JetStream on.
    pub fn of(options: &HealthzOptions, shards: &[Figures]) -> Self {
        let mut logs = shards.iter().flat_map(|shard| &shard.logs);
        let failed = logs.find_map(|log| Some((log.log, log.poison?)));
        if let Some((log, poison)) = failed {
            let text = format!(
                "JetStream log {log} is read-only until a restart: {poison}; see the server's log"
            );
            return Self::LogFailed(text);
        }
        if options.server_only || options.account.is_empty() {
            return Self::Ok;
        }
        if options.account != GLOBAL_ACCOUNT {
            return Self::NoAccount;
        }
        if options.stream.is_empty() {
            return Self::Ok;
        }
        let mut streams = shards.iter().flat_map(|shard| &shard.streams);
        let Some(stream) = streams.next() else { return Self::NoStream };
        let mut consumers = stream.consumers.iter().chain(&stream.direct_consumers);
        match consumers.any(|consumer| consumer.name == options.consumer) {
            false if !options.consumer.is_empty() => Self::NoConsumer,
            _ => Self::Ok,
        }
    }
}

#[derive(Serialize, Debug)]
pub struct Healthz<'a> {
    #[serde(skip)]
    code: u16,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// In place of `error` where details were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HealthError<'a>>,
}

#[derive(Serialize, Debug)]
struct HealthError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    stream: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    consumer: &'a str,
    error: String,
}

impl Healthz<'_> {
    /// The HTTP status.
    pub fn code(&self) -> u16 {
        self.code
    }
}

pub fn healthz(options: &HealthzOptions, health: Health) -> Healthz<'_> {
    let HealthzOptions { account, stream, consumer, .. } = options;
    let bare = |kind, error| HealthError { kind, account: "", stream: "", consumer: "", error };
    let on = format!("on account {account:?}");
    let (code, status, error) = match (options.missing, health) {
        (Some(missing), _) => (400, "error", bare("BAD_REQUEST", missing.text().to_owned())),
        (None, Health::Ok) => {
            return Healthz { code: 200, status: "ok", error: None, errors: Vec::new() };
        }
        (None, Health::Unavailable(why)) => (503, "unavailable", bare("CONNECTION", why)),
        (None, Health::LogFailed(why)) => (503, "unavailable", bare("JETSTREAM", why)),
        (None, Health::NoAccount) => {
            let error = format!("JetStream account {account:?} not found");
            (404, "unavailable", HealthError { account, ..bare("ACCOUNT", error) })
        }
        (None, Health::NoStream) => {
            let error = format!("JetStream stream {stream:?} not found {on}");
            (404, "unavailable", HealthError { account, stream, ..bare("STREAM", error) })
        }
        (None, Health::NoConsumer) => {
            let error =
                format!("JetStream consumer {consumer:?} not found for stream {stream:?} {on}");
            let named = HealthError { account, stream, consumer, ..bare("CONSUMER", error) };
            (404, "unavailable", named)
        }
    };
    match options.details {
        true => Healthz { code, status: "error", error: None, errors: vec![error] },
        false => Healthz { code, status, error: Some(error.error), errors: Vec::new() },
    }
}

impl Missing {
    fn text(self) -> &'static str {
        match self {
            Self::Stream => r#""stream" must not be empty when checking consumer health"#,
            Self::Account => r#""account" must not be empty when checking stream health"#,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::fixtures::jetstream_figures;
    use crate::monitor::views::json;
    use crate::storage::{IoFault, Log, LogFigures, LogId, LogSettings, Operation, Poison};

    /// Status and body as nats-server 2.15.1 without JetStream gave them.
    #[test]
    fn answers_as_the_reference_without_jetstream() {
        let no_stream = r#"{"status":"error","error":"\"stream\" must not be empty when checking consumer health"}"#;
        let no_account = r#"{"status":"error","error":"\"account\" must not be empty when checking stream health"}"#;
        let rows = [
            ("", 200, r#"{"status":"ok"}"#),
            ("js-enabled=1", 200, r#"{"status":"ok"}"#),
            ("js-enabled-only=true", 200, r#"{"status":"ok"}"#),
            ("js-server-only=1&js-meta-only=1&details=1", 200, r#"{"status":"ok"}"#),
            ("account=A", 200, r#"{"status":"ok"}"#),
            ("account=A&stream=NOPE", 200, r#"{"status":"ok"}"#),
            ("stream=B", 400, no_account),
            ("stream=B&consumer=C", 400, no_account),
            ("consumer=C", 400, no_stream),
            ("account=A&consumer=C", 400, no_stream),
            (
                "details=1&stream=S",
                400,
                r#"{"status":"error","errors":[{"type":"BAD_REQUEST","error":"\"account\" must not be empty when checking stream health"}]}"#,
            ),
        ];
        for (query, code, body) in rows {
            let options = HealthzOptions::parse(&Args::parse(query)).unwrap();
            let view = healthz(&options, Health::Ok);
            assert_eq!((view.code(), json::compact(&view)), (code, body.into()), "{query}");
        }
    }

    /// Status and body as nats-server 2.15.1 with JetStream gave them.
    #[test]
    fn answers_as_the_reference_with_jetstream() {
        const OK: &str = r#"{"status":"ok"}"#;
        let rows = [
            ("", 200, OK),
            ("js-enabled=1&details=1", 200, OK),
            ("account=$G", 200, OK),
            ("account=$G&stream=A", 200, OK),
            ("account=$G&stream=A&consumer=c1", 200, OK),
            ("js-enabled-only=1&account=$G&stream=NOPE", 200, OK),
            ("js-server-only=1&account=$G&stream=NOPE", 200, OK),
            (
                "account=NOPE",
                404,
                r#"{"status":"unavailable","error":"JetStream account \"NOPE\" not found"}"#,
            ),
            (
                "account=$SYS&stream=A&details=1",
                404,
                r#"{"status":"error","errors":[{"type":"ACCOUNT","account":"$SYS","error":"JetStream account \"$SYS\" not found"}]}"#,
            ),
            (
                "js-meta-only=1&account=$G&stream=NOPE",
                404,
                r#"{"status":"unavailable","error":"JetStream stream \"NOPE\" not found on account \"$G\""}"#,
            ),
            (
                "account=$G&stream=NOPE&details=1",
                404,
                r#"{"status":"error","errors":[{"type":"STREAM","account":"$G","stream":"NOPE","error":"JetStream stream \"NOPE\" not found on account \"$G\""}]}"#,
            ),
            (
                "account=$G&stream=A&consumer=NO",
                404,
                r#"{"status":"unavailable","error":"JetStream consumer \"NO\" not found for stream \"A\" on account \"$G\""}"#,
            ),
            (
                "account=$G&stream=A&consumer=NO&details=1",
                404,
                r#"{"status":"error","errors":[{"type":"CONSUMER","account":"$G","stream":"A","consumer":"NO","error":"JetStream consumer \"NO\" not found for stream \"A\" on account \"$G\""}]}"#,
            ),
        ];
        for (query, code, body) in rows {
            let options = HealthzOptions::parse(&Args::parse(query)).unwrap();
            let health = Health::of(&options, &jetstream_figures(&options.query()));
            let view = healthz(&options, health);
            let told = String::from_utf8(json::compact(&view)).unwrap();
            assert_eq!((view.code(), told.as_str()), (code, body), "{query}");
        }
    }

    #[test]
    fn a_failed_log_is_told_whatever_was_asked() {
        let poison = Poison { during: Operation::Write, fault: IoFault::Failed(5) };
        let mut figures = jetstream_figures(&FiguresQuery::Logs);
        let log = Log::new(LogId(1), LogSettings::default()).figures();
        figures[1].logs.push(LogFigures { poison: Some(poison), ..log });
        let why = "JetStream log 1 is read-only until a restart: a write failed: Input/output \
                   error (os error 5); see the server's log";
        for query in ["", "js-enabled-only=1", "js-server-only=1", "account=NOPE"] {
            let options = HealthzOptions::parse(&Args::parse(query)).unwrap();
            let view = healthz(&options, Health::of(&options, &figures));
            let told = String::from_utf8(json::compact(&view)).unwrap();
            let expected = format!(r#"{{"status":"unavailable","error":"{why}"}}"#);
            assert_eq!((view.code(), told), (503, expected), "{query}");
        }
    }

    #[test]
    fn refuses_what_is_no_boolean() {
        for key in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only", "details"] {
            let refusal = HealthzOptions::parse(&Args::parse(&format!("{key}=x"))).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                format!(
                    "Error decoding boolean for '{key}': strconv.ParseBool: parsing \"x\": invalid syntax"
                )
            );
        }
    }

    #[test]
    fn says_why_it_is_unavailable() {
        let options = HealthzOptions::default();
        let view = healthz(&options, Health::Unavailable("shard 1 is silent".into()));
        assert_eq!(view.code(), 503);
        assert_eq!(
            json::compact(&view),
            br#"{"status":"unavailable","error":"shard 1 is silent"}"#
        );
    }
}
