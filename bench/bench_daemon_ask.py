#!/usr/bin/env python3
"""What questions cost over a daemon's store that holds much: each is asked over HTTP, again and again.

  bench_store_fill FOLDER ... >fill.json
  bench_daemon_ask.py FOLDER fill.json [--logmill PROGRAM] [--runs 9] [--only TEXT] [--idle 20] [--json FILE]
                      [--rival VICTORIA_LOGS --rival-data FOLDER [--rival-end NS]]

With --rival the same questions are asked of VictoriaLogs, right after ours, over the same records:

  bench_store_fill - --end END ... | curl -T - \
    'http://HOST/insert/jsonline?_stream_fields=app,env,host&_time_field=_time&_msg_field=_msg'

(with --rival-end where another END was said: the same records, so much earlier or later).

Prints for each question the first time, the median of the others, the daemon's CPU time for one, and what was found;
then how long the daemon takes to be ready, and what it holds and burns when nobody asks. Times are wall time of the
client, connection kept.
"""
import argparse
import http.client
import json
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

import bench_process

ROOT = pathlib.Path(__file__).resolve().parent.parent
NS = 10**9
HOUR = 3600 * NS


class Daemon(bench_process.Daemon):
    def __init__(self, program, folder):
        super().__init__(program, folder, folder)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        while self.get("/ready")[0] != 200:
            time.sleep(0.005)
        self.ready_s = time.monotonic() - self.begun

    def get(self, path, **parameters):
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters)
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


