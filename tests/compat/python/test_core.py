"""Core messaging as nats-py sees it."""

import asyncio
import collections
import signal
import socket
import time
from pathlib import Path

import nats
import pytest
from conftest import PATIENCE, settle
from nats.errors import NoRespondersError, SlowConsumerError
from nats.errors import TimeoutError as NatsTimeout


async def take(subscription, count):
    return [await subscription.next_msg(timeout=PATIENCE) for _ in range(count)]


async def test_publish_subscribe(connect):
    publisher, subscriber = await connect(), await connect()
    subscription = await subscriber.subscribe("hello.world")
    await settle(subscriber)
    for number in range(500):
        await publisher.publish("hello.world", str(number).encode(), reply=f"r.{number}")
    messages = await take(subscription, 500)
    assert [message.data for message in messages] == [str(n).encode() for n in range(500)]
    assert [message.reply for message in messages] == [f"r.{n}" for n in range(500)]


async def test_wildcards(connect):
    publisher, subscriber = await connect(), await connect()
    star = await subscriber.subscribe("w.*.z")
    rest = await subscriber.subscribe("w.>")
    await settle(subscriber)
    for subject in ["w.a.z", "w.b.z", "w.a.y", "w", "w.a.z.z", "x.a.z"]:
        await publisher.publish(subject, subject.encode())
    assert [m.subject for m in await take(star, 2)] == ["w.a.z", "w.b.z"]
    assert [m.subject for m in await take(rest, 4)] == ["w.a.z", "w.b.z", "w.a.y", "w.a.z.z"]
    assert star.pending_msgs == 0


async def test_every_connection_hears_every_other(connect):
    clients = [await connect() for _ in range(8)]
    subscriptions = [await client.subscribe("all.*") for client in clients]
    await settle(*clients)
    for number, client in enumerate(clients):
        await client.publish(f"all.{number}")
    for subscription in subscriptions:
        subjects = {message.subject for message in await take(subscription, len(clients))}
        assert subjects == {f"all.{number}" for number in range(len(clients))}


async def test_queue_group_over_many_connections(connect):
    members = [await connect() for _ in range(12)]
    got = collections.Counter()
    numbers = []

    def taker(name):
        async def take_one(message):
            got[name] += 1
            numbers.append(int(message.data))

        return take_one

    for name, member in enumerate(members):
        await member.subscribe("work", queue="workers", cb=taker(name))
    listener = await connect()
    everyone = await listener.subscribe("work")
    await settle(*members)
    await settle(listener)
    publishers = [await connect() for _ in range(3)]
    for number in range(1200):
        await publishers[number % 3].publish("work", str(number).encode())
    await take(everyone, 1200)
    await settle(*members)
    assert sorted(numbers) == list(range(1200))
    assert set(got) == set(range(12))
    assert min(got.values()) >= 40 and max(got.values()) <= 180, got


async def test_queue_groups_survive_members_that_go(connect):
    publisher = await connect()
    stays, goes = await connect(), await connect()
    subscription = await stays.subscribe("work", queue="q")
    await goes.subscribe("work", queue="q")
    await settle(stays, goes)
    await goes.drain()
    for _ in range(100):
        await publisher.publish("work")
    await take(subscription, 100)


async def test_request_reply(connect):
    requester, responder = await connect(), await connect()

    async def answer(message):
        await message.respond(message.data.upper())

    await responder.subscribe("up", queue="q", cb=answer)
    await settle(responder)
    for text in [b"one", b"two", b""]:
        assert (await requester.request("up", text, timeout=PATIENCE)).data == text.upper()
    assert (await requester.request("up", b"old", old_style=True, timeout=PATIENCE)).data == b"OLD"
    answers = await asyncio.gather(
        *[requester.request("up", f"x{n}".encode(), timeout=PATIENCE) for n in range(200)]
    )
    assert [answer.data for answer in answers] == [f"X{n}".encode() for n in range(200)]


async def test_no_responders(connect):
    client, other = await connect(), await connect()
    with pytest.raises(NoRespondersError):
        await client.request("nobody.home", timeout=PATIENCE)
    subscription = await other.subscribe("nobody.home")
    await settle(other)
    with pytest.raises(NatsTimeout):
        await client.request("nobody.home", timeout=0.2)
    await subscription.unsubscribe()
    await settle(other)
    with pytest.raises(NoRespondersError):
        await client.request("nobody.home", timeout=PATIENCE)


async def test_headers(connect):
    publisher, subscriber = await connect(), await connect()
    subscription = await subscriber.subscribe("h")
    await settle(subscriber)
    await publisher.publish("h", b"body", headers={"One": "1", "Two-Words": "a: b"})
    await publisher.publish("h", b"plain")
    with_headers, plain = await take(subscription, 2)
    assert with_headers.headers["One"] == "1"
    assert with_headers.headers["Two-Words"] == "a: b"
    assert with_headers.data == b"body"
    assert not plain.headers


async def test_unsubscribe_after_so_many(connect):
    client = await connect()
    subscription = await client.subscribe("n")
    await subscription.unsubscribe(limit=3)
    for number in range(10):
        await client.publish("n", str(number).encode())
    await settle(client)
    assert [m.data for m in await take(subscription, 3)] == [b"0", b"1", b"2"]
    with pytest.raises((NatsTimeout, nats.errors.BadSubscriptionError, nats.errors.ConnectionClosedError)):
        await subscription.next_msg(timeout=0.2)


