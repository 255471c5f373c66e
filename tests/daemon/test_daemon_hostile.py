#!/usr/bin/env python3
"""Hostile and clumsy clients, all at once, beside one that behaves well: it gets its answers all the time, each of
the others is refused with a reason, and afterwards the daemon has kept to its memory and holds on to nothing."""

import gzip
import json
import multiprocessing
import os
import resource
import socket
import subprocess
import threading
import time
import urllib.parse

from daemon_harness import JSON, NS, PAGE, QUERY_CONFIG, ROUNDS, Daemon, Writer, check, main, wait_until

MEMORY_KB = 256 << 10
CONFIG = QUERY_CONFIG.replace("}", ", timeout: 5s}") + "sources: []\n"
SECONDS = 6 + ROUNDS
PUSH = "/loki/api/v1/push"


class Over(Exception):
    """The time is over."""


class Attack:
    """What all of them share: the daemon, dice, when to end, and what went wrong."""

    def __init__(self, daemon, dice):
        self.daemon, self.dice = daemon, dice
        self.is_over = threading.Event()
        self.problems = []
        self.seen = {}
        self.asked = self.unanswered = 0
        self.is_crowded = False

    def note(self, name, status):
        self.seen.setdefault(name, {}).setdefault(status, 0)
        self.seen[name][status] += 1

    def socket(self, timeout=30, receive=None):
        one = socket.socket()
        if receive:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        one.settimeout(timeout)
        one.connect((self.daemon.host, self.daemon.port))
        return one

    def ask(self, name, method, path, body=b"", headers=None, wanted=()):
        """One request as bytes; an early answer counts, also when sending fails because of it. None: no answer."""
        if self.is_over.is_set():
            raise Over
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
        for key, value in {"Content-Length": len(body), "Connection": "close", **(headers or {})}.items():
            head += f"{key}: {value}\r\n"
        with self.socket(60) as one:
            try:
                one.sendall(head.encode() + b"\r\n")
                one.sendall(body)
            except OSError:
                pass
            answer = read_all(one)
        if self.is_over.is_set():
            raise Over
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None
        self.note(name, status)
        text = answer.partition(b"\r\n\r\n")[2]
        self.asked += 1
        if status is None and self.is_crowded:
            self.unanswered += 1
        elif wanted and status not in wanted:
            self.problems.append(f"{name}: {status} instead of {wanted}: {text[:200]!r}")
        if status and status >= 400 and not text.strip():
            self.problems.append(f"{name}: {status} without a reason")
        return status


def read_all(one, limit=1 << 16):
    answer = b""
    try:
        while len(answer) < limit:
            piece = one.recv(65536)
            if not piece:
                break
            answer += piece
    except OSError:
        pass
    return answer


# ---- the attacks: each is called again until the time is over ----


def slow_heads(a):
    socks = [a.socket() for _ in range(20)]
    text = b"GET /loki/api/v1/labels HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"y" * 10_000
    for i in range(len(text)):
        for one in socks:
            one.send(text[i : i + 1])
        if a.is_over.wait(1):
            break
    for one in socks:
        one.close()


def slow_bodies(a):
    socks = [a.socket() for _ in range(20)]
    for one in socks:
        one.sendall(
            b"POST /api/prom/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 60000000\r\n\r\n{"
        )
    while not a.is_over.wait(1):
        for one in socks:
            try:
                one.send(b" ")
            except OSError:
                pass
    for one in socks:
        one.close()


def large_heads(a):
    """As long as a head may be, and then a body that does not come."""
    socks = []
    for _ in range(600):
        one = a.socket()
        one.sendall(
            b"POST /api/prom/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n"
            + b"".join(b"H%d: " % i + b"h" * 4000 + b"\r\n" for i in range(6))
            + b"\r\n"
        )
        socks.append(one)
    while not a.is_over.wait(1):
        for one in socks:
            try:
                one.send(b" ")
            except OSError:
                pass
    for one in socks:
        one.close()


