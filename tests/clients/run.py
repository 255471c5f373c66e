#!/usr/bin/env python3
"""Unmodified public clients send; every message is found exactly once afterwards, before and after a kill.

run.py debian | syslog_ng | pypi | npm | grpc

  debian  logger, rsyslogd, curl, logrotate
  syslog_ng
  pypi    python-logging-loki, elasticsearch, opentelemetry-exporter-otlp-proto-http and -grpc (requirements.txt)
  npm     pino-loki, winston-loki, winston-elasticsearch, @opentelemetry/exporter-logs-otlp-http (package-lock.json)

A daemon on free ports takes what the clients send as their documents say, without a parameter of ours. Each client
sends MESSAGES messages: quotes, newlines, other scripts, empty fields, what looks like JSON or syslog. Then Loki's
query API must give each exactly once, with its labels, its structured metadata and its time; the daemon is killed,
started again, and asked once more.

  grpc    what gRPC's own client and its exporters see of logins, tenants, limits, TLS, stops (clients_grpc.py)

Packages go into LOGMILL_CLIENTS (default: clients beside the program) and stay there. 77: they cannot be had.
"""
import collections
import contextlib
import dataclasses
import gzip
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
import typing

import clients_syslog_ng
from clients_daemon import Daemon

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import packages  # noqa: E402
from packages import CACHE  # noqa: E402

MESSAGES = 120
SEND_TIMEOUT_S, FIND_TIMEOUT_S = 120, 60
HOST = socket.gethostname()
SECOND_NS = 10**9
ANY = object()  # a label of the client's own making
LINES = [  # each after the client's name and a number
    "plain words, and a number 17",
    'quotes " and \' and `ticks`, a backslash \\ and \\n that is none',
    "zażółć gęślą jaźń, ελληνικά, 日本語, العربية, 🚀, e\u0301",
    '{"json":"inside","empty":"","none":null,"list":[]}',
    'level=warn empty= quoted="" last=',
    "<13>1 2020-01-01T00:00:00Z other app 1 - - looks like syslog",
    "12 looks like octet counting",
    "%s %d %n {} ${HOME} $(id) <b>&amp;</b>",
    "a long one " + "0123456789abcdef" * 120 + " ends",
]
TEXTS = LINES + [  # where a message may have lines and controls of its own
    "first\nsecond\n\tthird",
    "carriage\r\nreturns\r",
    "a tab\tand controls \u0001 \u001b[31mred\u001b[0m \u007f",
    "a nul \u0000 inside",
    "separators \u2028 \u2029 and a mark \ufeff",
    "blanks at the end   ",
]


class Failed(Exception):
    """What a test found."""


@dataclasses.dataclass
class Case:
    """What was sent through one client, and how it is to be found."""
    name: str
    query: str
    want: dict  # text: time in ns, None where the client takes the clock
    labels: typing.Callable  # of the text's number, as in LABELS
    metadata: typing.Callable = lambda number: {}  # what must be there; a client may send more
    text: typing.Callable = lambda line: line  # a line's message
    fields: typing.Callable = lambda line, number: True  # is the rest of the line as sent?
    clock: tuple = (0, 0)  # between these the client sent


def make_messages(name, texts):
    seconds = int(time.time()) - 600
    return [{"text": f"{name} {i:04} {texts[i % len(texts)]}", "seconds": seconds + i, "nanos": i * 1_001_000}
            for i in range(MESSAGES)]


def time_of(message, unit=1):
    return (message["seconds"] * SECOND_NS + message["nanos"]) // unit * unit


def number_of(text):
    """Which of its client's messages it is."""
    return int(re.search(r" (\d{4}) ", text).group(1)) if text else 0


# ---- finding ----

def with_service(labels):
    """Streams that do not say whose they are get service_name, as of Loki."""
    service = next((labels[name] for name in ("app", "job") if name in labels), "unknown_service")
    return {"service_name": service} | labels


