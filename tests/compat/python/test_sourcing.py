"""Mirrors and sources as nats-py uses them, and what a killed server goes on with."""

import asyncio
import time

import pytest
from nats.js.api import ExternalStream, StreamSource, SubjectTransform
from nats.js.errors import APIError, BadRequestError


@pytest.fixture
def jetstream(start, tmp_path):
    return start("-js", "-sd", str(tmp_path / "store"))


async def fill(client, subject, count, first=0):
    """Publishes without waiting for each answer; the last one is waited for."""
    for number in range(first, first + count):
        await client.publish(subject.format(number), b"%d" % number, reply="_nobody")
    await client.flush()


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = await condition()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about")


def has(js, stream, count):
    async def condition():
        state = (await js.stream_info(stream)).state
        return state if state.messages >= count else None

    return condition


async def payloads(js, stream, count):
    subscription = await js.subscribe("", stream=stream, ordered_consumer=True)
    messages = [await subscription.next_msg(timeout=5) for _ in range(count)]
    await subscription.unsubscribe()
    return messages


@pytest.mark.parametrize("storage", ["file", "memory"])
async def test_a_mirror_of_much_and_its_live_tail(jetstream, connect, storage):
    client = await connect(jetstream.url)
    js = client.jetstream()
    await js.add_stream(name="O", subjects=["o.>"], storage=storage)
    await fill(client, "o.{}", 10_000)
    await until(has(js, "O", 10_000))
    await js.add_stream(name="M", mirror=StreamSource(name="O"), storage=storage)
    await until(has(js, "M", 10_000))
    for number in range(100):
        await js.publish("o.live", b"%d" % number)
    state = await until(has(js, "M", 10_100))
    origin = (await js.stream_info("O")).state
    assert (state.first_seq, state.last_seq, state.bytes) == (1, 10_100, origin.bytes)
    for seq in (1, 5_000, 10_100):
        one, other = await js.get_msg("O", seq), await js.get_msg("M", seq)
        assert (one.subject, one.data, one.time) == (other.subject, other.data, other.time)
    info = await js.stream_info("M")
    assert (info.mirror.name, info.mirror.lag) == ("O", 0)
    assert info.config.subjects is None
    # A mirror takes what its origin takes, and nothing else.
    await js.purge_stream("O")
    await asyncio.sleep(0.2)
    assert (await js.stream_info("M")).state.messages == 10_100


async def test_a_mirror_leaves_out_what_is_gone_or_not_wanted(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="O", subjects=["o.>"])
    for number in range(1, 21):
        await js.publish(f"o.{number % 4}", b"%d" % number)
    for seq in (1, 2, 7, 8):
        await js.delete_msg("O", seq)
    await js.add_stream(name="M", mirror=StreamSource(name="O"))
    await js.add_stream(name="F", mirror=StreamSource(name="O", filter_subject="o.1"))
    await js.add_stream(name="L", mirror=StreamSource(name="O", opt_start_seq=10))
    rules = [SubjectTransform(src="o.2", dest="t.2"), SubjectTransform(src="o.3", dest="")]
    await js.add_stream(name="T", mirror=StreamSource(name="O", subject_transforms=rules))
    expected = {"M": (16, 3, 20), "F": (4, 5, 17), "L": (11, 10, 20), "T": (8, 3, 19)}
    for name, (count, first, last) in expected.items():
        state = await until(has(js, name, count))
        assert (state.messages, state.first_seq, state.last_seq) == (count, first, last), name
    assert (await js.get_msg("T", 6)).subject == "t.2"


async def test_a_mirror_can_be_promoted(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="O", subjects=["o"])
    await js.publish("o", b"1")
    await js.add_stream(name="M", mirror=StreamSource(name="O"))
    await until(has(js, "M", 1))
    with pytest.raises(APIError):
        await js.update_stream(name="M", mirror=StreamSource(name="O", opt_start_seq=3))
    await js.update_stream(name="M", subjects=["m"])
    assert (await js.publish("m", b"own")).seq == 2
    await js.publish("o", b"2")
    await asyncio.sleep(0.2)
    info = await js.stream_info("M")
    assert (info.state.messages, info.mirror) == (2, None)


async def test_sources_with_filters_and_transforms(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="A", subjects=["a.>"])
    await js.add_stream(name="B", subjects=["b.>"])
    rule = SubjectTransform(src="b.*", dest="s.from.{{wildcard(1)}}")
    await js.add_stream(
        name="S",
        subjects=["s.>"],
        sources=[
            StreamSource(name="A", filter_subject="a.1"),
            StreamSource(name="B", subject_transforms=[rule]),
        ],
    )
    for number in range(30):
        await js.publish(f"a.{number % 3}", b"%d" % number)
        await js.publish(f"b.{number}", b"%d" % number)
    await js.publish("s.own", b"own")
    await until(has(js, "S", 41))
    messages = await payloads(js, "S", 41)
    of = lambda start: [m for m in messages if m.headers and start in m.headers["Nats-Stream-Source"]]
    assert [message.data for message in of("A ")] == [b"%d" % n for n in range(1, 30, 3)]
    assert [message.subject for message in of("B ")] == [f"s.from.{n}" for n in range(30)]
    name, seq, source, destination, subject, identity = of("B ")[4].headers[
        "Nats-Stream-Source"
    ].split(" ")
    assert (name, seq, source, subject) == ("B", "5", "b.*", "b.4")
    assert (destination, len(identity)) == ("s.from.{{wildcard(1)}}", 8)
    info = await js.stream_info("S")
    assert sorted((s.name, s.lag) for s in info.sources) == [("A", 0), ("B", 0)]
    with pytest.raises(BadRequestError):
        await js.publish("s.own", b"", headers={"Nats-Stream-Source": "A 1 > > a.1"})


