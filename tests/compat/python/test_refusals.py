"""What the JetStream API says to bad requests, beside what nats-server says to the same ones.

Both servers get the same streams, messages and consumers, and then every request below in the same
order. Answers must be equal, apart from times and the servers' names.
"""

import asyncio
import json
import re

import nats
import pytest

import conftest

BODIES = [
    "", " ", "null", "{}", "[]", '{"a":1}', "x", '""', "0", "{", "[1,2]", b"\xff\xfe",
    '{"offset":-1}', '{"offset":1}', '{"offset":"x"}', '{"offset":1e3}', '{"offset":1.5}',
    '{"offset":99999999999999999999}', '{"subject":"foo"}', '{"subject":5}',
]  # fmt: skip

CALLS = """
STREAM.NAMES STREAM.LIST STREAM.INFO.S STREAM.INFO.nope STREAM.DELETE.nope STREAM.PURGE.nope
STREAM.MSG.GET.S STREAM.MSG.GET.nope STREAM.MSG.DELETE.S STREAM.MSG.DELETE.nope
STREAM.UPDATE.S STREAM.UPDATE.nope STREAM.CREATE.Z
STREAM.LEADER.STEPDOWN.S STREAM.LEADER.STEPDOWN.nope STREAM.PEER.REMOVE.S
CONSUMER.NAMES.S CONSUMER.NAMES.nope CONSUMER.LIST.S CONSUMER.LIST.nope
CONSUMER.INFO.S.c CONSUMER.INFO.S.nope CONSUMER.INFO.nope.c
CONSUMER.DELETE.S.nope CONSUMER.DELETE.nope.c CONSUMER.LEADER.STEPDOWN.S.c
CONSUMER.PAUSE.S.nope CONSUMER.PAUSE.nope.c CONSUMER.PAUSE.S.c
CONSUMER.RESET.S.c CONSUMER.UNPIN.S.c CONSUMER.UNPIN.S.nope CONSUMER.UNPIN.nope.c
CONSUMER.CREATE.S CONSUMER.CREATE.S.q CONSUMER.CREATE.S.q.foo CONSUMER.CREATE.nope
CONSUMER.DURABLE.CREATE.S.d DIRECT.GET.S DIRECT.GET.M
""".split()

GETS = [
    '{"seq":1}', '{"seq":99}', '{"seq":0}', '{"seq":-1}', '{"seq":18446744073709551616}',
    '{"last_by_subj":"foo.1"}', '{"last_by_subj":"nope"}', '{"last_by_subj":"foo.>"}',
    '{"next_by_subj":"foo.>"}', '{"seq":2,"next_by_subj":"foo.>"}',
    '{"seq":2,"last_by_subj":"foo.1"}', '{"multi_last":["foo.1"]}', '{"start_time":"x"}',
    '{"start_time":"2020-01-01T00:00:00Z"}', '{"seq":1,"start_time":"2020-01-01T00:00:00Z"}',
    '{"multi_last":["foo.1"],"seq":1}', '{"multi_last":["foo.1"],"last_by_subj":"foo.1"}',
]  # fmt: skip

# Put into {"name":"T","subjects":["t"], … }.
STREAM_FIELDS = [
    '"max_msgs":"x"', '"retention":"bogus"', '"retention":3', '"storage":"tape"',
    '"subjects":"t"', '"subjects":["t t"]', '"subjects":[""]', '"subjects":["t","t"]',
    '"subjects":[">"]', '"subjects":["$JS.API.>"]', '"subjects":["$SYS.>"]',
    '"subjects":["$KV.x.>"]', '"subjects":null', '"subjects":["a.*","*.b"]',
    '"num_replicas":3', '"num_replicas":7', '"num_replicas":-2', '"max_age":1', '"max_age":-5',
    '"max_age":"5s"', '"duplicate_window":-1', '"duplicate_window":99,"max_age":50',
    '"max_msg_size":99999999999', '"discard":"new","discard_new_per_subject":true',
    '"unknown_field":1', '"republish":{"src":">","dest":"t.>"}',
    '"subject_transform":{"src":"a.*","dest":"b.{{wildcard(2)}}"}', '"sealed":true',
    '"consumer_limits":{"max_ack_pending":-1}', '"first_seq":18446744073709551615',
    '"first_seq":-1', '"compression":"zip"', '"placement":{"cluster":"x"}',
    '"allow_msg_ttl":true,"subject_delete_marker_ttl":1', '"metadata":{"_nats.x":"y"}',
    '"metadata":{"a":5}', '"description":"%s"' % ("d" * 5000), '"template_owner":"x"',
    '"allow_msg_counter":true,"discard":"new"', '"persist_mode":"async"',
    '"persist_mode":"bogus"', '"no_ack":"yes"', '"max_consumers":-5', '"max_bytes":-5',
    '"max_msgs_per_subject":-5', '"mirror":{"name":"S"}',
]  # fmt: skip

