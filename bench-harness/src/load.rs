//! How much of what, for how long: the options every workload shares.

use std::time::Duration;

use clap::Args;

use crate::payload;

#[derive(Args, Clone, Debug)]
pub struct Load {
    /// Bytes of payload; several are run one after the other.
    #[arg(long, global = true, value_delimiter = ',', default_value = "128",
          value_parser = parse_size)]
    pub size: Vec<usize>,
    /// Length of the measured window, in seconds.
    #[arg(long, global = true, default_value = "2", value_parser = parse_seconds)]
    pub seconds: Duration,
    /// Time before the window, in seconds.
    #[arg(long, global = true, default_value = "0.5", value_parser = parse_seconds)]
    pub warmup: Duration,
    /// Bytes in flight per publisher: it waits for its slowest subscriber. 0 runs free, as
    /// `nats bench` does; then a subscriber may be cut.
    #[arg(long, global = true, default_value = "8M", value_parser = parse_bytes)]
    pub window: u64,
    /// Bytes per write of a publisher, about.
    #[arg(long, global = true, default_value = "128K", value_parser = parse_bytes)]
    pub batch: u64,
    /// Threads of the harness.
    #[arg(long, global = true, default_value_t = 1)]
    pub threads: usize,
    /// Microseconds that a harness thread with nothing to do lets bytes gather: fewer wake-ups
    /// for the harness, none fewer for the server. Not used where latency is measured.
    #[arg(long, global = true, default_value_t = 50)]
    pub nap_us: u64,
    /// Subjects each publisher uses in turn.
    #[arg(long, global = true, default_value_t = 1)]
    pub subjects: usize,
    /// Never sleep where latency is measured (needs a CPU of its own).
    #[arg(long, global = true)]
    pub spin: bool,
}

impl Load {
    /// The size of this run: the coordinator splits lists before.
    pub fn payload(&self) -> usize {
        self.size[0]
    }

    pub fn at_size(&self, size: usize) -> Self {
        Self { size: vec![size], ..self.clone() }
    }

    pub fn window_bytes(&self) -> u64 {
        if self.window == 0 { u64::MAX } else { self.window }
    }

    pub fn nap(&self) -> Duration {
        Duration::from_micros(self.nap_us)
    }
}

pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn parse_size(text: &str) -> Result<usize, String> {
    let size = parse_bytes(text)? as usize;
    if size < payload::SIZE_MIN {
        return Err(format!("payloads of less than {} bytes can't be verified", payload::SIZE_MIN));
    }
    Ok(size)
}

/// `4096`, `128K`, `8M`: powers of two.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1024),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    let count: u64 = digits.parse().map_err(|e| format!("{text:?}: {e}"))?;
    count.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_a_least() {
        assert_eq!(parse_bytes("128K"), Ok(131_072));
        assert_eq!(parse_bytes("8M"), Ok(8 << 20));
        assert!(parse_size("15").is_err() && parse_bytes("1G").is_err());
    }
}