def differences(case, entries):
    """What is wrong, in words; empty: all is well. And whether more may still come."""
    found = collections.defaultdict(list)
    wrong = []
    for labels, time_ns, line, metadata in entries:
        try:
            found[case.text(line)].append((labels, time_ns, line, metadata))
        except (ValueError, KeyError, TypeError) as error:
            wrong.append(f"cannot read {line[:200]!r}: {error!r}")
    missing = [text for text in case.want if text not in found]
    wrong += [f"not found: {text[:200]!r}" for text in missing]
    for text, copies in found.items():
        if text not in case.want:
            wrong.append(f"never sent: {text[:200]!r}")
            continue
        if len(copies) != 1:
            wrong.append(f"{len(copies)} times: {text[:200]!r}")
        labels, time_ns, line, metadata = copies[0]
        number = number_of(text)
        expected = with_service(case.labels(number))
        names_differ = set(labels) != set(expected)
        if names_differ or any(labels[k] != v for k, v in expected.items() if v is not ANY):
            wrong.append(f"labels {labels}, not {expected}, of {text[:80]!r}")
        for key, value in case.metadata(number).items():
            if metadata.get(key) != value:
                wrong.append(f"metadata {key}={metadata.get(key)!r}, not {value!r}, of {text[:80]!r}: {metadata}")
        if not case.fields(line, number):
            wrong.append(f"another line: {line[:300]!r}")
        sent_ns = case.want[text]
        if sent_ns is not None and time_ns != sent_ns:
            wrong.append(f"time {time_ns}, not {sent_ns}, of {text[:80]!r}")
        elif sent_ns is None and not case.clock[0] <= time_ns <= case.clock[1]:
            wrong.append(f"time {time_ns}, not within {case.clock}, of {text[:80]!r}")
    return wrong, bool(missing)


def find(daemon, case):
    """All of a case within FIND_TIMEOUT_S; Failed says what is wrong."""
    now = time.time_ns()
    deadline = time.monotonic() + FIND_TIMEOUT_S
    while True:
        entries = daemon.query(case.query, now - 3600 * SECOND_NS, now + 3600 * SECOND_NS)
        wrong, may_come = differences(case, entries)
        if not wrong:
            return
        if not may_come or time.monotonic() > deadline:
            said = "\n    ".join(wrong[:12])
            raise Failed(f"{case.name}: {len(wrong)} differences in {len(entries)} entries\n    {said}")
        time.sleep(0.1)


# ---- sending ----

