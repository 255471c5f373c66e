"""Runs in an environment with the packages of requirements.txt: gRPC's own client and OpenTelemetry's exporters against
the daemon's gRPC listener: logins, scopes, tenants, limits, what is no log, TLS with and without certificates of
clients, a full disk, a reload, a stop, and a kill right after an answer. Nothing of the clients is changed."""
import base64
import logging
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import grpc
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "daemon"))
from daemon_harness import CERTIFICATES, LOGMILL, NS, QUERY_CONFIG, Daemon, check, main, wait_until  # noqa: E402

TIMEOUT_S = 30
LISTEN = 'listen: {http: "127.0.0.1:0", elasticsearch: "", otlp_http: "", otlp_grpc: GRPC}\nsources: []\n'
TOKEN, READER, PASSWORD = "tok-grpc-write-1", "tok-grpc-read-2", "pass-grpc-3"
HEALTH = "/grpc.health.v1.Health/Check"
EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
RETRY_7 = b"google.rpc.RetryInfo"


def start(folder, config="", grpc_door='"127.0.0.1:0"'):
    return Daemon(folder, QUERY_CONFIG + LISTEN.replace("GRPC", grpc_door) + config, listen=None)


def door(daemon, index=0):
    return [a.partition("://")[2] for a in daemon.addresses if a.startswith("grpc")][index]


def request(name, lines, begin_ns):
    message = ExportLogsServiceRequest()
    resource = message.resource_logs.add()
    attribute = resource.resource.attributes.add()
    attribute.key, attribute.value.string_value = "service.name", name
    scope = resource.scope_logs.add()
    for i, line in enumerate(lines):
        record = scope.log_records.add()
        record.time_unix_nano = begin_ns + i * 1000
        record.body.string_value = line
    return message


def export(channel, message, metadata=()):
    return LogsServiceStub(channel).Export(message, timeout=TIMEOUT_S, metadata=metadata)


def refused(call, *args, **named):
    """(code, text, trailers) of a call that must fail."""
    try:
        answer = call(*args, **named)
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata() or ())
    raise AssertionError(f"it was taken: {answer}")


def expect(code, call, *args, **named):
    got, text, trailers = refused(call, *args, **named)
    check(got == code, f"{got} ({text}) instead of {code}")
    check(text.strip() != "", f"{code} without a reason")
    return text, trailers


def lines_of(daemon, name, headers=None, now=None):
    now = now or time.time_ns()
    return [line for _, line in daemon.values(f'{{service_name="{name}"}}', headers, start=now - 3600 * NS,
                                              end=now + 3600 * NS)]


