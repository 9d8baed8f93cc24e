//! What clients change: streams, their contents and their consumers.

use serde_json::{Value, json};

use super::consumer::{Consumer, Sure};
use super::model::{Effect, Life, There};
use super::plan::{Begins, ConsumerPlan, Keeps, StreamPlan};
use super::world::{CONSUMERS, Call, NAMES, World};
use crate::types::time::SECOND;

impl World {
    pub(super) fn create_stream(&mut self) {
        let name = NAMES[self.rng.below(NAMES.len() as u64) as usize];
        if self.by_name.contains_key(name) {
            return;
        }
        let mark = u64::from(self.number());
        let plan = StreamPlan::new(name, mark, &mut self.rng);
        self.create_stream_so(plan);
    }

    pub(super) fn create_stream_so(&mut self, plan: StreamPlan) -> usize {
        let life = self.lives.len();
        let (name, body) = (plan.name.clone(), plan.json());
        self.lives.push(Life::new(plan));
        self.by_name.insert(name.clone(), life);
        self.stats.streams += 1;
        let call = Call::Change { life, change: 0, what: "create".into() };
        self.call(&format!("STREAM.CREATE.{name}"), &body, call);
        life
    }

    pub(super) fn update_stream(&mut self) {
        let Some(life) = self.pick_life() else { return };
        if !self.lives[life].is_quiet() || !self.lives[life].fading.is_empty() {
            return;
        }
        let mark = u64::from(self.number());
        let plan = self.lives[life].plan().changed(mark, &mut self.rng);
        self.update_stream_so(life, plan);
    }

    pub(super) fn update_stream_so(&mut self, life: usize, plan: StreamPlan) {
        let (name, body) = (plan.name.clone(), plan.json());
        let change = self.lives[life].update(plan, &self.attempts);
        let call = Call::Change { life, change, what: "update".into() };
        self.call(&format!("STREAM.UPDATE.{name}"), &body, call);
    }

    pub(super) fn delete_stream(&mut self) {
        let Some(life) = self.pick_life() else { return };
        self.delete_stream_so(life);
    }

    pub(super) fn delete_stream_so(&mut self, life: usize) {
        let name = self.lives[life].name.clone();
        self.lives[life].deleted = Some(false);
        self.by_name.remove(&name);
        for at in std::mem::take(&mut self.lives[life].consumers).into_values() {
            self.consumers[at].is_gone = true;
        }
        self.call(&format!("STREAM.DELETE.{name}"), &Value::Null, Call::Delete { life });
    }

    /// Messages can be taken away now without a race with the limits of the stream.
    fn may_remove(&self, life: usize) -> bool {
        let own = &self.lives[life];
        !own.plan().has_room_limits() || own.is_quiet() && own.fading.is_empty()
    }

    pub(super) fn purge(&mut self) {
        let Some(life) = self.pick_life() else { return };
        if !self.may_remove(life) {
            return;
        }
        let own = &self.lives[life];
        let is_exact = own.is_certain() && !own.plan().ends_by_time();
        let rng = &mut self.rng;
        let mut body = json!({});
        let subject = rng.one_in(2).then(|| own.plan().subjects[rng.below(4) as usize].clone());
        if let Some(subject) = &subject {
            body["filter"] = json!(subject);
        }
        let (mut below, mut keep) = (u64::MAX, 0);
        match rng.below(3) {
            0 => {
                below = 1 + rng.below(own.now.last_seq + 1);
                body["seq"] = json!(below);
            }
            1 if is_exact => {
                keep = rng.below(4) as usize;
                body["keep"] = json!(keep);
            }
            _ => {}
        }
        let gone = own.purged(subject.as_deref(), below, keep, &self.attempts);
        let name = own.name.clone();
        let change = self.lives[life].remove(&gone);
        let call = Call::Change { life, change, what: "purge".into() };
        self.call(&format!("STREAM.PURGE.{name}"), &body, call);
    }

    pub(super) fn delete_message(&mut self) {
        let Some(life) = self.pick_life() else { return };
        if !self.may_remove(life) {
            return;
        }
        let (own, now) = (&self.lives[life], self.wall());
        let all: Vec<u64> = own.now.messages.keys().copied().collect();
        if all.is_empty() {
            return;
        }
        let seq = all[self.rng.below(all.len() as u64) as usize];
        if own.there(seq, &self.attempts, now + SECOND) != There::Yes {
            return;
        }
        let name = own.name.clone();
        let change = self.lives[life].remove(&[seq]);
        let call = Call::Change { life, change, what: "delete of a message".into() };
        let body = json!({"seq": seq, "no_erase": !self.rng.one_in(4)});
        self.call(&format!("STREAM.MSG.DELETE.{name}"), &body, call);
    }

