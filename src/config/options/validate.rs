//! What is wrong together, and what is merely unwise. Checked at start and at reload.

use super::{Options, address};
use crate::config::{ConfigError, duration};

impl Options {
    /// The start-time refusals (facts: config-and-ops §5) that concern what we have.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let (payload, pending) = (self.limits.max_payload, self.limits.max_pending);
        if payload > pending {
            return Err(conflict(format!(
                "max_payload ({payload}) cannot be higher than max_pending ({pending})"
            )));
        }
        let (grace, whole) = (self.lame_duck_grace_period, self.lame_duck_duration);
        if grace >= whole {
            return Err(conflict(format!(
                "lame duck grace period ({}) should be strictly lower than lame duck duration \
                 ({})",
                duration::format(grace),
                duration::format(whole)
            )));
        }
        if self.server_name.as_deref().is_some_and(|name| name.contains(' ')) {
            return Err(conflict("server name cannot contain spaces".to_owned()));
        }
        self.client_advertise_address()?;
        self.authorization.validate()?;
        self.validate_jetstream()?;
        Ok(())
    }

    /// Texts for `[WRN]` lines at start.
    pub fn warnings(&self) -> Vec<&'static str> {
        const DISCOURAGED_BYTES: usize = 8 * 1024 * 1024;
        let mut warnings = Vec::new();
        if self.limits.max_payload > DISCOURAGED_BYTES {
            warnings.push(
                "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor \
                 performance",
            );
        }
        if self.authorization.has_plain_password() {
            warnings.push("Plaintext passwords detected, use nkeys or bcrypt");
        }
        if self.jetstream.is_some() && self.store_dir.is_none() {
            warnings.push("Temporary storage directory used, data could be lost on system reboot");
        }
        warnings
    }

    /// The host and port to tell clients. Without a port (`None`) it is the one we listen on.
    pub fn client_advertise_address(&self) -> Result<Option<(&str, Option<u16>)>, ConfigError> {
        let Some(text) = self.client_advertise.as_deref() else { return Ok(None) };
        let bad = |reason: String| {
            conflict(format!(
                "Error setting server INFO with ClientAdvertise value of {text}, err={reason}"
            ))
        };
        if !text.contains(':') {
            return Ok(Some((text, None)));
        }
        if let Some(host) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Ok(Some((host, None)));
        }
        let Some((host, port)) = address::split(text) else {
            return Err(bad(format!("address {text}: too many colons in address")));
        };
        if port.is_empty() {
            return Ok(Some((host, None)));
        }
        match port.parse::<i64>() {
            // As the reference: these mean our own port.
            Ok(-1 | 0) => Ok(Some((host, None))),
            Ok(number) => match u16::try_from(number) {
                Ok(port) => Ok(Some((host, Some(port)))),
                Err(_) => Err(bad(format!("invalid port {number}"))),
            },
            Err(_) => Err(bad(format!("strconv.Atoi: parsing {port:?}: invalid syntax"))),
        }
    }
}

pub(super) fn conflict(text: String) -> ConfigError {
    ConfigError::Conflict { text }
}
