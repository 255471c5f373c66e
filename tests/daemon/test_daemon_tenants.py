#!/usr/bin/env python3
"""Tenants see nothing of one another, whatever they ask; their limits are their own; what is too old goes, and its
disk with it."""

import json
import time
import urllib.parse

from daemon_harness import NS, QUERY_CONFIG, Daemon, check, main, wait_until

TENANTS = ("red", "blue", "default")
CONFIG = QUERY_CONFIG + """ingest: {head_size: 64KiB}
mill: {cpu_percent: 100}
sources: []
limits: {rate: 100MB}
tenants:
  slow: {rate: 1kB, burst: 2kB}
  few: {streams: 3}
  late: {query_time: 1ms}
  short: {retention: 1h}
"""


def of(tenant):
    return {} if tenant == "default" else {"X-Scope-OrgID": tenant}


def asked(begin_ns):
    """Every route that answers from data, with what would match everything."""
    window = {"start": begin_ns - NS, "end": begin_ns + 600 * NS}
    everything = {"query": '{app=~".+"}', **window}
    return (
        ("/loki/api/v1/query_range", {**everything, "limit": 5000}),
        (
            "/loki/api/v1/query_range",
            {**window, "query": 'sum by (app, mine) (count_over_time({app=~".+"}[1m]))', "step": 60},
        ),
        (
            "/loki/api/v1/query",
            {"query": 'sum by (app, mine) (count_over_time({app=~".+"}[1h]))', "time": begin_ns + 600 * NS},
        ),
        ("/loki/api/v1/labels", window),
        ("/loki/api/v1/label/app/values", window),
        ("/loki/api/v1/label/mine/values", window),
        ("/loki/api/v1/series", {"match[]": '{app=~".+"}', **window}),
        ("/loki/api/v1/index/stats", everything),
        ("/loki/api/v1/index/volume", everything),
        ("/loki/api/v1/index/volume_range", {**everything, "step": 60}),
        ("/loki/api/v1/patterns", everything),
        ("/loki/api/v1/detected_labels", everything),
        ("/loki/api/v1/detected_fields", everything),
        ("/loki/api/v1/detected_field/secret/values", everything),
        ("/logmill/v1/templates", everything),
        ("/logmill/v1/segments", {}),
    )


def look(daemon, begin_ns, when):
    for tenant in TENANTS:
        others = [t for t in TENANTS if t != tenant]
        for path, parameters in asked(begin_ns):
            status, body = daemon.get(path, of(tenant), **parameters)
            check(status == 200, f"{when}: {tenant} {path}: {status} {body[:300]!r}")
            text = body.decode()
            for other in others:
                check(f"of_{other}" not in text, f"{when}: {path} tells {tenant} of {other}: {text[:500]}")
        stats = daemon.data_of(
            "/loki/api/v1/index/stats", of(tenant), query='{app=~".+"}', start=begin_ns, end=begin_ns + 600 * NS
        )
        check((stats["streams"], stats["entries"]) == (2, 2000), f"{when}: {tenant}: {stats}")
        found = daemon.values('{app=~".+"}', of(tenant), start=begin_ns, end=begin_ns + 600 * NS)
        check(len(found) == 2000, f"{when}: {tenant} finds {len(found)} of 2000")
    for path, parameters in asked(begin_ns):
        text = daemon.get(path, of("nobody"), **parameters)[1].decode()
        check("of_" not in text, f"{when}: {path} tells a tenant without data: {text[:500]}")


def separation(dice, folder):
    daemon = Daemon(folder, CONFIG)
    begin_ns = time.time_ns() // NS * NS - 900 * NS
    for tenant in dice.sample(TENANTS, 3):
        for part in range(20):
            for app in ("a", "b"):
                values = [
                    [
                        str(begin_ns + (part * 50 + i) * 1000),
                        f"secret=of_{tenant} n={i} of_{tenant}_{app}",
                        {f"meta_of_{tenant}": "x"},
                    ]
                    for i in range(50)
                ]
                status, text = daemon.push({"app": app, "mine": f"of_{tenant}"}, values, of(tenant))
                check(status == 204, f"{status} {text!r}")
    look(daemon, begin_ns, "in heads and segments")
    daemon.kill()
    daemon.start()
    look(daemon, begin_ns, "after a kill")
    time.sleep(4)  # merging, if it wants to
    look(daemon, begin_ns, "after milling")
    daemon.stop()


