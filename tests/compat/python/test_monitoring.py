"""JetStream on the monitoring port and in requests by message. What is expected here is what
nats-server 2.15.1 answers: run with WEFT_TEST_SERVER=nats-server to see that it still does."""

import asyncio
import json
import re
import urllib.error
import urllib.request

import pytest
from nats.js.api import StoreCompression

CONFIG = """
http: "127.0.0.1:-1"
server_name: n1
jetstream {
  store_dir: "%s"
  max_mem: 100000
  max_file: 200000
  sync_interval: always
}
"""


def monitored(start, tmp_path, config=CONFIG):
    server = start(config=config % (tmp_path / "store"))
    found = re.search(r"Starting http monitor on (\S+:\d+)", server.log.read_text())
    server.http = f"http://{found.group(1)}"
    return server


@pytest.fixture
def jetstream(start, tmp_path):
    return monitored(start, tmp_path)


async def get(server, page):
    """Status and text of a page."""

    def fetch():
        try:
            with urllib.request.urlopen(server.http + page) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    return await asyncio.to_thread(fetch)


async def page(server, path):
    status, text = await get(server, path)
    assert status == 200, text
    return json.loads(text)


def shape(value):
    """The keys of a document in order, ours aside; a list shows its elements by name."""
    if isinstance(value, dict):
        return "{" + " ".join(f"{key}:{shape(part)}" for key, part in value.items() if key != "weft") + "}"
    if isinstance(value, list):
        if all(isinstance(part, dict) for part in value):
            value = sorted(value, key=lambda part: str(part.get("name")))
        return "[" + " ".join(shape(part) for part in value) + "]"
    kinds = {str: "str", bool: "bool", int: "num", float: "num", type(None): "null"}
    return kinds[type(value)]


async def api(nc, subject, body=None):
    payload = b"" if body is None else json.dumps(body).encode()
    answer = await nc.request(f"$JS.API.{subject}", payload, timeout=5)
    return json.loads(answer.data)


async def fill(nc):
    """A in a file with two consumers, B in memory with a push consumer; three messages each."""
    for name, storage, most in [("A", "file", 20000), ("B", "memory", 10000)]:
        config = {"name": name, "subjects": [f"{name}.*"], "storage": storage, "max_bytes": most}
        assert "error" not in await api(nc, f"STREAM.CREATE.{name}", config)
        for number in range(3):
            await nc.request(f"{name}.{number}", b"hello", timeout=5)
    explicit = {"ack_policy": "explicit"}
    for stream, name, config in [
        ("A", "c2", explicit),
        ("A", "c1", explicit),
        ("B", "p", {"ack_policy": "none", "deliver_subject": "nobody.there"}),
    ]:
        config = {"name": name, "durable_name": name, **config}
        body = {"stream_name": stream, "config": config}
        assert "error" not in await api(nc, f"CONSUMER.CREATE.{stream}.{name}", body)
    assert "error" in await api(nc, "STREAM.INFO.NOPE")


API = "api:{level:num total:num errors:num}"
STATS = (
    "memory:num storage:num reserved_memory:num reserved_storage:num accounts:num ha_assets:num "
    + API
)
SETTINGS = (
    "config:{max_memory:num max_storage:num store_dir:str sync_interval:num sync_always:bool "
    "compress_ok:bool strict:bool}"
)
LIMITS = "limits:{default_max_consumers:num}"
STATE = (
    "state:{messages:num bytes:num first_seq:num first_ts:str last_seq:num last_ts:str "
    "num_subjects:num consumer_count:num}"
)
STREAM_CONFIG = (
    "config:{name:str subjects:[str] retention:str max_consumers:num max_msgs:num max_bytes:num "
    "max_age:num max_msgs_per_subject:num max_msg_size:num discard:str storage:str "
    "num_replicas:num duplicate_window:num compression:str allow_direct:bool mirror_direct:bool "
    "sealed:bool deny_delete:bool deny_purge:bool allow_rollup_hdrs:bool consumer_limits:{} "
    "allow_msg_ttl:bool metadata:{_nats.req.level:str}} "
)
PULL_CONFIG = (
    "config:{durable_name:str name:str deliver_policy:str ack_policy:str ack_wait:num "
    "max_deliver:num replay_policy:str max_waiting:num max_ack_pending:num num_replicas:num "
    "metadata:{_nats.req.level:str}} "
)
PUSH_CONFIG = (
    "config:{durable_name:str name:str deliver_policy:str ack_policy:str max_deliver:num "
    "replay_policy:str deliver_subject:str num_replicas:num metadata:{_nats.req.level:str}} "
)


