#!/usr/bin/env python3
"""Logs as programs write them by default: an archive of each finds its lines by time and by level, as the text does.

Each format is a record of a few hundred, mostly of one line: a time in strftime's letters, {lv} the program's word for the
level, {m} the message, {n} a number. Nothing tells logmill which one it is.
"""
import datetime
import os
import pathlib
import random
import subprocess
import sys
import tempfile

LOGMILL = os.environ["LOGMILL"]
LINES = 400
BEGIN = datetime.datetime(2026, 11, 23, 4, 5, 6)
KINDS = ["debug", "info", "warn", "error"]
MESSAGES = [
    "connection to {w} refused after {x} ms",
    "user {w} logged in from 10.0.0.{x}",
    "cache miss for key {w} ({x} bytes)",
    "job {w} finished in {x} s",
    "retrying {w}, attempt {x}",
]
UPPER = ["DEBUG", "INFO", "WARN", "ERROR"]
LONG = ["DEBUG", "INFO", "WARNING", "ERROR"]
LOWER = ["debug", "info", "warn", "error"]
LETTER = ["D", "I", "W", "E"]
FORMATS = {
    "audit": ('type=SYSCALL msg=audit({s}.508:{n}): arch=c000003e syscall=59 success=yes exit=0 comm="{m}"', None),
    "compose": ("{service:<8} | %Y-%m-%d %H:%M:%S.508 {lv} app.main: {m}", LONG),
    "compose_json": ('{service:<8} | {{"level":"{lv}","ts":{s}.25,"msg":"{m}"}}', LOWER),
    "unbound": ("[{s}] unbound[{n}:0] {lv}: {m}", ["debug", "info", "warning", "error"]),
    "nagios": ("[{s}] SERVICE ALERT: host{n};PING;CRITICAL;SOFT;1;{m}", None),
    "log4j2_json": (
        '{{"instant":{{"epochSecond":{s},"nanoOfSecond":508000000}},"thread":"main","level":"{lv}","message":"{m}"}}',
        UPPER,
    ),
    "edge_json": ('{{"ClientIP":"10.0.0.1","Path":"{m}","EdgeEndTimestamp":{s}508750123,"Status":{n}}}', None),
    "created_at": ('{{"id":{n},"created_at":"%Y-%m-%dT%H:%M:%S.508Z","severity":"{lv}","note":"{m}"}}', UPPER),
    "websphere": ("[%-m/%-d/%y %-H:%M:%S:508 UTC] 0000002a ServletWrappe I   SRVE0242I: {m}", None),
    "utm": ('%Y:%m:%d-%H:%M:%S fw1 ulogd[4711]: id="2001" severity="info" name="{m}"', None),
    "game": ('L %m/%d/%Y - %H:%M:%S: "Player{n}<4><STEAM_0:1:{n}><CT>" triggered "{m}"', None),
    "month_dashes": ("%b-%d-%y %H:%M:%S [SSL-out] 10.0.0.1 {m}", None),
    "compact_dot": ("%Y%m%d.%H%M%S,508:{lv}:{m}", UPPER),
    "jetty": ("%Y-%m-%dT%H:%M:%S.508:{lv}:oejs.Server:main: {m}", ["DBUG", "INFO", "WARN", "ERROR"]),
    "mysql_slow": ("# Time: %Y-%m-%dT%H:%M:%S.508750Z", None),
    "php": (
        "[%d-%b-%Y %H:%M:%S UTC] PHP {lv}:  {m} in /var/www/a.php on line {n}",
        ["Notice", "Notice", "Warning", "Fatal error"],
    ),
    "ruby": ("{L}, [%Y-%m-%dT%H:%M:%S.508750 #1234] {lv:>5} -- : {m}", UPPER),
    "golog": ("%Y/%m/%d %H:%M:%S {lv} {m}", UPPER),
    "gostd_file": ("%Y/%m/%d %H:%M:%S main.go:{n}: [{lv}] {m}", UPPER),
    "rust_env": ("[%Y-%m-%dT%H:%M:%SZ {lv:<5} app::net] {m}", UPPER),
    "tracing": ("%Y-%m-%dT%H:%M:%S.508750Z {lv:>5} app::net: {m} peer=10.0.0.{n}", UPPER),
    "serilog": ("%Y-%m-%d %H:%M:%S.508 +00:00 [{lv}] {m}", ["DBG", "INF", "WRN", "ERR"]),
    "logcat": ("%m-%d %H:%M:%S.508  1234  1250 {lv} ActivityManager: {m}", LETTER),
    "logcat_brief": ("{lv}/ActivityManager( 1234): {m}", LETTER),
    "apache24": ("[%a %b %d %H:%M:%S.508750 %Y] [core:{lv}] [pid 1234:tid 140] [client 10.0.0.{n}:51234] {m}", LOWER),
    "pydefault": ("{lv}:root:{m}", LONG),
    "gunicorn": ("[%Y-%m-%d %H:%M:%S +0000] [1234] [{lv}] {m}", LONG),
    "celery": ("[%Y-%m-%d %H:%M:%S,508: {lv}/MainProcess] {m}", LONG),
    "rabbit": ("%Y-%m-%d %H:%M:%S.508 [{lv}] <0.{n}.0> {m}", ["debug", "info", "warning", "error"]),
    "rabbit_new": ("%Y-%m-%d %H:%M:%S.508750+00:00 [{lv}] <0.{n}.0> {m}", ["debug", "info", "warning", "error"]),
    "cassandra": ("{lv:<5} [main] %Y-%m-%d %H:%M:%S,508 StorageService.java:{n} - {m}", UPPER),
    "kafka": ("[%Y-%m-%d %H:%M:%S,508] {lv} [Broker id={n}] {m} (kafka.server.KafkaServer)", UPPER),
    "spring": (
        "%Y-%m-%d %H:%M:%S.508 {lv:>5} 1234 --- [nio-8080-exec-1] c.e.demo.Controller                : {m}",
        UPPER,
    ),
    "spring3": ("%Y-%m-%dT%H:%M:%S.508Z {lv:>5} 1234 --- [app] [nio-8080-exec-1] c.e.demo.Controller : {m}", UPPER),
    "tomcat": (
        "%d-%b-%Y %H:%M:%S.508 {lv} [main] org.apache.catalina.startup.Catalina.start {m}",
        ["FINE", "INFO", "WARNING", "SEVERE"],
    ),
    "wildfly_d": ("%Y-%m-%d %H:%M:%S,508 {lv:<5} [org.jboss.as] (MSC service thread 1-{n}) {m}", UPPER),
    "elastic7": ("[%Y-%m-%dT%H:%M:%S,508][{lv:<5}][o.e.c.m.Meta] [node-1] {m}", UPPER),
    "solr": ("%Y-%m-%d %H:%M:%S.508 {lv:<5} (qtp-{n}) [   x:core] o.a.s.c.S.Request {m}", UPPER),
    "airflow": ("[%Y-%m-%dT%H:%M:%S.508+0000] {{taskinstance.py:{n}}} {lv} - {m}", LONG),
    "django": ("{lv} %Y-%m-%d %H:%M:%S,508 views 1234 1400 {m}", LONG),
    "uvicorn": ("{lv}:     {m}", LONG),
    "laravel": ("[%Y-%m-%d %H:%M:%S] production.{lv}: {m}", LONG),
    "monolog": ("[%Y-%m-%dT%H:%M:%S.508750+00:00] app.{lv}: {m} [] []", LONG),
    "nlog": ("%Y-%m-%d %H:%M:%S.5087|{lv}|App.Program|{m}", UPPER),
    "log4net": ("%Y-%m-%d %H:%M:%S,508 [14] {lv} App.Program [(null)] - {m}", UPPER),
    "klog": ("{lv}%m%d %H:%M:%S.508750   1234 server.go:{n}] {m}", ["I", "I", "W", "E"]),
    "cockroach": ("{lv}%y%m%d %H:%M:%S.508750 {n} server/server.go:123 ⋮ [n1] {m}", ["I", "I", "W", "E"]),
    "zapdev": ("%Y-%m-%dT%H:%M:%S.508Z\t{lv}\tserver/main.go:{n}\t{m}", UPPER),
    "logrus_text": (
        'time="%Y-%m-%dT%H:%M:%SZ" level={lv} msg="{m}" peer=10.0.0.{n}',
        ["debug", "info", "warning", "error"],
    ),
    "slog_json": ('{{"time":"%Y-%m-%dT%H:%M:%S.508750Z","level":"{lv}","msg":"{m}","n":{n}}}', UPPER),
    "pino": ('{{"level":{lv},"time":{ms},"pid":1234,"hostname":"h","msg":"{m}"}}', ["20", "30", "40", "50"]),
    "bunyan": (
        '{{"name":"app","hostname":"h","pid":1,"level":{lv},"msg":"{m}","time":"%Y-%m-%dT%H:%M:%S.508Z","v":0}}',
        ["20", "30", "40", "50"],
    ),
    "gelf": (
        '{{"version":"1.1","host":"h","short_message":"{m}","timestamp":{s}.508,"level":{lv}}}',
        ["7", "6", "4", "3"],
    ),
    "ecs": (
        '{{"@timestamp":"%Y-%m-%dT%H:%M:%S.508Z","log.level":"{lv}","message":"{m}","ecs.version":"1.2.0"}}',
        UPPER,
    ),
    "gcp": ('{{"severity":"{lv}","timestamp":"%Y-%m-%dT%H:%M:%S.508Z","textPayload":"{m}"}}', LONG),
    "docker": (
        '{{"log":"%Y-%m-%d %H:%M:%S {lv} {m}\\n","stream":"stdout","time":"%Y-%m-%dT%H:%M:%S.508750123Z"}}',
        UPPER,
    ),
    "cri": ("%Y-%m-%dT%H:%M:%S.508750123Z stdout F {lv} {m}", UPPER),
    "oracle": ("%Y-%m-%dT%H:%M:%S.508750+00:00\tORA {lv} {m}", UPPER),
    "pglog": ("%Y-%m-%d %H:%M:%S.508 UTC [{n}] {lv}:  {m}", ["DEBUG", "LOG", "WARNING", "ERROR"]),
    "mysql8": (
        "%Y-%m-%dT%H:%M:%S.508750Z {n} [{lv}] [MY-010116] [Server] {m}",
        ["Note", "System", "Warning", "ERROR"],
    ),
    "mongo3": ("%Y-%m-%dT%H:%M:%S.508+0000 {lv} NETWORK  [conn{n}] {m}", LETTER),
    "haproxy": ("%b %d %H:%M:%S lb haproxy[1234]: {m}", None),
    "squid": ("{s}.508    {n} 10.0.0.1 TCP_MISS/200 {n} GET http://e.org/{n} - HIER_DIRECT/1.2.3.4 text/html", None),
    "dmesg": ("[    {n}.508750] usb 1-1: {m}", None),
    "bind": ("%d-%b-%Y %H:%M:%S.508 queries: {lv}: {m}", ["debug 1", "info", "warning", "error"]),
    "exim": ("%Y-%m-%d %H:%M:%S 1abcde-000{n}-AB {m}", None),
    "openvpn": ("%a %b %d %H:%M:%S %Y 10.0.0.{n}:1194 {m}", None),
    "iis_eu": ("%d/%m/%Y %H:%M:%S {lv} {m}", UPPER),
    "us12": ("%m/%d/%Y %I:%M:%S %p {lv} {m}", UPPER),
    "asterisk": ("[%b %d %H:%M:%S] {lv}[1234] chan_sip.c: {m}", ["DEBUG", "NOTICE", "WARNING", "ERROR"]),
    "postfix": ("%b %d %H:%M:%S mail postfix/smtpd[1234]: {lv}: {m}", ["debug", "info", "warning", "error"]),
    "syslog5424": ("<{lv}>1 %Y-%m-%dT%H:%M:%S.508Z host app 1234 ID1 - {m}", ["15", "14", "12", "11"]),
    "csvq": ('"%Y-%m-%d %H:%M:%S","{lv}","app","{m}"', UPPER),
    "tsv": ("%Y-%m-%d %H:%M:%S\t{lv}\tapp\t{m}", UPPER),
    "pipes": ("{lv} | %Y-%m-%d %H:%M:%S.508 | main | {m}", UPPER),
    "loguru": ("%Y-%m-%d %H:%M:%S.508 | {lv:<8} | app.main:run:{n} - {m}", LONG),
    "epochms": ("{ms} {lv} {m}", UPPER),
    "npm": ("{n} {lv} {m}", ["silly", "info", "warn", "error"]),
    "maven": ("[{lv}] {m}", UPPER),
    "nodewinston": ("%Y-%m-%dT%H:%M:%S.508Z [{lv}]: {m}", LOWER),
    "ansi": ("\x1b[32m%Y-%m-%d %H:%M:%S\x1b[0m \x1b[1m{lv}\x1b[0m {m}", UPPER),
    "vault": ("%Y-%m-%dT%H:%M:%S.508Z [{lv:<5}] core: {m}: n={n}", UPPER),
    "caddyc": ('%Y/%m/%d %H:%M:%S.508\t{lv}\thttp.log\t{m}\t{{"n": {n}}}', UPPER),
    "glog_year": ("{lv}%Y%m%d %H:%M:%S.508750  1234 server.cc:{n}] {m}", ["I", "I", "W", "E"]),
    "ms_iso_comma": ("%Y-%m-%d %H:%M:%S,508 - app.mod - {lv} - {m}", LONG),
    "hadoop": ("%Y-%m-%d %H:%M:%S,508 {lv} org.apache.hadoop.hdfs.X: {m}", UPPER),
    "clickhouse": (
        "%Y.%m.%d %H:%M:%S.508750 [ {n} ] {{}} <{lv}> Application: {m}",
        ["Debug", "Information", "Warning", "Error"],
    ),
    "influx": ('ts=%Y-%m-%dT%H:%M:%S.508Z lvl={lv} msg="{m}" log_id=0a', LOWER),
    "win_us": (
        "%-m/%-d/%Y %-I:%M:%S %p\t{lv}\tService\t{n}\t{m}",
        ["Information", "Information", "Warning", "Error"],
    ),
    "jul": (
        "%b %d, %Y %-I:%M:%S %p com.acme.Server handle\n{lv}: {m}",
        ["FINE", "INFO", "WARNING", "SEVERE"],
    ),
    "level_below": ("%Y-%m-%dT%H:%M:%SZ request {n} of 10.0.0.7\n[{lv}] {m}\n  took {n} us", LOWER),
}