async def test_no_echo(connect):
    silent, other = await connect(no_echo=True), await connect()
    mine = await silent.subscribe("e")
    theirs = await other.subscribe("e")
    await settle(silent, other)
    await silent.publish("e", b"1")
    await other.publish("e", b"2")
    assert sorted(m.data for m in await take(theirs, 2)) == [b"1", b"2"]
    assert [m.data for m in await take(mine, 1)] == [b"2"]


async def test_drain_delivers_what_is_under_way(connect):
    publisher, subscriber = await connect(), await connect()
    got = []

    async def slowly(message):
        await asyncio.sleep(0.001)
        got.append(message.data)

    await subscriber.subscribe("d", cb=slowly)
    await settle(subscriber)
    for number in range(200):
        await publisher.publish("d", str(number).encode())
    await settle(publisher)
    await subscriber.drain()
    assert subscriber.is_closed
    assert len(got) == 200


async def test_large_messages(connect):
    publisher, subscriber = await connect(), await connect()
    subscription = await subscriber.subscribe("big")
    await settle(subscriber)
    bodies = [bytes([n]) * size for n, size in enumerate([1, 65_536, 65_537, 500_000, 1_048_576])]
    for body in bodies:
        await publisher.publish("big", body)
    assert [message.data for message in await take(subscription, len(bodies))] == bodies


async def test_max_payload(connect, start):
    server = start(config="max_payload: 2048")
    client = await connect(server.url)
    assert client.max_payload == 2048
    subscription = await client.subscribe("m")
    await client.publish("m", b"x" * 2048)
    assert len((await take(subscription, 1))[0].data) == 2048
    with pytest.raises(nats.errors.MaxPayloadError):
        await client.publish("m", b"x" * 2049)


async def test_slow_client_side_subscription(connect):
    """The client drops at its own limit and says so; the connection goes on."""
    errors = []

    async def note(error):
        errors.append(error)

    publisher, subscriber = await connect(), await connect(error_cb=note)
    blocked = asyncio.Event()

    async def wait(_message):
        await blocked.wait()

    await subscriber.subscribe("s", cb=wait, pending_msgs_limit=10)
    other = await subscriber.subscribe("o")
    await settle(subscriber)
    for _ in range(100):
        await publisher.publish("s")
    await publisher.publish("o")
    await take(other, 1)
    blocked.set()
    assert any(isinstance(error, SlowConsumerError) for error in errors)


async def test_two_hundred_connections(connect):
    clients = [await connect() for _ in range(200)]
    subscriptions = [await client.subscribe(f"c.{n}") for n, client in enumerate(clients)]
    shared = [await client.subscribe("c.all") for client in clients]
    await settle(*clients)
    for number in range(200):
        await clients[199 - number].publish(f"c.{number}", str(number).encode())
    await clients[0].publish("c.all")
    for number, subscription in enumerate(subscriptions):
        assert (await take(subscription, 1))[0].data == str(number).encode()
    for subscription in shared:
        await take(subscription, 1)


async def test_reconnect_to_a_restarted_server(connect, start):
    server = start()
    seen = collections.defaultdict(asyncio.Event)

    async def lost():
        seen["lost"].set()

    async def back():
        seen["back"].set()

    client = await connect(
        server.url,
        reconnect_time_wait=0.05,
        max_reconnect_attempts=-1,
        disconnected_cb=lost,
        reconnected_cb=back,
    )
    subscription = await client.subscribe("again")
    await settle(client)
    server.kill()
    await asyncio.wait_for(seen["lost"].wait(), PATIENCE)
    server.start()
    await asyncio.wait_for(seen["back"].wait(), PATIENCE)
    await settle(client)
    await client.publish("again", b"here")
    assert (await take(subscription, 1))[0].data == b"here"


async def test_credentials(connect, start):
    server = start("--user", "u", "--pass", "p")
    client = await connect(server.url, user="u", password="p")
    subscription = await client.subscribe("a")
    await client.publish("a")
    await take(subscription, 1)
    with pytest.raises(nats.errors.Error):
        await connect(server.url, user="u", password="no", allow_reconnect=False)


def test_signals_that_whoever_starts_it_has_blocked_are_obeyed(start):
    blocked = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    server = start(before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, blocked))
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(PATIENCE)
    assert "Server Exiting.." in server.log.read_text()


async def test_a_reload_to_fewer_connections_closes_those_that_are_too_many(start):
    server = start(config="max_connections: 4")
    streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
    for reader, writer in streams:
        writer.write(b"CONNECT {}\r\nPING\r\n")
        await reader.readuntil(b"PONG\r\n")
    Path(server.flags[-1]).write_text("max_connections: 1")
    server.process.send_signal(signal.SIGHUP)
    ends = [asyncio.create_task(reader.read()) for reader, _ in streams]
    for count, end in enumerate(asyncio.as_completed(ends, timeout=PATIENCE), start=1):
        assert await end == b"-ERR 'maximum connections exceeded'\r\n"
        if count == 3:
            break
    [(_, writer)] = [stream for stream, end in zip(streams, ends) if not end.done()]
    writer.write(b"PING\r\n")
    await asyncio.sleep(0.2)
    writer.close()
    [left] = [end for end in ends if not end.done()]
    assert await asyncio.wait_for(left, PATIENCE) == b"PONG\r\n"


def test_a_login_has_all_of_its_time_on_a_core_that_slept(start):
    """Measured from before the connection; no bound above."""
    server = start(config="authorization { token: t, timeout: 0.3 }")
    for _ in range(4):
        time.sleep(0.25)
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            heard = b""
            while b"-ERR" not in heard:
                heard += client.recv(4096)
        assert b"Authentication Timeout" in heard
        assert time.monotonic() - began >= 0.3
