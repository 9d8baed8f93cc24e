//! The `weft { … }` block: what the reference has no key for, because it has no cores.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::Options;
use super::field::{self, Field, Key};
use crate::config::file::Data;
use crate::config::{ConfigError, duration};
use crate::types::limits::{MOVE_INTERVAL_NS, MOVE_RATE_MIN, READ_CACHE_BYTES, SHARDS_MAX};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WeftOptions {
    /// CPUs to run on. Default `None`: those the affinity mask allows.
    pub cores: Option<CoreSet>,
    /// Default `None`: one for each CPU allowed, at most the CPU quota rounded up. More shards
    /// than CPUs share them.
    pub shards: Option<usize>,
    /// How long an idle core watches its ring before it sleeps.
    pub spin: Spin,
    /// Which core gets a new connection.
    pub placement: Placement,
    /// Connections that talk with one other core are moved there.
    pub move_connections: bool,
    /// How often a core looks for connections to move. One that was moved stays for twelve times that at
    /// least.
    pub move_interval: Duration,
    /// A connection with fewer messages a second is not moved.
    pub move_rate: u64,
    /// How much of io_uring is used.
    pub ring_features: RingFeatures,
    /// Bytes that each of a core's logs keeps of what single reads brought. 0: nothing.
    pub read_cache_bytes: usize,
    /// How JetStream's files are read and written.
    pub jetstream_io: JetStreamIo,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spin {
    /// A moment, where the next event tends to come within it.
    #[default]
    Auto,
    /// Always so long; zero: it sleeps at once.
    For(Duration),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum JetStreamIo {
    /// Past the page cache. A file system that refuses is refused.
    #[default]
    Direct,
    /// Through the page cache, for file systems that know nothing else.
    Buffered,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Placement {
    /// The core with the fewest connections.
    #[default]
    Fewest,
    /// One after the other.
    RoundRobin,
}

/// The newest kernel whose io_uring may be assumed after probing. Older settings force the
/// ladder down, for tests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RingFeatures {
    Linux5_10,
    Linux5_13,
    Linux5_19,
    Linux6_1,
    /// Whatever probing finds.
    Auto,
}

impl Default for WeftOptions {
    fn default() -> Self {
        Self {
            cores: None,
            shards: None,
            spin: Spin::Auto,
            placement: Placement::Fewest,
            move_connections: true,
            move_interval: Duration::from_nanos(MOVE_INTERVAL_NS),
            move_rate: MOVE_RATE_MIN,
            ring_features: RingFeatures::Auto,
            read_cache_bytes: READ_CACHE_BYTES,
            jetstream_io: JetStreamIo::Direct,
        }
    }
}

const KEYS: &[Key<WeftOptions>] = &[
    Key { names: &["cores"], read: read_cores },
    Key { names: &["shards"], read: read_shards },
    Key { names: &["spin"], read: read_spin },
    Key { names: &["placement"], read: |o, f| read_choice(&mut o.placement, f) },
    Key { names: &["move_connections"], read: read_move_connections },
    Key { names: &["move_interval"], read: read_move_interval },
    Key { names: &["move_rate"], read: read_move_rate },
    Key { names: &["ring_features"], read: |o, f| read_choice(&mut o.ring_features, f) },
    Key { names: &["read_cache"], read: read_cache },
    Key { names: &["jetstream_io"], read: |o, f| read_choice(&mut o.jetstream_io, f) },
];

pub(super) fn read(options: &mut Options, field: &Field<'_>) -> Result<(), ConfigError> {
    let Data::Map(map) = &field.value.data else {
        let found = field.value.data.type_name();
        return Err(field.error(format!("Expected map to define weft, got {found}")));
    };
    field::read_all(&mut options.weft, map, KEYS, &[])
}

fn read_cores(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    let text = match &field.value.data {
        Data::Integer(core) => core.to_string(),
        _ => field.text()?.to_owned(),
    };
    options.cores = Some(text.parse().map_err(|text: String| field.error(text))?);
    Ok(())
}

fn read_shards(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    let shards = field.unsigned::<usize>()?;
    options.shards = shards_from(shards).map_err(|text| field.error(text))?;
    Ok(())
}

/// 0 is "as many as CPUs". The error is for people.
pub(super) fn shards_from(shards: usize) -> Result<Option<usize>, String> {
    if shards > SHARDS_MAX {
        return Err(format!("{shards} shards are more than {SHARDS_MAX}"));
    }
    Ok((shards > 0).then_some(shards))
}

fn read_cache(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    options.read_cache_bytes = field.unsigned()?;
    Ok(())
}

fn read_move_connections(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    options.move_connections = field.boolean()?;
    Ok(())
}

fn read_move_rate(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    options.move_rate = field.unsigned()?;
    Ok(())
}

fn read_move_interval(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    const RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(1);
    let interval = field.duration()?;
    if !RANGE.contains(&interval) {
        let text = duration::format(interval);
        return Err(field.error(format!("a move_interval of {text} is not between 1ms and 1m")));
    }
    options.move_interval = interval;
    Ok(())
}

fn read_spin(options: &mut WeftOptions, field: &Field<'_>) -> Result<(), ConfigError> {
    options.spin = match &field.value.data {
        Data::Integer(0) => Spin::For(Duration::ZERO),
        Data::Text(text) if text == "auto" => Spin::Auto,
        _ => checked_spin(field.duration()?).map_err(|text| field.error(text))?,
    };
    Ok(())
}

fn checked_spin(spin: Duration) -> Result<Spin, String> {
    const MAX: Duration = Duration::from_millis(10);
    if spin > MAX {
        return Err(format!("a spin of {} is more than 10ms", duration::format(spin)));
    }
    Ok(Spin::For(spin))
}

fn read_choice<T: FromStr<Err = String>>(
    place: &mut T,
    field: &Field<'_>,
) -> Result<(), ConfigError> {
    let text = match &field.value.data {
        // `6.1` without quotes.
        Data::Float(number) => format!("{number:?}"),
        _ => field.text()?.to_owned(),
    };
    // `5.10` reads as the float 5.1, and no kernel 5.1 is a step of the ladder.
    let text = if text == "5.1" { "5.10".to_owned() } else { text };
    *place = text.parse().map_err(|text: String| field.error(text))?;
    Ok(())
}

impl WeftOptions {
    /// `--shards 4`.
    pub fn set_shards(&mut self, shards: i64) -> Result<(), String> {
        let shards = usize::try_from(shards).map_err(|_| "shards can not be negative")?;
        self.shards = shards_from(shards)?;
        Ok(())
    }
}

impl FromStr for Spin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let (spin, negative) = duration::parse(text)?;
        if negative {
            return Err("spin needs to be positive".to_owned());
        }
        checked_spin(spin)
    }
}

