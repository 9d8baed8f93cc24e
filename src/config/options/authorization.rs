//! The `authorization { … }` block: who may connect (facts: config-and-ops §8).

use std::sync::Arc;
use std::time::Duration;

use super::Options;
use super::field::{self, Field, Key, error_at};
use super::permissions;
use crate::config::file::{Data, Value};
use crate::config::{ConfigError, duration};
use crate::security::access::Key as UserKey;
use crate::security::{Access, NonceKey, Permissions, Secret, User, nkey};

/// Credentials, as far as they are not in files of their own. Flags put theirs over these.
#[derive(Clone, PartialEq)]
pub struct Authorization {
    /// The single user. Empty: none.
    pub user: String,
    pub password: String,
    /// Empty: none.
    pub token: String,
    /// In the order they were written.
    pub users: Vec<Arc<User>>,
    /// Whom a client is taken for that presents nothing: one of `users`.
    pub no_auth_user: Option<String>,
    /// For CONNECT to come. Default 2 seconds.
    pub timeout: Duration,
}

const TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

impl Default for Authorization {
    fn default() -> Self {
        Self {
            user: String::new(),
            password: String::new(),
            token: String::new(),
            users: Vec::new(),
            no_auth_user: None,
            timeout: TIMEOUT,
        }
    }
}

/// Secrets are no part of it.
impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { user, users, no_auth_user, timeout, .. } = self;
        write!(f, "Authorization {{ {user:?}, {users:?}, {no_auth_user:?}, {timeout:?} }}")
    }
}

impl Authorization {
    /// Made ready for asking.
    pub fn access(&self, nonce_key: NonceKey) -> Access {
        let mut access = Access::new(self.timeout.as_nanos() as u64, nonce_key);
        self.users.iter().for_each(|user| access.add(Arc::clone(user)));
        if !self.token.is_empty() {
            access.set_token(&self.token);
        }
        if !self.user.is_empty() {
            access.set_single(&self.user, &self.password);
        }
        if let Some(name) = &self.no_auth_user {
            access.set_nobody(name);
        }
        access
    }

    /// Not everybody may connect.
    pub fn is_guarded(&self) -> bool {
        !self.users.is_empty() || !self.token.is_empty() || !self.user.is_empty()
    }

    /// Start-time refusals.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let Some(name) = &self.no_auth_user else { return Ok(()) };
        let text = if self.users.is_empty() {
            format!("no_auth_user: \"{name}\" present, but users/nkeys are not defined")
        } else if self.users.iter().any(|user| *user.name == **name) {
            return Ok(());
        } else {
            format!(
                "no_auth_user: \"{name}\" not present as user or nkey in authorization block or \
                 account configuration"
            )
        };
        Err(ConfigError::Conflict { text })
    }

    /// Whether some password stands in the configuration as it is; tokens are not asked about.
    pub fn has_plain_password(&self) -> bool {
        let is_plain = |text: &str| !text.is_empty() && Secret::new(text).is_plain();
        is_plain(&self.password) || self.users.iter().any(|user| user.has_plain_secret())
    }
}

/// The block as it is read.
#[derive(Default)]
struct Block {
    auth: Authorization,
    has_users: bool,
    users: Vec<ReadUser>,
    default_permissions: Option<Permissions>,
}

const KEYS: &[Key<Block>] = &[
    Key { names: &["user", "username"], read: |b, f| set(&mut b.auth.user, f.text()?.into()) },
    Key { names: &["pass", "password"], read: |b, f| set(&mut b.auth.password, f.text()?.into()) },
    Key { names: &["token"], read: |b, f| set(&mut b.auth.token, f.text()?.into()) },
    Key { names: &["timeout"], read: |b, f| set(&mut b.auth.timeout, read_timeout(f)?) },
    Key { names: &["users"], read: read_users },
    Key {
        names: &["default_permission", "default_permissions", "permissions"],
        read: |b, f| set(&mut b.default_permissions, Some(permissions::read(f)?)),
    },
];

/// Keys of the reference that are refused unless set to `false`.
const REFUSED: &[&str] = &["auth_callout", "auth_hook", "proxy_required"];

fn set<T>(place: &mut T, value: T) -> Result<(), ConfigError> {
    *place = value;
    Ok(())
}

pub(super) fn read(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Map(map) = &field.value.data else {
        return Err(field.wrong_type("map[string]interface {}"));
    };
    let mut block = Block::default();
    field::read_all(&mut block, map, KEYS, REFUSED)?;
    let Block { mut auth, has_users, users, default_permissions } = block;
    let single = !auth.user.is_empty();
    if (single || !auth.password.is_empty()) && !auth.token.is_empty() {
        return Err(field.error("Cannot have a user/pass and token"));
    }
    if has_users && single {
        return Err(field.error("Can not have a single user/pass and a users array"));
    }
    if has_users && !auth.token.is_empty() {
        return Err(field.error("Can not have a token and a users array"));
    }
    for read in users {
        let user = read.into_user(default_permissions.as_ref());
        if auth.users.iter().any(|other| other.name == user.name) {
            let kind = if user.key == UserKey::Signature { "nkey" } else { "user" };
            return Err(field.error(format!("Duplicate {kind} {:?} detected", user.name)));
        }
        auth.users.push(Arc::new(user));
    }
    auth.no_auth_user = options.authorization.no_auth_user.take();
    options.authorization = auth;
    Ok(())
}

