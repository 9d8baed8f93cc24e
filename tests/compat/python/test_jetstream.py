"""JetStream as nats-py uses it: streams, consumers, buckets, and what a killed server kept."""

import asyncio
import json

import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import APIError, BadRequestError, KeyNotFoundError, NotFoundError


@pytest.fixture
def jetstream(start, tmp_path):
    return start("-js", "-sd", str(tmp_path / "store"))


async def publish(js, subject, count):
    for number in range(count):
        ack = await js.publish(subject, b"%d" % number)
    return ack


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_pull_push_and_ordered_consumers(jetstream, connect, storage):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s.>"], storage=storage)
    ack = await publish(js, "s.a", 100)
    assert (ack.stream, ack.seq) == ("S", 100)
    expected = [b"%d" % number for number in range(100)]

    pull = await js.pull_subscribe("s.>", durable="pull")
    got = []
    while len(got) < 100:
        for message in await pull.fetch(30, timeout=5):
            got.append(message.data)
            await message.ack_sync()
    assert got == expected
    info = await js.consumer_info("S", "pull")
    assert (info.ack_floor.stream_seq, info.num_ack_pending, info.num_pending) == (100, 0, 0)

    push = await js.subscribe("s.>", durable="push", manual_ack=True)
    assert [(await push.next_msg(timeout=5)).data for _ in range(100)] == expected
    ordered = await js.subscribe("s.>", ordered_consumer=True)
    assert [(await ordered.next_msg(timeout=5)).data for _ in range(100)] == expected


async def test_a_nak_brings_the_message_again(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    await js.publish("s", b"once more")
    pull = await js.pull_subscribe("s", durable="c")
    [first] = await pull.fetch(1, timeout=5)
    await first.nak()
    [second] = await pull.fetch(1, timeout=5)
    assert (second.data, second.metadata.num_delivered) == (b"once more", 2)
    await second.ack_sync()
    with pytest.raises(asyncio.TimeoutError):
        await pull.fetch(1, timeout=0.5)


@pytest.mark.parametrize("storage", ["file", "memory"])
@pytest.mark.parametrize("policy", ["explicit", "all"])
async def test_what_is_done_is_confirmed_each_time(jetstream, connect, storage, policy):
    client = await connect(jetstream.url)
    js = client.jetstream()
    await js.add_stream(name="S", subjects=["s.>"], storage=storage)
    await publish(js, "s.a", 3)
    pull = await js.pull_subscribe("s.>", durable="c", config=ConsumerConfig(ack_policy=AckPolicy(policy)))
    first, _, third = await pull.fetch(3, timeout=5)
    for delivery in (third, third, first, first, third):
        for body in (b"+ACK", b"+TERM", b"-NAK"):
            await client.request(delivery.reply, body, timeout=2)
    assert (await js.consumer_info("S", "c")).num_ack_pending == (1 if policy == "explicit" else 0)


async def test_expectations_and_duplicates(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    await js.publish("s", b"1", headers={"Nats-Msg-Id": "a"})
    again = await js.publish("s", b"1", headers={"Nats-Msg-Id": "a"})
    assert (again.seq, again.duplicate) == (1, True)
    with pytest.raises(APIError) as refusal:
        await js.publish("s", b"2", headers={"Nats-Expected-Last-Sequence": "7"})
    assert refusal.value.err_code == 10071


async def test_work_is_done_once_and_is_gone(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="W", subjects=["w"], retention="workqueue")
    await publish(js, "w", 10)
    pull = await js.pull_subscribe("w", durable="worker")
    for message in await pull.fetch(10, timeout=5):
        await message.ack_sync()
    assert (await js.stream_info("W")).state.messages == 0


async def test_a_full_stream_gives_way(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="S", subjects=["s.*"], max_msgs=5, max_msgs_per_subject=2)
    for subject in ["s.a", "s.a", "s.a", "s.b", "s.b", "s.c", "s.d"]:
        await js.publish(subject, b"x")
    state = (await js.stream_info("S")).state
    assert (state.messages, state.last_seq) == (5, 7)
    with pytest.raises(NotFoundError):
        await js.get_msg("S", 1)


async def test_buckets(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    bucket = await js.create_key_value(bucket="B", history=5)
    for number in range(20):
        await bucket.put(f"key.{number}", b"%d" % number)
    entry = await bucket.get("key.7")
    assert entry.value == b"7"
    assert await bucket.update("key.7", b"new", entry.revision) == 21
    with pytest.raises(BadRequestError):
        await bucket.update("key.7", b"late", entry.revision)
    await bucket.delete("key.8")
    with pytest.raises(KeyNotFoundError):
        await bucket.get("key.8")
    assert len(await bucket.keys()) == 19

    store = await js.create_object_store("O")
    await store.put("large", b"x" * 1_000_000)
    assert (await store.get("large")).data == b"x" * 1_000_000


async def test_a_killed_server_keeps_what_it_acknowledged(jetstream, connect):
    client = await connect(jetstream.url)
    js = client.jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    await publish(js, "s.a", 200)
    pull = await js.pull_subscribe("s.>", durable="c")
    for message in await pull.fetch(50, timeout=5):
        await message.ack_sync()
    await client.close()
    jetstream.kill()
    jetstream.start()

    js = (await connect(jetstream.url)).jetstream()
    state = (await js.stream_info("S")).state
    assert (state.messages, state.first_seq, state.last_seq) == (200, 1, 200)
    assert (await js.consumer_info("S", "c")).ack_floor.stream_seq == 50
    pull = await js.pull_subscribe("s.>", durable="c")
    [message] = await pull.fetch(1, timeout=5)
    assert message.metadata.sequence.stream == 51
    assert (await js.publish("s.a", b"on")).seq == 201


async def test_servers_that_name_no_store_run_side_by_side(start, connect):
    first, second = start("-js"), start("-js")
    for server in (first, second):
        client = await connect(server.url)
        info = json.loads((await client.request("$JS.API.INFO", b"")).data)
        assert "error" not in info


async def test_streams_without_a_limit_of_consumers_get_the_servers(start, connect, tmp_path):
    limits = "limits { default_max_consumers: 2 }"
    server = start(config=f'jetstream {{ store_dir: "{tmp_path}/store", {limits} }}')
    js = (await connect(server.url)).jetstream()
    await js.add_stream(name="S", subjects=["s"])
    await js.add_stream(name="M", subjects=["m"], max_consumers=3)
    for stream, most in ("S", 2), ("M", 3):
        for number in range(most):
            await js.add_consumer(stream, ConsumerConfig(durable_name=f"c{number}"))
        await js.add_consumer(stream, ConsumerConfig(durable_name="c0"))
        with pytest.raises(APIError) as refused:
            await js.add_consumer(stream, ConsumerConfig(durable_name="more"))
        assert refused.value.err_code == 10026
