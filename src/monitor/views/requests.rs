//! Requests by message (`$SYS.REQ.…`): the same views, with options in JSON
//! (facts/config-and-ops.md §11).

use serde::Deserialize;

use super::connz::ConnzOptions;
use super::{Args, Refusal};
use crate::jetstream::json_fault;
use crate::monitor::facts::ServerFacts;

/// The options of a request. Those that name servers are met or not; a server that is not meant
/// keeps silent.
#[derive(Deserialize, Debug, Default)]
#[serde(default)]
pub struct RequestOptions {
    server_name: String,
    cluster: String,
    host: String,
    domain: String,
    tags: Vec<String>,
    exact_match: bool,
    sort: String,
    auth: bool,
    subscriptions: bool,
    subscriptions_detail: bool,
    offset: i64,
    limit: i64,
    cid: u64,
    mqtt_client: String,
    state: i64,
    user: String,
    filter_subject: String,
}

impl RequestOptions {
    /// An empty body asks for nothing in particular. The error is for the asker.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        match json_fault(&String::from_utf8_lossy(body)) {
            Some(fault) => Err(fault),
            None => serde_json::from_slice(body).map_err(|fault| fault.to_string()),
        }
    }

    /// Whether this server is meant.
    pub fn is_for(&self, facts: &ServerFacts) -> bool {
        let domain = facts.jetstream.as_ref().and_then(|js| js.options.domain.as_deref());
        let names = [
            (&self.server_name, facts.server_name.as_str()),
            (&self.cluster, ""),
            (&self.host, facts.host.as_str()),
            (&self.domain, domain.unwrap_or_default()),
        ];
        let is_met = |wanted: &str, own: &str| match self.exact_match {
            _ if wanted.is_empty() => true,
            true => wanted == own,
            false => own.contains(wanted),
        };
        names.iter().all(|(wanted, own)| is_met(wanted, own))
            && self.tags.iter().all(|tag| facts.tags.contains(tag))
    }

    /// Of the asker's own account, whatever the request says.
    pub fn connz(&self) -> Result<ConnzOptions, Refusal> {
        let flag = |flag: bool| if flag { "1".to_owned() } else { String::new() };
        let subs = match self.subscriptions_detail {
            true => "detail".to_owned(),
            false => flag(self.subscriptions),
        };
        let state = match self.state {
            0 => "open".to_owned(),
            1 => "closed".to_owned(),
            2 => "all".to_owned(),
            other => other.to_string(),
        };
        let args = Args::of([
            ("sort", self.sort.clone()),
            ("auth", flag(self.auth)),
            ("subs", subs),
            ("offset", self.offset.to_string()),
            ("limit", self.limit.to_string()),
            ("cid", self.cid.to_string()),
            ("mqtt_client", self.mqtt_client.clone()),
            ("state", state),
            ("user", self.user.clone()),
        ]);
        Ok(ConnzOptions::parse(&args)?.filtered_by(self.filter_subject.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::views::connz::connz;
    use crate::monitor::views::fixtures::{NOW, connection, facts, jetstream_on};
    use crate::shard::snapshot::SubscriptionSnapshot;
    use crate::types::ClientId;

    fn options(body: &str) -> RequestOptions {
        RequestOptions::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_body_is_json_or_refused() {
        assert_eq!(
            RequestOptions::parse(b"junk").unwrap_err(),
            "invalid character 'j' looking for beginning of value"
        );
        assert!(RequestOptions::parse(br#"{"limit":"x"}"#).is_err());
        assert!(RequestOptions::parse(b"").is_ok());
        assert!(RequestOptions::parse(br#"{"acc":"NOPE","future":1}"#).is_ok());
    }

    #[test]
    fn only_the_server_that_is_meant_answers() {
        let mut facts = jetstream_on(facts());
        facts.tags = vec!["az:1".into()];
        facts.jetstream.as_mut().unwrap().options.domain = Some("hub".into());
        let rows = [
            ("{}", true),
            (r#"{"server_name":"am"}"#, true),
            (r#"{"server_name":"am","exact_match":true}"#, false),
            (r#"{"server_name":"name","exact_match":true}"#, true),
            (r#"{"server_name":"zzz"}"#, false),
            (r#"{"cluster":"C1"}"#, false),
            (r#"{"domain":"hub"}"#, true),
            (r#"{"tags":["az:1"]}"#, true),
            (r#"{"tags":["az:1","az:2"]}"#, false),
        ];
        for (body, expected) in rows {
            assert_eq!(options(body).is_for(&facts), expected, "{body}");
        }
    }

    #[test]
    fn options_are_those_of_the_page() {
        let facts = facts();
        let mut rows = [connection(3), connection(4)];
        rows[1].subscriptions.push(SubscriptionSnapshot {
            account: "$G".into(),
            subject: "foo.*".into(),
            queue: String::new(),
            sid: "1".into(),
            msgs: 0,
            max: 0,
            client: ClientId(4),
        });
        let shown = |body: &str| {
            let options = options(body).connz().unwrap();
            let view = serde_json::to_value(connz(&facts, &options, &[], &rows, NOW)).unwrap();
            let cids = view["connections"].as_array().unwrap().iter();
            let cids: Vec<_> = cids.map(|row| row["cid"].as_u64().unwrap()).collect();
            (cids, view)
        };
        assert_eq!(shown("{}").0, [3, 4]);
        assert_eq!(shown(r#"{"offset":1}"#).0, [4]);
        assert_eq!(shown(r#"{"user":"x"}"#).0, [] as [u64; 0]);
        assert_eq!(shown(r#"{"filter_subject":"foo.bar"}"#).0, [4]);
        let (_, view) = shown(r#"{"auth":true,"subscriptions":true,"limit":1,"offset":1}"#);
        assert_eq!(view["connections"][0]["name_tag"], "$G");
        assert_eq!(view["connections"][0]["subscriptions_list"][0], "foo.*");
        let refused = |body: &str| options(body).connz().unwrap_err().to_string();
        assert_eq!(refused(r#"{"sort":"bogus"}"#), "invalid sorting option: bogus");
        assert!(refused(r#"{"state":7}"#).contains('7'));
    }
}
