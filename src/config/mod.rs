//! Configuration: the file grammar of NATS, the typed [`Options`] and what a reload may change.
//!
//! Knows every key, its default and the reference's error texts. Reads files and environment
//! variables only through [`Surroundings`], and knows nothing of the command line, of sockets or
//! of whoever obeys the options.

pub mod duration;
mod error;
pub mod file;
pub mod options;
mod reload;
mod shown;

pub use error::{ConfigError, Position};
pub use file::Surroundings;
pub use options::{BatchLimits, JetStream, JetStreamLimits, Options, Spin, Sync as JetStreamSync};
pub use reload::{Change, Refused, changes};
pub use shown::shown;

/// The fuzz door: any bytes as a configuration file, without files or variables around it.
/// Must neither panic nor take more than memory in proportion to its input.
pub fn check_bytes(bytes: &[u8]) -> Result<Options, ConfigError> {
    let surroundings = Surroundings {
        read: &|path| match path.to_str() {
            Some("fuzz.conf") => Ok(bytes.to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
        variable: &|_| None,
    };
    let options = Options::from_file(std::path::Path::new("fuzz.conf"), &surroundings)?;
    options.validate()?;
    Ok(options)
}
