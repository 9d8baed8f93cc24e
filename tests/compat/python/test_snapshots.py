"""`nats stream backup` and `nats stream restore`: data moves to nats-server and back as it was."""

import asyncio
import json
import os
import random
import subprocess

import pytest
from conftest import OTHER, ROOT, Server, settle
from nats.js.api import ConsumerConfig

NATS = ROOT / ".cache/bin/nats"
REFERENCE = ROOT / ".cache/venv/bin/nats-server"


def cli(server, home, *arguments):
    environment = os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    command = [str(NATS), "--server", server.url, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def servers(shards, tmp_path):
    """Starts servers with JetStream by kind: "ours" or "reference"."""
    started = []

    def server(kind):
        flags = ["-js", "-sd", str(tmp_path / f"store{len(started)}")]
        if kind == "reference":
            started.append(Server(None, *flags, binary=str(REFERENCE)))
        else:
            started.append(Server(shards, *flags))
        return started[-1]

    yield server
    for server in started:
        server.kill()


WAYS = [("ours", "ours"), ("reference", "ours"), ("ours", "reference")]
if OTHER and not os.environ.get("WEFT_TEST_SHARDS"):
    # Another server than ours.
    WAYS = WAYS[:1]


async def fill(js, count, size):
    """Messages of which some are deleted, and consumers of every state."""
    await js.add_stream(name="S", subjects=["s.>"])
    for number in range(count):
        headers = {"Number": str(number)} if number % 3 == 0 else None
        payload = b"%d" % number + random.randbytes(size)
        await js.publish(f"s.{number % 5}", payload, headers=headers)
    for seq in [1, 2, 7, count - 1, count]:
        await js.delete_msg("S", seq)
    config = ConsumerConfig(ack_wait=300, max_deliver=7)
    pull = await js.pull_subscribe("s.*", durable="pull", config=config)
    messages = await pull.fetch(10, timeout=5)
    for message in [*messages[:4], messages[6]]:
        await message.ack_sync()
    await messages[5].nak()
    await asyncio.sleep(0.2)
    [again] = await pull.fetch(1, timeout=5)
    assert again.metadata.num_delivered == 2
    await js.add_consumer("S", ConsumerConfig(durable_name="fresh", ack_policy="explicit"))
    new = ConsumerConfig(durable_name="new", deliver_policy="new", ack_policy="explicit")
    await js.add_consumer("S", new)
    all_ = ConsumerConfig(durable_name="all", ack_policy="all", filter_subject="s.2", ack_wait=300)
    reader = await js.pull_subscribe("s.2", durable="all", config=all_)
    await (await reader.fetch(5, timeout=5))[2].ack_sync()


async def told(client):
    """All that can be known of the stream, but when it was made."""
    js = client.jetstream()
    answer = await client.request("$JS.API.STREAM.INFO.S", b'{"deleted_details":true}', timeout=5)
    info = json.loads(answer.data)
    state = {key: info["state"].get(key) for key in STATE}
    config = {key: value for key, value in info["config"].items() if key != "metadata"}
    messages = {}
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        answer = await client.request("$JS.API.STREAM.MSG.GET.S", b'{"seq":%d}' % seq, timeout=5)
        messages[seq] = json.loads(answer.data).get("message")
    consumers = {}
    for name in ["all", "fresh", "new", "pull"]:
        answer = await client.request(f"$JS.API.CONSUMER.INFO.S.{name}", b"", timeout=5)
        consumer = json.loads(answer.data)
        kept = {key: consumer[key] for key in CONSUMER}
        for pair in ["delivered", "ack_floor"]:
            kept[pair].pop("last_active", None)
        kept["config"].pop("metadata")
        consumers[name] = kept
    assert (await js.stream_info("S")).state.consumer_count == 4
    return config, state, messages, consumers


# The time of the last message is not the archive's when that one is deleted.
STATE = ["messages", "bytes", "first_seq", "first_ts", "last_seq", "num_subjects", "num_deleted",
         "deleted"]
CONSUMER = ["config", "delivered", "ack_floor", "num_ack_pending", "num_redelivered", "num_pending"]


@pytest.mark.parametrize("way", WAYS, ids="-to-".join)
@pytest.mark.parametrize("count,size", [(40, 10), (400, 5000)], ids=["small", "large"])
async def test_a_backup_is_restored_as_it_was(servers, connect, tmp_path, way, count, size):
    origin, target = servers(way[0]), servers(way[1])
    client = await connect(origin.url)
    await fill(client.jetstream(), count, size)
    before = await told(client)
    backup = tmp_path / "backup"
    cli(origin, tmp_path, "stream", "backup", "S", backup, "--no-progress")
    cli(target, tmp_path, "stream", "restore", backup, "--no-progress")
    other = await connect(target.url)
    assert await told(other) == before

    # It goes on where it was: the next sequence, the next message, what was not acknowledged.
    js = other.jetstream()
    assert (await js.publish("s.new", b"")).seq == count + 1
    pull = await js.pull_subscribe_bind("pull", "S")
    [next_] = await pull.fetch(1, timeout=5)
    assert next_.metadata.sequence.stream == 14
    new = await js.pull_subscribe_bind("new", "S")
    [first] = await new.fetch(1, timeout=5)
    assert first.metadata.sequence.stream == count + 1


async def test_a_restore_that_fails_leaves_nothing(servers, connect, tmp_path):
    server = servers("ours")
    client = await connect(server.url)
    js = client.jetstream()
    await js.add_stream(name="S", subjects=["s.>"])
    await js.publish("s.a", b"1")
    taken = b'{"config":{"name":"S","subjects":["x"]}}'
    answer = await client.request("$JS.API.STREAM.RESTORE.S", taken, timeout=5)
    assert json.loads(answer.data)["error"]["err_code"] == 10130
    for chunks in [[b""], [b"no archive", b""], [b"\xff\x06\x00\x00S2sTwO", b""]]:
        body = b'{"config":{"name":"T","subjects":["t"]}}'
        answer = await client.request("$JS.API.STREAM.RESTORE.T", body, timeout=5)
        deliver = json.loads(answer.data)["deliver_subject"]
        for chunk in chunks:
            answer = await client.request(deliver, chunk, timeout=5)
            if answer.data:
                break
        assert json.loads(answer.data)["error"]["err_code"] == 10062
        answer = await client.request("$JS.API.STREAM.INFO.T", b"", timeout=5)
        assert json.loads(answer.data)["error"]["err_code"] == 10059
    assert (await js.stream_info("S")).state.messages == 1
    # The name is free.
    await js.add_stream(name="T", subjects=["t"])


async def test_calls_are_audited_for_whoever_listens(servers, connect):
    server = servers("ours")
    client = await connect(server.url, name="auditor")
    caller = await connect(server.url, name="caller")
    await caller.request("$JS.API.STREAM.NAMES", b"", timeout=5)
    audits = await client.subscribe("$JS.EVENT.ADVISORY.API")
    await settle(client)
    answer = await caller.request("$JS.API.STREAM.NAMES", b'{"offset":0}', timeout=5)
    audit = json.loads((await audits.next_msg(timeout=5)).data)
    keys = ["type", "id", "timestamp", "server", "client", "subject", "request", "response"]
    assert list(audit) == keys
    assert audit["type"] == "io.nats.jetstream.advisory.v1.api_audit"
    assert (audit["subject"], audit["request"]) == ("$JS.API.STREAM.NAMES", '{"offset":0}')
    assert audit["response"].encode() == answer.data
    who = audit["client"]
    assert (who["acc"], who["name"], who["host"]) == ("$G", "caller", "127.0.0.1")
    assert (who["id"], who["kind"], who["client_type"]) == (caller.client_id, "Client", "nats")
