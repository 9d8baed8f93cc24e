//! Who may connect. The order of the reference: nkey, user, token, single user; without any of
//! these everybody.

use std::collections::HashMap;
use std::sync::Arc;

use super::credentials::{Proof, Secret};
use super::nkey::{Nonce, NonceKey};
use super::permissions::{Permissions, Rules};
use crate::types::ClientId;

/// Somebody who may connect. A token is a user without a name.
#[derive(Debug)]
pub struct User {
    /// A name, or a public nkey.
    pub name: Box<str>,
    pub key: Key,
    /// `None`: no restrictions.
    pub rules: Option<Arc<Rules>>,
    /// It may connect as an ordinary client.
    pub is_standard: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    Secret(Secret),
    /// A signature made with the key that is the user's name.
    Signature,
}

impl User {
    pub fn new(name: &str, key: Key) -> Self {
        Self { name: name.into(), key, rules: None, is_standard: true }
    }

    pub fn with_permissions(mut self, permissions: Permissions) -> Self {
        self.rules = Some(Arc::new(Rules::new(permissions)));
        self
    }

    pub fn permissions(&self) -> Option<&Permissions> {
        self.rules.as_deref().map(|rules| &rules.texts)
    }

    pub fn has_plain_secret(&self) -> bool {
        matches!(&self.key, Key::Secret(secret) if secret.is_plain())
    }
}

impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        let of = |user: &Self| (user.name.clone(), user.key.clone(), user.is_standard);
        of(self) == of(other) && self.permissions() == other.permissions()
    }
}

/// What a client says of itself; empty where it says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presented<'a> {
    pub user: &'a str,
    pub pass: &'a str,
    pub token: &'a str,
    pub nkey: &'a str,
    pub signature: &'a str,
}

#[derive(Debug)]
pub enum Verdict {
    /// `None`: everybody may.
    Admitted(Option<Arc<User>>),
    /// Admitted if this holds.
    Prove(Proof, Arc<User>),
    Refused,
}

/// What becomes of a connection when the users change.
#[derive(Debug)]
pub enum Standing {
    Known(Verdict),
    /// Its user is no more.
    Gone,
}

/// Replaced whole by a reload. The default lets everybody in.
#[derive(Debug, Default)]
pub struct Access {
    users: HashMap<Box<str>, Arc<User>>,
    nkeys: HashMap<Box<str>, Arc<User>>,
    token: Option<Arc<User>>,
    single: Option<Arc<User>>,
    /// For who presents nothing.
    nobody: Option<Arc<User>>,
    /// CONNECT has to come within this time.
    pub timeout_ns: u64,
    nonce_key: NonceKey,
}

impl Access {
    pub fn new(timeout_ns: u64, nonce_key: NonceKey) -> Self {
        Self { timeout_ns, nonce_key, ..Self::default() }
    }

    pub fn add(&mut self, user: Arc<User>) {
        let map = if user.key == Key::Signature { &mut self.nkeys } else { &mut self.users };
        map.insert(user.name.clone(), user);
    }

    pub fn set_token(&mut self, token: &str) {
        self.token = Some(Arc::new(User::new("", Key::Secret(Secret::new(token)))));
    }

    pub fn set_single(&mut self, name: &str, password: &str) {
        self.single = Some(Arc::new(User::new(name, Key::Secret(Secret::new(password)))));
    }

    /// `no_auth_user`: one of those added before.
    pub fn set_nobody(&mut self, name: &str) {
        self.nobody = self.users.get(name).or_else(|| self.nkeys.get(name)).map(Arc::clone);
    }

    /// Not everybody may connect.
    pub fn is_guarded(&self) -> bool {
        !self.users.is_empty()
            || !self.nkeys.is_empty()
            || self.token.is_some()
            || self.single.is_some()
    }

    /// What INFO says: clients need credentials.
    pub fn is_required(&self) -> bool {
        self.is_guarded() && self.nobody.is_none()
    }

    /// Who a client is that begins without CONNECT.
    pub fn unintroduced(&self) -> Option<&Arc<User>> {
        self.nobody.as_ref().filter(|user| user.key != Key::Signature && user.is_standard)
    }

