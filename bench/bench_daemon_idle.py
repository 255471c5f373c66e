#!/usr/bin/env python3
"""What a daemon costs that has nothing to do: resident memory, CPU time, wake-ups, descriptors.

It is started empty, and again over a folder that holds some segments; each time it is left alone and then looked at
in /proc.

  bench_daemon_idle.py [--logmill PROGRAM] [--seconds 30] [--records 200000] [--json FILE]
"""

import argparse
import http.client
import json
import os
import pathlib
import sys
import tempfile
import time

import bench_process

CONFIG = "ingest: {head_size: 1MiB}\nsources: []\n"


class Daemon(bench_process.Daemon):
    def wakeups(self):
        total = 0
        for task in (self.proc / "task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total

    def push(self, records):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        for first in range(0, records, 1000):
            lines = "".join(
                f'{{"_msg":"request {n} took {n * 7 % 997} ms","app":"a{n % 10}"}}\n'
                for n in range(first, first + 1000)
            )
            connection.request("POST", "/logmill/v1/push/jsonline?_stream_fields=app", lines)
            response = connection.getresponse()
            response.read()
            if response.status >= 300:
                sys.exit(f"bench_daemon_idle.py: push: {response.status}")
        connection.close()


def measure(daemon, name, seconds):
    time.sleep(3)  # what the start began
    cpu, wakeups = daemon.cpu_seconds(), daemon.wakeups()
    time.sleep(seconds)
    row = {
        "name": name,
        "rss_kb": daemon.status("VmRSS"),
        "peak_kb": daemon.status("VmHWM"),
        "cpu_percent": round((daemon.cpu_seconds() - cpu) / seconds * 100, 3),
        "wakeups_per_second": round((daemon.wakeups() - wakeups) / seconds, 1),
        "threads": daemon.status("Threads"),
        "descriptors": len(list((daemon.proc / "fd").iterdir())),
    }
    print(json.dumps(row), flush=True)
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--logmill", default=os.environ.get("LOGMILL", "build/logmill"))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--json")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="logmill-idle-") as name:
        folder = pathlib.Path(name)
        daemon = Daemon(options.logmill, folder / "data", folder, CONFIG)
        rows.append(measure(daemon, "idle_empty", options.seconds))
        daemon.push(options.records)
        time.sleep(20)  # sealing and merging of what came
        rows.append(measure(daemon, "idle_after_load", options.seconds))
        daemon.stop()
        daemon = Daemon(options.logmill, folder / "data", folder, CONFIG)
        rows.append(measure(daemon, "idle_restarted", options.seconds))
        daemon.stop()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


main()
