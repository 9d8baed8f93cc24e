//! Hosts and ports as they are written in files and flags.

use std::fmt;

/// A port to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    Fixed(u16),
    /// `-1`: the kernel chooses.
    Any,
}

impl Port {
    /// `None`: no port number.
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            -1 => Some(Self::Any),
            _ => u16::try_from(number).ok().map(Self::Fixed),
        }
    }

    /// For binding: 0 lets the kernel choose.
    pub fn to_bind(self) -> u16 {
        match self {
            Self::Fixed(port) => port,
            Self::Any => 0,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(port) => port.fmt(f),
            Self::Any => f.write_str("-1"),
        }
    }
}

/// Where clients connect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    pub port: Port,
}

impl Listen {
    pub const PORT: u16 = 4222;
}

impl Default for Listen {
    fn default() -> Self {
        Self { host: "0.0.0.0".to_owned(), port: Port::Fixed(Self::PORT) }
    }
}

/// Splits `host:port` at the port; IPv6 hosts come in brackets. `None`: there is no port.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains([':', '[', ']']) => return None,
        None => host,
    };
    Some((host, port))
}

/// Reads `host:port`. The error is the reference's text.
pub(super) fn parse(text: &str) -> Result<(String, i64), String> {
    let (host, port) =
        split(text).ok_or_else(|| format!("could not parse address string {text:?}"))?;
    let number = port.parse().map_err(|_| format!("could not parse port {port:?}"))?;
    let host = if host == "*" { "0.0.0.0" } else { host };
    Ok((host.to_owned(), number))
}
