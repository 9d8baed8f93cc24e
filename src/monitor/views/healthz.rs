//! `/healthz`: compact, because probes read it every second.
//!
//! JetStream is off: as on the reference without it, the arguments that ask for it are checked for
//! sense and find nothing wrong, even for streams that no one has. `js-enabled-only`,
//! `js-server-only` and `js-meta-only` therefore change nothing.

use serde::Serialize;

use super::{Args, Refusal};

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthzOptions {
    details: bool,
    /// What to ask is incomplete.
    missing: Option<Missing>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    Stream,
    Account,
}

impl HealthzOptions {
    pub fn parse(args: &Args) -> Result<Self, Refusal> {
        for key in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"] {
            args.bool(key)?;
        }
        let details = args.bool("details")?;
        let given = |key| !args.text(key).is_empty();
        let missing = match (given("account"), given("stream"), given("consumer")) {
            (_, false, true) => Some(Missing::Stream),
            (false, true, _) => Some(Missing::Account),
            _ => None,
        };
        Ok(Self { details, missing })
    }
}

/// How the server is, as far as the asker of the shards could tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    Ok,
    /// Why it does not serve.
    Unavailable(String),
}

#[derive(Serialize, Debug)]
pub struct Healthz {
    #[serde(skip)]
    code: u16,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// In place of `error` where details were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HealthError>,
}

#[derive(Serialize, Debug)]
struct HealthError {
    #[serde(rename = "type")]
    kind: &'static str,
    error: String,
}

impl Healthz {
    /// The HTTP status.
    pub fn code(&self) -> u16 {
        self.code
    }
}

pub fn healthz(options: &HealthzOptions, health: Health) -> Healthz {
    let (code, status, kind, error) = match (options.missing, health) {
        (Some(missing), _) => (400, "error", "BAD_REQUEST", missing.text().to_owned()),
        (None, Health::Ok) => {
            return Healthz { code: 200, status: "ok", error: None, errors: Vec::new() };
        }
        (None, Health::Unavailable(why)) => (503, "unavailable", "CONNECTION", why),
    };
    match options.details {
        true => Healthz { code, status, error: None, errors: vec![HealthError { kind, error }] },
        false => Healthz { code, status, error: Some(error), errors: Vec::new() },
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
    use crate::monitor::views::json;

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
        let view =
            healthz(&HealthzOptions::default(), Health::Unavailable("shard 1 is silent".into()));
        assert_eq!(view.code(), 503);
        assert_eq!(
            json::compact(&view),
            br#"{"status":"unavailable","error":"shard 1 is silent"}"#
        );
    }
}
