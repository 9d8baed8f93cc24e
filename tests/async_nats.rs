//! The Rust client async-nats against the server binary, with 1, 2 and 4 shards.
//!
//! `WEFT_TEST_SERVER=/path/to/nats-server` judges another server instead (`support/server.rs`).
#![allow(clippy::disallowed_methods, reason = "a test of a running process waits for real time")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

#[allow(dead_code, reason = "shared with other tests, each uses its part")]
#[path = "support/server.rs"]
mod server;

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, RequestErrorKind, Subscriber};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use server::Server;

/// The longest a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the test with a server of its own for each shard count.
async fn on_each_server(test: impl AsyncFn(&Server)) {
    for shards in server::shard_counts() {
        let server = Server::start("", &[], shards).unwrap();
        test(&server).await;
    }
}

async fn connect(server: &Server) -> Client {
    within(async_nats::connect(server.url())).await.unwrap()
}

async fn connect_many(server: &Server, count: usize) -> Vec<Client> {
    join_all((0..count).map(|_| connect(server))).await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

/// Subscribes, and returns when the server has taken it.
async fn subscribe(client: &Client, subject: &str) -> Subscriber {
    let subscriber = client.subscribe(subject.to_owned()).await.unwrap();
    settle(client).await;
    subscriber
}

async fn publish(client: &Client, subject: &str, payload: impl ToString) {
    client.publish(subject.to_owned(), payload.to_string().into()).await.unwrap();
}

async fn next(subscriber: &mut Subscriber) -> Message {
    within(subscriber.next()).await.expect("the subscription goes on")
}

async fn take(subscriber: &mut Subscriber, count: usize) -> Vec<Message> {
    let mut messages = Vec::with_capacity(count);
    for _ in 0..count {
        messages.push(next(subscriber).await);
    }
    messages
}

/// Returns when the server has done what this client asked before: async-nats' own flush only
/// writes to the socket.
async fn settle(client: &Client) {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.unwrap();
    publish(client, &inbox, "").await;
    next(&mut echo).await;
}

#[tokio::test]
async fn what_is_published_arrives_in_order() {
    on_each_server(async |server| {
        let (publisher, subscriber) = (connect(server).await, connect(server).await);
        let mut subscription = subscribe(&subscriber, "orders.new").await;
        for number in 0..5_000 {
            publish(&publisher, "orders.new", number).await;
        }
        publisher.flush().await.unwrap();
        for number in 0..5_000 {
            let message = next(&mut subscription).await;
            assert_eq!(message.payload, number.to_string().as_bytes());
            assert_eq!(message.subject.as_str(), "orders.new");
        }
    })
    .await;
}

#[tokio::test]
async fn wildcards_choose() {
    on_each_server(async |server| {
        let (publisher, subscriber) = (connect(server).await, connect(server).await);
        let mut star = subscribe(&subscriber, "w.*.z").await;
        let mut rest = subscribe(&subscriber, "w.>").await;
        for subject in ["w.a.z", "w.a.y", "w", "w.b.z", "v.a.z", "w.a.z.z"] {
            publish(&publisher, subject, "").await;
        }
        let subjects = |messages: Vec<Message>| -> Vec<String> {
            messages.into_iter().map(|message| message.subject.to_string()).collect()
        };
        assert_eq!(subjects(take(&mut star, 2).await), ["w.a.z", "w.b.z"]);
        assert_eq!(subjects(take(&mut rest, 4).await), ["w.a.z", "w.a.y", "w.b.z", "w.a.z.z"]);
    })
    .await;
}

#[tokio::test]
async fn one_member_of_a_queue_group_gets_each() {
    const MEMBERS: usize = 8;
    const MESSAGES: usize = 2_000;
    on_each_server(async |server| {
        let members = connect_many(server, MEMBERS).await;
        let publisher = connect(server).await;
        let mut group = Vec::new();
        for member in &members {
            group.push(member.queue_subscribe("work", "crew".into()).await.unwrap());
            settle(member).await;
        }
        for number in 0..MESSAGES {
            publish(&publisher, "work", number).await;
        }
        publisher.flush().await.unwrap();

        let mut seen = vec![false; MESSAGES];
        let mut shares: HashMap<usize, usize> = HashMap::new();
        let named = group
            .iter_mut()
            .enumerate()
            .map(|(who, member)| member.map(move |message| (who, message)));
        let mut all = stream::select_all(named);
        for _ in 0..MESSAGES {
            let (who, message) = within(all.next()).await.unwrap();
            let number: usize = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
            assert!(!std::mem::replace(&mut seen[number], true), "{number} came twice");
            *shares.entry(who).or_default() += 1;
        }
        assert_eq!(shares.len(), MEMBERS, "{shares:?}");
        let fair = MESSAGES / MEMBERS;
        assert!(shares.values().all(|&n| n > fair / 2 && n < fair * 2), "{shares:?}");
    })
    .await;
}

#[tokio::test]
async fn requests_are_answered() {
    on_each_server(async |server| {
        let clients = connect_many(server, 4).await;
        let responder = connect(server).await;
        let mut requests = subscribe(&responder, "double").await;
        let answering = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let number: u64 = std::str::from_utf8(&request.payload).unwrap().parse().unwrap();
                publish(&responder, request.reply.unwrap().as_str(), number * 2).await;
            }
        });
        let asked = (0..400_u64).map(|number| {
            let client = &clients[number as usize % clients.len()];
            async move {
                let answer = client.request("double", number.to_string().into()).await.unwrap();
                assert_eq!(answer.payload, (number * 2).to_string().as_bytes());
            }
        });
        within(join_all(asked)).await;
        answering.abort();
    })
    .await;
}

