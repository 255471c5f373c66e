#!/usr/bin/env python3
"""What deploy/ holds fits the program: the dashboard and the alerts name only metrics that the daemon has, Prometheus'
own tool takes them, each alert fires and keeps quiet when it should, systemd takes the unit and finds it closed, the
configurations are valid, and what the container installs is what the program needs."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "daemon"))
from daemon_harness import LOGMILL, Daemon, check, main, wait_until  # noqa: E402

DEPLOY = ROOT / "deploy"
EXPOSURE_MAX = 2.0  # of systemd-analyze security: 0 is closed, 10 open
NAME = re.compile(r"\b((?:logmill|process)_[a-z_]+)\b")


def run(*args, cwd=None):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, cwd=cwd, check=False)
    check(done.returncode == 0, f"{args}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def lacks(tool):
    if shutil.which(tool):
        return False
    print(f"      skipped: no {tool}")
    return True


def metrics_of(folder):
    """/metrics of a daemon that has seen a bit of everything."""
    (folder / "in.log").write_text("one line\n")
    daemon = Daemon(folder, f'sources: [{{type: files, paths: ["{folder}/in.log"]}}]\n')
    check(daemon.push({"app": "x"}, [[str(time.time_ns()), "x"]])[0] == 204, "push")
    check(daemon.get("/loki/api/v1/labels")[0] == 200, "labels")
    wait_until(lambda: daemon.metric("logmill_source_records_total") == 1, "the file's line")
    page = daemon.get("/metrics")[1].decode()
    daemon.stop()
    return page


def expressions():
    """(where, expression) of the dashboard and the alerts."""
    dashboard = json.loads((DEPLOY / "grafana" / "logmill.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        yield variable["name"], variable["query"]
    for note in dashboard["annotations"]["list"]:
        yield note["name"], note["expr"]
    for line in (DEPLOY / "prometheus" / "logmill.rules.yml").read_text().splitlines():
        if line.strip().startswith("expr:"):
            yield "rules", line.partition("expr:")[2]


def metrics(_, folder):
    page = metrics_of(folder)
    known = set(re.findall(r"^([a-z_]+)[{ ]", page, re.MULTILINE))
    typed = set(re.findall(r"^# TYPE ([a-z_]+) ", page, re.MULTILINE))
    bare = {re.sub(r"_(bucket|sum|count)$", "", n) if n not in typed else n for n in known}
    check(bare <= typed, f"without a type: {sorted(bare - typed)}")
    used = [(where, name) for where, text in expressions() for name in NAME.findall(text)]
    check(len(used) > 40, f"only {len(used)} names were found")
    missing = sorted({f"{name} ({where})" for where, name in used if name not in known})
    check(not missing, f"the daemon has no {missing}")
    labels = {"tenant", "source", "route", "code", "le", "reason", "queue", "version", "stage"}
    found = set(re.findall(r'[{,]([a-z_]+)="', page))
    check(found <= labels, f"labels beyond those that we promise: {sorted(found - labels)}")
    if lacks("promtool"):
        return
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"promtool: {done.stdout}{done.stderr}")


def dashboard(*_):
    board = json.loads((DEPLOY / "grafana" / "logmill.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    check(len(ids) == len(set(ids)), "panels share an id")
    places = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        check(at["x"] + at["w"] <= 24, f"{panel['title']} is too wide")
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        check(not places & cells, f"{panel['title']} lies on another panel")
        places |= cells
        if panel["type"] != "row":
            check(panel["datasource"]["uid"] == "${datasource}", f"{panel['title']} has a data source of its own")


def alerts(_, folder):
    if lacks("promtool"):
        return
    run("promtool", "check", "rules", "logmill.rules.yml", cwd=DEPLOY / "prometheus")
    run("promtool", "check", "config", "prometheus.yml", cwd=DEPLOY / "prometheus")
    shutil.copy(DEPLOY / "prometheus" / "logmill.rules.yml", folder)
    shutil.copy(ROOT / "tests" / "deploy" / "rules_test.yml", folder)
    run("promtool", "test", "rules", "rules_test.yml", cwd=folder)
    names = set(re.findall(r"alert: (\w+)", (folder / "logmill.rules.yml").read_text()))
    tested = set(re.findall(r"alertname: (\w+)", (folder / "rules_test.yml").read_text()))
    check(names == tested, f"alerts without a test: {sorted(names ^ tested)}")


def unit(_, folder):
    if lacks("systemd-analyze"):
        return
    text = (DEPLOY / "systemd" / "logmill.service").read_text()
    here = folder / "logmill.service"
    here.write_text(text.replace("/usr/local/bin/logmill", str(pathlib.Path(LOGMILL).resolve())))
    said = run("systemd-analyze", "verify", "--man=no", here)
    check("logmill.service" not in said, said)
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", here)
    level = float(re.search(r"Overall exposure level for logmill.service: ([0-9.]+)", said)[1])
    check(level <= EXPOSURE_MAX, f"exposure {level} is above {EXPOSURE_MAX}")


def configurations(_, folder):
    for name in ("logmill.yaml", "container.yaml"):
        run(LOGMILL, "config", "check", DEPLOY / name)
    shown = run(LOGMILL, "config", "show", "--effective", DEPLOY / "container.yaml")
    check("127.0.0.1" not in shown, "the container has a listener that nobody outside can reach")


def container(*_):
    text = (DEPLOY / "Containerfile").read_text()
    stages = text.split("\nFROM ")[1:]
    check(len(stages) == 2, "two stages: one builds, one runs")
    check(not re.search(r"-dev\b|meson|ninja", stages[1]), "what builds is in what runs")
    check(re.search(r"^USER 10001:10001$", stages[1], re.MULTILINE), "it runs as root")
    copied = re.findall(r"^COPY (?!--from)(\S+) (?!\.)", text, re.MULTILINE)
    check(all((ROOT / name).exists() for name in copied), f"{copied}")
    needed = subprocess.run(["ldd", pathlib.Path(LOGMILL).resolve().parent / "logmill-daemon.so"], capture_output=True,
                            text=True, check=False).stdout
    for library in ("zstd", "pcre2-8", "microhttpd", "sqlite3", "yyjson", "protobuf-c", "gnutls", "sodium", "snappy",
                    "systemd", "nghttp2", "rdkafka", "yaml"):
        if f"lib{library}" in needed:
            check(f"lib{library}" in stages[1], f"lib{library} is not installed in what runs")


if __name__ == "__main__":
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    main("test_deploy", [metrics, dashboard, alerts, unit, configurations, container])
