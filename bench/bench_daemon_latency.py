#!/usr/bin/env python3
"""How soon a record is seen: by a query after its acknowledgement, by a live tail after it was sent.

bench_load sends at a rate beside it. Markers are single records of a stream of their own, pushed one by one: the clock
of "visible" starts with the acknowledgement and stops when a query has returned the marker (the query's own time is in
it); the clock of "tail" starts before the push and stops when a live tail (server-sent events) has told the marker.

  bench_daemon_latency.py [--logmill PROGRAM] [--load PROGRAM] [--rate 100000] [--markers 300] [--json FILE] [LOG]
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import bench_process

ROOT = pathlib.Path(__file__).resolve().parent.parent


def request(connection, method, path, body=None):
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        sys.exit(f"bench_daemon_latency.py: {path}: {answer.status} {text[:200]}")
    return text


def follow(port, seen, stop):
    """Marker number -> when the tail told it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/logmill/v1/tail?" + urllib.parse.urlencode({"query": '{app="marker"}'}))
    answer = connection.getresponse()
    while not stop.is_set():
        line = answer.readline()
        now = time.monotonic()
        if not line:
            return
        for number in re.findall(rb"marker-(\d+)-end", line):
            seen.setdefault(int(number), now)


def percentile(values, share):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * share))] * 1000, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", nargs="?")
    parser.add_argument("--logmill", default=str(ROOT / "build" / "logmill"))
    parser.add_argument("--load", default=str(ROOT / "build" / "bench" / "bench_load"))
    parser.add_argument("--rate", type=float, default=100_000)
    parser.add_argument("--markers", type=int, default=300)
    parser.add_argument("--json")
    options = parser.parse_args()
    shared = pathlib.Path(os.environ.get("LOGMILL_SHARED", ROOT.parent / "shared"))
    log = pathlib.Path(options.log) if options.log else shared / "corpus" / "big" / "postgres.log.zst"
    with tempfile.TemporaryDirectory(prefix="logmill-latency-") as name:
        folder = pathlib.Path(name)
        if log.suffix == ".zst":
            subprocess.run(["zstd", "-dqf", log, "-o", folder / "log"], check=True)
            log = folder / "log"
        daemon = bench_process.Daemon(options.logmill, folder / "data", folder)
        seconds = options.markers * 0.06 + 3
        load = subprocess.Popen(
            [options.load, "loki", f"127.0.0.1:{daemon.port}/loki/api/v1/push", log, "--rate", str(options.rate),
             "--seconds", str(seconds), "--batch", "500"], stdout=subprocess.PIPE, text=True)
        seen, stop = {}, threading.Event()
        tail = threading.Thread(target=follow, args=(daemon.port, seen, stop), daemon=True)
        tail.start()
        time.sleep(1)
        pushes = http.client.HTTPConnection("127.0.0.1", daemon.port)
        queries = http.client.HTTPConnection("127.0.0.1", daemon.port)
        visible, sent = [], {}
        for number in range(options.markers):
            text = f"marker-{number}-end"
            sent[number] = time.monotonic()
            request(pushes, "POST", "/logmill/v1/push/jsonline?label.app=marker", json.dumps({"_msg": text}))
            acknowledged = time.monotonic()
            end = time.time_ns() + 10**9
            path = "/loki/api/v1/query_range?" + urllib.parse.urlencode(
                {"query": f'{{app="marker"}} |= "{text}"', "start": end - 60 * 10**9, "end": end, "limit": 10})
            while text.encode() not in request(queries, "GET", path):
                pass
            visible.append(time.monotonic() - acknowledged)
            time.sleep(0.05)
        time.sleep(0.5)
        missed = [n for n in sent if n not in seen]
        tails = [seen[n] - sent[n] for n in sent if n in seen]
        result = {
            "rate": options.rate, "markers": options.markers, "tail_missed": len(missed),
            "visible_ms_p50": percentile(visible, 0.5), "visible_ms_p99": percentile(visible, 0.99),
            "tail_ms_p50": percentile(tails, 0.5), "tail_ms_p99": percentile(tails, 0.99),
            "load": json.loads(load.communicate()[0]),
        }
        stop.set()
        daemon.stop()
        print(json.dumps(result))
        if options.json:
            pathlib.Path(options.json).write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