    pub(super) fn create_consumer(&mut self) {
        let Some(life) = self.pick_life() else { return };
        let own = &self.lives[life];
        let name = CONSUMERS[self.rng.below(CONSUMERS.len() as u64) as usize];
        if let Some(plan) = own.plan_of(&self.consumers, name) {
            // The same again changes nothing, and answers when it is safe.
            let body = plan.json(&own.name);
            let subject = format!("CONSUMER.CREATE.{}.{name}", own.name);
            let call = match own.change_of(name) {
                Some(change) => Call::Change { life, change, what: "same consumer".into() },
                None => Call::Other("same consumer"),
            };
            return self.call(&subject, &body, call);
        }
        let (stream, last) = (own.plan().clone(), own.now.last_seq);
        let mark = self.number();
        let plan = ConsumerPlan::new(name, mark, &stream, last, &mut self.rng);
        let mut others = own_plans(&self.lives[life], &self.consumers);
        if stream.keeps == Keeps::WorkQueue && others.any(|other| other.overlaps(&plan)) {
            return;
        }
        drop(others);
        self.create_consumer_so(life, plan);
    }

    pub(super) fn create_consumer_so(&mut self, life: usize, plan: ConsumerPlan) -> usize {
        let own = &mut self.lives[life];
        let start = match plan.begins {
            Begins::All => 1,
            Begins::New => own.now.last_seq + 1,
            Begins::At(seq) => seq,
        };
        let (name, body) = (plan.name.clone(), plan.json(&own.name));
        let call = match plan.in_memory {
            true => Call::Other("create of a consumer in memory"),
            false => {
                let change = own.change(vec![Effect::Consumer(name.clone(), plan.mark)]);
                Call::Change { life, change, what: "create of a consumer".into() }
            }
        };
        let at = self.consumers.len();
        own.consumers.insert(name.clone(), at);
        let subject = format!("CONSUMER.CREATE.{}.{name}", own.name);
        self.consumers.push(Consumer::new(life, plan, start));
        self.stats.consumers += 1;
        self.call(&subject, &body, call);
        at
    }

    pub(super) fn change_consumer(&mut self) {
        let Some(at) = self.pick_consumer() else { return };
        let stream = self.lives[self.consumers[at].life].plan().clone();
        let mark = self.number();
        let plan = self.consumers[at].plan.changed(mark, &stream, &mut self.rng);
        self.change_consumer_so(at, &plan);
    }

    pub(super) fn change_consumer_so(&mut self, at: usize, plan: &ConsumerPlan) {
        let consumer = &mut self.consumers[at];
        let own = &mut self.lives[consumer.life];
        let old = std::mem::replace(&mut consumer.plan, plan.clone());
        if old.filters != plan.filters {
            consumer.before.push((own.now.last_seq, old));
        }
        consumer.plans.push(plan.clone());
        consumer.steps += 1;
        let (life, body) = (consumer.life, plan.json(&own.name));
        let call = match plan.in_memory {
            true => Call::Other("update of a consumer in memory"),
            false => {
                let change = own.change(vec![Effect::Consumer(plan.name.clone(), plan.mark)]);
                Call::Change { life, change, what: "update of a consumer".into() }
            }
        };
        let subject = format!("CONSUMER.CREATE.{}.{}", own.name, plan.name);
        self.call(&subject, &body, call);
    }

    pub(super) fn delete_consumer(&mut self) {
        let Some(at) = self.pick_consumer() else { return };
        self.delete_consumer_so(at);
    }

    pub(super) fn delete_consumer_so(&mut self, at: usize) {
        let consumer = &mut self.consumers[at];
        consumer.is_gone = true;
        let (life, name) = (consumer.life, consumer.plan.name.clone());
        let own = &mut self.lives[life];
        own.consumers.remove(&name);
        let change = own.change(vec![Effect::NoConsumer(name.clone())]);
        if own.plan().keeps == Keeps::Interest {
            self.release_unwanted(life);
        }
        let own = &self.lives[life];
        let subject = format!("CONSUMER.DELETE.{}.{name}", own.name);
        let call = Call::Change { life, change, what: "delete of a consumer".into() };
        self.call(&subject, &Value::Null, call);
    }

    fn release_unwanted(&mut self, life: usize) {
        let mut gone = Vec::new();
        for (seq, number) in self.lives[life].now.messages.clone() {
            match self.wanted(life, seq, number) {
                Sure::No => gone.push(seq),
                Sure::Maybe => drop(self.lives[life].doubtful.insert(seq)),
                Sure::Yes => {}
            }
        }
        if !gone.is_empty() {
            self.lives[life].remove(&gone);
        }
    }
}

fn own_plans<'a>(
    life: &'a Life,
    consumers: &'a [Consumer],
) -> impl Iterator<Item = &'a ConsumerPlan> {
    life.consumers.values().map(|at| &consumers[*at].plan)
}
