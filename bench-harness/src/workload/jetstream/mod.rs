//! Streams, consumers, key-value buckets and object stores. Every workload makes its own streams
//! on a server that has none, and reads back what it wrote.

mod consume;
mod consumers;
mod crash;
mod get;
mod keys;
mod kv;
mod mixed;
mod object;
mod publish;
mod restart;
mod slow;
mod stream;

pub use consume::Consume;
pub use consumers::Consumers;
pub use crash::Crash;
pub use get::Get;
pub use keys::Keys;
pub use kv::Kv;
pub use mixed::Mixed;
pub use object::Object;
pub use publish::Publish;
pub use restart::Restart;
pub use slow::SlowReader;
pub use stream::{Storage, Stream};

use crate::engine::Answers;
use crate::report::{Latency, Sample};

/// What questions and their answers took.
fn sample_of<E>(answers: Answers<E>) -> (E, Sample) {
    let Answers { exchange, span, latency, faults } = answers;
    let mut sample = Sample::of(latency.len(), &span, faults);
    sample.latency = Some(Latency::of(&latency));
    (exchange, sample)
}
