#!/usr/bin/env python3
"""Hostile and clumsy clients of the gRPC listener, all at once, beside one that behaves well: what
test_daemon_hostile.py asks of HTTP, asked of HTTP/2. The frames are written by hand, so that they can be wrong."""

import gzip
import socket
import struct
import sys
import time
import urllib.parse

from daemon_harness import Daemon, check, main
from test_daemon_hostile import CONFIG, Good, at_once

LISTEN = 'listen: {http: "127.0.0.1:0", elasticsearch: "", otlp_http: "", otlp_grpc: "127.0.0.1:0"}\n'
EXPORT = b"/opentelemetry.proto.collector.logs.v1.LogsService/Export"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


# ---- HTTP/2 and OTLP by hand ----


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def number(value, bits, first=0):
    """HPACK's integers."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out = bytes((first | most,))
    value -= most
    while value > 127:
        out += bytes((value & 127 | 128,))
        value >>= 7
    return out + bytes((value,))


def pair(name, value):
    return b"\0" + number(len(name), 7) + name + number(len(value), 7) + value


def head(*more, path=EXPORT, kind=b"application/grpc"):
    pairs = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"))
    return b"".join(pair(*p) for p in (*pairs, (b"content-type", kind), (b"te", b"trailers"), *more))


def opening(stream, *more):
    return frame(HEADERS, END_HEADERS, stream, head(*more))


def message(payload, is_packed=False):
    return struct.pack(">BI", is_packed, len(payload)) + payload


def pieces(stream, body, is_whole=True):
    out = b""
    for at in range(0, max(len(body), 1), 16384):
        is_last = is_whole and at + 16384 >= len(body)
        out += frame(DATA, END_STREAM if is_last else 0, stream, body[at : at + 16384])
    return out


def field(tag, payload):
    length, out = len(payload), b""
    while length > 127:
        out += bytes((length & 127 | 128,))
        length >>= 7
    return bytes((tag << 3 | 2,)) + out + bytes((length,)) + payload


def logs(name, lines, begin_ns):
    """ExportLogsServiceRequest."""
    resource = field(1, field(1, field(1, b"service.name") + field(2, field(1, name))))
    records = b"".join(
        field(2, b"\x09" + struct.pack("<Q", begin_ns + i) + field(5, field(1, line))) for i, line in enumerate(lines)
    )
    return field(1, resource + field(2, records))


class Talk:
    """A connection that greets as it should, and reads frames."""

    def __init__(self, address, timeout=30, settings=b"", receive=None):
        self.socket = socket.socket()
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.rest = b""

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()

    def take(self, count):
        while len(self.rest) < count:
            piece = self.socket.recv(65536)
            if not piece:
                raise OSError("the daemon closed the connection")
            self.rest += piece
        out, self.rest = self.rest[:count], self.rest[count:]
        return out

    def read(self):
        start = self.take(9)
        length = struct.unpack(">I", b"\0" + start[:3])[0]
        kind, flags, stream = start[3], start[4], struct.unpack(">I", start[5:9])[0]
        payload = self.take(length)
        if kind == SETTINGS and not flags & 1:
            self.send(frame(SETTINGS, 1, 0))
        return kind, flags, stream, payload

    def answer(self, stream):
        """"taken" (an answer has a message), "refused" (a refusal has none), "reset"."""
        has_message = False
        while True:
            kind, flags, where, _ = self.read()
            if kind == GOAWAY:
                return "reset"
            if where != stream:
                continue
            has_message |= kind == DATA
            if kind == RST:
                return "reset"
            if flags & END_STREAM and kind in (DATA, HEADERS):
                return "taken" if has_message else "refused"


    def send_body(self, stream, body, is_over):
        """As the windows allow; None when all is sent, else what came instead."""
        at, window = 0, 65535  # what is open at first; more is what the daemon says
        while at < len(body):
            if is_over.is_set():
                return "over"
            count = min(16384, window, len(body) - at)
            if count:
                is_last = at + count == len(body)
                self.send(frame(DATA, END_STREAM if is_last else 0, stream, body[at : at + count]))
                at, window = at + count, window - count
                continue
            kind, flags, where, payload = self.read()
            if kind == WINDOW and where == stream:
                window += struct.unpack(">I", payload)[0]
            elif kind == SETTINGS and not flags & 1:
                values = {payload[i : i + 2]: payload[i + 2 : i + 6] for i in range(0, len(payload), 6)}
                window += struct.unpack(">I", values.get(b"\0\4", b"\0\0\xff\xff"))[0] - 65535
            elif kind == GOAWAY or (where == stream and kind == RST):
                return "reset"
            elif where == stream and flags & END_STREAM:
                return "refused"
        return None


# ---- the one that behaves well ----


class Through:
    """A daemon to which Good pushes by gRPC. A new connection each time, as the worst of good clients does."""

    def __init__(self, daemon):
        self.daemon, self.get = daemon, daemon.get
        self.address = grpc_door(daemon)

    def push(self, labels, values):
        talk = Talk(self.address, 60)
        try:
            lines = [line.encode() for _, line in values]
            body = message(logs(labels["app"].encode(), lines, int(values[0][0])))
            talk.send(opening(1) + pieces(1, body))
            answer = talk.answer(1)
        finally:
            talk.close()
        return {"taken": 204, "refused": 429}.get(answer, 500), answer.encode()


class GoodGrpc(Good):
    query = '{service_name="good"}'

    def __init__(self, daemon):
        super().__init__(Through(daemon))


def grpc_door(daemon):
    url = next(a for a in daemon.addresses if a.startswith("grpc"))
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


# ---- the attacks ----


def expect(a, name, talk, stream, wanted):
    answer = talk.answer(stream)
    a.note(name, answer)
    if answer not in wanted:
        a.problems.append(f"{name}: {answer} instead of {wanted}")


def no_http2(a):
    for data in (
        a.dice.randbytes(5000),
        b"\0" * 3000,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        PREFACE[:10],
        PREFACE + a.dice.randbytes(3000),
        PREFACE + frame(SETTINGS, 0, 0, a.dice.randbytes(7)),
    ):
        with socket.create_connection(a.door, 5) as one:
            try:
                one.sendall(data)
                one.shutdown(socket.SHUT_WR)
                while one.recv(65536):
                    pass
            except OSError:
                pass
    a.note("no HTTP/2", "sent")


def broken_frames(a):
    texts = [frame(a.dice.randrange(12), a.dice.randrange(256), a.dice.randrange(8), a.dice.randbytes(n)) * 3
             for n in (0, 1, 4, 5, 8, 9, 100, 16384)]
    texts += [
        opening(1) + frame(DATA, END_STREAM, 3, b"x"),  # of a call that never began
        opening(2),
        opening(0),
        opening(3) + opening(1),
        frame(DATA, 0, 0, b"x" * 100),
        frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff") * 2,
        opening(1) + frame(WINDOW, 0, 1, b"\0\0\0\0"),
        frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + head()),
        frame(HEADERS, 0, 1, head()) + frame(DATA, 0, 1, b"x"),  # a head that does not end
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff"),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, pair(b":method", b"POST")),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, head((b"connection", b"close"))),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, head((b"UPPER", b"x"), (b"a", b"\0\r\n"))),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, head(path=b"")),
        frame(HEADERS, END_HEADERS | 8, 1, b"\xff" + head()),  # more padding than there is
        struct.pack(">I", 0xFFFFFF)[1:] + b"\0\0\0\0\0\1" + b"x" * 50_000,
    ]
    for text in texts:
        raw = bytearray(text)
        if raw and a.dice.random() < 0.3:
            raw[a.dice.randrange(len(raw))] ^= 1 << a.dice.randrange(8)
        talk = Talk(a.door, 5)
        try:
            talk.send(bytes(raw))
            talk.socket.shutdown(socket.SHUT_WR)
            while talk.socket.recv(65536):
                pass
        except OSError:
            pass
        finally:
            talk.close()
    a.note("broken frames", "sent")


def floods(a):
    """Of what must be answered, of calls that are given up at once, of heads without end."""
    resets = b"".join(opening(2 * i + 1) + frame(RST, 0, 2 * i + 1, b"\0\0\0\x08") for i in range(3000))
    works = b"".join(
        opening(n) + pieces(n, message(logs(b"flood", [b"f"], n))) + frame(RST, 0, n, b"\0\0\0\x08")
        for n in range(1, 2000, 2)
    )
    # large enough for a worker, which goes on with the tenant's name when the call is gone
    leaves = b"".join(
        opening(n, (b"x-scope-orgid", b"leaves"))
        + pieces(n, message(logs(b"flood", [b"f" * 90_000], n)))
        + frame(RST, 0, n, b"\0\0\0\x08")
        for n in range(1, 60, 2)
    )
    for data in (
        leaves,
        frame(PING, 0, 0, b"12345678") * 20_000,
        frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0" * 30) * 3000,
        frame(PRIORITY, 0, 1, b"\0\0\0\3\x10") * 20_000,
        frame(WINDOW, 0, 0, b"\0\0\0\1") * 20_000,
        resets,
        works,
        frame(HEADERS, 0, 1, head()) + frame(CONTINUATION, 0, 1, pair(b"x", b"y" * 1000)) * 2000,
        frame(HEADERS, END_HEADERS, 1, head((b"big", b"b" * 60_000))) * 3,
        # one pair in the table of heads, named ten thousand times
        frame(HEADERS, END_HEADERS, 1, head() + b"\x40" + number(1, 7) + b"z" + number(3900, 7) + b"z" * 3900
              + b"\xbe" * 10_000),
    ):
        talk = Talk(a.door, 10)
        try:
            talk.send(data)
            talk.socket.shutdown(socket.SHUT_WR)
            while talk.socket.recv(65536):
                pass
        except OSError:
            pass
        finally:
            talk.close()
    a.note("floods", "sent")


def half_open(a):
    """Calls that begin, say something, and go on a byte a second."""
    talks = []
    for _ in range(10):
        talk = Talk(a.door)
        for i in range(100):
            talk.send(opening(2 * i + 1) + pieces(2 * i + 1, struct.pack(">BI", 0, 1 << 20) + b"x" * 9000, False))
        talks.append(talk)
    a.note("half open", 100 * len(talks))
    while not a.is_over.wait(1):
        for talk in talks:
            try:
                talk.send(frame(DATA, 0, 1, b"x"))
            except OSError:
                pass
    for talk in talks:
        talk.close()


def too_many_calls(a):
    """More at once than the settings allow."""
    talk = Talk(a.door)
    try:
        for i in range(1000):
            talk.send(opening(2 * i + 1))
        a.is_over.wait(1)
    except OSError:
        pass
    finally:
        talk.close()
    a.note("too many calls", "sent")


def huge_messages(a):
    for size in (1 << 32) - 1, 1 << 30, (64 << 20) + 1:
        talk = Talk(a.door, 60)
        try:
            talk.send(opening(1) + pieces(1, struct.pack(">BI", 0, size) + b"x" * 10_000, False))
            expect(a, f"a message of {size} bytes", talk, 1, ("refused",))
        finally:
            talk.close()
    for size in (30 << 20, 63 << 20):
        talk = Talk(a.door, 60)
        try:
            body = message(logs(b"huge", [b"x" * size], time.time_ns()))
            talk.send(opening(1))
            answer = talk.send_body(1, body, a.is_over) or talk.answer(1)
            a.note(f"a line of {size >> 20} MiB", answer)
        finally:
            talk.close()
    a.is_over.wait(1)


def bombs(a):
    if not a.bombs:
        a.bombs["gzip"] = gzip.compress(bytes(200 << 20), 1)
    for name in (b"gzip", b"deflate", b"zstd", b"snappy", b"x" * 100):
        talk = Talk(a.door, 60)
        try:
            talk.send(opening(1, (b"grpc-encoding", name)))
            answer = talk.send_body(1, message(a.bombs["gzip"], True), a.is_over) or talk.answer(1)
            a.note("bombs", answer)
            if answer not in ("refused", "over"):
                a.problems.append(f"a bomb is {answer}")
        finally:
            talk.close()
    a.is_over.wait(0.3)


def never_reads(a):
    """Asks and does not read: with no window for an answer, and with one but a deaf socket."""
    talks = [Talk(a.door, settings=b"\0\4\0\0\0\0") for _ in range(5)] + [Talk(a.door, receive=4096) for _ in range(5)]
    body = message(logs(b"deaf", [b"d" * 100], time.time_ns()))
    for talk in talks:
        talk.socket.settimeout(2)
        try:
            for i in range(400):
                talk.send(opening(2 * i + 1) + pieces(2 * i + 1, body) + frame(PING, 0, 0, b"12345678") * 20)
        except OSError:
            pass
    a.note("never reads", len(talks))
    a.is_over.wait()
    for talk in talks:
        talk.close()


def many_connections(a):
    """Wave after wave, and none of them says anything: who comes among them must still be heard."""
    socks = []
    for _ in range(a.connections // 2):
        one = socket.socket()
        one.setblocking(False)
        try:
            one.connect(a.door)
        except BlockingIOError:
            pass
        except OSError:
            one.close()
            break
        socks.append(one)
        if len(socks) % 500 == 0:
            time.sleep(0.05)
    a.note("connections left open", len(socks))
    a.is_over.wait(1)
    for one in socks:
        one.close()


ATTACKS = (
    no_http2,
    broken_frames,
    floods,
    half_open,
    too_many_calls,
    huge_messages,
    bombs,
    never_reads,
    many_connections,
)


def start(folder):
    daemon = Daemon(folder, CONFIG + LISTEN, listen=None)
    check(grpc_door(daemon)[1] != daemon.port, f"{daemon.addresses}")
    return daemon


def at_the_door(attack):
    """Attacks know where the door is."""

    def run(a):
        a.door = grpc_door(a.daemon)
        return attack(a)

    run.__name__ = attack.__name__
    return run


def all_at_once(dice, folder):
    at_once(dice, folder, [at_the_door(x) for x in ATTACKS], start, GoodGrpc)


def alone(attack):
    def case(dice, folder):
        at_once(dice, folder, [at_the_door(attack)], start, GoodGrpc)

    case.__name__ = attack.__name__
    return case


# Each attack alone is for who looks for the cause: name it on the command line.
if __name__ == "__main__":
    chosen = [alone(x) for x in ATTACKS if x.__name__ in sys.argv[1:]]
    main("test_daemon_hostile_grpc", chosen or [all_at_once])
