#!/usr/bin/env python3
"""The daemon under load: records a second, its CPU time and memory, bytes on disk, and what queries cost.

Real logs are replayed with fresh timestamps by bench_load, whose own work is little and is printed beside the rest: CPU
time is the daemon's alone, read from /proc. Each request is answered when it is durable. Afterwards all records are
counted by a query: as many as were acknowledged must be there.

  bench_daemon.py [--logmill PROGRAM] [--load PROGRAM] [--seconds 20] [--form loki,ndjson,syslog,files]
                  [--connections 4] [--batch 2000] [--rate N] [--rival VICTORIA_LOGS] [--json FILE] [LOG ...]

Without a LOG: postgres.log, nginx_access.log and caddy_json.log of $LOGMILL_SHARED/corpus/big (default ../shared), else
the project's samples. bench_load: ninja -C build bench/bench_load. With --rival the same load is sent to that program
of VictoriaLogs after ours, in the forms that both speak (loki, ndjson).
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import bench_process

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEALED_WAIT = 20  # seconds, for what is sealed behind


def logs_of(arguments):
    shared = pathlib.Path(os.environ.get("LOGMILL_SHARED", ROOT.parent / "shared")) / "corpus" / "big"
    if arguments:
        return [pathlib.Path(a) for a in arguments]
    if shared.is_dir():
        return [shared / f"{name}.log.zst" for name in ("postgres", "nginx_access", "caddy_json")]
    print(f"# no corpus at {shared} (LOGMILL_SHARED): the project's own samples are sent", file=sys.stderr)
    return sorted((ROOT / "samples").glob("*.zst"))[:3]


def plain(path, folder):
    """The log, unpacked."""
    if path.suffix != ".zst":
        return path
    out = folder / path.stem
    subprocess.run(["zstd", "-dqf", path, "-o", out], check=True)
    return out


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- who is measured ----


class Server:
    """What is asked of either of them; self.process is the Process that is measured."""

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=300) as answer:
            return answer.read()

    def metric(self, name):
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", self.get("/metrics").decode(), re.M)
        return sum(float(v) for v in values)


class Logmill(Server):
    name = "logmill"
    paths = {"loki": "/loki/api/v1/push", "ndjson": "/logmill/v1/push/jsonline?label.app=load"}
    settings = ""

    def __init__(self, program, folder, form):
        config = self.settings
        if form == "syslog":
            self.syslog_port = free_port()
            config += f"sources:\n  - type: syslog\n    address: 127.0.0.1:{self.syslog_port}\n    tcp: true\n"
        if form == "files":
            (folder / "logs").mkdir()
            config += f"sources:\n  - type: files\n    paths: ['{folder}/logs/*.log']\n"
        self.process = bench_process.Daemon(program, folder / "data", folder, config or "sources: []\n")
        self.port, self.output = self.process.port, self.process.output

    def records(self):
        return int(self.metric("logmill_store_records_total"))

    def settle(self):
        """Sealed, as far as it goes by itself."""
        last = None
        for _ in range(SEALED_WAIT):
            time.sleep(1)
            now = (self.metric("logmill_store_segments"), self.process.cpu_seconds())
            if last and now[0] == last[0] and now[1] - last[1] < 0.02:
                break
            last = now

    def disk(self):
        """Bytes and raw bytes of what is sealed; the rest is in the log."""
        return self.metric("logmill_store_segment_bytes"), self.metric("logmill_store_segment_raw_bytes")

    def count(self):
        end = time.time_ns() + 3600 * 10**9
        for label in ("app", "filename", "host"):  # which of them there is depends on the form
            query = {"query": f'sum(count_over_time({{{label}=~".+"}}[400d]))', "time": end}
            rows = json.loads(self.get("/loki/api/v1/query?" + urllib.parse.urlencode(query)))["data"]["result"]
            if rows:
                return int(rows[0]["value"][1])
        return 0


class VictoriaLogs(Server):
    name = "victorialogs"
    paths = {
        "loki": "/insert/loki/api/v1/push?disable_message_parsing=1",
        "ndjson": "/insert/jsonline?_stream_fields=app&extra_fields=app=load",
    }

    def __init__(self, program, folder, form):
        self.port = free_port()
        self.data, self.log = folder / "data", folder / "server.log"
        with open(self.log, "wb") as log:
            self.process = bench_process.Process(
                [program, f"-storageDataPath={self.data}", f"-httpListenAddr=127.0.0.1:{self.port}"], stdout=log,
                stderr=log)
        for _ in range(200):
            try:
                self.get("/health")
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"bench_daemon.py: VictoriaLogs did not start:\n{self.output()}")

    def output(self):
        return self.log.read_text("utf-8", "replace")

    def settle(self):
        self.get("/internal/force_flush")
        time.sleep(SEALED_WAIT)

    def disk(self):
        files = self.data.rglob("*")
        return sum(p.stat().st_size for p in files if p.is_file()), None

    def count(self):
        self.get("/internal/force_flush")
        answer = self.get("/select/logsql/query?" + urllib.parse.urlencode({"query": "* | count() n"}))
        return int(json.loads(answer)["n"])


# ---- one measurement ----


def queries(daemon, text):
    """Milliseconds of wall time, the second of two runs."""
    words = re.findall(rb"[A-Za-z]{5,12}", text[:40000])
    word = max(words, key=len, default=b"error").decode()
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


def run_form(kind, program, form, log, options):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-bench-", dir=options.folder))
    server = None
    try:
        text = plain(log, folder)
        server = kind(program, folder, form)
        target = {"syslog": lambda: f"127.0.0.1:{server.syslog_port}", "files": lambda: str(folder / "logs")}.get(
            form, lambda: f"127.0.0.1:{server.port}{server.paths[form]}")()
        argv = [options.load, form, target, text, "--seconds", str(options.seconds), "--batch", str(options.batch),
                "--connections", str(options.connections)]
        if options.rate:
            argv += ["--rate", str(options.rate)]
        if form == "files":
            argv += ["--metrics", f"127.0.0.1:{server.port}"]
        cpu, begun = server.process.cpu_seconds(), time.monotonic()
        sent = subprocess.run(argv, stdout=subprocess.PIPE, text=True)
        if sent.returncode:
            sys.exit(f"bench_daemon.py: bench_load failed; the server says:\n{server.output()[-3000:]}")
        load = json.loads(sent.stdout)
        records = load.pop("records")
        if form == "syslog":  # nothing acknowledges: the clock stops when all of it is durable
            while server.records() < records and time.monotonic() - begun < options.seconds + 120:
                time.sleep(0.02)
            load["seconds"] = round(time.monotonic() - begun, 2)
            load["records_per_second"] = round(records / load["seconds"])
        spent = server.process.cpu_seconds() - cpu
        result = {
            "server": kind.name, "form": form, "log": log.name.split(".")[0], "records": records, **load,
            "cpu_seconds_per_million": round(spent / records * 1e6, 3),
            "records_per_second_of_two_cores": round(2 * records / spent),
            "peak_mib": server.process.mib("VmHWM"),
        }
        server.settle()
        result["cpu_seconds_per_million_settled"] = round((server.process.cpu_seconds() - cpu) / records * 1e6, 3)
        raw_bytes = text.stat().st_size / max(1, text.read_bytes().count(b"\n")) * records
        disk, raw = server.disk()
        result["times_smaller"] = round((raw or raw_bytes) / disk, 2) if disk else None
        result["counted"] = server.count()
        # lines of a file may have been joined to records; bench_load has seen that all of them are stored
        result["lost"] = (server.records() if form == "files" else records) - result["counted"]
        if kind is Logmill and options.queries:
            result["queries_ms"] = queries(server, text.read_bytes())
        return result
    finally:
        if server:
            server.process.stop()
        shutil.rmtree(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--logmill", default=str(ROOT / "build" / "logmill"))
    parser.add_argument("--load", default=str(ROOT / "build" / "bench" / "bench_load"))
    parser.add_argument("--rival", help="the program of VictoriaLogs")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--form", default="loki,ndjson,syslog,files")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=0, help="records a second; 0: as many as are taken")
    parser.add_argument("--folder", help="where data and logs go (default: the system's for temporary files)")
    parser.add_argument("--queries", action="store_true", help="some queries afterwards, timed")
    parser.add_argument("--json")
    options = parser.parse_args()
    results = []
    for log in logs_of(options.logs):
        for form in options.form.split(","):
            who = [(Logmill, options.logmill)]
            if options.rival and form in VictoriaLogs.paths:
                who.append((VictoriaLogs, options.rival))
            for kind, program in who:
                results.append(run_form(kind, program, form, log, options))
                print(json.dumps(results[-1]), flush=True)
    if options.json:
        pathlib.Path(options.json).write_text("".join(json.dumps(r) + "\n" for r in results))


if __name__ == "__main__":
    main()
