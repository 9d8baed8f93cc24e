//! A consumer's configuration as it is kept: JSON, which is smaller than the struct by far, and
//! without the consumer's own name, so that consumers that were made alike share it.

use std::rc::Rc;

use super::super::config::{ConsumerConfig, Mode, parse};
use crate::types::json;

#[derive(Clone, Debug)]
pub struct Kept {
    json: Rc<[u8]>,
    /// Its name stands in the configuration, in these places.
    is_named: bool,
    is_durable: bool,
}

impl Kept {
    pub fn of(config: &ConsumerConfig, name: &str) -> Self {
        let (is_named, is_durable) = (config.name == name, config.durable_name == name);
        let mut nameless = config.clone();
        if is_named {
            nameless.name.clear();
        }
        if is_durable {
            nameless.durable_name.clear();
        }
        Self { json: json::compact(&nameless).into(), is_named, is_durable }
    }

    /// The whole of it, with the name of its consumer.
    pub fn config(&self, name: &str) -> ConsumerConfig {
        // Written from such a struct by this run of the server, so it can be read.
        let mut config: ConsumerConfig = parse(&self.json, Mode::Lenient, "").unwrap_or_default();
        if self.is_named {
            name.clone_into(&mut config.name);
        }
        if self.is_durable {
            name.clone_into(&mut config.durable_name);
        }
        config
    }

    /// Keeps no copy of what the consumer made before keeps already.
    pub fn share(&mut self, last: &mut Rc<[u8]>) {
        super::share(&mut self.json, last);
    }

    /// Bytes, its share of what it shares.
    pub fn memory(&self) -> usize {
        self.json.len() / Rc::strong_count(&self.json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_made_alike_share_all_but_their_names() {
        let of = |name: &str, description: &str| ConsumerConfig {
            name: name.into(),
            durable_name: name.into(),
            description: description.into(),
            ..ConsumerConfig::default()
        };
        let mut last = Rc::from([].as_slice());
        let mut kept = ["a", "b"].map(|name| Kept::of(&of(name, "x"), name));
        kept.iter_mut().for_each(|kept| kept.share(&mut last));
        assert!(Rc::ptr_eq(&kept[0].json, &kept[1].json));
        assert_eq!(kept[1].config("b"), of("b", "x"));
        let mut other = Kept::of(&of("c", "y"), "c");
        other.share(&mut last);
        assert_eq!(other.config("c"), of("c", "y"));
        // A name of another is no name of its own.
        assert_eq!(Kept::of(&of("d", ""), "e").config("e"), of("d", ""));
    }
}
