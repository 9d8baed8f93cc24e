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
    assert!(size_of::<Consumer>() <= 416, "{}", size_of::<Consumer>());
}

/// Nothing but their names is their own.
#[test]
fn consumers_made_alike_share_their_configuration() {
    let mut rig = Rig::empty();
    let durable = config(|config| config.durable_name = "c".into());
    rig.make(&durable);
    let alone = rig.with(|consumer, _, _| consumer.memory());
    let mut last = Common::default();
    let shared = rig.with(|consumer, _, _| {
        consumer.share(&mut last);
        consumer.memory()
    });
    assert!(shared + 50 < alone, "{shared} of {alone}");
}
