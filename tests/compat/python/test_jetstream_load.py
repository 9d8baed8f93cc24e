"""Short versions of `bench-harness crash` and `bench-harness js-slow`: a server killed under load
keeps what it acknowledged, and a reader slower than its stream costs no memory and is not cut.
"""

import asyncio
import json
import random
import re
import socket
import time
from pathlib import Path

import pytest

import conftest

STREAMS = 8
ROUNDS = 3
WINDOW = 200
SIZE = 1024
MESSAGES = 12_000
READS = 5_000_000  # bytes per second
GROWS_MAX = 24 << 20


@pytest.fixture
def jetstream(start, tmp_path):
    return start("-js", "-sd", str(tmp_path / "store"))


def payload(stream, number):
    return b"%d %d " % (stream, number) + b"x" * 100


class Publisher:
    """Keeps a window of unacknowledged messages until its connection is gone. Message `n`, from 0,
    has to be stored as `n + 1`."""

    def __init__(self, stream, sent):
        self.stream, self.sent, self.acked = stream, sent, sent
        self.faults = []

    async def run(self, client):
        inbox = client.new_inbox()

        async def on_ack(message):
            sequence = json.loads(message.data).get("seq")
            if sequence != self.acked + 1:
                self.faults.append(f"{message.data} where {self.acked + 1} was due")
            self.acked += 1

        await client.subscribe(inbox, cb=on_ack)
        while client.is_connected:
            while self.sent - self.acked < WINDOW:
                await client.publish(f"s{self.stream}", payload(self.stream, self.sent), reply=inbox)
                self.sent += 1
            await asyncio.sleep(0.001)


class Worker:
    """Acknowledges what it pulls, and remembers what was confirmed."""

    def __init__(self, stream):
        self.stream, self.confirmed, self.faults = stream, set(), []

    async def run(self, client, earlier):
        pull = await client.jetstream().pull_subscribe_bind(consumer="c", stream=f"S{self.stream}")
        while client.is_connected:
            try:
                messages = await pull.fetch(20, timeout=1)
            except asyncio.TimeoutError:
                continue
            for message in messages:
                sequence = message.metadata.sequence.stream
                if sequence in earlier:
                    self.faults.append(f"{sequence} was acknowledged before the kill")
                if message.data != payload(self.stream, sequence - 1):
                    self.faults.append(f"{sequence} is {message.data[:20]}")
            for message in messages:
                await message.ack_sync(timeout=5)
                self.confirmed.add(message.metadata.sequence.stream)


async def until_gone(work):
    """The server's end is no fault of the client's."""
    try:
        await work
    except Exception:
        pass


async def look_at(js, stream, publisher):
    state = (await js.stream_info(f"S{stream}")).state
    assert publisher.acked <= state.messages == state.last_seq <= publisher.sent
    ordered = await js.subscribe(f"s{stream}", ordered_consumer=True)
    for number in range(state.messages):
        message = await ordered.next_msg(timeout=10)
        assert message.data == payload(stream, number)
        assert message.metadata.sequence.stream == number + 1
    await ordered.unsubscribe()
    return state.messages


