//! What server and client tell each other first: INFO and CONNECT (facts/core-protocol.md §3, §4).
//!
//! Who may connect is not decided here.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

use super::Violation;

/// The JSON of INFO. Fields stand in the reference's order and are left out where it does.
#[derive(Clone, Default, Debug, Serialize)]
pub struct ServerInfo<'a> {
    pub server_id: &'a str,
    pub server_name: &'a str,
    pub version: &'a str,
    pub proto: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub git_commit: &'a str,
    pub go: &'a str,
    pub host: &'a str,
    pub port: u16,
    pub headers: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub tls_verify: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub tls_available: bool,
    pub max_payload: usize,
    #[serde(skip_serializing_if = "is_false")]
    pub jetstream: bool,
    pub client_id: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub client_ip: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub nonce: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub cluster: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub domain: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub connect_urls: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ws_connect_urls: &'a [String],
    #[serde(skip_serializing_if = "is_false")]
    pub ldm: bool,
    /// This INFO answers a CONNECT.
    #[serde(skip_serializing_if = "is_false")]
    pub connect_info: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub remote_account: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub acc_is_sys: bool,
    pub api_lvl: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub xkey: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A longer name, language or version of a client is cut.
const CLIENT_TEXT_BYTES_MAX: usize = 256;

/// What the client asked for, in all CONNECTs so far. The default is that of a client that sent
/// none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectOptions {
    pub verbose: bool,
    pub pedantic: bool,
    pub echo: bool,
    pub headers: bool,
    pub no_responders: bool,
    pub tls_required: bool,
    /// 1: understands INFO at any time.
    pub protocol: i64,
    pub name: Box<str>,
    pub lang: Box<str>,
    pub version: Box<str>,
    pub credentials: Credentials,
}

/// Who the client says it is; empty where it says nothing.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Credentials {
    pub user: Box<str>,
    pub pass: Box<str>,
    pub auth_token: Box<str>,
    pub nkey: Box<str>,
    pub sig: Box<str>,
    pub jwt: Box<str>,
    /// Legacy: the account to be bound to.
    pub account: Box<str>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            tls_required: false,
            protocol: 0,
            name: Box::default(),
            lang: Box::default(),
            version: Box::default(),
            credentials: Credentials::default(),
        }
    }
}

impl ConnectOptions {
    /// Takes over what a CONNECT says. Fields that it does not name, or names `null`, keep what
    /// an earlier one said. After a violation the options are of no use.
    pub fn update(&mut self, json: &[u8]) -> Result<(), Violation> {
        // The reference takes bytes that are no UTF-8 for U+FFFD.
        let json = String::from_utf8_lossy(json);
        let mut json = serde_json::Deserializer::from_str(&json);
        Onto(self)
            .deserialize(&mut json)
            .and_then(|()| json.end())
            .map_err(|_| Violation::BAD_ARGUMENTS)
    }

    /// Whether such a client can be served: asked once it is known who it is, as the reference
    /// says `Authorization Violation` first.
    pub fn check(&self) -> Result<(), Violation> {
        if !(0..=1).contains(&self.protocol) {
            return Err(Violation::BAD_CLIENT_PROTOCOL);
        }
        if self.no_responders && !self.headers {
            return Err(Violation::NO_RESPONDERS_WITHOUT_HEADERS);
        }
        Ok(())
    }
}

/// Reads a CONNECT onto options.
struct Onto<'o>(&'o mut ConnectOptions);

impl<'de> DeserializeSeed<'de> for Onto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Onto<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connect options")
    }

    /// `null` says nothing.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    /// Names are case-insensitive, and the last of a name counts.
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let options = self.0;
        let credentials = &mut options.credentials;
        while let Some(mut name) = map.next_key::<String>()? {
            name.make_ascii_lowercase();
            match name.as_str() {
                "verbose" => set(&mut options.verbose, map.next_value()?),
                "pedantic" => set(&mut options.pedantic, map.next_value()?),
                "echo" => set(&mut options.echo, map.next_value()?),
                "headers" => set(&mut options.headers, map.next_value()?),
                "no_responders" => set(&mut options.no_responders, map.next_value()?),
                "tls_required" => set(&mut options.tls_required, map.next_value()?),
                "protocol" => set(&mut options.protocol, map.next_value()?),
                "name" => set_cut(&mut options.name, map.next_value()?),
                "lang" => set_cut(&mut options.lang, map.next_value()?),
                "version" => set_cut(&mut options.version, map.next_value()?),
                "user" => set(&mut credentials.user, map.next_value()?),
                "pass" => set(&mut credentials.pass, map.next_value()?),
                "auth_token" => set(&mut credentials.auth_token, map.next_value()?),
                "nkey" => set(&mut credentials.nkey, map.next_value()?),
                "sig" => set(&mut credentials.sig, map.next_value()?),
                "jwt" => set(&mut credentials.jwt, map.next_value()?),
                "account" => set(&mut credentials.account, map.next_value()?),
                // Not for clients, but of the right type all the same.
                "new_account" => _ = map.next_value::<Option<bool>>()?,
                "remote_account" | "proxy_sig" => _ = map.next_value::<Option<String>>()?,
                "import" | "export" => _ = map.next_value::<Option<AnyObject>>()?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn set_cut(field: &mut Box<str>, value: Option<String>) {
    if let Some(mut value) = value {
        value.truncate(value.floor_char_boundary(CLIENT_TEXT_BYTES_MAX));
        *field = value.into_boxed_str();
    }
}

/// Whether a text is a JSON object, or `null`: what an INFO from a client must be.
pub fn is_object(json: &[u8]) -> bool {
    serde_json::from_str::<Option<AnyObject>>(&String::from_utf8_lossy(json)).is_ok()
}

/// An object, whatever is in it.
struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_map(AnyObject)
    }
}

impl<'de> Visitor<'de> for AnyObject {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}