def never_reads(a):
    target = "/loki/api/v1/query_range?" + urllib.parse.urlencode(
        {"query": '{app="big"}', "limit": PAGE, "start": a.begin_ns, "end": a.begin_ns + 3600 * NS}
    )
    socks = []
    for _ in range(16):
        one = a.socket(receive=4096)
        one.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        socks.append(one)
    a.is_over.wait()
    for one in socks:
        one.close()


def huge_bodies(a):
    a.ask("length of 1 GiB", "POST", PUSH, b"{" * 1000, {"Content-Length": 1 << 30, **JSON}, wanted=(413, 429))
    a.ask("length that is none", "POST", PUSH, b"", {"Content-Length": 1 << 70, **JSON}, wanted=(400, 413, 429))
    a.ask("length below zero", "POST", PUSH, b"", {"Content-Length": -5, **JSON}, wanted=(400, 413, 429))
    for size in (40 << 20, 63 << 20):
        line = b"x" * size
        body = b'{"streams":[{"stream":{"app":"huge"},"values":[["%d","%s"]]}]}' % (time.time_ns(), line)
        a.ask(f"line of {size >> 20} MiB", "POST", PUSH, body, JSON, wanted=(204, 400, 413, 429))
    del body, line
    a.is_over.wait(1)


def endless_chunks(a):
    with a.socket(60) as one:
        one.sendall(
            b"POST /api/prom/push HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + b"z" * 65536 + b"\r\n"
        sent = 0
        try:
            while sent < 1 << 30 and not a.is_over.is_set():
                one.sendall(chunk)
                sent += 65536
        except OSError:
            pass
        if sent >= 1 << 30:
            a.problems.append("a chunked body of 1 GiB was taken to its end")
        a.note("chunks without end", f"cut after {sent >> 20} MiB" if sent > 1 << 26 else "cut")


def bombs(a):
    if not a.bombs:
        zeros = bytes(1 << 20)
        packer = gzip.compress(b"".join([zeros] * 200), 1)
        a.bombs["gzip"] = packer
        a.bombs["deflate"] = None
        done = subprocess.run("head -c 1073741824 /dev/zero | zstd -1 -c", shell=True, capture_output=True, check=False)
        a.bombs["zstd"] = done.stdout or None
        copies = b"\x00a" + b"\xfe\x01\x00" * ((1 << 30) // 64)
        a.bombs["snappy"] = b"\x80\x80\x80\x80\x04" + copies[: 3 << 20]
        a.bombs["snappy of 100 MB"] = b"\x81\xc2\xd7\x2f" + b"\x00a" + b"\xfe\x01\x00" * (100_000_000 // 64)
    for name, body in a.bombs.items():
        if body is None:
            continue
        encoding = name.split()[0]
        for path, kind in (
            (PUSH, "application/x-protobuf"),
            (PUSH, "application/json"),
            ("/v1/logs", "application/json"),
            ("/insert/jsonline", "application/json"),
            ("/_bulk", "application/x-ndjson"),
        ):
            a.ask(
                f"{encoding} bomb",
                "POST",
                path,
                body,
                {"Content-Type": kind, "Content-Encoding": encoding},
                wanted=(400, 413, 415, 429),
            )
    a.is_over.wait(0.5)


def many_labels(a):
    labels = {f"l{i}": "v" for i in range(1_000_000 // 10)}
    body = json.dumps({"streams": [{"stream": labels, "values": [["1", "x"]]}]}).encode()
    a.ask("a million labels", "POST", PUSH, body, JSON, wanted=(400, 429))
    body = json.dumps(
        {"streams": [{"stream": {"app": "meta"}, "values": [[str(time.time_ns()), "x", labels]]}]}
    ).encode()
    a.ask("a million pairs of metadata", "POST", PUSH, body, JSON, wanted=(400, 429))
    body = json.dumps({"streams": [{"stream": {"app": "v" * (1 << 20)}, "values": [["1", "x"]]}]}).encode()
    a.ask("a label of 1 MiB", "POST", PUSH, body, JSON, wanted=(400, 429))
    a.is_over.wait(1)


def many_streams(a):
    now = time.time_ns()
    for part in range(20):
        if a.is_over.is_set():
            return
        streams = [
            {"stream": {"app": "streams", "id": f"{a.dice.random()}"}, "values": [[str(now), "x"]]}
            for _ in range(50_000)
        ]
        a.ask(
            "a million streams", "POST", PUSH, json.dumps({"streams": streams}).encode(), JSON, wanted=(204, 400, 429)
        )


def many_connections(a):
    """Opened and left: none of them says anything."""
    a.is_crowded = True
    socks = []
    for _ in range(a.connections):
        one = socket.socket()
        one.setblocking(False)
        try:
            one.connect((a.daemon.host, a.daemon.port))
        except BlockingIOError:
            pass
        except OSError:
            one.close()
            break
        socks.append(one)
        if len(socks) % 500 == 0:
            time.sleep(0.05)
    a.note("connections left open", len(socks))
    a.is_over.wait()
    for one in socks:
        one.close()


def malformed(a):
    texts = [
        b"\0" * 1000,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nA" * 5000,
        b"\r\n" * 10_000,
        b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nB: " + b"b" * 300_000 + b"\r\n\r\n",
        b"POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
        b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        b"GET /%00%ff%fe/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /loki/api/v1/tail?query=%7Ba%3D%22b%22%7D HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        a.dice.randbytes(5000),
    ]
    for text in texts:
        raw = bytearray(text)
        if a.dice.random() < 0.3 and raw:
            raw[a.dice.randrange(len(raw))] = a.dice.randrange(256)
        with a.socket(5) as one:
            try:
                one.sendall(raw)
                one.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            read_all(one)
    a.note("malformed", "sent")


def tails_that_never_read(a):
    target = "/loki/api/v1/tail?" + urllib.parse.urlencode({"query": '{app=~"load|big"}'})
    socks = []
    for _ in range(100):
        one = a.socket(receive=4096)
        one.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        socks.append(one)
    for one in socks[:10]:  # frames that are none
        one.send(a.dice.randbytes(200))
    a.is_over.wait()
    for one in socks:
        one.close()


QUERIES = (
    {"query": 'count_over_time({app=~".+"}[100y])', "start": 0, "step": "1s"},
    {"query": 'sum by (line) (count_over_time({app=~".+"} | pattern "<line>" [1h]))', "step": "1"},
    {"query": '{app=~".+"} |~ "(x+x+)+y"'},
    {"query": '{app=~".+"} |~ "(a|aa|aaa|x)*(a|x)*(x*)*$z"'},
    {"query": '{app=~"((((a*)*)*)*)*b"}'},
    {"query": '{app=~".+"} | regexp "(?P<a>(x*)*)(?P<b>(x*)*)(?P<c>(x*)*)y"'},
    {"query": '{app=~".+"} |~ "' + "x{1,1000}" * 20 + '"'},
    {"query": '{app=~".+"} |~ "' + "(" * 2000 + "x" + ")" * 2000 + '"'},
    {"query": "(" * 20_000 + "1" + ")" * 20_000},
    {"query": "1" + "+1" * 20_000},
    {"query": '{app="big"}' + ' |= "x"' * 5000},
    {"query": '{app="big"} | line_format "' + "{{.a}}" * 5000 + '"'},
    {"query": '{app="big"} | line_format `{{ repeat 1000000000 "x" }}`'},
    {"query": '{app="big"} | line_format `{{ range 1000000000 }}x{{ end }}`'},
    {"query": '{app="big"} | line_format `{{ printf "%1000000000d" 1 }}`'},
    {"query": '{app="big"} | label_format a=`{{ repeat 100000 "x" }}` | line_format `{{.a}}{{.a}}{{.a}}`'},
    {"query": "vector(1)", "start": 0, "end": 4_000_000_000, "step": "1"},
    {"query": 'topk(1000000000, rate({app=~".+"}[1m]))'},
    {
        "query": 'quantile_over_time(0.99, {app=~".+"} | regexp "(?P<n>x+)" | unwrap bytes(n) [1y])',
        "start": 0,
        "step": "1h",
    },
    {"query": 'rate({app=~".+"}[1s])', "start": 0, "end": 4_000_000_000, "step": "1ns"},
    {"query": 'rate({app=~".+"}[1s] offset 100000y)'},
    {"query": '{app=~".+"}', "start": -(1 << 63), "end": (1 << 63) - 1, "limit": 1_000_000_000},
)


def queries(a):
    for one in a.dice.sample(QUERIES, len(QUERIES)):
        if a.is_over.is_set():
            return
        parameters = {"start": a.begin_ns, "end": a.begin_ns + 3600 * NS, "step": "10", **one}
        for path in ("/loki/api/v1/query_range", "/loki/api/v1/query"):
            body = urllib.parse.urlencode(parameters).encode()
            status = a.ask("queries", "POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})
            if status not in (200, 400, 413, 422, 429, 503, 504):
                a.problems.append(f"query: {status}: {one['query'][:100]}")
    for path in ("series", "labels", "index/volume", "patterns", "detected_fields", "index/stats"):
        a.ask(
            "queries",
            "GET",
            f"/loki/api/v1/{path}?"
            + urllib.parse.urlencode(
                {"query": '{app=~"((a*)*)*b|.+"}', "match[]": '{app=~".+"}', "start": 0, "end": 1 << 62, "step": "1ns"}
            ),
        )


def deep_json(a):
    for body in (
        b"[" * 5_000_000,
        b'{"a":' * 1_000_000,
        b'{"streams":' + b"[" * 1_000_000,
        b'{"streams":[{"stream":{"a":' + b'{"b":' * 100_000 + b"1" + b"}" * 100_003,
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + b'{"arrayValue":{"values":[' * 100_000,
    ):
        for path in (PUSH, "/v1/logs", "/insert/jsonline", "/_bulk"):
            a.ask(
                "deep JSON",
                "POST",
                path,
                body,
                JSON,
                wanted=(400, 429) if path != "/insert/jsonline" else (204, 400, 429),
            )
    line = '{"a":' * 20_000 + "1" + "}" * 20_000
    a.daemon.push({"app": "deep"}, [[str(time.time_ns()), line]])
    a.ask(
        "deep JSON",
        "GET",
        "/loki/api/v1/query_range?" + urllib.parse.urlencode({"query": '{app="deep"} | json | logfmt | unpack'}),
    )
    nested = b"\x0a\xff\xff\xff\xff\x07" * 1000
    for path in (PUSH, "/v1/logs"):
        a.ask("broken protobuf", "POST", path, nested, {"Content-Type": "application/x-protobuf"}, wanted=(400, 429))
    a.is_over.wait(1)


ATTACKS = (
    slow_heads,
    slow_bodies,
    large_heads,
    never_reads,
    huge_bodies,
    endless_chunks,
    bombs,
    many_labels,
    many_streams,
    many_connections,
    malformed,
    tails_that_never_read,
    queries,
    deep_json,
)


def repeat(attack, a):
    while not a.is_over.is_set():
        try:
            attack(a)
        except Over:
            return
        except OSError as problem:  # refused, reset, timed out: what they deserve
            a.note(attack.__name__, type(problem).__name__)
            a.is_over.wait(0.2)
        except Exception as problem:  # noqa: BLE001: a mistake of the test must not pass for peace
            a.problems.append(f"{attack.__name__}: {problem!r}")
            return


class Good:
    """Pushes a line and asks for it, on a connection of its own; a process, so that it waits for the daemon alone."""

    query = '{app="good"}'

    def __init__(self, daemon):
        self.daemon_of = daemon
        self.answers, self.later, self.longest = 0, 0, 0.0
        self.problems = []
        self.is_over = multiprocessing.Event()
        self.told, tell = multiprocessing.Pipe(False)
        self.process = multiprocessing.Process(target=self.run, args=(tell,))
        self.process.start()

    def end(self):
        self.is_over.set()
        self.answers, self.later, self.longest, self.problems = self.told.recv()
        self.process.join()

    def again(self, what):
        """429 says: later. Anything else is the answer."""
        while True:
            begun = time.monotonic()
            status, body = what()
            self.longest = max(self.longest, time.monotonic() - begun)
            if status != 429 or self.is_over.is_set():
                return status, body
            self.later += 1
            time.sleep(0.05)

    def run(self, tell):
        number = 0
        while not self.is_over.is_set():
            number += 1
            now = time.time_ns()
            line = f"good line {number}"
            try:
                status, body = self.again(lambda: self.daemon_of.push({"app": "good"}, [[str(now), line]]))
                if status == 429:
                    break
                if status != 204:
                    self.problems.append(f"push: {status} {body[:200]!r}")
                    continue
                status, body = self.again(
                    lambda: self.daemon_of.get(
                        "/loki/api/v1/query_range", query=self.query, start=now, end=now + 1, limit=10
                    )
                )
                if status == 429:
                    break
                if status != 200 or line.encode() not in body:
                    self.problems.append(f"query: {status} {body[:200]!r}")
                else:
                    self.answers += 1
            except Exception as problem:  # noqa: BLE001: whatever it is, no answer came
                self.problems.append(f"no answer: {problem!r}")
            time.sleep(0.05)
        tell.send((self.answers, self.later, self.longest, self.problems))


def fill(daemon, begin_ns):
    for part in range(40):
        values = [[str(begin_ns + (part * 500 + i) * 1000), f"n={i} " + "x" * 1000] for i in range(500)]
        status, text = daemon.push({"app": "big"}, values)
        check(status == 204, f"{status} {text!r}")


def at_once(dice, folder, attacks=ATTACKS, start=lambda folder: Daemon(folder, CONFIG), friend=Good):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    daemon = start(folder)
    a = Attack(daemon, dice)
    a.begin_ns = time.time_ns() // NS * NS - 1800 * NS
    a.bombs = {}
    a.connections = min(10_000, hard - 1000)
    fill(daemon, a.begin_ns)
    daemon.get("/ready")
    before = daemon.descriptors()
    good = friend(daemon)
    load = Writer(daemon, 0, a.begin_ns)
    threads = [threading.Thread(target=repeat, args=(attack, a), daemon=True) for attack in attacks]
    load.start()
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    good.end()
    a.is_over.set()
    load.end()
    for thread in threads:
        thread.join(120)
    daemon.check_alive()
    peak = daemon.status("VmHWM")
    print(
        f"      good: {good.answers} answers, later {good.later} times, longest {good.longest:.2f} s; "
        f"peak {peak >> 10} MiB; {a.seen}",
        flush=True,
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    check(
        not good.problems,
        f"the good client: {len(good.problems)} problems, {good.answers} answers: {good.problems[:5]}",
    )
    check(good.answers > 0, "the good client got no answer")
    # Who opens all the connections there are may have one cut that waits for its turn; it is not the rule.
    check(a.unanswered * 50 <= a.asked, f"{a.unanswered} of {a.asked} requests of attackers had no answer")
    check(not a.problems, f"{len(a.problems)} problems: " + "; ".join(sorted(set(a.problems))[:12]))
    check(daemon.get("/ready")[0] == 200, "not ready")
    wait_until(lambda: daemon.metric("logmill_server_memory_bytes") < 100 << 20, "memory that comes back")
    load.compare(daemon)
    wait_until(
        lambda: daemon.descriptors() <= before + 24, f"{daemon.descriptors()} descriptors are open, {before} were"
    )
    # A sanitizer keeps its own account of memory, three times as large.
    if not os.environ.get("LOGMILL_SANITIZED"):
        check(peak <= MEMORY_KB, f"resident memory was {peak >> 10} MiB; memory.max is {MEMORY_KB >> 10} MiB")
    daemon.stop()
    daemon.start()
    load.compare(daemon)
    daemon.stop()


def alone(attack):
    def case(dice, folder):
        at_once(dice, folder, (attack,))

    case.__name__ = attack.__name__
    return case


# Each attack alone is for who looks for the cause: name it on the command line.
if __name__ == "__main__":
    import sys

    main(
        "test_daemon_hostile", [alone(x) for x in ATTACKS if x.__name__ in sys.argv[1:]] if sys.argv[1:] else [at_once]
    )