def consumer(config):
    return (
        "{stream_name:str name:str created:str " + config + "delivered:{consumer_seq:num "
        "stream_seq:num} ack_floor:{consumer_seq:num stream_seq:num} num_ack_pending:num "
        "num_redelivered:num num_waiting:num num_pending:num ts:str}"
    )


def stream(config, consumers):
    details = f" consumer_detail:[{consumers}]" if consumers else ""
    return "{name:str created:str cluster:{leader:str} " + config + STATE + details + "}"


def jsz(details="", leaders=False):
    streams, consumers = (" streams_leader:num", " consumers_leader:num") if leaders else ("", "")
    return (
        "{" + f"{STATS} server_id:str now:str {SETTINGS} {LIMITS} streams:num{streams} "
        f"consumers:num{consumers} messages:num bytes:num{details} total:num" + "}"
    )


def account(streams=""):
    return " account_details:[{name:str id:str " + STATS + streams + "}]"


def streams(config="", pull=None, push=None):
    pulls = f"{consumer(pull)} {consumer(pull)}" if pull is not None else ""
    pushes = consumer(push) if push is not None else ""
    return f" stream_detail:[{stream(config, pulls)} {stream(config, pushes)}]"


async def test_jsz(jetstream, connect):
    await fill(await connect(jetstream.url))
    everything = streams(STREAM_CONFIG, PULL_CONFIG, PUSH_CONFIG)
    for query, expected in [
        ("", jsz()),
        ("?leader-only=1&config=1&direct-consumers=1&stream-leader-only=1", jsz()),
        ("?raft=1", jsz(leaders=True)),
        ("?acc=NOPE&streams=1&offset=1", jsz()),
        ("?accounts=1&offset=1", jsz()),
        ("?accounts=1&limit=-1", jsz(account())),
        ("?acc=$G&offset=1", jsz(account())),
        ("?streams=1", jsz(account(streams()))),
        ("?streams=1&direct-consumers=1", jsz(account(streams()))),
        ("?consumers=1&direct-consumers=1", jsz(account(streams("", "", "")))),
        ("?consumers=1&config=1&raft=1", jsz(account(everything), leaders=True)),
    ]:
        assert shape(await page(jetstream, f"/jsz{query}")) == expected, query
    told = await page(jetstream, "/jsz?accounts=1")
    numbers = {
        "memory": 3 * (16 + 3 + 5),
        "storage": 3 * (30 + 3 + 5),
        "reserved_memory": 10000,
        "reserved_storage": 20000,
        "accounts": 1,
        "ha_assets": 0,
        "api": {"level": 5, "total": 6, "errors": 1},
        "streams": 2,
        "consumers": 3,
        "messages": 6,
        "bytes": 186,
        "total": 1,
    }
    assert {key: told[key] for key in numbers} == numbers
    [details] = told["account_details"]
    assert (details["memory"], details["storage"]) == (72, 114)
    assert details["reserved_memory"] == details["reserved_storage"] == 2**64 - 1
    assert details["api"] == {"level": 0, "total": 6, "errors": 1}
    status, text = await get(jetstream, "/jsz?streams=x")
    refused = "Error decoding boolean for 'streams': strconv.ParseBool: parsing \"x\": invalid syntax"
    assert (status, text.strip()) == (400, refused)


async def test_varz_and_accountz(jetstream, connect):
    await fill(await connect(jetstream.url))
    told = await page(jetstream, "/varz")
    assert shape(told["jetstream"]) == f"{{{SETTINGS} stats:{{{STATS}}} {LIMITS}}}"
    assert told["jetstream"]["stats"]["memory"] == 72
    keys = list(told)
    assert keys[keys.index("jetstream") - 1] == "websocket"
    assert keys[keys.index("jetstream") + 1] == "tls_timeout"
    told = await page(jetstream, "/accountz?acc=$G")
    assert told["account_detail"]["jetstream_enabled"] is True
    told = await page(jetstream, "/accountz?acc=$SYS")
    assert told["account_detail"]["jetstream_enabled"] is False


