#!/usr/bin/env python3
"""The daemon under load: records a second, its CPU time and memory, bytes on disk, and what queries cost.

Real logs are replayed with fresh timestamps. Requests are made before the clock starts, so the sender's work is little
(and is not counted: CPU time is the daemon's own, read from /proc). Each request is answered when it is durable.

  bench_daemon.py [--logmill PROGRAM] [--seconds 20] [--form loki,ndjson,syslog,files] [--connections 2]
                  [--batch 2000] [--json FILE] [LOG ...]

Without a LOG: postgres.log, nginx_access.log and caddy_json.log of $LOGMILL_SHARED/corpus/big (default ../shared), else
the project's samples. Loki bodies are packed with libsnappy, found on this machine.
"""
import argparse
import ctypes
import ctypes.util
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
BODIES = 60  # requests made in advance, sent again and again with other timestamps' distance
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def logs_of(arguments):
    shared = pathlib.Path(os.environ.get("LOGMILL_SHARED", ROOT.parent / "shared")) / "corpus" / "big"
    if arguments:
        return [pathlib.Path(a) for a in arguments]
    if shared.is_dir():
        return [shared / f"{name}.log.zst" for name in ("postgres", "nginx_access", "caddy_json")]
    print(f"# no corpus at {shared} (LOGMILL_SHARED): the project's own samples are sent", file=sys.stderr)
    return sorted((ROOT / "samples").glob("*.zst"))[:3]


def lines_of(path, count):
    if path.suffix == ".zst":
        child = subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE)
        stream = child.stdout
    else:
        stream = open(path, "rb")
    lines = []
    for line in stream:
        lines.append(line.rstrip(b"\n"))
        if len(lines) == count:
            break
    stream.close()
    return lines


# ---- requests ----


def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