class VictoriaLogs(bench_process.Process):
    """Words are asked for as words there, which its index knows."""

    def __init__(self, program, data):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        super().__init__([program, f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{self.port}",
                          "-retentionPeriod=10y", "-search.maxQueryDuration=5m"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
                if self.get("/health")[0] == 200:
                    return
            except OSError:
                time.sleep(0.05)
        sys.exit("bench_daemon_ask.py: VictoriaLogs did not start")

    get = Daemon.get

    @staticmethod
    def questions(begin, end):
        """{title of ours: path, parameters}"""
        middle = begin + (end - begin) // 2 // (60 * NS) * 60 * NS
        whole = {"start": begin, "end": end}
        query, hits = "/select/logsql/query", "/select/logsql/stats_query_range"

        def lines(text):
            return query, {"query": text, "limit": 100, **whole}

        def count(text, start=begin, stop=end):
            return query, {"query": text, "start": start, "end": stop}

        return {
            "a word that is not there": lines("qqzzxxqq"),
            "a number that is not there": lines("98765432109876543"),
            "a hexadecimal id that is not there": lines("ffeeddccbbaa99887766554433221100"),
            "a rare string (once a replay)": lines('"monotonic clock: POSIX"'),
            "a rare string, other log": lines('"automatic HTTPS is completely disabled"'),
            "a rare string, counted": count('"monotonic clock: POSIX" | count() n'),
            "one id of a request": lines("@ID@"),
            "one id of a request, app given": lines('{app="nginx_access"} @ID@'),
            "a frequent word, counted": count("GET | count() n"),
            "a frequent word of one app, counted": count('{app="postgres"} duration | count() n'),
            "a frequent word, counted by app": count("error | stats by (app) count() n"),
            "a frequent value, counted": count('{app="nginx_access"} Googlebot | count() n'),
            "all, counted by a label": count("* | stats by (app) count() n"),
            "a label, counted": count('{env="prod"} | count() n'),
            "an hour, counted": count("* | stats by (host) count() n", middle - HOUR, middle),
            "an hour that begins anywhere, counted": count("* | count() n", middle + 12345678901 - HOUR,
                                                           middle + 12345678901),
            "rate by app, 24 h in minutes": (hits, {"query": "* | stats by (app) count() n", "step": "60s", **whole}),
            "bytes by app, 24 h in 5 minutes": (
                hits, {"query": "* | stats by (app) sum_len(_msg) n", "step": "300s", **whole}),
            "newest 100": lines("*"),
            "newest 100 with a frequent word": lines("GET"),
            "newest 100 of a parsed field": lines(
                '{app="caddy_json"} | unpack_json fields (status) | filter status:=404'),
        }


def questions(begin, end):
    """title, path, parameters"""
    whole = {"start": begin, "end": end, "limit": 100}
    middle = begin + (end - begin) // 2 // (60 * NS) * 60 * NS
    hours = (end - begin) // HOUR + 1
    everything = '{app=~".+"}'

    def lines(title, query, **more):
        return title, "/loki/api/v1/query_range", {"query": query, **whole, **more}

    def count(title, query, at=end):
        return title, "/loki/api/v1/query", {"query": query, "time": at}

    def steps(title, query, step):
        aligned = end // (60 * NS) * 60 * NS
        times = {"start": aligned - 24 * HOUR, "end": aligned, "step": step}
        return title, "/loki/api/v1/query_range", {"query": query, **times}

    return [
        lines("a word that is not there", everything + ' |= "qqzzxxqq"'),
        lines("a number that is not there", everything + ' |= "98765432109876543"'),
        lines("a hexadecimal id that is not there", everything + ' |= "ffeeddccbbaa99887766554433221100"'),
        lines("a rare string (once a replay)", everything + ' |= "monotonic clock: POSIX"'),
        lines("a rare string, other log", everything + ' |= "automatic HTTPS is completely disabled"'),
        count("a rare string, counted", f'sum(count_over_time({everything} |= "monotonic clock: POSIX" [{hours}h]))'),
        lines("one id of a request", everything + ' |= "@ID@"'),
        lines("one id of a request, app given", '{app="nginx_access"} |= "@ID@"'),
        count("a frequent word, counted", f'sum(count_over_time({everything} |= "GET" [{hours}h]))'),
        count("a frequent word of one app, counted",
              f'sum(count_over_time({{app="postgres"}} |= "duration" [{hours}h]))'),
        count("a frequent word, counted by app", f'sum by (app) (count_over_time({everything} |= "error" [{hours}h]))'),
        count("a frequent value, counted", f'sum(count_over_time({{app="nginx_access"}} |= "Googlebot" [{hours}h]))'),
        count("all, counted by a label", f'sum by (app) (count_over_time({everything}[{hours}h]))'),
        count("a label, counted", f'sum(count_over_time({{env="prod"}}[{hours}h]))'),
        count("an hour, counted", f'sum by (host) (count_over_time({everything}[1h]))', middle),
        count("an hour that begins anywhere, counted", f"sum(count_over_time({everything}[1h]))", middle + 12345678901),
        steps("rate by app, 24 h in minutes", f"sum by (app) (rate({everything}[1m]))", "60"),
        steps("bytes by app, 24 h in 5 minutes", f"sum by (app) (bytes_rate({everything}[5m]))", "300"),
        lines("newest 100", everything),
        lines("newest 100 with a frequent word", everything + ' |= "GET"'),
        lines("newest 100 of a parsed field", '{app="caddy_json"} | json | status=404'),
        ("index/stats", "/loki/api/v1/index/stats", {"query": everything, "start": begin, "end": end}),
        ("index/volume", "/loki/api/v1/index/volume", {"query": everything, "start": begin, "end": end}),
        ("index/volume_range", "/loki/api/v1/index/volume_range",
         {"query": everything, "start": begin, "end": end, "step": "300"}),
        ("labels", "/loki/api/v1/labels", {"start": begin, "end": end}),
        ("series", "/loki/api/v1/series", {"match[]": everything, "start": begin, "end": end}),
        ("segments", "/logmill/v1/segments", {}),
        ("templates of an hour", "/logmill/v1/templates",
         {"query": '{app="postgres"}', "start": middle, "end": middle + HOUR}),
    ]


def found_in(path, body):
    if "stats_query_range" in path:
        return f"{len(json.loads(body)['data']['result'])} series"
    if "logsql" in path:
        rows = [json.loads(line) for line in body.splitlines()]
        if rows and "n" in rows[0] and "_msg" not in rows[0]:
            return f"{len(rows)} series, sum {sum(int(row['n'] or 0) for row in rows)}"
        return f"{len(rows)} lines"
    if "loki" not in path:
        return f"{len(body)} bytes"
    data = json.loads(body)
    data = data.get("data", data)
    if isinstance(data, dict) and "resultType" in data:
        result = data["result"]
        if data["resultType"] == "streams":
            return f"{sum(len(s['values']) for s in result)} lines"
        if data["resultType"] == "vector":
            return f"{len(result)} series, sum {sum(float(s['value'][1]) for s in result):.0f}"
        return f"{len(result)} series, {sum(len(s['values']) for s in result)} points"
    if isinstance(data, list):
        return f"{len(data)} items"
    return json.dumps(data)


def one_id(daemon, begin, end):
    """The id of a request in the middle of all."""
    middle = begin + (end - begin) // 2
    status, body = daemon.get("/loki/api/v1/query_range", query='{app="nginx_access"} |= "id="', start=middle,
                              end=middle + HOUR, limit=1)
    found = re.search(r"\bid=([0-9a-f]{32})", body.decode())
    return found[1] if found else "00112233445566778899aabbccddeeff"


def ask(daemon, title, path, parameters, runs):
    times, cpu = [], 0.0
    for run in range(runs + 1):
        if run == 1:
            cpu = daemon.cpu_seconds()
        begun = time.monotonic()
        status, body = daemon.get(path, **parameters)
        times.append((time.monotonic() - begun) * 1000)
        if times[-1] > 2000 and run >= 2:
            break
    cpu = (daemon.cpu_seconds() - cpu) / max(1, len(times) - 1) * 1000
    found = found_in(path, body) if status == 200 else f"{status}: {body[:120].decode('utf-8', 'replace')}"
    return {"question": title, "first_ms": round(times[0], 1), "median_ms": round(statistics.median(times[1:]), 1),
            "cpu_ms": round(cpu, 1), "found": found}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("fill", help="what bench_store_fill printed")
    parser.add_argument("--logmill", default=str(ROOT / "build" / "logmill"))
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--only", default="")
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--json")
    parser.add_argument("--rival", help="the program of VictoriaLogs")
    parser.add_argument("--rival-data", help="its folder, with the same records")
    parser.add_argument("--rival-end", type=int, help="the end that its records were made with, if not ours")
    options = parser.parse_args()
    filled = json.loads(pathlib.Path(options.fill).read_text().splitlines()[-1])
    begin, end = filled["begin"], filled["end"]
    daemon = Daemon(options.logmill, options.folder)
    rival = VictoriaLogs(options.rival, options.rival_data) if options.rival else None
    later = options.rival_end - end if options.rival_end else 0
    theirs = rival.questions(begin + later, end + later) if rival else {}
    results = []
    try:
        request = one_id(daemon, begin, end)
        for title, path, parameters in questions(begin, end):
            if options.only not in title:
                continue
            if "query" in parameters:
                parameters["query"] = parameters["query"].replace("@ID@", request)
            results.append(ask(daemon, title, path, parameters, options.runs))
            one = results[-1]
            print(f"{one['question']:42} first {one['first_ms']:8.1f}  median {one['median_ms']:8.1f}  "
                  f"cpu {one['cpu_ms']:8.1f} ms  {one['found']}", flush=True)
            if title in theirs:
                path, parameters = theirs[title]
                parameters["query"] = parameters["query"].replace("@ID@", request)
                other = ask(rival, title, path, parameters, options.runs)
                one["rival"] = other
                print(f"{'  VictoriaLogs':42} first {other['first_ms']:8.1f}  median {other['median_ms']:8.1f}  "
                      f"cpu {other['cpu_ms']:8.1f} ms  {other['found']}", flush=True)
        if rival:
            print(f"VictoriaLogs holds {rival.mib('VmHWM')} MiB at most")
        peak = daemon.mib("VmHWM")
        after = daemon.mib("VmRSS")
    finally:
        daemon.stop()
        if rival:
            rival.stop()
    daemon = Daemon(options.logmill, options.folder)
    try:
        rest = {"peak_mib": peak, "after_questions_mib": after, "ready_s": round(daemon.ready_s, 3)}
        if options.idle:
            time.sleep(3)
            cpu, begun = daemon.cpu_seconds(), time.monotonic()
            time.sleep(options.idle)
            rest["idle_cpu_percent"] = round((daemon.cpu_seconds() - cpu) / (time.monotonic() - begun) * 100, 2)
            rest["idle_mib"] = daemon.mib("VmRSS")
        print(json.dumps(rest))
        results.append(rest)
    finally:
        daemon.stop()
    if options.json:
        pathlib.Path(options.json).write_text("".join(json.dumps(r) + "\n" for r in results))


if __name__ == "__main__":
    main()