impl fmt::Display for Spin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::For(time) => f.write_str(&duration::format(*time)),
        }
    }
}

impl FromStr for Placement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fewest" => Ok(Self::Fewest),
            "round_robin" => Ok(Self::RoundRobin),
            _ => Err(format!("placement must be 'fewest' or 'round_robin', got '{text}'")),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fewest => "fewest",
            Self::RoundRobin => "round_robin",
        })
    }
}

impl FromStr for JetStreamIo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "direct" => Ok(Self::Direct),
            "buffered" => Ok(Self::Buffered),
            _ => Err(format!("jetstream_io must be 'direct' or 'buffered', got '{text}'")),
        }
    }
}

impl fmt::Display for JetStreamIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Buffered => "buffered",
        })
    }
}

const RING_FEATURES: &[(&str, RingFeatures)] = &[
    ("auto", RingFeatures::Auto),
    ("5.10", RingFeatures::Linux5_10),
    ("5.13", RingFeatures::Linux5_13),
    ("5.19", RingFeatures::Linux5_19),
    ("6.1", RingFeatures::Linux6_1),
];

impl FromStr for RingFeatures {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = RING_FEATURES.iter().find(|(name, _)| *name == text);
        found.map(|(_, features)| *features).ok_or_else(|| {
            format!("ring_features must be 'auto', '5.10', '5.13', '5.19' or '6.1', got '{text}'")
        })
    }
}

impl fmt::Display for RingFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = RING_FEATURES.iter().find(|(_, features)| features == self);
        f.write_str(found.map_or("auto", |(name, _)| name))
    }
}

/// CPU numbers, ascending, each once, at least one: `0-3,6`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoreSet(Vec<usize>);

impl CoreSet {
    /// The kernel's own bound on CPU numbers.
    const CORE_MAX: usize = 8191;

    pub fn cores(&self) -> &[usize] {
        &self.0
    }
}

impl FromStr for CoreSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("cores must be like '0-3,6', got '{text}'");
        let number = |part: &str| {
            let number = part.trim().parse::<usize>().ok();
            number.filter(|&core| core <= Self::CORE_MAX).ok_or_else(bad)
        };
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(bad());
            }
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        cores.dedup();
        Ok(Self(cores))
    }
}

impl fmt::Display for CoreSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let separator = if index == 0 { "" } else { "," };
            match run {
                [only] => write!(f, "{separator}{only}")?,
                [first, .., last] => write!(f, "{separator}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}