async def test_sources_come_and_go(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    for name in ("A", "B"):
        await js.add_stream(name=name, subjects=[f"{name.lower()}.>"])
        for number in range(3):
            await js.publish(f"{name.lower()}.{number}", b"x")
    a, b = StreamSource(name="A"), StreamSource(name="B")
    await js.add_stream(name="S", sources=[a])
    await until(has(js, "S", 3))
    await js.update_stream(name="S", sources=[a, b])
    await until(has(js, "S", 6))
    await js.update_stream(name="S", sources=[b])
    await js.publish("a.9", b"while it is gone")
    await asyncio.sleep(0.3)
    assert (await js.stream_info("S")).state.messages == 6
    await js.update_stream(name="S", sources=[b, a])
    await until(has(js, "S", 7))
    await asyncio.sleep(0.3)
    assert (await js.stream_info("S")).state.messages == 7


async def test_an_origin_may_come_later(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="M", mirror=StreamSource(name="O"))
    elsewhere = StreamSource(name="O", external=ExternalStream(api="$JS.far.API", deliver="far"))
    await js.add_stream(name="S", sources=[StreamSource(name="O"), elsewhere])
    await asyncio.sleep(0.5)
    await js.add_stream(name="O", subjects=["o"])
    await js.publish("o", b"1")
    await until(has(js, "M", 1))
    await until(has(js, "S", 1))
    info = await js.stream_info("S")
    assert info.sources[1].active in (None, -1) or info.sources[0].active in (None, -1)


async def test_a_killed_server_goes_on_where_it_was(jetstream, connect):
    client = await connect(jetstream.url)
    js = client.jetstream()
    await js.add_stream(name="O", subjects=["o.>"])
    await js.add_stream(name="P", subjects=["p.>"])
    await js.add_stream(name="M", mirror=StreamSource(name="O"))
    await js.add_stream(name="S", sources=[StreamSource(name="O"), StreamSource(name="P")])
    expected = 0
    for _ in range(3):
        # It is killed while they are on their way.
        for _ in range(15):
            burst = range(expected, expected + 100)
            sent = [js.publish(f"o.{number}", b"%d" % number) for number in burst]
            sent += [js.publish("p.x", b"p%d" % number) for number in burst[::5]]
            await asyncio.gather(*sent)
            expected += 100
        await client.close()
        jetstream.kill()
        jetstream.start()
        client = await connect(jetstream.url)
        js = client.jetstream()
    await js.publish("o.last", b"%d" % expected)
    expected += 1
    mirror = await until(has(js, "M", expected))
    origin = (await js.stream_info("O")).state
    assert (mirror.messages, mirror.last_seq) == (origin.messages, origin.last_seq)
    pushed = (await js.stream_info("P")).state.messages
    await until(has(js, "S", expected + pushed))
    await asyncio.sleep(0.3)
    assert (await js.stream_info("S")).state.messages == expected + pushed
    messages = await payloads(js, "S", expected + pushed)
    own = [m.data for m in messages if not m.data.startswith(b"p")]
    assert own == [b"%d" % number for number in range(expected)]


async def test_a_full_stream_waits_for_room(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="O", subjects=["o"])
    for number in range(6):
        await js.publish("o", b"%d" % number)
    await js.add_stream(name="S", sources=[StreamSource(name="O")], max_msgs=3, discard="new")
    await until(has(js, "S", 3))
    await js.purge_stream("S")
    state = await until(has(js, "S", 3))
    assert (state.first_seq, state.last_seq) == (4, 6)
    assert [m.data for m in await payloads(js, "S", 3)] == [b"3", b"4", b"5"]


async def test_a_source_of_a_work_queue_acknowledges(jetstream, connect):
    js = (await connect(jetstream.url)).jetstream()
    await js.add_stream(name="W", subjects=["w"], retention="workqueue")
    await js.add_stream(name="S", sources=[StreamSource(name="W")])
    for number in range(3):
        await js.publish("w", b"%d" % number)
    await until(has(js, "S", 3))

    async def is_empty():
        return (await js.stream_info("W")).state.messages == 0

    await until(is_empty)
    assert [m.data for m in await payloads(js, "S", 3)] == [b"0", b"1", b"2"]
