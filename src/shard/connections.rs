//! The connections of one shard, by slot. Slots are reused, generations tell their users apart.

use crate::connection::Connection;
use crate::types::ConnKey;

#[derive(Debug, Default)]
pub struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

impl Connections {
    /// Makes a connection in a free slot.
    pub fn insert(&mut self, make: impl FnOnce(ConnKey) -> Connection) -> ConnKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, connection: None });
            u32::try_from(self.slots.len() - 1).expect("fewer connections than 2^32")
        });
        let place = &mut self.slots[slot as usize];
        let key = ConnKey { slot, generation: place.generation };
        place.connection = Some(make(key));
        self.open += 1;
        key
    }

    pub fn remove(&mut self, key: ConnKey) -> Option<Connection> {
        let place = self.slots.get_mut(key.slot as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let connection = place.connection.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.open -= 1;
        Some(connection)
    }

    pub fn get(&self, key: ConnKey) -> Option<&Connection> {
        self.slots.get(key.slot as usize)?.connection.as_ref().filter(|found| found.key == key)
    }

    pub fn get_mut(&mut self, key: ConnKey) -> Option<&mut Connection> {
        self.slots.get_mut(key.slot as usize)?.connection.as_mut().filter(|found| found.key == key)
    }

    /// The owner of a subscription: its slot is taken as long as the subscription lives.
    pub fn owner_mut(&mut self, slot: u32) -> &mut Connection {
        self.slots[slot as usize].connection.as_mut().expect("a subscription's owner is there")
    }

    pub fn owner(&self, slot: u32) -> &Connection {
        self.slots[slot as usize].connection.as_ref().expect("a subscription's owner is there")
    }

    pub fn iter(&self) -> impl Iterator<Item = &Connection> + Clone {
        self.slots.iter().filter_map(|slot| slot.connection.as_ref())
    }

    /// What is in a slot. `None`: there are no more slots.
    pub fn at(&self, slot: usize) -> Option<Option<&Connection>> {
        self.slots.get(slot).map(|slot| slot.connection.as_ref())
    }

    pub fn keys(&self) -> Vec<ConnKey> {
        self.iter().map(|connection| connection.key).collect()
    }

    pub fn len(&self) -> usize {
        self.open
    }
}
