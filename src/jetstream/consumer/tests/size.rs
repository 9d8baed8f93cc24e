//! What an idle consumer costs.

use super::*;

#[test]
fn an_idle_ephemeral_consumer_is_small() {
    let mut rig = Rig::empty();
    let mut ephemeral = config(|config| {
        config.name = "N3YMujOW".into();
        config.filter_subject = "orders.europe".into();
        config.inactive_threshold = ms(5000);
    });
    for (name, value) in [("_nats.level", "5"), ("_nats.req.level", "0"), ("_nats.ver", "2.15.1")] {
        ephemeral.metadata.insert(name.into(), value.into());
    }
    rig.make(&ephemeral);
    let memory = rig.with(|consumer, _, _| consumer.memory());
    assert!(memory <= 1024, "{memory} bytes, {} of them the struct", size_of::<Consumer>());
    assert!(size_of::<Consumer>() <= 576, "{}", size_of::<Consumer>());
}