async def test_a_server_killed_under_load_keeps_what_it_acknowledged(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    for stream in range(STREAMS):
        await js.add_stream(name=f"S{stream}", subjects=[f"s{stream}"])
        await js.pull_subscribe(f"s{stream}", durable="c", stream=f"S{stream}")
    kept = [0] * STREAMS
    confirmed = [set() for _ in range(STREAMS)]
    for _ in range(ROUNDS):
        client = await connect(jetstream.url, allow_reconnect=False)
        publishers = [Publisher(stream, kept[stream]) for stream in range(STREAMS)]
        workers = [Worker(stream) for stream in range(STREAMS)]
        tasks = [asyncio.create_task(until_gone(it.run(client))) for it in publishers]
        tasks += [
            asyncio.create_task(until_gone(it.run(client, confirmed[it.stream]))) for it in workers
        ]
        await asyncio.sleep(random.uniform(0.1, 1))
        jetstream.kill()
        await asyncio.wait(tasks, timeout=10)
        for task in tasks:
            task.cancel()
        jetstream.start()
        js = (await connect(jetstream.url)).jetstream()
        for stream in range(STREAMS):
            confirmed[stream] |= workers[stream].confirmed
            assert not publishers[stream].faults and not workers[stream].faults
            kept[stream] = await look_at(js, stream, publishers[stream])
    assert sum(kept) > 0


def resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def read_slowly(port, hello, count):
    """Takes messages at READS bytes per second; returns their bytes and the time."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(10)
    connection.sendall(b'CONNECT {"verbose":false,"headers":true}\r\n' + hello)
    received, began, found = bytearray(), time.monotonic(), 0
    while found < count:
        chunk = connection.recv(32 * 1024)
        assert chunk, "the server cut its reader"
        received += chunk
        found += received[-len(chunk) - len(b"\nMSG") :].count(b"\nMSG ")
        time.sleep(max(0.0, len(received) / READS - (time.monotonic() - began)))
    assert b"-ERR" not in received
    connection.close()
    return bytes(received)


@pytest.mark.skipif(conftest.OTHER is not None, reason="the bound is weft's")
@pytest.mark.parametrize("manner", ["pull", "push"])
async def test_a_slow_reader_is_neither_cut_nor_buffered(jetstream, connect, manner):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    for number in range(MESSAGES):
        await js.publish_async("s", b"%08d" % number + b"x" * (SIZE - 8))
    await js.publish_async_completed()
    if manner == "pull":
        config = {"durable_name": "c", "ack_policy": "none"}
        ask = json.dumps({"batch": MESSAGES, "expires": 60_000_000_000}).encode()
        subject = b"$JS.API.CONSUMER.MSG.NEXT.S.c"
    else:
        config = {"durable_name": "c", "ack_policy": "none", "deliver_subject": "in"}
        ask, subject = b"", b"nobody.listens"
    request = json.dumps({"stream_name": "S", "config": config}).encode()
    await js._nc.request("$JS.API.CONSUMER.CREATE.S.c", request)
    before = resident(jetstream.process.pid)
    peak = before

    async def watch():
        nonlocal peak
        while True:
            peak = max(peak, resident(jetstream.process.pid))
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    hello = b"SUB in 1\r\nPUB %s in %d\r\n%s\r\n" % (subject, len(ask), ask)
    received = await asyncio.to_thread(read_slowly, jetstream.port, hello, MESSAGES)
    watching.cancel()
    numbers = [int(number) for number in re.findall(rb"\r\n(\d{8})x", received)]
    assert numbers[: MESSAGES - 1] == list(range(MESSAGES))[: len(numbers[: MESSAGES - 1])]
    assert len(numbers) >= MESSAGES - 1  # The last may be on its way.
    assert peak - before < GROWS_MAX, f"{(peak - before) >> 20} MiB more"


async def test_a_backlog_of_large_messages_reaches_every_core(jetstream, connect):
    count, size, readers = 300, 100_000, 4
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s"], storage="memory")
    for _ in range(count):
        await js.publish("s", b"x" * size)
    for reader in range(readers):  # Connections go to the cores in turn.
        client = await connect(jetstream.url)
        pull = await client.jetstream().pull_subscribe("s", stream="S")
        got = await pull.fetch(count, timeout=20)
        assert len(got) == count, f"reader {reader}"


async def test_a_pull_of_more_than_a_client_may_owe_does_not_cut_it(jetstream, connect):
    count, size = 100, 1_000_000  # max_pending is 64 MiB.
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s"], storage="memory")
    for _ in range(count):
        await js.publish("s", b"x" * size)
    for _ in range(2):
        client = await connect(jetstream.url)
        pull = await client.jetstream().pull_subscribe("s", stream="S")
        assert len(await pull.fetch(count, timeout=20)) == count
        assert client.stats["reconnects"] == 0
