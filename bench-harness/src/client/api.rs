//! The JetStream API, one blocking request at a time: what workloads set up before they measure
//! and look up afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::protocol::{ServerOp, each_op};
use super::{Connection, Drained, Greeting, Scratch};
use crate::failure::{Context, Failure, Outcome};

/// An answer that takes longer does not come.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const SID: u64 = 9;

/// What a stream holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamState {
    pub messages: u64,
    pub first_seq: u64,
    pub last_seq: u64,
}

/// What a consumer has left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerState {
    pub ack_pending: u64,
    pub redelivered: u64,
    pub pending: u64,
}

pub struct Api {
    connection: Connection,
    scratch: Scratch,
    asked: u64,
}

impl Api {
    pub fn open(address: SocketAddr) -> Outcome<Self> {
        let greeting = Greeting { verbose: false, no_responders: true };
        let mut connection = Connection::open(address, greeting).context("connecting")?;
        connection.settle(format!("SUB _INBOX.api.* {SID}\r\n").as_bytes())?;
        connection.block(ANSWER_MAX)?;
        Ok(Self { connection, scratch: Scratch::new(), asked: 0 })
    }

    pub fn create_stream(&mut self, config: &Value) -> Outcome<()> {
        let name = config["name"].as_str().unwrap_or_default();
        self.ask(&format!("STREAM.CREATE.{name}"), config).map(|_| ())
    }

    pub fn delete_stream(&mut self, name: &str) -> Outcome<()> {
        self.ask(&format!("STREAM.DELETE.{name}"), &Value::Null).map(|_| ())
    }

    pub fn stream(&mut self, name: &str) -> Outcome<StreamState> {
        let answer = self.ask(&format!("STREAM.INFO.{name}"), &Value::Null)?;
        let count = |field: &str| answer["state"][field].as_u64().unwrap_or_default();
        Ok(StreamState {
            messages: count("messages"),
            first_seq: count("first_seq"),
            last_seq: count("last_seq"),
        })
    }

    /// A durable one where the configuration says so, otherwise one by this name that ends with
    /// its subscriber.
    pub fn create_consumer(&mut self, stream: &str, name: &str, config: &Value) -> Outcome<()> {
        let request = json!({ "stream_name": stream, "config": config });
        self.ask(&format!("CONSUMER.CREATE.{stream}.{name}"), &request).map(|_| ())
    }

    pub fn delete_consumer(&mut self, stream: &str, name: &str) -> Outcome<()> {
        self.ask(&format!("CONSUMER.DELETE.{stream}.{name}"), &Value::Null).map(|_| ())
    }

    pub fn consumer(&mut self, stream: &str, name: &str) -> Outcome<ConsumerState> {
        let answer = self.ask(&format!("CONSUMER.INFO.{stream}.{name}"), &Value::Null)?;
        let count = |field: &str| answer[field].as_u64().unwrap_or_default();
        Ok(ConsumerState {
            ack_pending: count("num_ack_pending"),
            redelivered: count("num_redelivered"),
            pending: count("num_pending"),
        })
    }

    /// Consumers of the whole account.
    pub fn consumers(&mut self) -> Outcome<u64> {
        let answer = self.ask("INFO", &Value::Null)?;
        Ok(answer["consumers"].as_u64().unwrap_or_default())
    }

    fn ask(&mut self, what: &str, request: &Value) -> Outcome<Value> {
        self.asked += 1;
        let body = if request.is_null() { String::new() } else { request.to_string() };
        let (nth, size) = (self.asked, body.len());
        let line = format!("PUB $JS.API.{what} _INBOX.api.{nth} {size}\r\n{body}\r\n");
        self.connection.queue(line.as_bytes());
        self.connection.flush().context(what)?;
        let inbox = format!("_INBOX.api.{nth}");
        loop {
            if let Some(text) = self.read(inbox.as_bytes()).context(what)? {
                let answer: Value = serde_json::from_slice(&text).context(what)?;
                return match answer.get("error") {
                    Some(error) => Err(Failure::new(format!("{what}: {error}"))),
                    None => Ok(answer),
                };
            }
        }
    }

    fn read(&mut self, inbox: &[u8]) -> Outcome<Option<Vec<u8>>> {
        let (mut answer, mut pinged, mut refused) = (None, false, None);
        let drained = self.connection.receive(&mut self.scratch, |bytes| {
            each_op(bytes, |op| match op {
                ServerOp::Message(message) if message.is_no_responders() => {
                    refused = Some("JetStream is not enabled".to_owned());
                }
                ServerOp::Message(message) if message.subject == inbox => {
                    answer = Some(message.payload.to_vec());
                }
                ServerOp::Ping => pinged = true,
                ServerOp::Error(text) => refused = Some(String::from_utf8_lossy(text).into_owned()),
                _ => {}
            })
        });
        if pinged {
            self.connection.queue(b"PONG\r\n");
            self.connection.flush()?;
        }
        match (drained?, refused) {
            (_, Some(refused)) => Err(Failure::new(refused)),
            (Drained::Closed, None) => Err(Failure::new("the server closed the connection")),
            _ => Ok(answer),
        }
    }
}