async def test_healthz(jetstream, connect):
    await fill(await connect(jetstream.url))
    no_stream = 'JetStream stream "NOPE" not found on account "$G"'
    no_consumer = 'JetStream consumer "NOPE" not found for stream "A" on account "$G"'
    no_account = 'JetStream account "NOPE" not found'
    stream = {"type": "STREAM", "account": "$G", "stream": "NOPE", "error": no_stream}
    consumer = {"type": "CONSUMER", "account": "$G", "stream": "A", "consumer": "NOPE"}
    consumer["error"] = no_consumer
    ok = {"status": "ok"}

    def missing(error):
        return 404, {"status": "unavailable", "error": error}

    for query, expected in [
        ("", (200, ok)),
        ("js-enabled-only=1&account=$G&stream=NOPE", (200, ok)),
        ("js-server-only=1&account=$G&stream=NOPE", (200, ok)),
        ("account=$G", (200, ok)),
        ("account=$G&stream=A", (200, ok)),
        ("account=$G&stream=A&consumer=c1", (200, ok)),
        ("account=NOPE&stream=A", missing(no_account)),
        ("account=$G&stream=NOPE", missing(no_stream)),
        ("js-meta-only=1&account=$G&stream=NOPE", missing(no_stream)),
        ("account=$G&stream=A&consumer=NOPE", missing(no_consumer)),
        ("account=$G&stream=NOPE&details=1", (404, {"status": "error", "errors": [stream]})),
        (
            "account=$G&stream=A&consumer=NOPE&details=1",
            (404, {"status": "error", "errors": [consumer]}),
        ),
    ]:
        status, text = await get(jetstream, f"/healthz?{query}")
        assert (status, json.loads(text)) == expected, query


async def test_what_the_server_holds_is_limited(jetstream, connect):
    nc = await connect(jetstream.url)

    async def create(name, most=-1):
        config = {"name": name, "subjects": [name], "storage": "memory", "max_bytes": most}
        error = (await api(nc, f"STREAM.CREATE.{name}", config)).get("error", {})
        return error.get("err_code")

    async def publish(name, size):
        answer = json.loads((await nc.request(name, b"x" * size, timeout=5)).data)
        return answer.get("error", {}).get("err_code")

    rows = [("A", 60000, None), ("B", 40001, 10028), ("B", 40000, None), ("C", 1, 10028)]
    for name, most, expected in rows + [("C", -1, 10028)]:
        assert await create(name, most) == expected, (name, most)
    await api(nc, "STREAM.DELETE.B")
    assert await create("B") is None
    assert await create("C") is None
    # Four of 30,000 bytes are taken, because before the last one there was room.
    assert [await publish(name, 30000) for name in "BCBC"] == [None] * 4
    for name in "ABC":
        assert await publish(name, 1) == 10023, name
    await api(nc, "STREAM.PURGE.B")
    for name in "ABC":
        assert await publish(name, 1) is None, name


async def ask(nc, subject, body=b"", wait=0.3):
    """All answers to a request."""
    inbox = nc.new_inbox()
    sub = await nc.subscribe(inbox)
    await nc.publish(subject, body, reply=inbox)
    answers = []
    try:
        while True:
            answers.append(await sub.next_msg(timeout=wait))
            wait = 0.1
    except asyncio.TimeoutError:
        pass
    await sub.unsubscribe()
    return answers


SERVER = (
    "server:{name:str host:str id:str ver:str feature_flags:{js_ack_fc_v2:bool "
    "js_api_reply_v2:bool js_raft_delete_range:bool js_snapshot_sources:bool} jetstream:bool "
    "flags:num seq:num time:str}"
)
ROW = (
    "cid:num kind:str type:str ip:str port:num start:str last_activity:str rtt:str uptime:str "
    "idle:str pending_bytes:num in_msgs:num out_msgs:num in_bytes:num out_bytes:num "
    "subscriptions:num name:str lang:str version:str"
)
CONNZ = "server_id:str now:str num_connections:num total:num offset:num limit:num connections:"
TRAFFIC = (
    "{msgs:num bytes:num gateways:{msgs:num bytes:num} routes:{msgs:num bytes:num} "
    "leafs:{msgs:num bytes:num}}"
)
STATZ = (
    "server_id:str now:str account_statz:[{acc:str name:str conns:num leafnodes:num "
    f"total_conns:num num_subscriptions:num sent:{TRAFFIC} received:{TRAFFIC} slow_consumers:num}}]"
)


