#!/usr/bin/env python3
"""What one subscriber that never reads costs its neighbour under `nats bench` at full speed.

    stopped_subscriber.py NATS PORT MONITOR [PAIRS] [SPACERS]

Runs `nats bench` with one publisher and one subscriber, without and with a subscriber that stops
reading, in turn. SPACERS idle connections opened before the stopped one decide which core it is
on. Prints the healthy subscriber's rate of each run and the ratio of the medians; fails if that is
below 0.95, if the stopped subscriber is not cut in every second run, or if a message is missing.
"""

import json
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

SUBJECT = "bench.stopped"
MESSAGES = 4_000_000
KEPT_MIN = 0.95


def send(sock, protocol):
    """Sends and waits until the server has done with it."""
    sock.sendall(protocol + b"PING\r\n")
    got = b""
    while b"PONG\r\n" not in got:
        got += sock.recv(65536)


def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    send(sock, b'CONNECT {"name":"stopped"}\r\n')
    return sock


def stopped(port, spacers):
    """A subscriber that will not read again, and the connections before it."""
    idle = [connect(port) for _ in range(spacers)]
    sock = connect(port)
    send(sock, b"SUB %s 1\r\n" % SUBJECT.encode())
    return [sock, *idle]


def rate(output):
    found = re.search(r"stats: ([\d,]+) msgs/sec", output)
    assert found, output
    return int(found[1].replace(",", ""))


def bench(nats, port):
    """Rates of the publisher and of the healthy subscriber, in messages per second."""
    common = [nats, "-s", f"nats://127.0.0.1:{port}", "bench"]
    counted = [SUBJECT, "--msgs", str(MESSAGES), "--no-progress"]
    quiet = {"stderr": subprocess.DEVNULL, "text": True}
    reader = subprocess.Popen([*common, "sub", *counted], stdout=subprocess.PIPE, **quiet)
    time.sleep(0.8)
    writer = subprocess.run([*common, "pub", *counted, "--size", "128"], capture_output=True, text=True)
    try:
        read, _ = reader.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        reader.kill()
        sys.exit("the healthy subscriber did not get everything")
    return rate(writer.stdout), rate(read)


def slow_consumers(monitor):
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/varz") as answer:
        return json.load(answer)["slow_consumers"]


def main():
    nats, port, monitor = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    pairs = int(sys.argv[4]) if len(sys.argv) > 4 else 5
    spacers = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    alone, beside = [], []
    for _ in range(pairs):
        published, read = bench(nats, port)
        alone.append(read)
        print(f"alone: published {published}/s, read {read}/s", flush=True)
        cut_before = slow_consumers(monitor)
        sockets = stopped(port, spacers)
        published, read = bench(nats, port)
        beside.append(read)
        cut = slow_consumers(monitor) - cut_before
        print(f"beside a stopped one: published {published}/s, read {read}/s, cut {cut}", flush=True)
        for sock in sockets:
            sock.close()
        if cut != 1:
            sys.exit("the stopped subscriber was not cut")
    kept = statistics.median(beside) / statistics.median(alone)
    print(f"the healthy subscriber kept {100 * kept:.1f} % of its rate ({pairs} pairs, medians)")
    sys.exit(kept < KEPT_MIN)


if __name__ == "__main__":
    main()