def limits(dice, folder):
    daemon = Daemon(folder, CONFIG)
    now = time.time_ns()
    line = "y" * 1500
    status, _ = daemon.push({"app": "x"}, [[str(now), line]], of("slow"))
    check(status == 204, f"within its burst: {status}")
    status, text = daemon.push({"app": "x"}, [[str(now), line]], of("slow"))
    check(status == 429 and b"rate limit" in text, f"beyond its rate: {status} {text!r}")
    status, _ = daemon.push({"app": "x"}, [[str(now), line]] * 100, of("quick"))
    check(status == 204, f"a limit of another: {status}")
    answers = [daemon.push({"app": "x", "n": str(i)}, [[str(now), "x"]], of("few"))[0] for i in range(5)]
    check(answers == [204, 204, 204, 429, 429], f"streams: {answers}")
    for part in range(20):
        values = [[str(now + part * 500 + i), f"n={i} " + "z" * 300] for i in range(500)]
        check(daemon.push({"app": "x"}, values, of("late"))[0] == 204, "push")
    status, text = daemon.get(
        "/loki/api/v1/query_range",
        of("late"),
        query='sum(count_over_time({app="x"} |~ "(z|q)*9$" [1h]))',
        start=now - 3600 * NS,
        end=now + NS,
        step="1",
    )
    check(status in (504, 200), f"query time: {status} {text!r}")
    daemon.stop()


def retention(dice, folder):
    """Old segments of a tenant with retention go, on disk too; the others stay."""
    daemon = Daemon(folder, CONFIG.replace("cpu_percent: 100", "cpu_percent: 0"))
    now = time.time_ns()
    old, new = now - 7200 * NS, now - 60 * NS
    for tenant in ("short", "long"):
        for begin in (old, new):
            for part in range(6):
                values = [[str(begin + part * 1000 + i), f"n={dice.random()} {dice.random()}"] for i in range(500)]
                check(daemon.push({"app": "x"}, values, of(tenant))[0] == 204, "push")

    def count(tenant, begin):
        return len(daemon.values('{app="x"}', of(tenant), start=begin, end=begin + 100 * NS))

    wait_until(lambda: count("short", old) < 3000, "retention")
    folder_bytes = sum(f.stat().st_size for f in (daemon.data / "segments").iterdir())
    check(
        count("short", new) == 3000 and count("long", old) == 3000 and count("long", new) == 3000,
        "retention took what is young",
    )
    daemon.stop()
    daemon.start()
    check(count("long", old) == 3000, "gone after a restart")
    listed = json.loads(daemon.get("/logmill/v1/segments", of("short"))[1])["segments"]
    files = {int(f.stem, 16) for f in (daemon.data / "segments").glob("*.rec")}
    daemon_total = len(listed) + len(json.loads(daemon.get("/logmill/v1/segments", of("long"))[1])["segments"])
    check(len(files) == daemon_total, f"{len(files)} segments on disk, {daemon_total} are known; {folder_bytes} bytes")
    daemon.stop()


def names(dice, folder):
    daemon = Daemon(folder, CONFIG)
    for name in ("..", ".", "a/b", "a|b", "a b", "\u00e9", "x" * 151, "a\\b", "%2e%2e"):
        status, text = daemon.get("/loki/api/v1/labels", {"X-Scope-OrgID": name.encode().decode("latin-1")})
        check(status == 400 and text.strip(), f"{name!r}: {status}")
    status, _ = daemon.get("/loki/api/v1/labels?" + urllib.parse.urlencode({"X-Scope-OrgID": "red"}))
    check(status == 200, f"{status}")
    for n in range(200):  # tenants cost little and none is forgotten
        check(daemon.push({"app": "n"}, [[str(time.time_ns()), f"t{n}"]], of(f"t{n}"))[0] == 204, f"tenant {n}")
    now = time.time_ns()
    for n in dice.sample(range(200), 20):
        check(
            [v[1] for v in daemon.values('{app="n"}', of(f"t{n}"), start=now - 600 * NS, end=now)] == [f"t{n}"],
            f"tenant {n}",
        )
    daemon.stop()


main("test_daemon_tenants", [separation, limits, retention, names])
