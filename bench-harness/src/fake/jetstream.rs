//! The least of JetStream: streams that keep everything, consumers that hand it out in order.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use super::broker::{Envelope, matches};

/// Something to be delivered to whoever hears `to`.
pub struct Output {
    pub to: String,
    pub subject: String,
    pub reply: Option<String>,
    pub headers: Vec<u8>,
    pub payload: Vec<u8>,
}

#[derive(Default)]
pub struct JetStream {
    streams: Vec<Stream>,
}

struct Stream {
    name: String,
    filters: Vec<String>,
    /// Subject and payload; the first has sequence 1.
    messages: Vec<(String, Vec<u8>)>,
    last_of_subject: HashMap<String, usize>,
    consumers: Vec<Consumer>,
}

#[derive(Default)]
struct Consumer {
    name: String,
    /// Where a push consumer delivers.
    deliver: Option<String>,
    filter: Option<String>,
    /// Pull requests: where to, and how many messages are still wanted.
    requests: VecDeque<(String, u64)>,
    /// Index of the next message to look at.
    next: usize,
    delivered: u64,
    acked: u64,
    explicit: bool,
}

impl JetStream {
    /// Empty where the message concerns no stream.
    pub fn on_message(&mut self, message: &Envelope<'_>) -> Vec<Output> {
        let subject = message.subject;
        if let Some(call) = subject.strip_prefix("$JS.API.") {
            return self.on_call(call, message);
        }
        if let Some(ack) = subject.strip_prefix("$JS.ACK.") {
            self.on_ack(ack);
            return Vec::new();
        }
        let keeps = |stream: &&mut Stream| stream.filters.iter().any(|it| matches(it, subject));
        let Some(stream) = self.streams.iter_mut().find(keeps) else { return Vec::new() };
        stream.last_of_subject.insert(subject.to_owned(), stream.messages.len());
        stream.messages.push((subject.to_owned(), message.payload.to_vec()));
        let text = format!("{{\"stream\":\"{}\",\"seq\":{}}}", stream.name, stream.messages.len());
        message.reply.map(|reply| answer(reply, text.into_bytes())).into_iter().collect()
    }

    fn on_ack(&mut self, ack: &str) {
        let mut tokens = ack.split('.');
        let (Some(stream), Some(name)) = (tokens.next(), tokens.next()) else { return };
        if let Some(consumer) = self.consumer(stream, name) {
            consumer.acked += 1;
        }
    }