def lines_of(form, words, rng):
    """(lines, kind of each)"""
    moment, lines, kinds = BEGIN, [], []
    for _ in range(LINES):
        moment += datetime.timedelta(seconds=rng.randint(0, 60))
        kind = rng.choices(KINDS, [3, 6, 2, 1])[0]
        word = words[KINDS.index(kind)] if words else ""
        message = rng.choice(MESSAGES).format(w=rng.choice(["alpha", "beta", "gamma"]), x=rng.randint(0, 250))
        service = rng.choice(["web-1", "redis-1", "worker-1"])
        seconds = int(moment.replace(tzinfo=datetime.timezone.utc).timestamp())
        lines.append(
            moment.strftime(form).format(
                lv=word, L=word[:1], m=message, n=rng.randint(1, 99999), ms=seconds * 1000, s=seconds, service=service
            )
        )
        kinds.append(kind)
    return lines, kinds


def count(*arguments):
    done = subprocess.run([LOGMILL, "search", "-c", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()


def look(folder, name, form, words):
    lines, kinds = lines_of(form, words, random.Random(name))
    log, archive = folder / f"{name}.log", folder / f"{name}.lm"
    log.write_text("\n".join(lines) + "\n")
    os.utime(log, (BEGIN.timestamp() + 86000, BEGIN.timestamp() + 86000))
    subprocess.run([LOGMILL, "pack", "-q", "-o", archive, log], check=True)
    questions = []
    each = form.count("\n") + 1  # lines of a record
    if any(letter in form for letter in ("%H", "%I", "%-I", "{ms}", "{s}")):
        questions.append((["--since", "2026-11-23T00:00", "--until", "2026-11-24T00:00", ""], LINES * each))
    if words:
        errors, warnings = kinds.count("error"), kinds.count("warn")
        questions.append((["level>=error"], errors * each))
        questions.append((["level>=warn"], (errors + warnings) * each))
    troubles = []
    for question, want in questions:
        for where in (archive, log):
            got = count(*question, where)
            if got != str(want):
                troubles.append(f"{name}: {question[0]} finds {got} of {want} in {where.name}: {lines[0]}")
    return troubles


def main():
    with tempfile.TemporaryDirectory() as folder:
        troubles = [t for name, (form, words) in FORMATS.items() for t in look(pathlib.Path(folder), name, form, words)]
    for trouble in troubles:
        print(trouble)
    print(f"{len(FORMATS)} formats, {len(troubles)} answers wrong")
    sys.exit(1 if troubles or not FORMATS else 0)


if __name__ == "__main__":
    main()