def emit(exporter, name, count):
    """What an application does with the SDK; each record is a call."""
    from opentelemetry.sdk.resources import Resource
    provider = LoggerProvider(resource=Resource.create({"service.name": name}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("x")
    for i in range(count):
        logger.emit(LogRecord(timestamp=time.time_ns(), body=f"{name} {i}", severity_number=SeverityNumber.INFO))
    provider.shutdown()


def hash_of(secret, *options):
    done = subprocess.run([LOGMILL, "config", "hash", *options], input=secret + "\n", capture_output=True, text=True,
                          check=True)
    return done.stdout.strip()


def logins(_, folder):
    daemon = start(folder, f"""auth:
  enabled: true
  users:
    - {{name: anna, password_hash: "{hash_of(PASSWORD)}", tenant: team, scopes: [write, read]}}
  tokens:
    - {{name: w, hash: "{hash_of(TOKEN, '--token')}", scopes: [write]}}
    - {{name: r, hash: "{hash_of(READER, '--token')}", scopes: [read]}}
""")
    basic = "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
    wrong = "Basic " + base64.b64encode(b"anna:x").decode()
    now = time.time_ns()
    with grpc.insecure_channel(door(daemon)) as channel:
        message = request("plain", ["a"], now)
        unauthenticated, denied = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
        for login in (None, "Bearer wrong", wrong, "Bearer", "x" * 4000):
            text, _ = expect(unauthenticated, export, channel, message, (("authorization", login),) if login else ())
            check(TOKEN not in text and PASSWORD not in text, "secrets are told")
        expect(denied, export, channel, message, (("authorization", "Bearer " + READER),))
        expect(denied, export, channel, message, (("authorization", basic), ("x-scope-orgid", "others")))
        expect(grpc.StatusCode.INVALID_ARGUMENT, export, channel, message,
               (("authorization", "Bearer " + TOKEN), ("x-scope-orgid", "a/b")))
        export(channel, request("plain", ["of others"], now),
               (("authorization", "Bearer " + TOKEN), ("x-scope-orgid", "others")))
        export(channel, request("plain", ["of team"], now), (("authorization", basic),))
        # a large message while the password is being checked
        big = [f"big {i} " + "x" * 1000 for i in range(3000)]
        export(channel, request("big", big, now), (("authorization", basic),))
        health = channel.unary_unary(HEALTH)
        check(health(b"", timeout=TIMEOUT_S) == b"\x08\x01", "health needs no login, and is serving")
    emit(OTLPLogExporter(endpoint="http://" + door(daemon), headers={"authorization": "Bearer " + TOKEN}), "sdk", 3)
    emit(OTLPLogExporter(endpoint="http://" + door(daemon), headers=f"authorization={basic}"), "sdk-basic", 3)
    check(lines_of(daemon, "plain", {"Authorization": basic}) == ["of team"], "the tenant of a login")
    check(len(lines_of(daemon, "big", {"Authorization": basic})) == 3000, "the large message")
    check(len(lines_of(daemon, "sdk", {"Authorization": "Bearer " + READER})) == 3, "the SDK's")
    check(len(lines_of(daemon, "sdk-basic", {"Authorization": basic})) == 3, "the SDK's with a password")
    page = daemon.get("/metrics", {"Authorization": "Bearer " + READER})[1].decode()
    check('route="otlp_grpc",code="2xx"' in page and 'route="otlp_grpc",code="4xx"' in page, "it is not counted")
    check("tok-grpc" not in daemon.log() and PASSWORD not in daemon.log(), "secrets are in the log")
    daemon.stop()


def statuses(_, folder):
    daemon = start(folder, "limits: {rate: 200KB, burst: 200KB}\ningest: {body_size_max: 1MiB}\n")
    now = time.time_ns()
    with grpc.insecure_channel(door(daemon), options=(("grpc.max_send_message_length", -1),)) as channel:
        invalid, exhausted = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
        unimplemented = grpc.StatusCode.UNIMPLEMENTED
        raw = channel.unary_unary(EXPORT)
        check(ExportLogsServiceResponse.FromString(raw(b"", timeout=TIMEOUT_S)) == ExportLogsServiceResponse(), "empty")
        expect(invalid, raw, b"\xff\xff\xff", timeout=TIMEOUT_S)
        text, trailers = expect(exhausted, raw, b"x" * (2 << 20), timeout=TIMEOUT_S)
        check("too large" in text and "grpc-status-details-bin" not in trailers, "a large message is not sent again")
        gzip = grpc.Compression.Gzip  # a bomb
        text, trailers = expect(exhausted, raw, b"\0" * (50 << 20), timeout=TIMEOUT_S, compression=gzip)
        check("unpacked" in text, text)
        lines = ["y" * 1000] * 150
        export(channel, request("limits", lines, now))
        text, trailers = expect(exhausted, export, channel, request("limits", lines, now))
        check("ingestion rate limit" in text, text)
        check(RETRY_7 in trailers["grpc-status-details-bin"], "no RetryInfo")
        check(trailers["google.rpc.retryinfo-bin"][:1] == b"\x0a", "no RetryInfo where the SDK looks for it")
        many = request("limits", ["fine"], now)
        for i in range(200):
            attribute = many.resource_logs[0].scope_logs[0].log_records.add()
            attribute.time_unix_nano = now + i
            attribute.body.string_value = "has too much"
            for k in range(200):
                attribute.attributes.add(key=f"k{k}").value.string_value = "v"
        answer = export(channel, many, (("x-scope-orgid", "partial"),))
        check(answer.partial_success.rejected_log_records == 200, f"partial success: {answer}")
        check(answer.partial_success.error_message != "", "partial success without a reason")
        check(lines_of(daemon, "limits", {"X-Scope-OrgID": "partial"}) == ["fine"], "the good one")
        expect(unimplemented, TraceServiceStub(channel).Export, ExportTraceServiceRequest(), timeout=TIMEOUT_S)
        expect(unimplemented, MetricsServiceStub(channel).Export, ExportMetricsServiceRequest(), timeout=TIMEOUT_S)
        expect(unimplemented, channel.unary_unary("/x/y"), b"", timeout=TIMEOUT_S)
        expect(unimplemented, channel.unary_unary("/loki/api/v1/push"), b"", timeout=TIMEOUT_S)
        expect(unimplemented, channel.unary_unary("/metrics"), b"", timeout=TIMEOUT_S)
        stream = channel.stream_unary(EXPORT)  # two messages where one belongs
        expect(invalid, lambda: stream(iter([b"", b""]), timeout=TIMEOUT_S))
        expect(invalid, lambda: stream(iter([]), timeout=TIMEOUT_S))
        expect(exhausted, export, channel, request("x", ["x"], now), (("x-much", "m" * 20_000),))
        health = channel.unary_unary(HEALTH)
        check(health(b"", timeout=TIMEOUT_S) == b"\x08\x01", "health")
        expect(grpc.StatusCode.NOT_FOUND, health, b"\x0a\x01x", timeout=TIMEOUT_S)
        expect(invalid, health, b"\x0a\xff", timeout=TIMEOUT_S)
        # what nobody waits for any more is no trouble
        for _ in range(50):
            raw.future(request("gone", ["g" * 10_000], now).SerializeToString(), timeout=TIMEOUT_S).cancel()
    daemon.check_alive()
    status, _ = daemon.get(EXPORT)
    check(status == 404, f"gRPC's paths are served over HTTP: {status}")
    daemon.stop()


def full_disk(_, folder):
    daemon = start(folder, "storage: {disk_free_min: 100000TB}\n")
    with grpc.insecure_channel(door(daemon)) as channel:
        text, trailers = expect(grpc.StatusCode.UNAVAILABLE, export, channel, request("x", ["x"], time.time_ns()))
        check("grpc-status-details-bin" in trailers, f"no RetryInfo: {text}")
        check(channel.unary_unary(HEALTH)(b"", timeout=TIMEOUT_S) == b"\x08\x02", "health does not tell the truth")
    daemon.stop()


def credentials(folder, client=None):
    read = [(folder / f"{client}.{kind}").read_bytes() if client else None for kind in ("key", "pem")]
    return grpc.ssl_channel_credentials((folder / "ca.pem").read_bytes(), *read)


def tls(_, folder):
    if not shutil.which("openssl"):
        print("      skipped: no openssl")
        return
    subprocess.run([CERTIFICATES, folder], check=True, capture_output=True)
    files = f"certificate: {folder}/server.pem, key: {folder}/server.key"
    daemon = start(folder, grpc_door=f'[{{address: "127.0.0.1:0", tls: {{{files}}}}}, '
                                     f'{{address: "127.0.0.1:0", tls: {{{files}, client_ca: {folder}/ca.pem}}}}]')
    open_door, strict_door = door(daemon), door(daemon, 1)
    check(all(a.startswith("grpcs") for a in daemon.addresses[1:]), f"{daemon.addresses}")
    emit(OTLPLogExporter(endpoint=f"https://{open_door}", credentials=credentials(folder)), "tls", 3)
    emit(OTLPLogExporter(endpoint=f"https://{strict_door}", credentials=credentials(folder, "client"),
                         compression=grpc.Compression.Gzip), "mtls", 3)
    message = request("none", ["x"], time.time_ns())
    for client in (None, "stranger"):
        with grpc.secure_channel(strict_door, credentials(folder, client)) as channel:
            expect(grpc.StatusCode.UNAVAILABLE, export, channel, message)
    with grpc.insecure_channel(open_door) as channel:
        expect(grpc.StatusCode.UNAVAILABLE, export, channel, message)
    big = [f"{i} " + "z" * 1000 for i in range(5000)]
    with grpc.secure_channel(open_door, credentials(folder)) as channel:
        export(channel, request("big", big, time.time_ns()))
    check(len(lines_of(daemon, "tls")) == 3 and len(lines_of(daemon, "mtls")) == 3, "what came over TLS")
    check(len(lines_of(daemon, "big")) == 5000, "a large message over TLS")
    check(lines_of(daemon, "none") == [], "what was refused is there")
    daemon.stop()


class Sender(threading.Thread):
    """Calls one after the other with numbered lines; knows which were acknowledged."""

    def __init__(self, address, name):
        super().__init__(daemon=True)
        self.address, self.name_of, self.stops = address, name, threading.Event()
        self.acknowledged, self.number, self.codes = [], 0, set()
        self.begin_ns = time.time_ns()

    def run(self):
        with grpc.insecure_channel(self.address) as channel:
            while not self.stops.is_set():
                lines = [f"{self.name_of} {self.number} {i}" for i in range(20)]
                try:
                    export(channel, request(self.name_of, lines, self.begin_ns + self.number * 100_000))
                    self.acknowledged += lines
                except grpc.RpcError as error:
                    self.codes.add(error.code())
                    self.stops.wait(0.01)
                self.number += 1

    def end(self):
        self.stops.set()
        self.join()


def kills(dice, folder):
    daemon = start(folder)
    for round_number in range(3):
        senders = [Sender(door(daemon), f"kill-{round_number}-{i}") for i in range(3)]
        for one in senders:
            one.start()
        wait_until(lambda: all(len(one.acknowledged) > 200 for one in senders), "acknowledgements")
        time.sleep(dice.random() / 5)
        daemon.kill()
        for one in senders:
            one.end()
        daemon.start()
        for one in senders:
            found = lines_of(daemon, one.name_of)
            lost = set(one.acknowledged) - set(found)
            check(not lost, f"{len(lost)} acknowledged lines are lost")
            check(len(found) == len(set(found)), "lines are there twice")
            check(one.codes <= {grpc.StatusCode.UNAVAILABLE}, f"{one.codes}")
    daemon.stop()


def reloads_and_stops(_, folder):
    daemon = start(folder, grpc_door='["127.0.0.1:0", "127.0.0.1:0"]')
    kept, gone = Sender(door(daemon), "kept"), Sender(door(daemon, 1), "gone")
    kept.start()
    gone.start()
    wait_until(lambda: len(kept.acknowledged) > 100 and len(gone.acknowledged) > 100, "acknowledgements")
    text = daemon.config_path.read_text()
    daemon.config_path.write_text(text.replace('["127.0.0.1:0", "127.0.0.1:0"]', '"127.0.0.1:0"'))
    status, answer = daemon.ask("POST", "/-/reload", b"")
    check(status == 200, f"{status} {answer!r}")
    count = len(kept.acknowledged)
    wait_until(lambda: len(kept.acknowledged) > count + 100, "the listener that stays")
    check(not gone.codes - {grpc.StatusCode.UNAVAILABLE} and not kept.codes, f"{gone.codes} {kept.codes}")
    daemon.process.send_signal(signal.SIGTERM)
    check(daemon._over() == 0, "it ended with a failure")
    kept.end()
    gone.end()
    check(kept.codes <= {grpc.StatusCode.UNAVAILABLE}, f"{kept.codes}")
    daemon.start()
    for one in (kept, gone):
        found = lines_of(daemon, one.name_of)
        check(not set(one.acknowledged) - set(found), f"{one.name_of}: acknowledged lines are lost")
    taken = start_on_taken_port(folder, door(daemon))
    check("cannot listen on" in taken and "in use" in taken, f"a port that is taken: {taken}")
    daemon.stop()


def start_on_taken_port(folder, address):
    other = folder / "other"
    other.mkdir()
    try:
        start(other, grpc_door=f'"{address}"')
    except AssertionError as problem:
        return str(problem)
    return "it started"


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # exporters tell of what they try again
    main("clients_grpc", [logins, statuses, full_disk, tls, kills, reloads_and_stops])