#[tokio::test]
async fn a_request_nobody_takes_fails_at_once() {
    on_each_server(async |server| {
        let (asker, other) = (connect(server).await, connect(server).await);
        let error = within(asker.request("nobody.home", "".into())).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);

        let mut somebody = subscribe(&other, "nobody.home").await;
        let (answer, ()) = within(async {
            tokio::join!(asker.request("nobody.home", "".into()), async {
                let request = next(&mut somebody).await;
                publish(&other, request.reply.unwrap().as_str(), "here").await;
            })
        })
        .await;
        assert_eq!(answer.unwrap().payload, "here");

        somebody.unsubscribe().await.unwrap();
        settle(&other).await;
        let error = within(asker.request("nobody.home", "".into())).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::NoResponders);
    })
    .await;
}

#[tokio::test]
async fn headers_arrive_whole() {
    on_each_server(async |server| {
        let (publisher, subscriber) = (connect(server).await, connect(server).await);
        let mut subscription = subscribe(&subscriber, "h").await;
        let mut headers = HeaderMap::new();
        headers.insert("One", "1");
        headers.append("Many", "a: b");
        headers.append("Many", "c");
        publisher.publish_with_headers("h", headers.clone(), "body".into()).await.unwrap();
        publish(&publisher, "h", "plain").await;
        let message = next(&mut subscription).await;
        assert_eq!((message.headers, message.payload), (Some(headers), "body".into()));
        assert_eq!(next(&mut subscription).await.headers, None);
    })
    .await;
}

/// What a client has an answer from the server for holds for all other connections.
#[tokio::test]
async fn an_answer_admits_what_came_before() {
    on_each_server(async |server| {
        let clients = connect_many(server, 6).await;
        for round in 0..100 {
            let subscriber = &clients[round % clients.len()];
            let publisher = &clients[(round + 1 + round / 6) % clients.len()];
            let subject = format!("flush.{round}");
            let mut subscription = subscribe(subscriber, &subject).await;
            publish(publisher, &subject, round).await;
            assert_eq!(next(&mut subscription).await.payload, round.to_string().as_bytes());
        }
    })
    .await;
}

#[tokio::test]
async fn drain_delivers_what_is_under_way() {
    on_each_server(async |server| {
        let (publisher, subscriber) = (connect(server).await, connect(server).await);
        let mut subscription = subscribe(&subscriber, "d").await;
        for number in 0..1_000 {
            publish(&publisher, "d", number).await;
        }
        settle(&publisher).await;
        // async-nats drains by what is in its socket, so all of it must have come that far.
        settle(&subscriber).await;
        subscription.drain().await.unwrap();
        let got = within(subscription.by_ref().count()).await;
        assert_eq!(got, 1_000);
        within(subscriber.drain()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_subscription_ends_after_so_many() {
    on_each_server(async |server| {
        let (publisher, subscriber) = (connect(server).await, connect(server).await);
        let mut subscription = subscribe(&subscriber, "n").await;
        subscription.unsubscribe_after(3).await.unwrap();
        settle(&subscriber).await;
        for number in 0..10 {
            publish(&publisher, "n", number).await;
        }
        assert_eq!(within(subscription.count()).await, 3);
    })
    .await;
}

#[tokio::test]
async fn many_connections_hear_each_other() {
    const CONNECTIONS: usize = 150;
    on_each_server(async |server| {
        let clients = connect_many(server, CONNECTIONS).await;
        let mut subscriptions = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            let own = subscribe(client, &format!("to.{number}")).await;
            subscriptions.push((own, subscribe(client, "to.all").await));
        }
        for number in 0..CONNECTIONS {
            publish(&clients[CONNECTIONS - 1 - number], &format!("to.{number}"), number).await;
        }
        publish(&clients[0], "to.all", "x").await;
        for (number, (own, all)) in subscriptions.iter_mut().enumerate() {
            assert_eq!(next(own).await.payload, number.to_string().as_bytes());
            assert_eq!(next(all).await.payload, "x");
        }
    })
    .await;
}

#[tokio::test]
async fn large_payloads_arrive_whole() {
    on_each_server(async |server| {
        let (publisher, subscriber) = (connect(server).await, connect(server).await);
        let mut subscription = subscribe(&subscriber, "big").await;
        for (index, size) in [0, 1, 65_535, 65_536, 300_000, 1_048_576].into_iter().enumerate() {
            let payload = vec![index as u8; size];
            publisher.publish("big", payload.clone().into()).await.unwrap();
            assert_eq!(next(&mut subscription).await.payload, payload);
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_comes_back_after_a_restart() {
    for shards in server::shard_counts() {
        let mut server = Server::start("", &[], shards).unwrap();
        let (tell, mut told) = tokio::sync::mpsc::channel(8);
        let options = ConnectOptions::new()
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .event_callback(move |event| {
                let tell = tell.clone();
                async move {
                    let _ = tell.send(event).await;
                }
            });
        let client = within(options.connect(server.url())).await.unwrap();
        let mut subscription = subscribe(&client, "again").await;
        tokio::task::yield_now().await;
        server.restart().unwrap();
        let mut connected = 0;
        while connected < 2 {
            // Connected the first time, disconnected, connected again.
            connected += usize::from(within(told.recv()).await.unwrap() == Event::Connected);
        }
        settle(&client).await;
        publish(&client, "again", "here").await;
        assert_eq!(next(&mut subscription).await.payload, "here");
    }
}