    /// What a client is to sign, where some may.
    pub fn nonce(&self, client: ClientId) -> Option<Nonce> {
        (!self.nkeys.is_empty()).then(|| Nonce::new(&self.nonce_key, client))
    }

    /// Whether a client may be who it says it is.
    pub fn check(&self, presented: &Presented<'_>, client: ClientId) -> Verdict {
        if !self.is_guarded() {
            return Verdict::Admitted(None);
        }
        let may_sign = !self.nkeys.is_empty() && !presented.nkey.is_empty();
        if let Some(nobody) = &self.nobody
            && !may_sign
            && [presented.user, presented.pass, presented.token].iter().all(|text| text.is_empty())
        {
            return admit_standard(nobody);
        }
        if may_sign {
            return self.check_signature(presented, client);
        }
        if !self.users.is_empty() && !presented.user.is_empty() {
            return match self.users.get(presented.user) {
                Some(user) if user.is_standard => check_secret(user, presented.pass),
                _ => Verdict::Refused,
            };
        }
        match (&self.token, &self.single) {
            (Some(token), _) => check_secret(token, presented.token),
            (None, Some(single)) if *single.name == *presented.user => {
                check_secret(single, presented.pass)
            }
            _ => Verdict::Refused,
        }
    }

    fn check_signature(&self, presented: &Presented<'_>, client: ClientId) -> Verdict {
        let user = self.nkeys.get(presented.nkey).filter(|user| user.is_standard);
        let (Some(user), Some(nonce)) = (user, self.nonce(client)) else { return Verdict::Refused };
        if presented.signature.is_empty() {
            return Verdict::Refused;
        }
        let (key, signature) = (user.name.clone(), presented.signature.into());
        Verdict::Prove(Proof::Signature { key, nonce, signature }, Arc::clone(user))
    }

    /// Judges a connection again that was admitted as `login` before the users changed. What
    /// proved it then proves it now if its user's key is the same.
    pub fn check_again(
        &self,
        presented: &Presented<'_>,
        client: ClientId,
        login: Option<&User>,
    ) -> Standing {
        if self.is_guarded() && self.has_lost(presented) {
            return Standing::Gone;
        }
        Standing::Known(match self.check(presented, client) {
            Verdict::Prove(_, user) if login.is_some_and(|login| login.key == user.key) => {
                Verdict::Admitted(Some(user))
            }
            verdict => verdict,
        })
    }

    fn has_lost(&self, presented: &Presented<'_>) -> bool {
        let is_single = self.single.as_ref().is_some_and(|user| *user.name == *presented.user);
        if !presented.nkey.is_empty() {
            !self.nkeys.contains_key(presented.nkey)
        } else {
            !presented.user.is_empty() && !is_single && !self.users.contains_key(presented.user)
        }
    }
}

fn admit_standard(user: &Arc<User>) -> Verdict {
    if user.is_standard { Verdict::Admitted(Some(Arc::clone(user))) } else { Verdict::Refused }
}

