#!/usr/bin/env python3
"""Logs as programs write them by default: an archive of each finds its lines by time and by level, as the text does.

Each format is a record of a few hundred, mostly of one line: a time in strftime's letters, {lv} the program's word for
the level, {m} the message, {n} a number. Nothing tells logmill which one it is.
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
    "rails_tagged": (
        "{L}, [%Y-%m-%dT%H:%M:%S.508750 #1234] {lv:>5} -- : [3f2a6c1e-0b1d-4c11-9a4e-0a1b2c3d4e5f] {m}",
        UPPER,
    ),
    "lograge_prefixed": (
        "{L}, [%Y-%m-%dT%H:%M:%S.508750 #1234]  {lv} -- : method=GET path=/users/{n} format=html"
        " controller=Users action=show status=200 duration=58.33",
        UPPER,
    ),
    "sidekiq": (
        "%Y-%m-%dT%H:%M:%S.508Z pid=1234 tid=gn0 class=HardWorker jid=a1b2c3d4e5f6 elapsed=0.{n} {lv}: {m}",
        UPPER,
    ),
    "puma": ("[1234] %Y-%m-%d %H:%M:%S +0000 {lv}: {m}", UPPER),
    "rack_common": ('10.0.0.{n} - - [%d/%b/%Y:%H:%M:%S +0000] "GET /x/{n} HTTP/1.1" 200 {n} 0.0123', None),
    "symfony": ('[%Y-%m-%dT%H:%M:%S.508750+00:00] request.{lv}: {m} {{"route":"home","n":{n}}} []', LONG),
    "yii": ("%Y-%m-%d %H:%M:%S [10.0.0.1][-][abc{n}][{lv}][application] {m}", ["trace", "info", "warning", "error"]),
    "werkzeug": ('10.0.0.1 - - [%d/%b/%Y %H:%M:%S] "GET /a/{n} HTTP/1.1" 200 -', None),
    "django_runserver": ('[%d/%b/%Y %H:%M:%S] "GET /items/{n} HTTP/1.1" 200 {n}', None),
    "tornado": ("[{L} %y%m%d %H:%M:%S web:2250] 200 GET /x/{n} (10.0.0.1) 1.{n}ms {m}", UPPER),
    "jupyter": ("[{L} %Y-%m-%d %H:%M:%S.508 ServerApp] {m}", UPPER),
    "scrapy": ("%Y-%m-%d %H:%M:%S [scrapy.core.engine] {lv}: {m}", LONG),
    "structlog_console": (
        "%Y-%m-%dT%H:%M:%S.508750Z [{lv:<9}] {m}   [app.views] n={n} user=ann",
        ["debug", "info", "warning", "error"],
    ),
    "absl": ("{lv}%m%d %H:%M:%S.508750 140{n} main.py:{n}] {m}", ["I", "I", "W", "E"]),
    "ansible": ("%Y-%m-%d %H:%M:%S,508 p=1234 u=root n=ansible {lv}| {m}", LONG),
    "saltminion": ("%Y-%m-%d %H:%M:%S,508 [salt.minion      :1234][{lv:<8}][{n}] {m}", LONG),
    "odoo": ("%Y-%m-%d %H:%M:%S,508 1234 {lv} db odoo.http: {m}", LONG),
    "elixir_dated": ("%Y-%m-%d %H:%M:%S.508 [{lv}] {m} request_id=F{n}", ["debug", "info", "warning", "error"]),
    "couchdb": (
        "[{lv}] %Y-%m-%dT%H:%M:%S.508750Z couchdb@127.0.0.1 <0.{n}.0> -------- {m}",
        ["debug", "info", "warning", "error"],
    ),
    "slog_rs": ("%b %d %H:%M:%S.508 {lv} {m}, n: {n}", ["DEBG", "INFO", "WARN", "ERRO"]),
    "fern": ("[%Y-%m-%d][%H:%M:%S][app::net][{lv}] {m}", UPPER),
    "zap_epoch": ('{{"level":"{lv}","ts":{s}.508750,"caller":"server/main.go:{n}","msg":"{m}"}}', LOWER),
    "zerolog_console": ("%Y-%m-%dT%H:%M:%SZ {lv} {m} n={n}", ["DBG", "INF", "WRN", "ERR"]),
    "slog_default": ("%Y/%m/%d %H:%M:%S {lv} {m} n={n}", UPPER),
    "charmlog": ("%Y/%m/%d %H:%M:%S {lv} {m} n={n}", ["DEBU", "INFO", "WARN", "ERRO"]),
    "logrus_tty": ("{lv}[{n:04}] {m}  n={n}", ["DEBU", "INFO", "WARN", "ERRO"]),
    "apex": ("  {lv:>5} %Y/%m/%d %H:%M:%S {m}", LOWER),
    "log15": ('t=%Y-%m-%dT%H:%M:%S+0000 lvl={lv} msg="{m}" n={n}', ["dbug", "info", "warn", "eror"]),
    "geth": ("{lv:<5}[%m-%d|%H:%M:%S.508] {m}       number={n} hash=0x{n}", UPPER),
    "consul": ("    %Y-%m-%dT%H:%M:%S.508Z [{lv:<5}] agent: {m}", UPPER),
    "etcd_old": ("%Y-%m-%d %H:%M:%S.508750 {lv} | etcdserver: {m}", ["D", "I", "W", "E"]),
    "coredns": (
        '[{lv}] 10.0.0.{n}:5353 - {n} "A IN e.org. udp 40 false 512" NOERROR qr,rd,ra 106 0.{n}s',
        ["DEBUG", "INFO", "WARNING", "ERROR"],
    ),
    "istio": ("%Y-%m-%dT%H:%M:%S.508750Z\t{lv}\tads\t{m}", ["debug", "info", "warn", "error"]),
    "cilium": ('level={lv} msg="{m}" subsys=daemon n={n}', ["debug", "info", "warning", "error"]),
    "traefik": ("%Y-%m-%dT%H:%M:%SZ {lv} {m} entryPointName=web", ["DBG", "INF", "WRN", "ERR"]),
    "envoy": (
        "[%Y-%m-%d %H:%M:%S.508][{n}][{lv}][main] [source/server/server.cc:{n}] {m}",
        ["debug", "info", "warning", "error"],
    ),
    "envoy_access": (
        '[%Y-%m-%dT%H:%M:%S.508Z] "GET /x/{n} HTTP/1.1" 200 - 0 {n} 1 0 "-" "curl/7.88"'
        ' "3f2a6c1e-0b1d-4c11-9a4e-0a1b2c3d4e5f" "e.org" "10.0.0.2:80"',
        None,
    ),
    "containerd_syslog": (
        '%b %d %H:%M:%S node1 containerd[1234]: time="%Y-%m-%dT%H:%M:%S.508750123Z" level={lv} msg="{m}"',
        ["debug", "info", "warning", "error"],
    ),
    "minio": ("{lv}: %Y-%m-%d %H:%M:%S {m}", UPPER),
    "nats": ("[1] %Y/%m/%d %H:%M:%S.508750 [{lv}] {m}", ["DBG", "INF", "WRN", "ERR"]),
    "gitea": ("%Y/%m/%d %H:%M:%S ...s/web.go:{n}:run() [{lv}] {m}", ["D", "I", "W", "E"]),
    "telegraf": ("%Y-%m-%dT%H:%M:%SZ {lv}! [agent] {m}", LETTER),
    "dropwizard": ("{lv:<5} [%Y-%m-%d %H:%M:%S,508] com.acme.App: {m}", UPPER),
    "activemq": ("%Y-%m-%d %H:%M:%S,508 | {lv:<5} | {m} | org.apache.activemq.broker.BrokerService | main", UPPER),
    "jenkins": (
        "%Y-%m-%d %H:%M:%S.508+0000 [id={n}]\t{lv}\thudson.WebAppMain$3#run: {m}",
        ["FINE", "INFO", "WARNING", "SEVERE"],
    ),
    "gradle": ("%Y-%m-%dT%H:%M:%S.508+0000 [{lv}] [org.gradle.Build] {m}", UPPER),
    "glassfish": (
        "[%Y-%m-%dT%H:%M:%S.508+0000] [glassfish 5.1] [{lv}] [] [javax.enterprise.X] [tid:"
        " _ThreadID={n}] [[{m}]]",
        ["FINE", "INFO", "WARNING", "SEVERE"],
    ),
    "weblogic": (
        "<%b %d, %Y %-I:%M:%S %p UTC> <{lv}> <Server> <BEA-000{n}> <{m}>",
        ["Debug", "Info", "Warning", "Error"],
    ),
    "dotnet_simple": ("{lv}: Microsoft.Hosting.Lifetime[14]\n      {m}", ["dbug", "info", "warn", "fail"]),
    "dotnet_systemd": ("<{lv}>Microsoft.Hosting.Lifetime[14] {m}", ["7", "6", "4", "3"]),
    "dotnet_single": ("%Y-%m-%d %H:%M:%S {lv}: App.Program[0] {m}", ["dbug", "info", "warn", "fail"]),
    "serilog_compact": (
        '{{"@t":"%Y-%m-%dT%H:%M:%S.5087501Z","@mt":"{m}","@l":"{lv}","n":{n}}}',
        ["Debug", "Information", "Warning", "Error"],
    ),
    "winston_simple": ('{lv}: {m} {{"service":"user","timestamp":"%Y-%m-%dT%H:%M:%S.508Z"}}', LOWER),
    "nest": (
        "[Nest] 1234  - %m/%d/%Y, %-I:%M:%S %p   {lv:>5} [RouterExplorer] {m} +{n}ms",
        ["DEBUG", "LOG", "WARN", "ERROR"],
    ),
    "pm2": ("%Y-%m-%dT%H:%M:%S: PM2 {lv}     | {m}", ["debug", "log", "warn", "error"]),
    "alb": (
        "https %Y-%m-%dT%H:%M:%S.508750Z app/my-lb/50dc6c495c0c9188 10.0.0.{n}:2817 10.0.1.1:80 0.000"
        ' 0.001 0.000 200 200 34 366 "GET https://e.org:443/x/{n} HTTP/1.1" "curl/7.46.0" ECDHE TLSv1.2'
        ' arn:aws:x "Root=1-58337262-36d2" "e.org" "arn" 0 %Y-%m-%dT%H:%M:%S.508750Z "forward" "-" "-"'
        ' "10.0.1.1:80" "200" "-" "-"',
        None,
    ),
    "elb": (
        "%Y-%m-%dT%H:%M:%S.508750Z my-lb 10.0.0.1:2817 10.0.1.1:80 0.000073 0.001048 0.000057 200 200 0"
        ' {n} "GET http://e.org:80/ HTTP/1.1" "curl/7.38.0" - -',
        None,
    ),
    "s3": (
        "79a59df900b949e55d96a1e698fbaced bucket [%d/%b/%Y:%H:%M:%S +0000] 10.0.0.1 79a59df9"
        ' 3E57427F3EXAMPLE REST.GET.VERSIONING - "GET /b?versioning HTTP/1.1" 200 - 113 - {n} - "-"'
        ' "S3Console/0.4" - abc= SigV4 ECDHE AuthHeader e.org TLSV1.1',
        None,
    ),
    "cloudfront": (
        "%Y-%m-%d\t%H:%M:%S\tFRA50-C1\t{n}\t10.0.0.1\tGET\td1.cloudfront.net\t/x/{n}\t200\t-\tcurl/7\t-\t-\t"
        "Hit\tabc==\t"
        "e.org\thttps\t{n}\t0.001",
        None,
    ),
    "haproxy_http": (
        "%b %d %H:%M:%S lb haproxy[1234]: 10.0.0.{n}:33313 [%d/%b/%Y:%H:%M:%S.508] fe be/s1"
        ' 0/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "GET /i HTTP/1.1"',
        None,
    ),
    "dovecot": (
        "%b %d %H:%M:%S mail dovecot: imap-login: {lv}: {m}: user=<ann>, method=PLAIN, rip=10.0.0.{n}",
        ["Debug", "Info", "Warning", "Error"],
    ),
    "bind_query": (
        "%d-%b-%Y %H:%M:%S.508 client @0x7f 10.0.0.1#{n} (e.org): query: e.org IN A +E(0)K (10.0.0.53)",
        None,
    ),
    "unbound": ("[{s}] unbound[1234:0] {lv}: {m}", ["debug", "info", "warning", "error"]),
    "fail2ban": ("%Y-%m-%d %H:%M:%S,508 fail2ban.filter         [1234]: {lv:<7} [sshd] {m}", LONG),
    "auditd": (
        "type=SYSCALL msg=audit({s}.508:{n}): arch=c000003e syscall=2 success=no exit=-13 pid=3538"
        ' comm="cat" exe="/bin/cat"',
        None,
    ),
    "mysql_slow": (
        "# Time: %Y-%m-%dT%H:%M:%S.508750Z\n# User@Host: root[root] @ localhost []  Id:     {n}\n#"
        " Query_time: 2.{n}  Lock_time: 0.000 Rows_sent: 1  Rows_examined: {n}\nSET timestamp={s};\nSELECT"
        " * FROM t WHERE id={n};",
        None,
    ),
    "oracle_alert": ("%Y-%m-%dT%H:%M:%S.508750+00:00\nThread 1 advanced to log sequence {n} (LGWR switch)", None),
    "cassandra_old": ("{lv:>5} [main] %Y-%m-%d %H:%M:%S,508 CassandraDaemon.java (line {n}) {m}", UPPER),
    "cisco_ios": (
        "%b %d %H:%M:%S sw1 {n}: *%b %d %H:%M:%S.508: %%LINK-3-UPDOWN: Interface Gi0/{n}, changed state"
        " to up",
        None,
    ),
    "cisco_asa": ("%b %d %Y %H:%M:%S fw1 : %%ASA-{lv}-302013: Built outbound TCP connection {n}", ["7", "6", "4", "3"]),
    "lambda": (
        "%Y-%m-%dT%H:%M:%S.508Z\t3f2a6c1e-0b1d-4c11-9a4e-0a1b2c3d4e5f\t{lv}\t{m}",
        ["DEBUG", "INFO", "WARN", "ERROR"],
    ),
    "lambda_py": ("[{lv}]\t%Y-%m-%dT%H:%M:%S.508Z\t3f2a6c1e-0b1d-4c11-9a4e-0a1b2c3d4e5f\t{m}", LONG),
    "gcp_k8s": (
        '{{"insertId":"a{n}","jsonPayload":{{"message":"{m}"}},"severity":"{lv}","timestamp":"%Y-%m-%dT%H'
        ':%M:%S.508750Z"}}',
        LONG,
    ),
    "azure": (
        '{{"time":"%Y-%m-%dT%H:%M:%S.5087501Z","resourceId":"/S/1","category":"AppServiceConsoleLogs","le'
        'vel":"{lv}","resultDescription":"{m}"}}',
        ["Informational", "Informational", "Warning", "Error"],
    ),
    "nagios": ("[{s}] SERVICE ALERT: h{n};PING;CRITICAL;SOFT;1;{m}", None),
    "mosquitto": ("{s}: {m}", None),
    "samba": ("[%Y/%m/%d %H:%M:%S.508750,  0] ../source3/smbd/server.c:{n}(main)\n  {m}", None),
    "slurm": ("[%Y-%m-%dT%H:%M:%S.508] {lv}: {m}", ["debug", "info", "warning", "error"]),
    "ceph_cluster": (
        "%Y-%m-%dT%H:%M:%S.508750+0000 mon.a (mon.0) {n} : cluster [{lv}] {m}",
        ["DBG", "INF", "WRN", "ERR"],
    ),
    "gluster": ("[%Y-%m-%d %H:%M:%S.508750 +0000] {lv} [MSGID: 1000{n}] [server.c:{n}:main] 0-vol: {m}", LETTER),
    "libvirt": ("%Y-%m-%d %H:%M:%S.508+0000: 1234: {lv} : virFoo:{n} : {m}", ["debug", "info", "warning", "error"]),
    "esxi": (
        "%Y-%m-%dT%H:%M:%S.508Z {lv} hostd[2099{n}] [Originator@6876 sub=Vimsvc] {m}",
        ["verbose", "info", "warning", "error"],
    ),
    "fluentbit": ("[%Y/%m/%d %H:%M:%S] [{lv:>5}] [input:tail:tail.0] {m}", ["debug", "info", "warn", "error"]),
    "supervisord": ("%Y-%m-%d %H:%M:%S,508 {lv} {m}", ["DEBG", "INFO", "WARN", "ERRO"]),
    "chrome": ("[1234:1234:%m%d/%H%M%S.508750:{lv}:x.cc({n})] {m}", LONG),
    "spamd": ("%a %b %d %H:%M:%S %Y [1234] {lv}: spamd: {m}", ["dbg", "info", "warn", "error"]),
    "ros": ("[{lv}] [{s}.508750]: {m}", ["DEBUG", "INFO", "WARN", "ERROR"]),
    "tidb": ('[%Y/%m/%d %H:%M:%S.508 +00:00] [{lv}] [server.go:{n}] ["{m}"] [conn={n}]', UPPER),
    "passenger": ("[ {lv} %Y-%m-%d %H:%M:%S.5087 1234/T{n} age/Cor/Main.cpp:{n} ]: {m}", ["D", "N", "W", "E"]),
    "uwsgi": (
        "[pid: 1234|app: 0|req: {n}/{n}] 10.0.0.1 () {{40 vars in 600 bytes}} [%a %b %d %H:%M:%S %Y] GET"
        " /x/{n} => generated {n} bytes in 12 msecs (HTTP/1.1 200) 3 headers",
        None,
    ),
    "mssql2": ("%Y-%m-%d %H:%M:%S.50 Server      {m}", None),
    "elixir": ("%H:%M:%S.508 [{lv}] {m}", ["debug", "info", "warning", "error"]),
    "simplelog": ("%H:%M:%S [{lv}] (1) app::net: {m}", UPPER),
    "logback": ("%H:%M:%S.508 [main] {lv:<5} com.acme.App -- {m}", UPPER),
    "log4j2": ("%H:%M:%S.508 [main] {lv:<5} com.acme.App - {m}", UPPER),
    "serilog_console": ("[%H:%M:%S {lv}] {m}", ["DBG", "INF", "WRN", "ERR"]),
    "pino_pretty": ("[%H:%M:%S.508] {lv} (1234): {m}", UPPER),
    "minecraft": ("[%H:%M:%S] [Server thread/{lv}]: {m}", UPPER),
    "level_below": ("%Y-%m-%dT%H:%M:%SZ request {n} of 10.0.0.7\n[{lv}] {m}\n  took {n} us", LOWER),
}


def lines_of(form, words, rng):
    """(lines, kind of each, the time of the last)"""
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
    return lines, kinds, moment


def count(*arguments):
    done = subprocess.run([LOGMILL, "search", "-c", *map(str, arguments)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()


def look(folder, name, form, words):
    lines, kinds, last = lines_of(form, words, random.Random(name))
    log, archive = folder / f"{name}.log", folder / f"{name}.lm"
    log.write_text("\n".join(lines) + "\n")
    written = last.replace(tzinfo=datetime.timezone.utc).timestamp()
    os.utime(log, (written, written))
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
