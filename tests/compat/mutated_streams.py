#!/usr/bin/env python3
"""Throws mutated protocol streams at a running server while a healthy connection measures.

    mutated_streams.py PORT [STREAMS [DECOY_PORT]]

A stream is a valid conversation with bytes flipped, cut, doubled, inserted or swapped. The healthy
connection publishes to itself one message after another, in a process of its own; its p99 during
the attack is compared with its own before. Prints both and the ratio; fails if the healthy
connection loses a message, or the server does not answer at the end.

Attacker and client share CPUs with the server. With a decoy, another server, as many streams are
thrown at that one first, so that both figures are of a machine with the same to do; a ratio above
2 fails then.
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


QUIET, DECOY, ATTACK, OVER = range(4)
RATIO_MAX = 2


def healthy(port, ready, phase, out):
    sock = connect(port)
    while b"\r\n" not in sock.recv(65536):
        pass
    sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB healthy 1\r\nPING\r\n')
    while b"PONG" not in sock.recv(65536):
        pass
    samples = [[], [], []]
    sent = 0
    ready.set()
    while (now := phase.value) != OVER:
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
        samples[now].append(time.perf_counter() - began)
        sent += 1
        time.sleep(0.0005)
    out.put(samples)


def p99(samples):
    return sorted(samples)[int(len(samples) * 0.99)] * 1e6


def throw(port, streams, rng):
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


def main():
    port, streams = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    decoy = int(sys.argv[3]) if len(sys.argv) > 3 else None
    seed = random.randrange(1 << 32)
    rng = random.Random(seed)
    ready, phase = multiprocessing.Event(), multiprocessing.Value("i", QUIET)
    out = multiprocessing.Queue()
    process = multiprocessing.Process(target=healthy, args=(port, ready, phase, out))
    process.start()
    ready.wait()
    time.sleep(5)
    if decoy:
        phase.value = DECOY
        throw(decoy, streams, rng)
    phase.value = ATTACK
    throw(port, streams, rng)
    phase.value = OVER
    result = out.get()
    process.join()
    if isinstance(result, str):
        print(f"mutated streams: 0 passed, 1 failed: {result} (seed {seed})")
        sys.exit(1)
    quiet, during = p99(result[QUIET]), p99(result[ATTACK])
    before, beside = quiet, ""
    if decoy:
        before = p99(result[DECOY])
        beside = f", {before:.0f} µs while another server was attacked"
    last = connect(port)
    last.recv(65536)
    last.sendall(b"PING\r\n")
    answers = b"PONG" in last.recv(65536)
    ratio = during / before
    passed = answers and not (decoy and ratio > RATIO_MAX)
    print(
        f"mutated streams: {streams} sent (seed {seed}); healthy p99 {quiet:.0f} µs before{beside}, "
        f"{during:.0f} µs during, ratio {ratio:.2f}; "
        f"{'1 passed, 0 failed' if passed else '0 passed, 1 failed'}"
        f"{'' if answers else ': no PONG at the end'}"
    )
    sys.exit(not passed)


if __name__ == "__main__":
    main()