class Snappy:
    def __init__(self):
        name = ctypes.util.find_library("snappy")
        if not name:
            sys.exit("bench_daemon.py: libsnappy is not installed")
        self.lib = ctypes.CDLL(name)

    def pack(self, body):
        room = ctypes.c_size_t(32 + len(body) + len(body) // 6)
        out = ctypes.create_string_buffer(room.value)
        if self.lib.snappy_compress(body, ctypes.c_size_t(len(body)), out, ctypes.byref(room)):
            sys.exit("bench_daemon.py: snappy_compress failed")
        return out.raw[: room.value]


def loki_body(lines, now_ns, labels, snappy):
    entries = bytearray()
    for i, line in enumerate(lines):
        at = now_ns + i * 1000
        stamp = b"\x08" + varint(at // 10**9) + b"\x10" + varint(at % 10**9)
        entries += field(2, field(1, stamp) + field(2, line))
    return snappy.pack(field(1, field(1, labels.encode()) + bytes(entries)))


def ndjson_body(lines, now_ns):
    rows = []
    for i, line in enumerate(lines):
        text = line.decode("utf-8", "replace")
        rows.append(json.dumps({"_time": str(now_ns + i * 1000), "_msg": text}, separators=(",", ":")))
    return ("\n".join(rows) + "\n").encode()


# ---- the daemon ----


class Daemon:
    def __init__(self, program, folder, config=None):
        self.folder = folder
        argv = [program, "run", "--listen", "127.0.0.1:0", "--data", str(folder / "data")]
        if config:
            (folder / "logmill.yaml").write_text(config)
            argv += ["--config", str(folder / "logmill.yaml")]
        self.log = open(folder / "daemon.log", "wb+")
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=self.log)
        self.port = None
        for _ in range(200):
            text = (folder / "daemon.log").read_text("utf-8", "replace")
            found = re.search(r"http://127\.0\.0\.1:(\d+)", text)
            if found:
                self.port = int(found[1])
                break
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        if not self.port:
            sys.exit(f"bench_daemon.py: the daemon did not start:\n{(folder / 'daemon.log').read_text()}")

    def cpu_seconds(self):
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / CLOCK_TICKS

    def peak_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            sys.exit(f"bench_daemon.py: GET {path}: {answer.status} {body[:300]}")
        return body

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


def disk_bytes(folder):
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def metric(body, name):
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", body, re.M)
    return sum(float(v) for v in values)


# ---- sending ----


def send_http(daemon, path, headers, bodies, seconds, connections):
    """(requests, refusals, seconds)"""
    done, refused = [0] * connections, [0] * connections
    end = time.monotonic() + seconds

    def work(index):
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        at = index
        while time.monotonic() < end:
            connection.request("POST", path, bodies[at % len(bodies)], headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status in (200, 204):
                done[index] += 1
                at += connections
            elif answer.status in (429, 503):
                refused[index] += 1
                time.sleep(0.005)
            else:
                sys.exit(f"bench_daemon.py: POST {path}: {answer.status}")
        connection.close()

    begun = time.monotonic()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), sum(refused), time.monotonic() - begun


def wait_for(daemon, name, count, seconds=120):
    """Until the metric says that so many records are durable."""
    for _ in range(seconds * 20):
        if metric(daemon.get("/metrics").decode(), name) >= count:
            return
        time.sleep(0.05)
    sys.exit(f"bench_daemon.py: {name} did not reach {count}")


def send_syslog(port, lines, seconds):
    stamp = time.strftime("%b %d %H:%M:%S")
    messages = b"".join(b"<134>%s host app[42]: %s\n" % (stamp.encode(), line) for line in lines)
    connection = socket.create_connection(("127.0.0.1", port))
    begun, sent = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        connection.sendall(messages)
        sent += len(lines)
    connection.close()
    return sent, begun


def measure(daemon, records, seconds, cpu, raw_bytes, refused, form, name):
    wait_for(daemon, "logmill_store_records_total", records)
    took = time.monotonic() - seconds
    spent = daemon.cpu_seconds() - cpu
    return {
        "form": form, "log": name, "records": records, "records_per_second": round(records / took),
        "cpu_seconds_per_million": round(spent / records * 1e6, 3), "refused": refused,
        "peak_mib": round(daemon.peak_bytes() / 2**20, 1), "raw_mb_per_second": round(raw_bytes / took / 1e6, 1),
    }


def run_form(form, program, path, options):
    lines = lines_of(path, options.batch * BODIES)
    per_line = sum(map(len, lines)) / len(lines)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-bench-"))
    name = path.name.split(".")[0]
    config = None
    if form == "syslog":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config = f"sources:\n  - type: syslog\n    address: 127.0.0.1:{port}\n    tcp: true\n"
    if form == "files":
        (folder / "logs").mkdir()
        config = f"sources:\n  - type: files\n    globs: ['{folder}/logs/*.log']\n"
        copies = max(1, int(options.seconds * 1_000_000 / len(lines)))
        with open(folder / "all.txt", "wb") as out:
            for _ in range(copies):
                out.write(b"\n".join(lines) + b"\n")
    daemon = Daemon(program, folder, config)
    try:
        now_ns = time.time_ns()
        batches = [lines[i : i + options.batch] for i in range(0, len(lines), options.batch)]
        cpu = daemon.cpu_seconds()
        refused = 0
        begun = time.monotonic()
        if form == "loki":
            snappy = Snappy()
            bodies = [loki_body(b, now_ns + i * 10**9, f'{{app="{name}", part="{i % 3}"}}', snappy)
                      for i, b in enumerate(batches)]
            headers = {"Content-Type": "application/x-protobuf"}
            begun = time.monotonic()
            requests, refused, _ = send_http(daemon, "/loki/api/v1/push", headers, bodies, options.seconds,
                                             options.connections)
            records = requests * options.batch
        elif form == "ndjson":
            bodies = [ndjson_body(b, now_ns + i * 10**9) for i, b in enumerate(batches)]
            headers = {"Content-Type": "application/x-ndjson"}
            begun = time.monotonic()
            requests, refused, _ = send_http(daemon, f"/logmill/v1/push/jsonline?label.app={name}", headers, bodies,
                                             options.seconds, options.connections)
            records = requests * options.batch
        elif form == "syslog":
            records, begun = send_syslog(port, lines, options.seconds)
        else:
            os.rename(folder / "all.txt", folder / "logs" / "all.log")
            begun = time.monotonic()
            records = copies * len(lines)
        result = measure(daemon, records, begun, cpu, records * per_line, refused, form, name)
        time.sleep(3)  # sealing goes on behind
        result["disk_bytes_per_record"] = round(disk_bytes(folder / "data" / "segments") /
                                                max(1, metric(daemon.get("/metrics").decode(),
                                                              "logmill_store_segment_records")), 2)
        result["cpu_seconds_per_million_sealed"] = round((daemon.cpu_seconds() - cpu) / records * 1e6, 3)
        result["queries_ms"] = queries(daemon, name, lines)
        return result
    finally:
        daemon.stop()
        shutil.rmtree(folder)


def queries(daemon, name, lines):
    """Milliseconds of wall time, the second of two runs."""
    word = max(re.findall(rb"[A-Za-z]{5,12}", b" ".join(lines[:200])), key=len, default=b"error").decode()
    selector = '{filename=~".+"}' if "filename" in daemon.get("/loki/api/v1/labels").decode() else '{app=~".+"}'
    asked = {
        "absent, newest 100": f'{selector} |= "qqzzxxqq"',
        "frequent, newest 100": f'{selector} |= "{word}"',
        "frequent, count": f'sum(count_over_time({selector} |= "{word}" [1h]))',
        "all, count": f"sum(count_over_time({selector} [1h]))",
    }
    end = time.time_ns() + 3600 * 10**9
    result = {}
    for title, query in asked.items():
        path = "/loki/api/v1/query_range?" + urllib.parse.urlencode(
            {"query": query, "start": end - 7200 * 10**9, "end": end, "limit": 100, "step": "3600"})
        for _ in range(2):
            begun = time.monotonic()
            daemon.get(path)
            result[title] = round((time.monotonic() - begun) * 1000, 1)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--logmill", default=str(ROOT / "build" / "logmill"))
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--form", default="loki,ndjson,syslog,files")
    parser.add_argument("--connections", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    for path in logs_of(options.logs):
        for form in options.form.split(","):
            results.append(run_form(form, options.logmill, path, options))
            print(json.dumps(results[-1]), flush=True)
    if options.json:
        pathlib.Path(options.json).write_text("".join(json.dumps(r) + "\n" for r in results))


if __name__ == "__main__":
    main()
