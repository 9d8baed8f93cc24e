#!/usr/bin/env python3
"""Throws mutated protocol streams at a running server while a healthy connection measures.

    mutated_streams.py PORT [STREAMS]

A stream is a valid conversation with bytes flipped, cut, doubled, inserted or swapped. The healthy
connection publishes to itself one message after another, in a process of its own; its p99 during
the attack is compared with its own before. Prints both and the ratio; fails if the healthy
connection loses a message, or the server does not answer at the end.
"""

import multiprocessing
import random
import socket
import sys
import time

VALID = [
    b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n',
    b"PING\r\n",
    b"SUB fuzz.* 1\r\n",
    b"SUB fuzz.> q 2\r\n",
    b"PUB fuzz.a 5\r\nhello\r\n",
    b"PUB fuzz.a in.1 5\r\nhello\r\n",
    b"HPUB fuzz.b 12 17\r\nNATS/1.0\r\n\r\nhello\r\n",
    b"UNSUB 1 3\r\n",
    b"UNSUB 2\r\n",
    b"PONG\r\n",
    b"PUB fuzz.c 65536\r\n" + b"x" * 65536 + b"\r\n",
]


def mutated(rng):
    stream = bytearray(b"".join(rng.choice(VALID) for _ in range(rng.randint(1, 12))))
    for _ in range(rng.randint(1, 8)):
        if not stream:
            break
        at = rng.randrange(len(stream))
        kind = rng.randrange(5)
        if kind == 0:
            stream[at] = rng.randrange(256)
        elif kind == 1:
            del stream[at : at + rng.randint(1, 40)]
        elif kind == 2:
            stream[at:at] = stream[at : at + rng.randint(1, 40)]
        elif kind == 3:
            stream[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 20)))
        else:
            del stream[at:]
    return bytes(stream)


def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def healthy(port, ready, attack, stop, out):
    sock = connect(port)
    while b"\r\n" not in sock.recv(65536):
        pass
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB healthy 1\r\nPING\r\n')
    while b"PONG" not in sock.recv(65536):
        pass
    before, during = [], []
    sent = 0
    ready.set()
    while not stop.is_set():
        body = b"%012d" % sent
        began = time.perf_counter()
        sock.sendall(b"PUB healthy 12\r\n" + body + b"\r\n")
        got = b""
        while body not in got:
            data = sock.recv(65536)
            if not data:
                out.put("the healthy connection was closed")
                return
            got += data
        (during if attack.is_set() else before).append(time.perf_counter() - began)
        sent += 1
        time.sleep(0.0005)
    out.put((before, during))


def p99(samples):
    return sorted(samples)[int(len(samples) * 0.99)] * 1e6


def main():
    port, streams = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    ready, attack, stop = (multiprocessing.Event() for _ in range(3))
    out = multiprocessing.Queue()
    process = multiprocessing.Process(target=healthy, args=(port, ready, attack, stop, out))
    process.start()
    ready.wait()
    time.sleep(5)
    attack.set()
    for _ in range(streams):
        sock = connect(port)
        try:
            sock.sendall(mutated(rng))
            sock.settimeout(0.002)
            sock.recv(65536)
        except OSError:
            pass
        finally:
            sock.close()
    stop.set()
    result = out.get()
    process.join()
    if isinstance(result, str):
        print(f"mutated streams: 0 passed, 1 failed: {result} (seed {seed})")
        sys.exit(1)
    before, during = p99(result[0]), p99(result[1])
    last = connect(port)
    last.recv(65536)
    last.sendall(b"PING\r\n")
    answers = b"PONG" in last.recv(65536)
    print(
        f"mutated streams: {streams} sent (seed {seed}); healthy p99 {before:.0f} µs before, "
        f"{during:.0f} µs during, ratio {during / before:.2f}; "
        f"{'1 passed, 0 failed' if answers else '0 passed, 1 failed: no PONG at the end'}"
    )
    sys.exit(0 if answers else 1)


if __name__ == "__main__":
    main()