/// Seconds as a number, or a duration.
fn read_timeout(field: &Field<'_>) -> Result<Duration, ConfigError> {
    let seconds = match &field.value.data {
        Data::Integer(seconds) => *seconds as f64,
        Data::Float(seconds) => *seconds,
        Data::Text(text) => {
            let parsed = duration::parse(text).map_err(|reason| {
                field.error(format!("error parsing authorization config, 'timeout' {reason}"))
            })?;
            if parsed.1 { -parsed.0.as_secs_f64() } else { parsed.0.as_secs_f64() }
        }
        _ => return Err(field.error("error parsing authorization config, 'timeout' wrong type")),
    };
    if seconds < 0.0 {
        return Err(field.error("timeout value can not be negative"));
    }
    if seconds > TIMEOUT_MAX.as_secs_f64() {
        // The reference only warns; who writes `1m` without quotes asks for 1000000 seconds.
        return Err(field.error(format!(
            "timeout of {seconds} seconds is high, use at most 60 seconds; possibly caused by an \
             unquoted duration: use '1m' instead of 1m, for example"
        )));
    }
    Ok(if seconds == 0.0 { TIMEOUT } else { Duration::from_secs_f64(seconds) })
}

/// An entry of `users` as it is read.
#[derive(Default)]
struct ReadUser {
    name: String,
    password: String,
    nkey: String,
    permissions: Option<Permissions>,
    /// Upper case. Empty: all.
    connection_types: Vec<String>,
}

const USER_KEYS: &[Key<ReadUser>] = &[
    Key { names: &["nkey"], read: |u, f| set(&mut u.nkey, f.text()?.into()) },
    Key { names: &["user", "username"], read: |u, f| set(&mut u.name, f.text()?.into()) },
    Key { names: &["pass", "password"], read: |u, f| set(&mut u.password, f.text()?.into()) },
    Key {
        names: &["permission", "permissions", "authorization"],
        read: |u, f| set(&mut u.permissions, Some(permissions::read(f)?)),
    },
    Key {
        names: &["allowed_connection_types", "connection_types", "clients"],
        read: |u, f| set(&mut u.connection_types, read_connection_types(f)?),
    },
];

const USER_REFUSED: &[&str] = &["proxy_required"];

fn read_users(block: &mut Block, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Array(entries) = &field.value.data else {
        return Err(field.error("Expected users field to be an array"));
    };
    block.has_users = true;
    let mut errors = Vec::new();
    for entry in entries {
        match read_user(entry) {
            Ok(user) => block.users.push(user),
            Err(error) => errors.push(error),
        }
    }
    ConfigError::all(errors)
}

fn read_user(entry: &Value) -> Result<ReadUser, ConfigError> {
    let Data::Map(map) = &entry.data else {
        return Err(error_at(&entry.at, "Expected user entry to be a map/struct"));
    };
    let mut user = ReadUser::default();
    field::read_all(&mut user, map, USER_KEYS, USER_REFUSED)?;
    let refusal = if user.nkey.is_empty() && user.name.is_empty() {
        "User entry requires a user"
    } else if !user.nkey.is_empty() && !nkey::is_user_key(&user.nkey) {
        "Not a valid public nkey for a user"
    } else if !user.nkey.is_empty() && user.has_name_or_password() {
        "Nkey users do not take usernames or passwords"
    } else {
        return Ok(user);
    };
    // The reference names the place of one of the keys.
    let at = map.in_written_order().last().map_or(&entry.at, |(_, last)| &last.value.at);
    Err(error_at(at, refusal))
}

fn read_connection_types(field: &Field<'_>) -> Result<Vec<String>, ConfigError> {
    const KNOWN: [&str; 7] =
        ["STANDARD", "WEBSOCKET", "LEAFNODE", "LEAFNODE_WS", "MQTT", "MQTT_WS", "IN_PROCESS"];
    let texts = match &field.value.data {
        Data::Array(values) => values.iter().map(field::text_of).collect::<Result<Vec<_>, _>>()?,
        _ => vec![field.text()?],
    };
    let types: Vec<String> = texts.iter().map(|text| text.to_uppercase()).collect();
    let unknown: Vec<_> = types
        .iter()
        .filter(|kind| !KNOWN.contains(&kind.as_str()))
        .map(|k| format!("{k:?}"))
        .collect();
    if !unknown.is_empty() {
        return Err(field.error(format!("invalid connection types [{}]", unknown.join(" "))));
    }
    Ok(types)
}

impl ReadUser {
    fn has_name_or_password(&self) -> bool {
        !self.name.is_empty() || !self.password.is_empty()
    }

    fn into_user(self, default_permissions: Option<&Permissions>) -> User {
        let is_standard =
            self.connection_types.is_empty() || self.connection_types.contains(&"STANDARD".into());
        let user = if self.nkey.is_empty() {
            User::new(&self.name, UserKey::Secret(Secret::new(&self.password)))
        } else {
            User::new(&self.nkey, UserKey::Signature)
        };
        let user = User { is_standard, ..user };
        match self.permissions.or_else(|| default_permissions.cloned()) {
            Some(permissions) => user.with_permissions(permissions),
            None => user,
        }
    }
}