# The whole configuration.
STREAMS = [
    '{"name":"S","subjects":["foo.>"]}', '{"name":"T","subjects":["foo.bar"]}', '{"name":"T"}',
    '{"name":"T","subjects":["t"]}{}', '{"name":"T","subjects":["t"]} garbage',
    '{"Name":"T","SUBJECTS":["t"]}', '{"name":"%s","subjects":["t"]}' % ("L" * 300),
    '{"name":"T","mirror":{"name":"S"},"sources":[{"name":"S"}]}',
    '{"name":"T","sources":[{"name":""}]}', '{"name":"T","sources":[{"name":"S"},{"name":"S"}]}',
]  # fmt: skip

# Put into {"stream_name":"S","config":{"durable_name":"d", … }}.
CONSUMER_FIELDS = [
    '"max_waiting":1', '"ack_policy":"bogus"', '"ack_policy":"explicit","ack_wait":-1',
    '"deliver_policy":"by_start_sequence"', '"deliver_policy":"by_start_time"',
    '"deliver_policy":"last_per_subject"', '"deliver_subject":"x","max_waiting":5',
    '"deliver_subject":"x.*"', '"deliver_subject":"foo.x"', '"filter_subject":"bar"',
    '"filter_subjects":["foo.a","foo.*"]', '"filter_subject":"foo.a","filter_subjects":["foo.b"]',
    '"backoff":[1,2],"max_deliver":1', '"rate_limit_bps":5', '"idle_heartbeat":5',
    '"flow_control":true', '"deliver_subject":"x","flow_control":true', '"sample_freq":"abc"',
    '"sample_freq":"50%"', '"durable_name":"d.x"', '"durable_name":"d x"', '"name":"n"',
    '"num_replicas":5', '"priority_policy":"overflow"',
    '"priority_policy":"overflow","priority_groups":["a b"]',
    '"priority_policy":"bogus","priority_groups":["a"]',
    '"max_ack_pending":-7,"ack_policy":"explicit"', '"pause_until":"bogus"',
    '"opt_start_time":"2020-01-01T00:00:00Z"', '"zzz":1', '"inactive_threshold":-1',
    '"max_batch":-1', '"max_expires":1', '"deliver_group":"g"',
    '"deliver_subject":"x","deliver_group":"g h"', '"replay_policy":"fast"',
    '"mem_storage":true,"metadata":{"a":"b"}', '"description":"%s"' % ("d" * 5000),
]  # fmt: skip

CONSUMERS = [
    '{"stream_name":"S","config":{}}', '{"stream_name":"X","config":{"durable_name":"d"}}',
    '{"config":{"durable_name":"d"}}', '{"stream_name":"S","config":5}', "[]", "", "x", "{}",
    '{"stream_name":"S","action":"create","config":{"durable_name":"d"}}',
    '{"stream_name":"S","action":"update","config":{"durable_name":"zz"}}',
    '{"stream_name":"S","action":"bogus","config":{"durable_name":"d"}}',
]  # fmt: skip