    fn stream(&mut self, name: &str) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.name == name)
    }

    fn consumer(&mut self, stream: &str, name: &str) -> Option<&mut Consumer> {
        self.stream(stream)?.consumers.iter_mut().find(|consumer| consumer.name == name)
    }

    fn on_call(&mut self, call: &str, message: &Envelope<'_>) -> Vec<Output> {
        let request: Value = serde_json::from_slice(message.payload).unwrap_or_default();
        let tokens: Vec<&str> = call.splitn(5, '.').collect();
        let Some(reply) = message.reply else { return Vec::new() };
        let said = match tokens.as_slice() {
            ["INFO"] => {
                let count: usize = self.streams.iter().map(|it| it.consumers.len()).sum();
                Some(json!({ "consumers": count }))
            }
            ["STREAM", "CREATE", name] => Some(self.create(name, &request)),
            ["STREAM", "DELETE", name] => {
                self.streams.retain(|stream| stream.name != *name);
                Some(json!({ "success": true }))
            }
            ["STREAM", "INFO", name] => self.stream(name).map(|stream| {
                let count = stream.messages.len();
                json!({ "state": { "messages": count, "first_seq": 1, "last_seq": count } })
            }),
            ["CONSUMER", "CREATE", stream, name, ..] => self.consume(stream, name, &request),
            ["CONSUMER", "INFO", stream, name] => self.state(stream, name),
            ["CONSUMER", "MSG", "NEXT", stream, name] => {
                let batch = request["batch"].as_u64().unwrap_or(1);
                if let Some(consumer) = self.consumer(stream, name) {
                    consumer.requests.push_back((reply.to_owned(), batch));
                }
                return Vec::new();
            }
            ["DIRECT", "GET", stream, ..] => {
                let subject = call.splitn(4, '.').nth(3);
                return self.get(stream, subject, &request, reply).into_iter().collect();
            }
            _ => None,
        };
        let said = said.unwrap_or_else(|| json!({ "error": { "code": 404 } }));
        vec![answer(reply, said.to_string().into_bytes())]
    }

    fn create(&mut self, name: &str, request: &Value) -> Value {
        let subjects = request["subjects"].as_array().into_iter().flatten();
        let filters = subjects.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        self.streams.push(Stream {
            name: name.to_owned(),
            filters,
            messages: Vec::new(),
            last_of_subject: HashMap::new(),
            consumers: Vec::new(),
        });
        json!({ "config": request })
    }

    fn consume(&mut self, stream: &str, name: &str, request: &Value) -> Option<Value> {
        let config = &request["config"];
        let text = |field: &str| config[field].as_str().map(str::to_owned);
        self.stream(stream)?.consumers.push(Consumer {
            name: name.to_owned(),
            deliver: text("deliver_subject"),
            filter: text("filter_subject"),
            explicit: config["ack_policy"] == "explicit",
            ..Consumer::default()
        });
        Some(json!({ "stream_name": stream, "name": name, "config": config }))
    }

    fn state(&mut self, stream: &str, name: &str) -> Option<Value> {
        let all = self.stream(stream)?.messages.len();
        let consumer = self.consumer(stream, name)?;
        let owed =
            if consumer.explicit { consumer.delivered.saturating_sub(consumer.acked) } else { 0 };
        Some(json!({
            "num_ack_pending": owed, "num_redelivered": 0, "num_pending": all - consumer.next,
        }))
    }

    fn get(
        &mut self,
        stream: &str,
        subject: Option<&str>,
        request: &Value,
        reply: &str,
    ) -> Option<Output> {
        let stream = self.stream(stream)?;
        let by_subject = subject.and_then(|subject| stream.last_of_subject.get(subject).copied());
        let index = by_subject.or_else(|| usize::try_from(request["seq"].as_u64()? - 1).ok())?;
        let (subject, payload) = stream.messages.get(index)?;
        let headers = format!(
            "NATS/1.0\r\nNats-Stream: {}\r\nNats-Subject: {subject}\r\nNats-Sequence: {}\r\n\r\n",
            stream.name,
            index + 1
        );
        let headers = headers.into_bytes();
        Some(Output { headers, ..answer(reply, payload.clone()) })
    }

    /// What consumers may hand out now.
    pub fn deliver(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        for stream in &mut self.streams {
            for consumer in &mut stream.consumers {
                while let Some(output) = consumer.next(&stream.name, &stream.messages) {
                    outputs.push(output);
                }
            }
        }
        outputs
    }
}

impl Consumer {
    fn next(&mut self, stream: &str, messages: &[(String, Vec<u8>)]) -> Option<Output> {
        let to = match (&self.deliver, self.requests.front()) {
            (Some(subject), _) => subject.clone(),
            (None, request) => request?.0.clone(),
        };
        let (subject, payload) = loop {
            let (subject, payload) = messages.get(self.next)?;
            self.next += 1;
            if self.filter.as_ref().is_none_or(|filter| matches(filter, subject)) {
                break (subject, payload);
            }
        };
        self.delivered += 1;
        if let Some(request) = self.requests.front_mut() {
            request.1 -= 1;
            if request.1 == 0 {
                self.requests.pop_front();
            }
        }
        let (name, seq, nth) = (&self.name, self.next, self.delivered);
        let left = messages.len() - self.next;
        let reply = Some(format!("$JS.ACK.{stream}.{name}.1.{seq}.{nth}.0.{left}"));
        Some(Output {
            reply,
            to,
            subject: subject.clone(),
            headers: Vec::new(),
            payload: payload.clone(),
        })
    }
}

fn answer(to: &str, payload: Vec<u8>) -> Output {
    Output { to: to.to_owned(), subject: to.to_owned(), reply: None, headers: Vec::new(), payload }
}