def run(argv, what, **options):
    """A client that must end well and complain of nothing."""
    argv = [str(word) for word in argv]
    done = subprocess.run(argv, capture_output=True, timeout=SEND_TIMEOUT_S, check=False, **options)
    if done.returncode or done.stderr:
        raise Failed(f"{what} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


def send_file(program, client, url, folder, name, option=None, cwd=None):
    """A client of clients_pypi.py or clients_npm.js sends the messages of a file: (messages, from, until)."""
    messages = make_messages(name, TEXTS)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(messages), encoding="utf-8")
    since = time.time_ns()
    run([*program, client, url, path] + ([option] if option else []), name, cwd=cwd)
    return messages, (since // 10**6 * 10**6, time.time_ns())  # JavaScript's clock counts milliseconds


def level_of(number):
    return "error" if number % 2 else "info"


OTLP_METADATA = {"severity_text": "WARN", "severity_number": "13", "who": 'Zoë "z"\nsecond line', "ratio": "0.5",
                 "ok": "true", "parts": '["a","b"]', "service_version": "1.2", "scope_name": "shop.basket"}


PYPI = [CACHE / "venv" / "bin" / "python", HERE / "clients_pypi.py"]
NPM = [shutil.which("node") or "node", HERE / "clients_npm.js"]
NPM_CWD = CACHE / "npm"


def logging_loki_cases(daemon, folder):
    messages, clock = send_file(PYPI, "logging_loki", daemon.http, folder, "python-logging-loki")
    yield Case("python-logging-loki", '{client="python-logging-loki"}', {m["text"]: None for m in messages},
               lambda n: {"client": "python-logging-loki", "severity": level_of(n), "logger": "orders.api",
                          "zone_name": 'Zürich "1"\\'}, clock=clock)


def elasticsearch_cases(daemon, folder):
    for option in (None, "gzip"):
        name = "es-py-" + (option or "plain")
        messages, clock = send_file(PYPI, "elasticsearch", daemon.elastic, folder, name, option)
        yield Case(f"elasticsearch, {option or 'plain'}", f'{{index="{name}"}}',
                   {m["text"]: time_of(m) for m in messages}, lambda n, name=name: {"index": name},
                   text=lambda line: json.loads(line)["message"],
                   fields=lambda line, n: json.loads(line) | {"@timestamp": 0, "message": 0} == {
                       "@timestamp": 0, "message": 0, "n": n, "empty": "", "none": None,
                       "user": {"name": 'Zoë "z"', "tags": []}})


def opentelemetry_py_cases(daemon, folder):
    for client, kind, url in (("opentelemetry", "http", daemon.otlp), ("opentelemetry_grpc", "grpc", daemon.otlp_grpc)):
        for option in (None, "gzip", "deflate"):
            name = ("otlp-py-" if kind == "http" else "otlp-grpc-") + (option or "plain")
            messages, _ = send_file(PYPI, client, url, folder, name, option)
            yield Case(f"opentelemetry-exporter-otlp-proto-{kind}, {option or 'plain'}", f'{{service_name="{name}"}}',
                       {m["text"]: time_of(m) for m in messages},
                       lambda n, name=name: {"service_name": name, "service_instance_id": ANY},
                       lambda n: OTLP_METADATA | {"n": str(n), "host_name": "web-1"})


def pino_cases(daemon, folder):
    messages, clock = send_file(NPM, "pino", daemon.http, folder, "pino-loki", cwd=NPM_CWD)
    yield Case("pino-loki", '{client="pino-loki"}', {m["text"]: None for m in messages},
               lambda n: {"client": "pino-loki", "level": level_of(n), "hostname": HOST, "zone": 'Zürich "1"\\'},
               lambda n: {"user": 'Zoë "z"'}, text=lambda line: json.loads(line)["msg"],
               fields=lambda line, n: (json.loads(line)["n"], json.loads(line)["empty"]) == (n, ""), clock=clock)


def winston_loki_cases(daemon, folder):
    for option in ("json", "protobuf"):
        name = "winston-loki-" + option
        messages, clock = send_file(NPM, "winston-loki", daemon.http, folder, name, option, NPM_CWD)
        is_json = option == "json"  # it sends no metadata with protobuf
        yield Case(f"winston-loki, {option}", f'{{client="{name}"}}', {m["text"]: None for m in messages},
                   lambda n, name=name: {"client": name, "level": level_of(n)},
                   lambda n, is_json=is_json: {"user": 'Zoë "z"', "n": str(n)} if is_json else
                   {"user": None, "n": None},
                   text=lambda line: json.loads(line)["message"],
                   fields=lambda line, n: (json.loads(line)["n"], json.loads(line)["empty"]) == (n, ""), clock=clock)


def winston_elasticsearch_cases(daemon, folder):
    messages, _ = send_file(NPM, "winston-elasticsearch", daemon.elastic, folder, "winston-es", cwd=NPM_CWD)
    yield Case("winston-elasticsearch", '{index=~"winston-es-.*"}', {m["text"]: time_of(m, 10**6) for m in messages},
               lambda n: {"index": ANY}, text=lambda line: json.loads(line)["message"],
               fields=lambda line, n: (json.loads(line)["severity"], json.loads(line)["fields"]["empty"]) ==
               (level_of(n), ""))


def opentelemetry_js_cases(daemon, folder):
    messages, _ = send_file(NPM, "opentelemetry", daemon.otlp, folder, "otlp-js", cwd=NPM_CWD)
    yield Case("@opentelemetry/exporter-logs-otlp-http", '{service_name="otlp-js"}',
               {m["text"]: time_of(m) for m in messages}, lambda n: {"service_name": "otlp-js"},
               lambda n: OTLP_METADATA | {"n": str(n)})


# ---- what Debian has ----

def logger_cases(daemon, _):
    to = ["-n", "127.0.0.1", "-P", daemon.syslog_port, "-S", "16KiB", "-p", "local3.warning", "--id=4711"]
    forms = {
        "udp-3164": ["-d", "--rfc3164"],
        "udp-5424": ["-d", "--rfc5424"],
        "tcp-3164": ["-T", "--rfc3164"],
        "tcp-5424": ["-T", "--rfc5424", "--msgid", "M-1", "--sd-id", "place@32473", "--sd-param", 'rack="a \\"1\\""'],
        "tcp-octets": ["-T", "--octet-count", "--rfc5424"],
    }
    for form, options in forms.items():
        name = "logger-" + form
        texts = [m["text"] for m in make_messages(name, LINES)]
        since = time.time_ns()
        run(["logger", *to, *options, "-t", name], name, input="".join(t + "\n" for t in texts).encode())
        if form == "tcp-octets":  # a message of lines, and an empty one
            texts.append(f"{name} {len(texts):04} first\nsecond \"third\"")
            run(["logger", *to, *options, "-t", name, "--", texts[-1]], name)
            texts.append("")
            run(["logger", *to, *options, "-t", name], name, input=b"\n")
        metadata = {"procid": "4711"}
        if form == "tcp-5424":
            metadata |= {"msgid": "M-1", "sd_place_32473_rack": 'a "1"', "sd_timeQuality_tzKnown": "1"}
        unit = SECOND_NS if "3164" in form else 1000  # of the times that it sends
        yield Case(f"logger, {form}", f'{{app="{name}"}}', {t: None for t in texts},
                   lambda n, name=name: {"app": name, "host": ANY, "facility": "local3", "severity": "warning"},
                   lambda n, metadata=metadata: metadata, clock=(since // unit * unit, time.time_ns()))


RSYSLOG_CONF = """
global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imfile" mode="inotify")
module(load="omelasticsearch")
{rules}
"""
RSYSLOG_RULE = """
input(type="imfile" File="{folder}/{name}.in" Tag="{name}:" Facility="local3" Severity="warning" ruleset="{name}")
ruleset(name="{name}") {{ action({action}) }}
"""


@contextlib.contextmanager
def rsyslogd(conf, folder):
    """rsyslogd as a process of its own; what it says of itself is in folder/rsyslog.err."""
    (folder / "rsyslog.conf").write_text(conf)
    with open(folder / "rsyslog.err", "wb") as err:
        argv = ["rsyslogd", "-n", "-f", folder / "rsyslog.conf", "-i", folder / "rsyslog.pid"]
        process = subprocess.Popen([str(word) for word in argv],
                                   stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def rsyslog_cases(daemon, folder):
    omfwd = f'type="omfwd" target="127.0.0.1" port="{daemon.syslog_port}" '
    elastic = f'type="omelasticsearch" server="127.0.0.1" serverport="{daemon.elastic.rpartition(":")[2]}" '
    actions = {
        "rsyslog-lf": omfwd + 'protocol="tcp" template="RSYSLOG_SyslogProtocol23Format"',
        "rsyslog-octets": omfwd + 'protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_ForwardFormat"',
        "rsyslog-udp": omfwd + 'protocol="udp" template="RSYSLOG_TraditionalForwardFormat"',
        "rsyslog-es": elastic + 'bulkmode="on" searchIndex="rsyslog-es" searchType="_doc"',
    }
    rules = ""
    texts = {name: [m["text"] for m in make_messages(name, LINES)] for name in actions}
    for name, action in actions.items():
        (folder / f"{name}.in").write_text("".join(text + "\n" for text in texts[name]), encoding="utf-8")
        rules += RSYSLOG_RULE.format(folder=folder, name=name, action=action)
    since = time.time_ns()
    cases = []
    for name in actions:
        is_elastic = name == "rsyslog-es"
        unit = SECOND_NS if name == "rsyslog-udp" else 1000
        cases.append(Case(
            name, '{index="rsyslog-es"}' if is_elastic else f'{{app="{name}"}}', {text: None for text in texts[name]},
            (lambda n: {"index": "rsyslog-es"}) if is_elastic else
            lambda n, name=name: {"app": name, "host": HOST.partition(".")[0], "facility": "local3",
                                  "severity": "warning"},
            text=(lambda line: json.loads(line)["message"]) if is_elastic else lambda line: line,
            clock=(since // unit * unit, since + 300 * SECOND_NS)))
    with rsyslogd(RSYSLOG_CONF.format(folder=folder, rules=rules), folder):
        for case in cases:
            try:
                find(daemon, case)
            except Failed as failed:
                said = (folder / "rsyslog.err").read_text(errors="replace")[-2000:]
                raise Failed(f"{failed}\n{said}") from None
    yield from cases


def syslog_ng_cases(daemon, folder):
    tls = (f'tls(ca-file("{folder}/ca.pem") cert-file("{folder}/client.pem") key-file("{folder}/client.key") '
           "peer-verify(required-trusted))")
    plain, secure = f'"127.0.0.1" port({daemon.syslog_port})', f'"127.0.0.1" port({daemon.syslog_tls}) {tls}'
    drivers = {  # network() speaks RFC 3164 and lines, syslog() RFC 5424 and octet counting
        "ng-udp": f'network({plain} transport("udp") persist-name("udp"));',
        "ng-lf": f'network({plain} transport("tcp") persist-name("lf"));',
        "ng-octets": f'syslog({plain} transport("tcp") persist-name("octets"));',
        "ng-tls-lf": f'network({secure} transport("tls") persist-name("tls-lf"));',
        "ng-tls-octets": f'syslog({secure} transport("tls") persist-name("tls-octets"));',
    }
    since = time.time_ns()
    cases = []
    for name in drivers:
        texts = [m["text"] for m in make_messages(name, LINES)]
        (folder / f"{name}.in").write_text("".join(text + "\n" for text in texts), encoding="utf-8")
        cases.append(Case(
            name, f'{{app="{name}"}}', {text: None for text in texts},
            lambda n, name=name: {"app": name, "host": ANY, "facility": "local3", "severity": "warning"},
            clock=(since // 1000 * 1000, since + 300 * SECOND_NS)))
    with clients_syslog_ng.running(CACHE / "syslog-ng" / "root", folder, drivers):
        for case in cases:
            try:
                find(daemon, case)
            except Failed as failed:
                said = (folder / "syslog-ng.err").read_text(errors="replace")[-2000:]
                raise Failed(f"{failed}\n{said}") from None
    yield from cases


def curl(url, *options, body=None, what="curl"):
    return run(["curl", "-sS", "--fail-with-body", *options, url], what, input=body)


def curl_cases(daemon, folder):
    push, lines = daemon.http + "/loki/api/v1/push", daemon.http + "/logmill/v1/push/jsonline"
    for name in ("curl-loki", "curl-loki-gzip"):
        messages = make_messages(name, TEXTS)
        values = [[str(time_of(m)), m["text"], {"n": str(i), "empty": ""}] for i, m in enumerate(messages)]
        extra_ns = time_of(messages[-1]) + SECOND_NS
        values.append([str(extra_ns), ""])  # an empty line is a line
        body = json.dumps({"streams": [{"stream": {"client": name, "zone": "Zürich"}, "values": values}]}).encode()
        options = ["-H", "Content-Type: application/json", "--data-binary", "@-"]
        if name.endswith("gzip"):
            options += ["-H", "Content-Encoding: gzip"]
            body = gzip.compress(body)
        curl(push, *options, body=body, what=name)
        yield Case(name, f'{{client="{name}"}}', {m["text"]: time_of(m) for m in messages} | {"": extra_ns},
                   lambda n, name=name: {"client": name, "zone": "Zürich"})
    for name in ("curl-ndjson", "curl-ndjson-chunked-gzip"):
        messages = make_messages(name, TEXTS)
        body = "".join(json.dumps({"time": f'{m["seconds"]}.{m["nanos"]:09}', "message": m["text"], "n": i, "empty": "",
                                   "user": {"name": 'Zoë "z"'}}, ensure_ascii=bool(i % 2)) + "\n"
                       for i, m in enumerate(messages)).encode()
        options = ["--data-binary", "@-"]
        if "gzip" in name:
            body = gzip.compress(body)
            options = ["-X", "POST", "-T", "-", "-H", "Content-Encoding: gzip"]  # of unknown length: chunks
        curl(lines, *options, body=body, what=name)
        yield Case(name, f'{{service_name="unknown_service"}} |= "{name} "', {m["text"]: time_of(m) for m in messages},
                   lambda n: {"service_name": "unknown_service"}, lambda n: {"n": str(n), "user_name": 'Zoë "z"'})
    for name in ("curl-lines", "curl-lines-gzip"):
        texts = [m["text"] for m in make_messages(name, LINES)]
        body = "".join(text + "\n" for text in texts).encode()
        options = ["--data-binary", "@-"]
        if "gzip" in name:
            body = gzip.compress(body)
            options += ["-H", "Content-Encoding: gzip"]
        since = time.time_ns()
        curl(lines, *options, body=body, what=name)
        yield Case(name, f'{{service_name="unknown_service"}} |= "{name} "', {text: None for text in texts},
                   lambda n: {"service_name": "unknown_service"}, clock=(since, time.time_ns()))
    name = "curl-bulk"
    messages = make_messages(name, TEXTS)
    body = "".join('{"create":{}}\n' + json.dumps({"@timestamp": m["seconds"] * 1000, "message": m["text"]}) + "\n"
                   for m in messages).encode()
    answer = json.loads(curl(f"{daemon.elastic}/{name}/_bulk", "-H", "Content-Type: application/x-ndjson",
                             "--data-binary", "@-", body=body, what=name))
    if answer["errors"] or len(answer["items"]) != len(messages):
        raise Failed(f"{name}: answered {str(answer)[:500]}")
    yield Case(name, f'{{index="{name}"}}', {m["text"]: m["seconds"] * SECOND_NS for m in messages},
               lambda n: {"index": name}, text=lambda line: json.loads(line)["message"])


LOGROTATE_CONF = """
"{folder}/moved.log" {{ rotate 20\n create\n nocompress\n }}
"{folder}/packed.log" {{ rotate 20\n create\n compress\n }}
"{folder}/zstd.log" {{
    rotate 20\n create\n compress\n compresscmd {zstd}\n compressext .zst\n compressoptions -q\n
}}
"{folder}/delayed.log" {{ rotate 20\n create\n compress\n delaycompress\n }}
"{folder}/copied.log" {{ rotate 20\n copytruncate\n }}
"""


class Rotated:
    """Logs that are written to and rotated by logrotate, as their writers and it would do it."""
    NAMES = ("moved", "packed", "zstd", "delayed", "copied")
    OPEN = ("moved", "delayed", "copied")  # what a writer has open is not packed at once

    def __init__(self, folder):
        self.folder = folder / "rotated"
        self.folder.mkdir()
        conf = LOGROTATE_CONF.format(folder=self.folder, zstd=shutil.which("zstd"))
        self.conf = folder / "logrotate.conf"
        self.conf.write_text(conf)
        self.state = folder / "logrotate.state"
        self.sent = {name: {} for name in self.NAMES}
        self.files = {name: open(self.path(name), "ab", buffering=0) for name in self.NAMES}

    def path(self, name):
        return self.folder / f"{name}.log"

    def write(self, count, names=NAMES):
        for _ in range(count):
            for name in names:
                number = len(self.sent[name])
                now = time.time_ns() // 10**6 * 10**6
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // SECOND_NS))
                text = f"{name} {number:04} {LINES[number % len(LINES)]}"
                line = f"{stamp}.{now // 10**6 % 1000:03}Z INFO {text}"
                self.sent[name][line] = now
                self.files[name].write(line.encode() + b"\n")

    def rotate(self, late, names=OPEN):
        """late: lines for the files of these names that the writer has open still. The others are packed and deleted
        then, and only who has them open too can read such lines."""
        run(["logrotate", "-f", "-s", self.state, self.conf], "logrotate")
        self.write(late, names)
        for name in self.NAMES:
            self.files[name].close()
            self.files[name] = open(self.path(name), "ab", buffering=0)

    def cases(self):
        for name in self.NAMES:
            yield Case(f"logrotate, {name}", f'{{filename=~"{self.path(name)}.*"}}', self.sent[name],
                       lambda n, name=name: {"filename": ANY, "host": HOST})


# ---- packages ----

def install_pypi():
    packages.python_packages("venv", HERE / "requirements.txt")


def install_npm():
    packages.need("node", "npm")

    def build(folder):
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        packages.call("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)

    packages.fetched("npm", [HERE / "package.json", HERE / "package-lock.json"], build)


def install_syslog_ng():
    packages.need("apt-get", "dpkg", "openssl")
    packages.fetched("syslog-ng", [HERE / "clients_syslog_ng.py"], clients_syslog_ng.build)


def need_debian():
    packages.need("logger", "rsyslogd", "curl", "logrotate", "zstd")


GROUPS = {  # what makes the clients ready, and who sends
    "debian": (need_debian, [logger_cases, rsyslog_cases, curl_cases]),
    "syslog_ng": (install_syslog_ng, [syslog_ng_cases]),
    "pypi": (install_pypi, [logging_loki_cases, elasticsearch_cases, opentelemetry_py_cases]),
    "npm": (install_npm, [pino_cases, winston_loki_cases, winston_elasticsearch_cases, opentelemetry_js_cases]),
}


class Tally:
    """What was found and what was not."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def fail(self, what):
        self.failed += 1
        print(f"FAILED: {what}", flush=True)

    def find(self, daemon, case, when):
        try:
            find(daemon, case)
            self.passed += 1
            print(f"ok: {case.name}: {len(case.want)} messages, {when}", flush=True)
        except Failed as failed:
            self.fail(f"{when}: {failed}")


def send_all(daemon, senders, folder, tally):
    cases = []
    for send in senders:
        try:
            for case in send(daemon, folder):
                tally.find(daemon, case, "sent")
                cases.append(case)
        except (Failed, subprocess.SubprocessError) as failed:
            tally.fail(failed)
    return cases


def test(group, folder):
    prepare, senders = GROUPS[group]
    prepare()
    tally = Tally()
    rotated = Rotated(folder) if group == "debian" else None
    if group == "syslog_ng":
        clients_syslog_ng.make_certificates(folder)
    daemon = Daemon(folder, rotated.folder / "*.log*" if rotated else None, folder if group == "syslog_ng" else None)
    daemon.start()
    try:
        cases = send_all(daemon, senders, folder, tally)
        if rotated:
            rotated.write(3)  # small files, of which the daemon has all
            for case in rotated.cases():
                tally.find(daemon, case, "written")
            rotated.rotate(3, rotated.NAMES)
            for case in rotated.cases():
                tally.find(daemon, case, "rotated once")
            for _ in range(3):
                rotated.write(30)
                rotated.rotate(5)
            for case in rotated.cases():
                tally.find(daemon, case, "rotated")
            rotated.write(10)
        daemon.kill()
        if rotated:
            rotated.write(10)
            rotated.rotate(5)  # while nobody looks
            rotated.write(5)
            cases += rotated.cases()
        daemon.start()
        for case in cases:
            tally.find(daemon, case, "after a kill")
        status = daemon.stop()
        if status:
            tally.fail(f"the daemon ended with {status}")
    finally:
        daemon.kill()
    if tally.failed:
        print(f"the daemon's log:\n{daemon.log.read_text(errors='replace')[-4000:]}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in [*GROUPS, "grpc"]:
        sys.exit(f"usage: run.py {' | '.join(GROUPS)} | grpc")
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"  # clients ask the daemon, and nobody between
    if sys.argv[1] == "grpc":
        install_pypi()
        sys.exit(subprocess.run([PYPI[0], HERE / "clients_grpc.py"], check=False).returncode)
    with tempfile.TemporaryDirectory(prefix="logmill-clients-") as folder:
        sys.exit(test(sys.argv[1], pathlib.Path(folder)))


if __name__ == "__main__":
    main()