# Where several things are wrong, or what is asked was done already.
TWICE = [
    ("STREAM.PURGE.S", '{"seq":1,"keep":3}'), ("STREAM.PURGE.nope", '{"seq":1,"keep":3}'),
    ("STREAM.CREATE.M", '{"name":"M","subjects":["foo.1"],"storage":"memory"}'),
    ("STREAM.MSG.DELETE.S", '{"seq":3}'), ("STREAM.MSG.DELETE.S", '{"seq":3}'),
    ("STREAM.MSG.DELETE.S", '{"seq":5}'), ("STREAM.MSG.DELETE.S", '{"seq":5}'),
    ("STREAM.PURGE.S", '{"keep":1}'), ("STREAM.MSG.DELETE.S", '{"seq":1}'),
]  # fmt: skip


def requests():
    """Subject, below `$JS.API.`, and body of every request."""
    for call in CALLS:
        for body in BODIES:
            yield call, body
    for body in GETS:
        for call in ["STREAM.MSG.GET.S", "DIRECT.GET.S", "STREAM.MSG.DELETE.M"]:
            yield call, body
    fields = ['{"name":"T","subjects":["t"],%s}' % fields for fields in STREAM_FIELDS]
    for body in STREAMS + fields:
        name = re.search('"name":"([^"]*)"', body, re.IGNORECASE).group(1)
        for call in [f"STREAM.CREATE.{name}", f"STREAM.UPDATE.{name}", "STREAM.CREATE.other"]:
            yield call, body
        yield "STREAM.DELETE.T", ""
    yield from TWICE
    configs = ['{"stream_name":"S","config":{"durable_name":"d",%s}}' % f for f in CONSUMER_FIELDS]
    for body in CONSUMERS + configs:
        for create in ["CREATE.S", "DURABLE.CREATE.S.d", "CREATE.S.d", "CREATE.S.d.foo.1"]:
            yield f"CONSUMER.{create}", body
            yield "CONSUMER.DELETE.S.d", ""


def comparable(text):
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]*Z", "TIME", text)
    text = re.sub(r'"leader":"[^"]*"', '"leader":"L"', text)
    # Names that the server made up.
    return re.sub(r'"name":"[A-Za-z0-9]{8,22}"', '"name":"N"', text)


async def ask(client, subject, body):
    body = body if isinstance(body, bytes) else body.encode()
    try:
        answer = await client.request(f"$JS.API.{subject}", body, timeout=5)
    except (nats.errors.TimeoutError, nats.errors.NoRespondersError) as error:
        return type(error).__name__
    headers = json.dumps(dict(answer.headers or {}))
    return comparable(headers + answer.data.decode(errors="replace"))


async def furnish(client):
    for name, subject, storage in [("S", "foo.>", "file"), ("M", "mm.>", "memory")]:
        config = dict(name=name, subjects=[subject], storage=storage, allow_direct=True)
        await ask(client, f"STREAM.CREATE.{name}", json.dumps(config))
    for number in range(5):
        await client.request(f"foo.{number}", b"hello")
    for consumer in ['"durable_name":"c","ack_policy":"explicit"', '"durable_name":"p"']:
        body = '{"stream_name":"S","config":{%s}}' % consumer
        await ask(client, f"CONSUMER.CREATE.S.{consumer[16]}", body)


@pytest.mark.skipif(conftest.OTHER is not None, reason="compares weft with nats-server")
async def test_bad_requests_are_answered_as_the_reference_does(
    start, start_reference, connect, tmp_path
):
    ours = await connect(start("-js", "-sd", str(tmp_path / "ours")).url)
    theirs = await connect(start_reference("-js", "-sd", str(tmp_path / "theirs")).url)
    await asyncio.gather(furnish(ours), furnish(theirs))
    differences, count = [], 0
    for subject, body in requests():
        mine, reference = await asyncio.gather(ask(ours, subject, body), ask(theirs, subject, body))
        count += 1
        if mine != reference:
            differences.append(f"{subject} {body[:200]!r}\n  nats-server {reference}\n  weft {mine}")
    assert count > 1000
    assert not differences, "\n".join(differences)
