"""A server process per shard count, and clients on it.

The server is WEFT_TEST_SERVER (nats-server for example), else target/release/weft, which runs with
1, 2 and 4 shards (or those of WEFT_TEST_SHARDS), each with the flags in WEFT_TEST_ARGS.
"""

import asyncio
import contextlib
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import nats
import pytest
from nats.errors import NoRespondersError

ROOT = Path(__file__).resolve().parents[3]
OTHER = os.environ.get("WEFT_TEST_SERVER")
BINARY = OTHER or os.environ.get("WEFT_TEST_BINARY") or str(ROOT / "target/release/weft")
REFERENCE = os.environ.get("WEFT_REFERENCE_SERVER", str(ROOT / ".cache/venv/bin/nats-server"))
SHARDS = os.environ.get("WEFT_TEST_SHARDS", "" if OTHER else "1,2,4")
SHARDS = [int(count) for count in SHARDS.split(",") if count] or [None]
# A machine with many other things to do.
PATIENCE = 10
LISTENING = re.compile(r"Listening for client connections on .*:(\d+)")


class Server:
    """Starts on a free port; after `kill` it starts again on the same one."""

    def __init__(self, shards, *flags, config="", binary=BINARY, before=None):
        self.before = before
        self.directory = tempfile.TemporaryDirectory()
        self.log = Path(self.directory.name) / "log"
        self.binary = binary
        self.flags = list(flags)
        if shards:
            self.flags += ["--shards", str(shards)]
        if binary == BINARY:
            self.flags += os.environ.get("WEFT_TEST_ARGS", "").split()
        if config:
            path = Path(self.directory.name) / "server.conf"
            path.write_text(config)
            self.flags += ["-c", str(path)]
        self.port = -1
        self.start()

    def start(self):
        self.log.unlink(missing_ok=True)
        command = [self.binary, "-a", "127.0.0.1", "-p", str(self.port), "-l", str(self.log)]
        self.process = subprocess.Popen(
            command + self.flags, stderr=subprocess.PIPE, text=True, preexec_fn=self.before
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            text = self.log.read_text() if self.log.exists() else ""
            found = LISTENING.search(text)
            if found and "Server is ready" in text:
                self.port = int(found.group(1))
                return
            time.sleep(0.01)
        self.kill()
        text = (self.log.read_text() if self.log.exists() else "") + self.process.stderr.read()
        raise RuntimeError(f"{self.binary} did not get ready:\n{text}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"


async def settle(*clients):
    """Returns when the server has done what these clients asked before.

    Not `flush`: nats-py writes its PING ahead of what it still has queued.
    """
    for client in clients:
        with pytest.raises(NoRespondersError):
            await client.request("nobody.answers.this", timeout=PATIENCE)


@pytest.fixture(scope="session", params=SHARDS, ids=lambda count: f"{count}-shards" if count else "")
def shards(request):
    return request.param


@pytest.fixture(scope="session")
def server(shards):
    server = Server(shards)
    yield server
    server.kill()


@pytest.fixture
def start(shards):
    """Starts a server of the test's own: `start("--flag", config="…")`. `before`: run in its process."""
    started = []

    def start(*flags, config="", before=None):
        started.append(Server(shards, *flags, config=config, before=before))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def start_reference():
    """Starts a nats-server, to compare with: `start_reference("--flag", config="…")`."""
    started = []

    def start(*flags, config=""):
        started.append(Server(None, *flags, config=config, binary=REFERENCE))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
async def connect(server):
    """Connects clients: `await connect()`, closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(url=None, **options):
            options.setdefault("error_cb", quiet)
            client = await nats.connect(url or server.url, **options)

            async def close():
                if not client.is_closed:
                    with contextlib.suppress(Exception):
                        await asyncio.wait_for(client.close(), 5)

            stack.push_async_callback(close)
            return client

        yield connect


async def quiet(_error):
    pass
