#!/usr/bin/env python3
"""Servers for nats.go's tests, which ask a service for them (`tester.create.server` and so on, the
API of orbit.go's ntf-client): each is a process of the `nats-server` first on PATH. What weft has no
part of is answered with an error: clusters, generated certificates, traces.
  go-suite-servers.py URL     URL of the broker through which the tests reach this service
"""
import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile

import nats

PORTED = {"websocket", "mqtt", "leafnode"}  # snippets that get a port of their own
ANSWER_SECONDS = 10


class Unsupported(Exception):
    pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, request, folder):
        self.name, self.folder = name, folder
        self.has_jetstream = request.get("jetstream", False)
        self.port = free_port()
        self.ports = {kind: free_port() for kind in PORTED & set(request.get("snippets") or {})}
        self.process = None
        self.configure(request)

    def configure(self, request):
        if request.get("template"):
            raise Unsupported("templates are not supported")
        snippets = request.get("snippets") or {}
        if PORTED & set(snippets) != set(self.ports):
            raise Unsupported("the ports of a server are fixed")
        lines = [snippets.get("top", ""), f'server_name: "{self.name}"', f"listen: 127.0.0.1:{self.port}"]
        if self.has_jetstream:
            store = os.path.join(self.folder, "store")
            lines.append(f'jetstream {{\nstore_dir: "{store}"\n{snippets.get("jetstream", "")}\n}}')
        known = ("accounts", "system_account", "authorization", "tls", *sorted(PORTED))
        lines += [snippets[key] for key in known if key in snippets]
        text = "\n".join(lines)
        for kind, port in self.ports.items():
            text = re.sub(r"{{\s*\.Ports\.%s\s*}}" % kind, str(port), text)
        if "{{" in text:
            raise Unsupported("a snippet wants what is not here: " + text)
        with open(os.path.join(self.folder, "server.conf"), "w") as file:
            file.write(text + "\n")

    def is_running(self):
        return self.process is not None and self.process.returncode is None

    async def start(self):
        log = os.path.join(self.folder, "log")
        with open(log, "w") as file:
            self.process = await asyncio.create_subprocess_exec(
                "nats-server", "-c", os.path.join(self.folder, "server.conf"), stdout=file, stderr=file
            )
        for _ in range(100 * ANSWER_SECONDS):
            if not self.is_running():
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                await asyncio.sleep(0.01)
        await self.stop()
        with open(log) as file:
            raise Unsupported("the server does not start: " + file.read()[-500:].replace("\n", " | "))

    async def stop(self):
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), ANSWER_SECONDS)
            except asyncio.TimeoutError:
                self.process.kill()
                await self.process.wait()

    def shown(self):
        return {"name": self.name, "cluster": "", "port": self.port, "ports": self.ports, "running": self.is_running()}


class Service:
    def __init__(self, folder):
        self.folder = folder
        self.instances = {}  # id → server
        self.made = 0

    def named(self, request):
        return next(server for server in self.instances.values() if server.name == request["name"])

    async def create_server(self, request):
        if request.get("tls") or request.get("trace"):
            raise Unsupported("generated TLS and traces are not supported")
        self.made += 1
        key = f"i{self.made}"
        folder = os.path.join(self.folder, key)
        os.mkdir(folder)
        server = Server(f"s{self.made}", request, folder)
        await server.start()
        self.instances[key] = server
        return {"id": key, "description": request.get("description", ""), "kind": "server", "servers": [server.shown()]}

    async def destroy(self, request):
        server = self.instances.pop(request["instance_id"], None)
        if server:
            await server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)
        return {"destroyed": server is not None}

    async def stop_server(self, request):
        await self.named(request).stop()
        return {"shutdown": True}

    async def start_server(self, request):
        await self.named(request).start()
        return {"started": True}

    async def update_server(self, request):
        self.named(request).configure(request)
        return {"updated": True}

    async def reload_server(self, request):
        self.named(request).process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.2)
        return {"reloaded": True}

    async def stop_instance(self, request):
        server = self.instances[request["instance_id"]]
        await server.stop()
        return {"servers": [{"name": server.name, "running": False}]}

    async def start_instance(self, request):
        server = self.instances[request["instance_id"]]
        await server.start()
        return {"servers": [{"name": server.name, "running": True}]}

    async def status(self, request):
        wanted = request.get("instance_id")
        shown = [
            {"id": key, "kind": "server", "servers": [server.shown()]}
            for key, server in self.instances.items()
            if wanted in (None, "", key)
        ]
        return {"instances": shown}

    async def reset(self, _):
        for key in list(self.instances):
            await self.destroy({"instance_id": key})
        return {"shutdown": True}

    async def answer(self, message):
        action = message.subject.removeprefix("tester.").replace(".", "_").replace("-", "_")
        handler = getattr(self, action, None)
        try:
            if handler is None:
                raise Unsupported(f"{action} is not supported")
            reply, headers = await handler(json.loads(message.data or b"{}")), None
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            reply, headers = {}, {"Nats-Service-Error": text, "Nats-Service-Error-Code": "500"}
        await client.publish(message.reply, json.dumps(reply).encode(), headers=headers)


async def main():
    global client
    client = await nats.connect(sys.argv[1])
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with tempfile.TemporaryDirectory() as folder:
        service = Service(folder)

        async def took(message):
            asyncio.get_running_loop().create_task(service.answer(message))

        await client.subscribe("tester.>", cb=took)
        await client.flush()
        print("ready", flush=True)
        await stopped.wait()
        await service.reset({})


asyncio.run(main())
