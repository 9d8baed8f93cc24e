"""Requests that JetStream does not serve, beside what nats-server says to the same ones.

A request to a consumer, stream or call that is not there is told so (503), or nothing at all, and
only a client that asked for that (`no_responders`) hears it.
"""

import json
import re
import socket

import pytest

import conftest

CALLS = """
FOO.BAR INFO.x STREAM.INFO STREAM.INFO.S.x DIRECT.GET DIRECT.GET.nope DIRECT.GET.nope.foo
CONSUMER.MSG.NEXT CONSUMER.MSG.NEXT.S CONSUMER.MSG.NEXT.S.nope CONSUMER.MSG.NEXT.nope.c
""".split()

SUBJECTS = [f"$JS.API.{call}" for call in CALLS] + [
    "$JS.API", "$JS.elsewhere.API.INFO", "$JS.ACK.S.nope.1.1.1.1.0", "$JS.ACK.nope.c.1.1.1.1.0",
    "$JS.ACK.S.c.1.1.1.1.0", "$JS.FC.S.nope.x", "$JS.EVENT.x",
]  # fmt: skip


class Raw:
    def __init__(self, server, no_responders):
        host, port = server.url.removeprefix("nats://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.received = b""
        options = {"verbose": False, "headers": True, "no_responders": no_responders}
        self.send(f"CONNECT {json.dumps(options)}\r\nSUB answers.> 1")
        self.sync()

    def send(self, line):
        self.socket.sendall(line.encode() + b"\r\n")

    def sync(self):
        """What arrived before the answer to a PING."""
        self.send("PING")
        while b"PONG\r\n" not in self.received:
            self.received += self.socket.recv(65536)
        before, _, self.received = self.received.partition(b"PONG\r\n")
        return before.replace(b"PING\r\n", b"")

    def await_answers(self, name, count):
        """What arrived until there were so many answers of this name."""
        text = b""
        while text.count(f"MSG answers.{name} ".encode()) < count:
            text += self.sync()
        return text

    def request(self, number, subject, body=""):
        self.send(f"PUB {subject} answers.{number} {len(body)}\r\n{body}")


def heard(server, no_responders):
    """The requests that were answered, and with what status."""
    client = Raw(server, no_responders)
    client.request("made", "$JS.API.STREAM.CREATE.S", '{"name":"S","subjects":["s"]}')
    consumer = '{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}'
    client.request("made", "$JS.API.CONSUMER.DURABLE.CREATE.S.c", consumer)
    client.await_answers("made", 2)
    for number, subject in enumerate(SUBJECTS):
        client.request(number, subject)
    # Answered behind all others: from the core that has the stream, as they are.
    for last in ["$JS.API.STREAM.INFO.S", "$JS.API.CONSUMER.INFO.S.c"]:
        client.request("last", last)
    text = client.await_answers("last", 2) + client.sync()
    answers = re.findall(rb"HMSG answers\.(\d+) 1 .*\r\n(NATS/1.0 \d+)\r\nNats-Subject: (\S+)", text)
    return {SUBJECTS[int(number)]: (status, subject) for number, status, subject in answers}


@pytest.mark.skipif(conftest.OTHER is not None, reason="compares weft with nats-server")
@pytest.mark.parametrize("no_responders", [True, False])
def test_who_hears_that_nobody_is_there(start, start_reference, tmp_path, no_responders):
    ours = start("-js", "-sd", str(tmp_path / "ours"))
    theirs = start_reference("-js", "-sd", str(tmp_path / "theirs"))
    reference = heard(theirs, no_responders)
    assert heard(ours, no_responders) == reference
    assert bool(reference) == no_responders