fn check_secret(user: &Arc<User>, presented: &str) -> Verdict {
    let Key::Secret(secret) = &user.key else { return Verdict::Refused };
    match secret.compare(presented) {
        Ok(true) => Verdict::Admitted(Some(Arc::clone(user))),
        Ok(false) => Verdict::Refused,
        Err(proof) => Verdict::Prove(proof, Arc::clone(user)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: ClientId = ClientId(5);
    const KEY: &str = "UAGMJPC6GVEBUAEPVE2E7EI2X2FPFVMCZEDPJMVPJFQ3UWMKX6SBAWAE";

    fn user(name: &str, password: &str) -> Arc<User> {
        Arc::new(User::new(name, Key::Secret(Secret::new(password))))
    }

    fn users() -> Access {
        let mut access = Access::default();
        access.add(user("a", "p"));
        access.add(user("b", ""));
        access.add(Arc::new(User { is_standard: false, ..User::new("ws", plain("p")) }));
        access.add(Arc::new(User::new(KEY, Key::Signature)));
        access
    }

    fn plain(text: &str) -> Key {
        Key::Secret(Secret::new(text))
    }

    fn says(user: &'static str, pass: &'static str) -> Presented<'static> {
        Presented { user, pass, ..Presented::default() }
    }

    fn named(verdict: Verdict) -> String {
        match verdict {
            Verdict::Admitted(None) => "everybody".into(),
            Verdict::Admitted(Some(user)) => format!("user {}", user.name),
            Verdict::Prove(proof, _) => format!("prove {proof:?}"),
            Verdict::Refused => "refused".into(),
        }
    }

    #[track_caller]
    fn check(access: &Access, rows: &[(Presented<'_>, &str)]) {
        for (presented, expected) in rows {
            assert_eq!(named(access.check(presented, CLIENT)), *expected, "{presented:?}");
        }
    }

    #[test]
    fn without_users_everybody_may_connect() {
        let access = Access::default();
        check(&access, &[(says("x", "y"), "everybody"), (says("", ""), "everybody")]);
        assert!(!access.is_guarded() && !access.is_required() && access.nonce(CLIENT).is_none());
    }

    #[test]
    fn users_are_known_by_name_and_password_or_nkey() {
        let nkey = |nkey, signature| Presented { nkey, signature, ..Presented::default() };
        check(
            &users(),
            &[
                (says("a", "p"), "user a"),
                (says("a", "q"), "refused"),
                (says("b", ""), "user b"),
                (says("c", "p"), "refused"),
                (says("", ""), "refused"),
                (says("ws", "p"), "refused"),
                (nkey(KEY, "sig"), "prove Signature"),
                (nkey(KEY, ""), "refused"),
                (nkey("UX", "sig"), "refused"),
                (Presented { token: "p", ..says("", "") }, "refused"),
            ],
        );
        assert!(users().is_required() && users().nonce(CLIENT).is_some());
    }

    #[test]
    fn a_token_is_not_a_user() {
        let mut access = Access::default();
        access.set_token("t");
        let token = |token| Presented { token, ..Presented::default() };
        check(
            &access,
            &[(token("t"), "user "), (token("x"), "refused"), (says("t", "t"), "refused")],
        );
        access.set_token("$2a$04$xxxxxxxxxxxxxxxxxxxxxx");
        check(&access, &[(token("t"), "prove Password")]);
    }

    #[test]
    fn the_single_user_has_one_name() {
        let mut access = Access::default();
        access.set_single("u", "p");
        check(&access, &[(says("u", "p"), "user u"), (says("x", "p"), "refused")]);
    }

    #[test]
    fn who_presents_nothing_is_the_no_auth_user() {
        let mut access = users();
        access.set_nobody("a");
        check(&access, &[(says("", ""), "user a"), (says("a", ""), "refused")]);
        assert!(access.is_guarded() && !access.is_required());
        assert_eq!(&*access.unintroduced().unwrap().name, "a");
        access.set_nobody(KEY);
        check(&access, &[(says("", ""), &format!("user {KEY}"))]);
        assert!(access.unintroduced().is_none());
    }

    #[test]
    fn a_reload_asks_for_no_second_proof() {
        const HASH: &str = "$2a$04$kYiq29Rt3zD4F8JDJVw3X.Jz8Qn9NMtyDK/t4Oj9wWwJx9Y4QdQfe";
        let login = user("a", HASH);
        let judge = |password: &str, presented: Presented<'_>| {
            let mut access = Access::default();
            access.add(user("a", password));
            match access.check_again(&presented, CLIENT, Some(&login)) {
                Standing::Known(verdict) => named(verdict),
                Standing::Gone => "gone".into(),
            }
        };
        assert_eq!(judge(HASH, says("a", "x")), "user a");
        assert_eq!(judge("$2a$04$another", says("a", "x")), "prove Password");
        assert_eq!(judge("x", says("a", "x")), "user a");
        assert_eq!(judge("y", says("a", "x")), "refused");
        assert_eq!(judge(HASH, says("b", "x")), "gone");
        assert_eq!(judge(HASH, Presented { nkey: KEY, ..says("", "") }), "gone");
        assert_eq!(judge(HASH, Presented { token: "t", ..says("", "") }), "refused");
        let open = Access::default().check_again(&says("b", "x"), CLIENT, Some(&login));
        assert!(matches!(open, Standing::Known(Verdict::Admitted(None))));
    }
}