async def test_requests_by_message(jetstream, connect):
    nc = await connect(jetstream.url, name="me")
    sub = await nc.subscribe("listened.to.*")
    listed = b'{"subscriptions":true,"auth":true}'
    for subject, body, data in [
        ("ACCOUNT.PING.CONNZ", b"", CONNZ + f"[{{{ROW}}}]"),
        ("SERVER.PING.CONNZ", b"", CONNZ + f"[{{{ROW}}}]"),
        ("SERVER.PING.CONNZ", b'{"acc":"NOPE"}', CONNZ + f"[{{{ROW}}}]"),
        ("ACCOUNT.PING.CONNZ", b'{"cid":9999}', CONNZ + "[]"),
        (
            "ACCOUNT.PING.CONNZ",
            listed,
            CONNZ + f"[{{{ROW} subscriptions_list:[str str] name_tag:str}}]",
        ),
        ("ACCOUNT.PING.CONNZ", b'{"filter_subject":"listened.to.me"}', CONNZ + f"[{{{ROW}}}]"),
        ("ACCOUNT.PING.STATZ", b"", STATZ),
        ("ACCOUNT.PING.STATZ", b'{"accounts":["NOPE"]}', STATZ),
        ("USER.INFO", b"", "user:str account:str account_name:str"),
    ]:
        [answer] = await ask(nc, f"$SYS.REQ.{subject}", body)
        told = json.loads(answer.data)
        assert shape(told) == f"{{{SERVER} data:{{{data}}}}}", (subject, body)
        assert (told["server"]["name"], told["server"]["flags"]) == ("n1", 7)
    for subject, body, code, description in [
        ("ACCOUNT.PING.CONNZ", b"junk", 400, "invalid character 'j' looking for beginning of value"),
        ("ACCOUNT.PING.STATZ", b"junk", 400, "invalid character 'j' looking for beginning of value"),
        ("ACCOUNT.PING.CONNZ", b'{"sort":"bogus"}', 500, "invalid sorting option: bogus"),
    ]:
        [answer] = await ask(nc, f"$SYS.REQ.{subject}", body)
        told = json.loads(answer.data)
        assert told["error"] == {"code": code, "description": description}
        assert list(told) == ["server", "error"] if code == 400 else ["server", "data", "error"]
    assert await ask(nc, "$SYS.REQ.SERVER.PING.CONNZ", b'{"server_name":"zzz"}') == []
    # The others are for the system account.
    for subject in ["SERVER.PING", "SERVER.PING.VARZ", "ACCOUNT.PING.INFO", "ACCOUNT.$G.CONNZ"]:
        [answer] = await ask(nc, f"$SYS.REQ.{subject}")
        assert answer.headers["Status"] == "503", subject
    await sub.unsubscribe()


async def live_bytes(server):
    """What the logs hold on disk."""
    varz = await page(server, "/varz")
    if "weft" not in varz:
        pytest.skip("only weft tells")
    return sum(log["live_bytes"] for log in varz["weft"]["jetstream"]["logs"])


async def test_compression_saves_disk_and_changes_nothing_else(start, connect, tmp_path):
    server = monitored(start, tmp_path, CONFIG.replace("max_file: 200000", "max_file: 10MB"))
    client = await connect(server.url)
    js = client.jetstream()
    bodies = [b"x", *(b'{"order":%d,"state":"accepted"},' % number * 60 for number in range(200))]
    live, sizes = [await live_bytes(server)], []
    for name, compression in [("P", StoreCompression.NONE), ("C", StoreCompression.S2)]:
        await js.add_stream(name=name, subjects=[f"{name}.*"], compression=compression)
        for number, body in enumerate(bodies):
            headers = {"number": str(number)} if number % 2 else None
            await js.publish(f"{name}.{number % 3}", body, headers=headers)
        live.append(await live_bytes(server))
        sizes.append((await js.stream_info(name)).state.bytes)
    assert sizes[0] == sizes[1], "what a stream holds is counted as it was published"
    assert live[2] - live[1] < (live[1] - live[0]) / 4

    await client.close()
    server.kill()
    server.start()
    js = (await connect(server.url)).jetstream()
    assert (await js.stream_info("C")).state.bytes == sizes[1]
    assert (await js.get_msg("C", 100)).data == bodies[99]
    ordered = await js.subscribe("C.*", ordered_consumer=True)
    for number, body in enumerate(bodies):
        message = await ordered.next_msg(timeout=5)
        assert (message.data, message.subject) == (body, f"C.{number % 3}")
        assert message.headers == ({"number": str(number)} if number % 2 else None)

    # What comes is as the configuration says now; what is there stays readable.
    config = (await js.stream_info("C")).config
    config.compression = StoreCompression.NONE
    await js.update_stream(config)
    await js.publish("C.1", bodies[7])
    assert (await js.get_msg("C", 8)).data == (await js.get_last_msg("C", "C.1")).data == bodies[7]
    assert await js.purge_stream("C")
    assert (await js.stream_info("C")).state.bytes == 0
