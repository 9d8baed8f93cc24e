//! Who a client is: what it said in CONNECT, what it was admitted as, and how logs name it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::protocol::ConnectOptions;
use crate::security::{Presented, User};
use crate::types::{ClientId, Wall};

/// What is rarely looked at, out of the data path's cache lines.
#[derive(Debug)]
pub struct Profile {
    pub peer: SocketAddr,
    pub start: Wall,
    pub options: ConnectOptions,
    /// Whom it was admitted as, or claims to be while its proof is checked.
    pub login: Option<Arc<User>>,
    /// What log lines add to the address once it was admitted.
    pub label: Box<str>,
}

/// What stands for a token wherever a user is named.
const TOKEN: &str = "[REDACTED]";

impl Profile {
    pub fn new(peer: SocketAddr, start: Wall) -> Self {
        Self { peer, start, options: ConnectOptions::default(), login: None, label: "".into() }
    }

    /// What it presents for its login.
    pub fn presented(&self) -> Presented<'_> {
        let credentials = &self.options.credentials;
        Presented {
            user: &credentials.user,
            pass: &credentials.pass,
            token: &credentials.auth_token,
            nkey: &credentials.nkey,
            signature: &credentials.sig,
        }
    }

    /// `authorized_user`, also of a client that was refused.
    pub fn user(&self) -> &str {
        match self.claim() {
            Claim::Nkey(name) | Claim::User(name) => name,
            Claim::Token => TOKEN,
            Claim::Nothing => "",
        }
    }

    /// In log lines about its login: `User "a"`.
    pub fn described(&self) -> Option<String> {
        Some(match self.claim() {
            Claim::Nkey(key) => format!("Nkey {key:?}"),
            Claim::User(name) => format!("User {name:?}"),
            Claim::Token => format!("Token {TOKEN:?}"),
            Claim::Nothing => return None,
        })
    }

    /// Makes the label: ` - "v1.0:go:name" - "$G/user:a"`.
    pub fn set_label(&mut self) {
        let ConnectOptions { name, lang, version, .. } = &self.options;
        let version = if version.is_empty() { String::new() } else { format!("v{version}") };
        let parts = [version.as_str(), lang, name].into_iter().filter(|part| !part.is_empty());
        let software = parts.collect::<Vec<_>>().join(":");
        let user = match self.claim() {
            Claim::Nkey(key) => format!("$G/nkey:{key}"),
            Claim::User(name) => format!("$G/user:{name}"),
            Claim::Token => "$G/token".to_owned(),
            Claim::Nothing => String::new(),
        };
        let shown = [software, user].into_iter().filter(|part| !part.is_empty());
        self.label = shown.map(|part| format!(" - {part:?}")).collect::<String>().into();
    }

    /// How log lines name it: `127.0.0.1:47348 - cid:6`, and its label.
    pub fn logged_as(&self, client: ClientId) -> String {
        format!("{} - cid:{client}{}", self.peer, self.label)
    }

    fn claim(&self) -> Claim<'_> {
        let presented = self.presented();
        let implied = self.login.as_deref().map_or("", |login| &login.name);
        if !presented.nkey.is_empty() {
            Claim::Nkey(presented.nkey)
        } else if !presented.user.is_empty() {
            Claim::User(presented.user)
        } else if !presented.token.is_empty() {
            Claim::Token
        } else if !implied.is_empty() {
            // `no_auth_user`.
            Claim::User(implied)
        } else {
            Claim::Nothing
        }
    }
}

enum Claim<'a> {
    Nkey(&'a str),
    User(&'a str),
    Token,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::Secret;
    use crate::security::access::Key;

    fn profile(connect: &str) -> Profile {
        let mut profile = Profile::new("127.0.0.1:9".parse().unwrap(), Wall(0));
        profile.options.update(connect.as_bytes()).unwrap();
        profile.set_label();
        profile
    }

    #[test]
    fn logs_name_software_and_user() {
        let rows = [
            (r#"{}"#, ""),
            (r#"{"name":"n"}"#, r#" - "n""#),
            (r#"{"lang":"go","name":"n"}"#, r#" - "go:n""#),
            (
                r#"{"version":"1.0","lang":"go","name":"n","user":"a"}"#,
                r#" - "v1.0:go:n" - "$G/user:a""#,
            ),
            (r#"{"auth_token":"t"}"#, r#" - "$G/token""#),
            (r#"{"nkey":"U","user":"a"}"#, r#" - "$G/nkey:U""#),
        ];
        for (connect, label) in rows {
            let line = format!("127.0.0.1:9 - cid:6{label}");
            assert_eq!(profile(connect).logged_as(ClientId(6)), line, "{connect}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let profile = profile(r#"{"auth_token":"secret"}"#);
        assert_eq!(profile.user(), "[REDACTED]");
        assert_eq!(profile.described().unwrap(), r#"Token "[REDACTED]""#);
    }

    #[test]
    fn who_presents_nothing_goes_by_its_login() {
        let mut profile = profile("{}");
        assert_eq!((profile.user(), profile.described()), ("", None));
        profile.login = Some(Arc::new(User::new("b", Key::Secret(Secret::new("")))));
        assert_eq!(profile.user(), "b");
    }
}
