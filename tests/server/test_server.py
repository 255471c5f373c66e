#!/usr/bin/env python3
"""The daemon from outside: it is started on free ports in a scratch folder and asked what its clients ask it."""

import base64
import gzip
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import zlib

LOGMILL = os.environ.get("LOGMILL", "build/logmill")
if os.environ.get("LOGMILL_SANITIZED"):  # the tracer of leaks faults now and then on threads of a module
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
CERTIFICATES = pathlib.Path(__file__).resolve().parent.parent / "support" / "certificates"
NS = 1_000_000_000
WAIT_S = 60


class Daemon:
    """One `logmill run`; its folder outlives it, so that it can be started again."""

    def __init__(self, folder, config=None, listen="127.0.0.1:0"):
        self.folder, self.config, self.listen = folder, config, listen
        self.start()

    def start(self):
        args = [LOGMILL, "run", "--data", str(self.folder / "data")]
        if self.listen:
            args += ["--listen", self.listen]
        if self.config:
            args += ["--config", str(self.config)]
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.addresses = []
        for line in self.process.stdout:
            if line.startswith("listening"):
                self.addresses.append(line.split()[1])
            if line.startswith("storing"):
                break
        if not self.addresses:
            raise AssertionError(f"the daemon did not start: {(self.folder / 'log').read_text()}")
        url = urllib.parse.urlsplit(self.addresses[0])
        self.host, self.port = url.hostname, url.port

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(WAIT_S)
        self.process.stdout.close()
        self.log.close()
        return code

    def ask(self, method, path, body=None, headers=None, port=None):
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def get(self, path, headers=None, **parameters):
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters, doseq=True)
        response, body = self.ask("GET", path, headers=headers)
        return response.status, body

    def push(self, lines, labels=None, headers=None, metadata=None):
        now = time.time_ns()
        values = [[str(now + i), line] + ([metadata] if metadata else []) for i, line in enumerate(lines)]
        body = json.dumps({"streams": [{"stream": labels or {"app": "test"}, "values": values}]})
        response, text = self.ask(
            "POST", "/loki/api/v1/push", body, {"Content-Type": "application/json", **(headers or {})}
        )
        return response.status, text

    def lines(self, query, headers=None, **parameters):
        status, body = self.get("/loki/api/v1/query_range", headers=headers, query=query, limit=5000, **parameters)
        assert status == 200, (status, body)
        return sorted(value[1] for stream in json.loads(body)["data"]["result"] for value in stream["values"])


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def snappy_block(plain):
    """Literals alone are a valid snappy block."""
    out = bytearray(varint(len(plain)))
    for i in range(0, len(plain), 60):
        piece = plain[i : i + 60]
        out += bytes([len(piece) - 1 << 2]) + piece
    return bytes(out)


def push_request(labels, entries):
    """logproto.PushRequest."""
    stream = field(1, labels.encode())
    for time_ns, line in entries:
        stamp = b"\x08" + varint(time_ns // NS) + b"\x10" + varint(time_ns % NS)
        stream += field(2, field(1, stamp) + field(2, line.encode()))
    return field(1, stream)


class ServerCase(unittest.TestCase):
    config_text = None

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-test-"))
        config = None
        if cls.config_text is not None:
            config = cls.folder / "logmill.yaml"
            config.write_text(cls.config_text)
        cls.daemon = Daemon(cls.folder, config)

    @classmethod
    def tearDownClass(cls):
        code = cls.daemon.stop()
        log = (cls.folder / "log").read_text()
        shutil.rmtree(cls.folder)
        assert code == 0, f"exit code {code}\n{log}"


class TestPush(ServerCase):
    def test_json(self):
        status, body = self.daemon.push(["one", 'two \u00e9 "quoted" \\ \t'], {"case": "json"})
        self.assertEqual((status, body), (204, b""))
        self.assertEqual(self.daemon.lines('{case="json"}'), ["one", 'two \u00e9 "quoted" \\ \t'])

    def test_json_with_parameters_in_the_type(self):
        body = json.dumps({"streams": [{"stream": {"case": "charset"}, "values": [[str(time.time_ns()), "x"]]}]})
        response, _ = self.daemon.ask(
            "POST", "/api/prom/push", body, {"Content-Type": "application/json; charset=utf-8"}
        )
        self.assertEqual(response.status, 204)
        self.assertEqual(self.daemon.lines('{case="charset"}'), ["x"])

    def test_protobuf(self):
        now = time.time_ns()
        plain = push_request('{case="protobuf"}', [(now, "p1"), (now + 1, "p2")])
        for headers in (
            {},
            {"Content-Type": "application/x-protobuf"},
            {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
        ):
            response, body = self.daemon.ask("POST", "/loki/api/v1/push", snappy_block(plain), headers)
            self.assertEqual((response.status, body), (204, b""))
        response, _ = self.daemon.ask(
            "POST", "/loki/api/v1/push", gzip.compress(snappy_block(plain)), {"Content-Encoding": "gzip"}
        )
        self.assertEqual(response.status, 204)
        self.assertEqual(self.daemon.lines('{case="protobuf"}'), ["p1"] * 4 + ["p2"] * 4)

    def test_compressed_json(self):
        body = json.dumps(
            {"streams": [{"stream": {"case": "packed"}, "values": [[str(time.time_ns()), "x"]]}]}
        ).encode()
        for encoding, packed in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body))):
            response, _ = self.daemon.ask(
                "POST", "/loki/api/v1/push", packed, {"Content-Type": "application/json", "Content-Encoding": encoding}
            )
            self.assertEqual(response.status, 204, encoding)
        response, text = self.daemon.ask(
            "POST", "/loki/api/v1/push", body, {"Content-Type": "application/json", "Content-Encoding": "br"}
        )
        self.assertEqual(response.status, 400)
        self.assertIn(b"br", text)
        self.assertEqual(self.daemon.lines('{case="packed"}'), ["x", "x"])

    def test_wrong_bodies_are_told(self):
        for body, type_ in (
            (b"{", "application/json"),
            (b'{"streams":[{"stream":{"a":"b"},"values":[["soon","x"]]}]}', "application/json"),
            (b"\xff\xff\xff", "application/x-protobuf"),
        ):
            response, text = self.daemon.ask("POST", "/loki/api/v1/push", body, {"Content-Type": type_})
            self.assertEqual(response.status, 400, body)
            self.assertGreater(len(text.strip()), 5)

    def test_jsonline(self):
        now = time.time_ns()
        body = (
            "\n".join(json.dumps({"msg": f"n{i}", "ts": now + i, "app": "a", "k": "v"}) for i in range(3))
            + "\nplain\n"
        )
        response, text = self.daemon.ask(
            "POST",
            "/logmill/v1/push/jsonline?_msg_field=msg&_time_field=ts&_stream_fields=app&label.case=jsonline",
            body,
        )
        self.assertEqual(response.status, 204, text)
        self.assertEqual(self.daemon.lines('{case="jsonline"}'), ["n0", "n1", "n2", "plain"])

    def test_jsonline_without_parameters(self):
        response, _ = self.daemon.ask("POST", "/insert/jsonline", '{"message":"nobody said whose"}\n')
        self.assertEqual(response.status, 204)
        self.assertIn("nobody said whose", self.daemon.lines('{service_name="unknown_service"}'))

    def test_many_at_once(self):
        failed = []

        def work(number):
            for i in range(20):
                status, body = self.daemon.push([f"w{number} {i} {k}" for k in range(50)], {"case": "many"})
                if status != 204:
                    failed.append((status, body))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])
        status, body = self.daemon.get("/loki/api/v1/query", query='sum(count_over_time({case="many"}[1h]))')
        self.assertEqual(status, 200, body)
        self.assertEqual(json.loads(body)["data"]["result"][0]["value"][1], str(8 * 20 * 50))

    def test_keep_alive(self):
        connection = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=WAIT_S)
        for path, status in (("/ready", 200), ("/nowhere", 404), ("/ready", 200)):
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            self.assertEqual(response.status, status)
        sock = connection.sock
        self.assertIsNotNone(sock)  # http.client drops it when the server closes
        connection.close()


class TestElastic(ServerCase):
    def test_probes(self):
        probes = [
            ("GET", "/"),
            ("HEAD", "/"),
            ("GET", "/_license"),
            ("GET", "/_xpack"),
            ("GET", "/_cluster/health?timeout=30s&wait_for_nodes=%3E%3D1&wait_for_status=yellow"),
            ("HEAD", "/_index_template/template_logs"),
            ("PUT", "/_index_template/template_logs"),
            ("GET", "/_template/x"),
            ("HEAD", "/_ilm/policy/p"),
            ("PUT", "/_ilm/policy/p"),
            ("GET", "/_ingest/pipeline/p"),
            ("GET", "/_nodes/http"),
            ("GET", "/_cat/health"),
            ("GET", "/_logstash"),
            ("HEAD", "/logs-app"),
            ("PUT", "/logs-app"),
        ]
        for method, path in probes:
            response, body = self.daemon.ask(method, path, b"{}" if method == "PUT" else None)
            self.assertEqual(response.status, 200, (method, path, body))
            self.assertEqual(response.headers["X-Elastic-Product"], "Elasticsearch")
        _, body = self.daemon.ask("GET", "/")
        self.assertRegex(json.loads(body)["version"]["number"], r"^\d+\.\d+\.\d+$")

    def test_bulk(self):
        kind = "application/vnd.elasticsearch+json; compatible-with=9"
        body = (
            '{"create":{"_index":"logs"}}\n{"message":"es one"}\n{"delete":{"_index":"logs","_id":"1"}}\n'
            '{"index":{"_index":"logs","_type":"_doc"}}\n{"message":"es two"}\n'
        )
        response, text = self.daemon.ask(
            "PUT",
            "/_bulk",
            body,
            {"Content-Type": "application/vnd.elasticsearch+x-ndjson; compatible-with=9", "Accept": kind},
        )
        self.assertEqual(response.status, 200, text)
        self.assertEqual(response.headers["Content-Type"], kind)
        self.assertEqual(response.headers["X-Elastic-Product"], "Elasticsearch")
        answer = json.loads(text)
        self.assertTrue(answer["errors"])
        self.assertEqual([list(item)[0] for item in answer["items"]], ["create", "delete", "index"])
        self.assertEqual(answer["items"][0]["create"]["status"], 201)
        self.assertEqual(answer["items"][1]["delete"]["status"], 400)
        found = self.daemon.lines('{index="logs"}')
        self.assertEqual(len(found), 2)
        self.assertIn("es one", found[0])

    def test_bulk_of_an_index(self):
        body = gzip.compress(b'{"create":{}}\n{"message":"named"}\n')
        response, text = self.daemon.ask(
            "POST", "/app-logs/_bulk", body, {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
        )
        self.assertEqual(response.status, 200, text)
        self.assertFalse(json.loads(text)["errors"])
        self.assertEqual(len(self.daemon.lines('{index="app-logs"}')), 1)

    def test_documents_one_by_one(self):
        for method, path, name in (
            ("POST", "/single/_doc", None),
            ("PUT", "/single/_doc/a%2Fb", "a/b"),
            ("PUT", "/single/_create/7", "7"),
        ):
            body = json.dumps({"message": "alone", "path": path}, indent=2)
            response, text = self.daemon.ask(method, path, body, {"Content-Type": "application/json"})
            self.assertEqual(response.status, 201, text)
            self.assertEqual(response.headers["X-Elastic-Product"], "Elasticsearch")
            answer = json.loads(text)
            self.assertEqual((answer["_index"], answer["result"]), ("single", "created"))
            self.assertEqual(answer["_id"], name or answer["_id"])
            self.assertIn(body, self.daemon.lines('{index="single"}'))
        for body in (b"", b"[1]", b"{"):
            response, text = self.daemon.ask("POST", "/single/_doc", body, {"Content-Type": "application/json"})
            self.assertEqual((response.status, json.loads(text)["status"]), (400, 400), body)
        self.assertEqual(len(self.daemon.lines('{index="single"}')), 3)

    def test_wrong_bulk(self):
        response, text = self.daemon.ask("POST", "/_bulk", "{", {"Content-Type": "application/x-ndjson"})
        self.assertEqual(response.status, 400)
        self.assertIn("reason", json.loads(text)["error"])


class TestOtlp(ServerCase):
    request = {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
                "scopeLogs": [
                    {
                        "logRecords": [
                            {"timeUnixNano": "0", "severityText": "INFO", "body": {"stringValue": "otlp line"}}
                        ]
                    }
                ],
            }
        ]
    }

    def test_json_chunked(self):
        self.request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["timeUnixNano"] = str(time.time_ns())
        body = json.dumps(self.request).encode()
        connection = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=WAIT_S)
        connection.request(
            "POST", "/v1/logs", iter([body[:40], body[40:]]), {"Content-Type": "application/json"}, encode_chunked=True
        )
        response = connection.getresponse()
        text = response.read()
        connection.close()
        self.assertEqual(response.status, 200, text)
        self.assertEqual(response.headers["Content-Type"], "application/json")
        self.assertEqual(json.loads(text), {})
        self.assertIn("otlp line", self.daemon.lines('{service_name="shop"}'))

    def test_protobuf(self):
        value = field(1, b"protobuf line")
        record = b"\x09" + struct.pack("<Q", time.time_ns()) + field(5, value)
        resource = field(1, field(1, field(1, b"service.name") + field(2, field(1, b"mill"))))
        body = field(1, resource + field(2, field(2, record)))
        for headers, packed in (({}, body), ({"Content-Encoding": "gzip"}, gzip.compress(body))):
            response, text = self.daemon.ask(
                "POST", "/otlp/v1/logs", packed, {"Content-Type": "application/x-protobuf", **headers}
            )
            self.assertEqual((response.status, text), (200, b""))
            self.assertEqual(response.headers["Content-Type"], "application/x-protobuf")
        self.assertEqual(self.daemon.lines('{service_name="mill"}'), ["protobuf line"] * 2)

    def test_a_metric_is_no_record(self):
        resource = field(1, field(1, field(1, b"service.name") + field(2, field(1, b"metrics"))))
        metric = field(1, b"requests") + field(5, field(1, b"\x11" + struct.pack("<Q", 1)))
        body = field(1, resource + field(2, field(2, metric)))
        response, text = self.daemon.ask("POST", "/v1/logs", body, {"Content-Type": "application/x-protobuf"})
        self.assertEqual(response.status, 400)
        self.assertIn(b"metrics are not taken", text)
        self.assertEqual(self.daemon.lines('{service_name="metrics"}'), [])

    def test_wrong_ones_are_a_status(self):
        response, text = self.daemon.ask("POST", "/v1/logs", "{", {"Content-Type": "application/json"})
        self.assertEqual(response.status, 400)
        self.assertEqual(json.loads(text)["code"], 3)
        response, text = self.daemon.ask("POST", "/v1/logs", b"\xff", {"Content-Type": "application/x-protobuf"})
        self.assertEqual(response.status, 400)
        self.assertEqual(text[:2], b"\x08\x03")


class TestServiceName(ServerCase):
    """Streams that do not say whose they are get the label by which Logs Drilldown begins; as of Loki 3."""

    config_text = """
tenants:
  own: {discover_service_name: [team, app]}
  off: {discover_service_name: []}
"""

    def series(self, tenant="default"):
        status, body = self.daemon.get("/loki/api/v1/series", {"X-Scope-OrgID": tenant}, **{"match[]": '{case="s"}'})
        self.assertEqual(status, 200, body)
        streams = [{k: v for k, v in s.items() if k != "case"} for s in json.loads(body)["data"]]
        return sorted(streams, key=lambda s: sorted(s.items()))

    def push(self, tenant, *streams):
        for labels in streams:
            status, text = self.daemon.push(["x"], labels | {"case": "s"}, {"X-Scope-OrgID": tenant})
            self.assertEqual(status, 204, text)

    def test_default_list(self):
        self.push(
            "default",
            {"app": "a", "job": "j"},
            {"job": "j", "container": "c", "zone": "z"},
            {"zone": "z"},
            {"app": "a", "service_name": "said"},
        )
        self.assertEqual(
            self.series(),
            [
                {"app": "a", "job": "j", "service_name": "a"},
                {"app": "a", "service_name": "said"},
                {"container": "c", "job": "j", "service_name": "c", "zone": "z"},
                {"service_name": "unknown_service", "zone": "z"},
            ],
        )
        status, body = self.daemon.get("/loki/api/v1/label/service_name/values")
        self.assertEqual((status, json.loads(body)["data"]), (200, ["a", "c", "said", "unknown_service"]))

    def test_list_of_a_tenant(self):
        self.push("own", {"app": "a", "team": "t"}, {"job": "j"})
        self.assertEqual(
            self.series("own"),
            [{"app": "a", "service_name": "t", "team": "t"}, {"job": "j", "service_name": "unknown_service"}],
        )

    def test_off(self):
        self.push("off", {"app": "a"})
        self.assertEqual(self.series("off"), [{"app": "a"}])

    def test_two_that_become_one(self):
        values = [[str(time.time_ns()), "one"]]
        streams = [{"app": "twin"}, {"app": "twin", "service_name": "twin"}]
        body = json.dumps({"streams": [{"stream": s, "values": values} for s in streams]})
        headers = {"Content-Type": "application/json", "X-Scope-OrgID": "twins"}
        response, text = self.daemon.ask("POST", "/loki/api/v1/push", body, headers)
        self.assertEqual(response.status, 204, text)
        status, body = self.daemon.get("/loki/api/v1/query_range", {"X-Scope-OrgID": "twins"}, query='{app="twin"}')
        self.assertEqual(status, 200, body)
        (stream,) = json.loads(body)["data"]["result"]
        self.assertEqual(stream["stream"]["service_name"], "twin")
        self.assertEqual([line for _, line in stream["values"]], ["one", "one"])

    def test_otlp_without_a_service(self):
        attribute = {"key": "k8s.container.name", "value": {"stringValue": "web"}}
        record = {"timeUnixNano": str(time.time_ns()), "body": {"stringValue": "otlp"}}
        body = {"resourceLogs": [{"resource": {"attributes": [attribute]}, "scopeLogs": [{"logRecords": [record]}]}]}
        response, text = self.daemon.ask("POST", "/v1/logs", json.dumps(body), {"Content-Type": "application/json"})
        self.assertEqual(response.status, 200, text)
        self.assertEqual(self.daemon.lines('{service_name="web", k8s_container_name="web"}'), ["otlp"])


class TestQuery(ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.now = time.time_ns() // NS * NS
        for app in ("a", "b"):
            values = [[str(cls.now - (10 - i) * NS), f"level=info n={i} app={app}"] for i in range(10)]
            body = json.dumps({"streams": [{"stream": {"app": app, "env": "test"}, "values": values}]})
            response, text = cls.daemon.ask("POST", "/loki/api/v1/push", body, {"Content-Type": "application/json"})
            assert response.status == 204, text
        body = json.dumps(
            {
                "streams": [
                    {
                        "stream": {"app": "json"},
                        "values": [
                            [str(cls.now - NS), '{"status":200,"path":"/x","took":"5ms"}', {"trace_id": "abc"}]
                        ],
                    }
                ]
            }
        )
        response, text = cls.daemon.ask("POST", "/loki/api/v1/push", body, {"Content-Type": "application/json"})
        assert response.status == 204, text

    def data(self, path, **parameters):
        status, body = self.daemon.get(path, **parameters)
        self.assertEqual(status, 200, body)
        answer = json.loads(body)
        self.assertEqual(answer["status"], "success")
        return answer["data"]

    def test_grafana_health_check(self):
        data = self.data("/loki/api/v1/query", query="vector(1)+vector(1)", time="4000000000", direction="backward")
        self.assertEqual(data["resultType"], "vector")
        self.assertEqual(data["result"], [{"metric": {}, "value": [4000000000, "2"]}])

    def test_scalar(self):
        data = self.data("/loki/api/v1/query", query="1+1", time="10")
        self.assertEqual((data["resultType"], data["result"]), ("scalar", [10, "2"]))

    def test_streams(self):
        data = self.data("/loki/api/v1/query_range", query='{app="a"} |= "n="', limit=3)
        self.assertEqual(data["resultType"], "streams")
        self.assertEqual(len(data["result"]), 1)
        self.assertEqual(data["result"][0]["stream"]["app"], "a")
        self.assertEqual([v[1] for v in data["result"][0]["values"]], [f"level=info n={i} app=a" for i in (9, 8, 7)])
        self.assertEqual(data["result"][0]["values"][0][0], str(self.now - NS))
        self.assertIn("summary", data["stats"])

    def test_forwards_in_a_range(self):
        data = self.data(
            "/loki/api/v1/query_range",
            query='{app="a"}',
            direction="forward",
            start=str(self.now - 8 * NS),
            end=str(self.now - 5 * NS),
        )
        self.assertEqual([v[1] for v in data["result"][0]["values"]], [f"level=info n={i} app=a" for i in (2, 3, 4)])

    def test_times_in_all_forms(self):
        start, end = (self.now - 8 * NS) // NS, (self.now - 5 * NS) // NS
        iso = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t)) for t in (start, end)]
        for first, last in ((start, end), (f"{start}.0", f"{end}.000"), iso, (start * NS, end * NS)):
            data = self.data("/loki/api/v1/query_range", query='{app="a"}', start=first, end=last)
            self.assertEqual(len(data["result"][0]["values"]), 3, (first, last))

    def test_matrix(self):
        data = self.data(
            "/loki/api/v1/query_range",
            query='sum by (app) (count_over_time({env="test"}[1m]))',
            start=str(self.now - 60 * NS),
            end=str(self.now),
            step="30",
        )
        self.assertEqual(data["resultType"], "matrix")
        self.assertEqual({s["metric"]["app"] for s in data["result"]}, {"a", "b"})
        stamps = [stamp for stamp, _ in data["result"][0]["values"]]
        self.assertTrue(all(stamp % 30 == 0 for stamp in stamps), stamps)  # as Loki: multiples of the step
        self.assertGreaterEqual(stamps[-1], self.now // NS)
        self.assertLess(stamps[-1], self.now // NS + 30)
        self.assertIn("10", [value for _, value in data["result"][0]["values"]])

    def test_interval_thins_all_streams_together(self):
        data = self.data("/loki/api/v1/query_range", query='{env="test"}', interval="3s", direction="forward", limit=3)
        stamps = sorted(int(v[0]) for s in data["result"] for v in s["values"])
        self.assertEqual([s - self.now for s in stamps], [-10 * NS, -7 * NS, -4 * NS])

    def test_context_of_a_line(self):
        """Explore's "show context": what came before a line, backwards, and what came after it, forwards."""
        at = self.now - 5 * NS
        both = {"query": '{app="a", env="test"}', "limit": "2"}
        before = self.data("/loki/api/v1/query_range", **both, start=str(at - 7200 * NS), end=str(at))
        later = str(at + 7200 * NS)
        after = self.data("/loki/api/v1/query_range", **both, start=str(at), end=later, direction="FORWARD")
        numbers = [[v[1].split()[1] for v in data["result"][0]["values"]] for data in (before, after)]
        self.assertEqual(numbers, [["n=4", "n=3"], ["n=5", "n=6"]])

    def test_eleven_thousand_points(self):
        start = self.now - 11000 * NS + NS // 2
        for end, status in ((start + 11000 * NS, 200), (start + 11001 * NS, 400)):
            answer, body = self.daemon.get(
                "/loki/api/v1/query_range", query="vector(1)", start=str(start), end=str(end), step="1"
            )
            self.assertEqual(answer, status, body[:200])
        for parameters in ({"start": "0", "step": "1"}, {"start": "1", "end": "9223372036854775807", "step": "0.001"}):
            answer, body = self.daemon.get("/loki/api/v1/query_range", query='rate({app="a"}[1m])', **parameters)
            self.assertEqual(answer, 400, body[:200])
            self.assertIn(b"11,000 points", body)

    def test_an_empty_range(self):
        for query in ('{app="a"}', 'rate({app="a"}[1m])'):
            status, body = self.daemon.get(
                "/loki/api/v1/query_range", query=query, start=str(self.now), end=str(self.now)
            )
            self.assertEqual(status, 200, body)

    def test_gzip(self):
        query = urllib.parse.urlencode({"query": '{env="test"}'})
        response, body = self.daemon.ask(
            "GET", f"/loki/api/v1/query_range?{query}", headers={"Accept-Encoding": "gzip"}
        )
        self.assertEqual(response.status, 200, body)
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.assertEqual(sum(len(s["values"]) for s in json.loads(body)["data"]["result"]), 20)

    def test_posted_form(self):
        body = urllib.parse.urlencode({"query": '{app="a"}', "limit": "1"})
        response, text = self.daemon.ask(
            "POST", "/loki/api/v1/query_range", body, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        self.assertEqual(response.status, 200, text)
        self.assertEqual(len(json.loads(text)["data"]["result"]), 1)

    def test_categorized_labels(self):
        status, body = self.daemon.get(
            "/loki/api/v1/query_range",
            {"X-Loki-Response-Encoding-Flags": "categorize-labels"},
            query='{app="json"} | json',
        )
        self.assertEqual(status, 200, body)
        data = json.loads(body)["data"]
        self.assertEqual(data["encodingFlags"], ["categorize-labels"])
        self.assertEqual(data["result"][0]["stream"], {"app": "json", "service_name": "json"})
        categories = data["result"][0]["values"][0][2]
        level = categories["structuredMetadata"].pop("detected_level")  # Grafana colours lines by it
        self.assertEqual(level, "unknown")
        self.assertEqual(categories["structuredMetadata"], {"trace_id": "abc"})
        self.assertEqual(categories["parsed"]["path"], "/x")

    def test_labels_values_series(self):
        self.assertEqual(self.data("/loki/api/v1/labels"), ["app", "env", "service_name"])
        self.assertEqual(self.data("/loki/api/v1/label"), ["app", "env", "service_name"])
        self.assertEqual(self.data("/loki/api/v1/label/app/values"), ["a", "b", "json"])
        self.assertEqual(self.data("/loki/api/v1/label/app/values", query='{env="test"}'), ["a", "b"])
        self.assertEqual(self.data("/loki/api/v1/label/none/values"), [])
        series = self.data("/loki/api/v1/series", **{"match[]": ['{app="a"}', '{app=~"a|b"}']})
        self.assertEqual(sorted(s["app"] for s in series), ["a", "b"])

    def test_index(self):
        status, body = self.daemon.get("/loki/api/v1/index/stats", query='{env="test"}')
        self.assertEqual(status, 200, body)
        stats = json.loads(body)
        self.assertEqual((stats["streams"], stats["entries"]), (2, 20))
        volume = self.data("/loki/api/v1/index/volume", query='{app=~".+"}')
        self.assertEqual(volume["resultType"], "vector")
        self.assertEqual({v["metric"]["app"] for v in volume["result"]}, {"a", "b", "json"})
        volume = self.data("/loki/api/v1/index/volume_range", query='{app=~".+"}', targetLabels="env", step="60")
        self.assertEqual(volume["resultType"], "matrix")
        total = sum(int(value) for series in volume["result"] for _, value in series["values"])
        self.assertEqual(total, 20 * len("level=info n=0 app=a"))  # a stream without the label does not count
        for route in ("index/stats", "index/volume", "series"):
            name = "match[]" if route == "series" else "query"
            status, body = self.daemon.get(f"/loki/api/v1/{route}", **{name: '{app="a"} |= "n"'})
            self.assertEqual((status, body.decode().strip()), (400, "only label matchers are supported"), route)

    def test_drilldown(self):
        status, body = self.daemon.get("/loki/api/v1/detected_labels")
        self.assertEqual(status, 200)
        self.assertIn({"label": "app", "cardinality": 3}, json.loads(body)["detectedLabels"])
        status, body = self.daemon.get("/loki/api/v1/detected_fields", query='{app="json"}')
        self.assertEqual(status, 200, body)
        fields = {f["label"]: f for f in json.loads(body)["fields"]}
        self.assertEqual(fields["status"]["type"], "int")
        self.assertEqual(fields["took"]["type"], "duration")
        self.assertEqual(fields["path"]["parsers"], ["json"])
        status, body = self.daemon.get("/loki/api/v1/detected_field/n/values", query='{app="a"}')
        self.assertEqual(sorted(json.loads(body)["values"]), [str(i) for i in range(10)], body)

    def test_patterns_and_templates(self):
        patterns = self.data("/loki/api/v1/patterns", query='{app="a"}')
        self.assertEqual(sum(count for p in patterns for _, count in p["samples"]), 10)
        self.assertTrue(all("<*>" not in p["pattern"] for p in patterns))
        start = self.now // NS - 3000
        patterns = self.data("/loki/api/v1/patterns", query='{app="a"}', start=start + 7, step="60s")
        self.assertEqual({at % 60 for p in patterns for at, _ in p["samples"]}, {0})
        self.assertEqual(sum(count for p in patterns for _, count in p["samples"]), 10)
        status, body = self.daemon.get("/logmill/v1/templates", query='{app="a"}')
        self.assertEqual(status, 200, body)
        templates = json.loads(body)["templates"]
        self.assertEqual(sum(t["count"] for t in templates), 10)
        for template in templates:  # whole lines: by text and by number
            for stage in (f"template `{template['text']}`", f"template_id = {template['id']}"):
                data = self.data("/loki/api/v1/query_range", query=f'{{app="a"}} | {stage}')
                self.assertEqual(sum(len(s["values"]) for s in data["result"]), template["count"], stage)
        data = self.data("/loki/api/v1/query_range", query='{app="a"} | template_id = 1')
        self.assertEqual(data["result"], [])

    def test_schemas(self):
        self.daemon.push([f"level=info took={i}ms user=u{i}" for i in range(20)], {"case": "schemas"})
        status, body = self.daemon.get("/logmill/v1/schemas", query='{case="schemas"}')
        self.assertEqual(status, 200, body)
        answer = json.loads(body)
        self.assertEqual(answer["lines"], 20)
        fields = {f["name"]: f for f in answer["schemas"][0]["fields"]}
        self.assertEqual(fields["level"]["examples"], ["info"])
        self.assertEqual((fields["took"]["type"], fields["user"]["distinct"]), ("duration", 20))
        self.assertEqual(self.daemon.get("/logmill/v1/schemas")[0], 400)

    def test_first_api(self):
        status, body = self.daemon.get("/api/prom/label")
        self.assertIn("app", json.loads(body)["values"])
        status, body = self.daemon.get("/api/prom/label/app/values")
        self.assertIn("a", json.loads(body)["values"])
        status, body = self.daemon.get("/api/prom/query", query='{app="a"}', limit=3)
        streams = json.loads(body)["streams"]
        entries = [e for s in streams for e in s["entries"]]
        self.assertEqual((status, len(entries)), (200, 3))
        self.assertIn('app="a"', streams[0]["labels"])
        self.assertRegex(entries[0]["ts"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        self.assertEqual(self.daemon.get("/api/prom/query", query="1+1")[0], 400)

    def test_no_rules(self):
        for name, what in (("rules", "groups"), ("alerts", "alerts")):
            status, body = self.daemon.get(f"/prometheus/api/v1/{name}")
            self.assertEqual((status, json.loads(body)), (200, {"status": "success", "data": {what: []}}))

    def test_format_query(self):
        status, body = self.daemon.get("/loki/api/v1/format_query", query='{app="a"}|="x"')
        self.assertEqual((status, json.loads(body)), (200, {"status": "success", "data": '{app="a"} |= "x"'}))
        status, body = self.daemon.get("/loki/api/v1/format_query", query='{app="a"')
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(body)["status"], "invalid-query")

    def test_wrong_parameters_are_told(self):
        cases = [
            ("query_range", {"query": '{app="a"'}, "parse error"),
            ("query_range", {"query": '{app="a"}', "start": "x"}, "could not parse 'start' parameter"),
            ("query_range", {"query": '{app="a"}', "start": "10", "end": "5"}, "end timestamp must not be before"),
            ("query_range", {"query": '{app="a"}', "limit": "0"}, "limit must be a positive value"),
            ("query_range", {"query": '{app="a"}', "limit": "99999"}, "max entries limit per query exceeded"),
            ("query_range", {"query": '{app="a"}', "direction": "up"}, "invalid direction 'up'"),
            ("query_range", {"query": '{app="a"}', "step": "0"}, "zero or negative query resolution step"),
            ("query_range", {"query": '{app="a"}', "step": "0.001"}, "exceeded maximum resolution of 11,000"),
            ("query", {"query": '{app="a"}'}, "log queries are not supported as an instant query type"),
        ]
        for route, parameters, words in cases:
            status, body = self.daemon.get(f"/loki/api/v1/{route}", **parameters)
            self.assertEqual(status, 400, (parameters, body))
            self.assertIn(words, body.decode())

    def test_buildinfo_and_health(self):
        status, body = self.daemon.get("/loki/api/v1/status/buildinfo")
        self.assertEqual(status, 200)
        self.assertIn("version", json.loads(body))
        status, body = self.daemon.get("/logmill/v1/health")
        self.assertEqual(json.loads(body)["status"], "ready")
        self.assertEqual(self.daemon.get("/ready")[0], 200)
        self.assertEqual(self.daemon.get("/-/healthy")[0], 200)
        status, body = self.daemon.get("/logmill/v1/segments")
        self.assertEqual((status, type(json.loads(body)["segments"])), (200, list))

    def test_metrics(self):
        status, body = self.daemon.get("/metrics")
        self.assertEqual(status, 200)
        samples, helped = {}, set()
        for line in body.decode().splitlines():
            if line.startswith("# HELP"):
                helped.add(line.split()[2])
            elif not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                self.assertNotIn(name, samples)
                samples[name] = float(value)
        self.assertEqual(samples['logmill_server_records_total{tenant="default"}'], 21)
        self.assertEqual(samples["logmill_store_records_total"], 21)
        self.assertGreaterEqual(samples['logmill_server_requests_total{route="loki_push",code="2xx"}'], 3)
        self.assertIn("logmill_server_request_seconds", helped)

    def test_methods_and_paths(self):
        for method, path, status in (
            ("GET", "/loki/api/v1/push", 405),
            ("DELETE", "/ready", 405),
            ("GET", "/nowhere", 404),
            ("GET", "/loki/api/v1/label/a/b/c", 404),
            ("GET", "/" + "x/" * 40, 404),
            ("GET", "/%zz", 404),
            ("POST", "/nowhere", 404),
            ("GET", "http://any.host/ready?x=1", 200),  # as a proxy is asked
            ("GET", "http://any.host/nowhere", 404),
        ):
            response, _ = self.daemon.ask(method, path)
            self.assertEqual(response.status, status, path)

    def test_a_refusal_comes_before_the_body(self):
        with socket.create_connection((self.daemon.host, self.daemon.port), WAIT_S) as client:
            client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            self.assertTrue(client.recv(4096).startswith(b"HTTP/1.1 404 "))

    def test_headers(self):
        response, _ = self.daemon.ask("GET", "/loki/api/v1/labels")
        self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(response.headers["Cache-Control"], "no-store")
        self.assertNotIn("Access-Control-Allow-Origin", response.headers)


class TestDrilldown(ServerCase):
    def get(self, path, **parameters):
        status, body = self.daemon.get(path, **parameters)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def test_a_pattern_is_a_line_filter(self):
        """Logs Drilldown puts a pattern behind |> when somebody clicks at it."""
        kinds = {
            "json": '{{"level":"info","n":{0},"msg":"user u{0} logged in from 10.0.0.{0}","took":"{0}ms"}}',
            "text": "2026-01-01T00:00:0{0}Z host app[1{0}]: connection {0} closed by peer",
        }
        for case, form in kinds.items():
            self.daemon.push([form.format(i) for i in range(8)], {"case": case})
            query = f'{{case="{case}"}}'
            patterns = self.get("/loki/api/v1/patterns", query=query)["data"]
            self.assertTrue(patterns)
            for pattern in patterns:
                counted = sum(count for _, count in pattern["samples"])
                answer = self.get("/loki/api/v1/query_range", query=f"{query} |> `{pattern['pattern']}`")
                found = sum(len(s["values"]) for s in answer["data"]["result"])
                self.assertGreaterEqual(found, counted, pattern["pattern"])

    def test_levels_of_the_log_volume(self):
        """What Explore draws above the lines, and Drilldown everywhere."""
        lines = ['{"level":"ERROR","msg":"info"}', "lvl=warn msg=x", "an [error] here", "no word of it"]
        self.daemon.push(lines, {"case": "levels"})
        query = 'sum by (level, detected_level) (count_over_time({case="levels"} | drop __error__[1h]))'
        answer = self.get("/loki/api/v1/query", query=query)
        found = {s["metric"]["detected_level"]: s["value"][1] for s in answer["data"]["result"]}
        self.assertEqual(found, {"error": "2", "warn": "1", "unknown": "1"})

    def test_fields_have_the_names_that_a_parser_gives(self):
        self.daemon.push(['{"app":"inner","n":1,"torn":'], {"app": "names", "id": "1234"})
        self.daemon.push(['{"app":"inner","n":1}'], {"app": "names", "id": "1235"})
        for query in ('{app="names"}', '{app="names"} | json'):
            fields = {f["label"]: f for f in self.get("/loki/api/v1/detected_fields", query=query)["fields"]}
            self.assertEqual(sorted(fields), ["app_extracted", "detected_level", "n"])
            self.assertIsNone(fields["detected_level"]["parsers"])
            self.assertEqual(fields["n"]["parsers"], ["json"])
        labels = self.get("/loki/api/v1/detected_labels", query='{app="names"}')["detectedLabels"]
        self.assertEqual([label["label"] for label in labels], ["app", "service_name"])  # ids group nothing


class WebSocket:
    """As much of a client as a test needs."""

    def __init__(self, daemon, path, headers=""):
        self.sock = socket.create_connection((daemon.host, daemon.port), timeout=WAIT_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            (
                f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
            ).encode()
        )
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.more()
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        accept = base64.b64encode(
            hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        ).decode()
        assert " 101 " in self.head and accept in self.head, self.head

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        return data

    def take(self, count):
        while len(self.rest) < count:
            self.rest += self.more()
        out, self.rest = self.rest[:count], self.rest[count:]
        return out

    def frame(self):
        first, length = self.take(2)
        assert not length & 0x80
        if length == 126:
            length = struct.unpack(">H", self.take(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.take(8))[0]
        return first & 15, self.take(length)

    def send(self, opcode, payload=b""):
        mask = os.urandom(4)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        self.sock.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + body)

    def lines(self, count):
        found = []
        while len(found) < count:
            opcode, payload = self.frame()
            if opcode == 1:
                found += [v[1] for s in json.loads(payload)["streams"] for v in s["values"]]
        return found

    def close(self):
        self.sock.close()


class TestTail(ServerCase):
    def test_websocket(self):
        self.daemon.push(["before"], {"case": "ws"})
        tail = WebSocket(self.daemon, "/loki/api/v1/tail?" + urllib.parse.urlencode({"query": '{case="ws"} != "no"'}))
        self.assertEqual(tail.lines(1), ["before"])
        self.daemon.push(["not for it"], {"case": "other"})
        deadline = time.monotonic() + WAIT_S
        found = []
        while "live" not in found and time.monotonic() < deadline:  # it watches a moment after its history
            self.daemon.push(["no", "live"], {"case": "ws"})
            found += tail.lines(1)
        self.assertEqual(set(found), {"live"})
        tail.send(9, b"ping")
        while True:
            opcode, payload = tail.frame()
            if opcode == 10:
                break
        self.assertEqual(payload, b"ping")
        tail.send(8, b"\x03\xe8")
        while opcode != 8:
            opcode, payload = tail.frame()
        self.assertEqual(payload, b"\x03\xe8")
        tail.close()

    def test_delay(self):
        now = str(time.time_ns())
        query = urllib.parse.urlencode({"query": '{case="delay"}', "delay_for": "1", "start": now})
        tail = WebSocket(self.daemon, "/loki/api/v1/tail?" + query)
        found = []
        while not found:  # it watches a moment after its history
            self.daemon.push(["late"], {"case": "delay"})
            found = tail.lines(1)
        self.assertEqual(set(found), {"late"})
        tail.close()
        query = urllib.parse.urlencode({"query": '{case="delay"}', "delay_for": "6"})
        headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "eA=="}
        status, body = self.daemon.get(
            "/loki/api/v1/tail?" + query, {"Sec-WebSocket-Version": "13", **headers}
        )
        self.assertEqual(status, 400, body)

    def test_many(self):
        self.daemon.push(["first"], {"case": "many"})
        path = "/loki/api/v1/tail?" + urllib.parse.urlencode({"query": '{case="many"}'})
        tails, refused = [], None
        while refused is None:  # each has its history first; the one too many is told to come again
            tail = WebSocket(self.daemon, path)
            opcode, payload = tail.frame()
            if opcode == 8:
                refused = payload
            else:
                tails.append(tail)
            self.assertLessEqual(len(tails), 64)
        self.assertEqual(refused[:2], b"\x03\xf5")
        self.assertGreater(len(tails), 50)
        waiting = list(tails)
        while waiting:  # all of them get what comes now
            self.daemon.push(["second"], {"case": "many"})
            self.assertEqual(waiting.pop().lines(1), ["second"])
        for tail in tails:
            tail.close()
        opcode, deadline = 8, time.monotonic() + WAIT_S
        while opcode == 8 and time.monotonic() < deadline:  # who has left makes room
            tail = WebSocket(self.daemon, path)
            opcode, _ = tail.frame()
            tail.close()
        self.assertNotEqual(opcode, 8)

    def test_entries_come_by_time(self):
        self.daemon.push(["n=1"], {"case": "order"})
        self.daemon.push(["n=2"], {"case": "order", "more": "x"})
        self.daemon.push(["n=1 again"], {"case": "order"})
        query = urllib.parse.urlencode({"query": '{case="order"} | logfmt'})
        tail = WebSocket(self.daemon, "/loki/api/v1/tail?" + query)
        self.assertEqual(tail.lines(3), ["n=1", "n=2", "n=1 again"])
        tail.close()

    def test_labels_apart(self):
        self.daemon.push(["n=1 lvl=WARN"], {"case": "apart"}, metadata={"trace": "t"})
        query = urllib.parse.urlencode({"query": '{case="apart"} | logfmt'})
        flags = "X-Loki-Response-Encoding-Flags: categorize-labels\r\n"
        tail = WebSocket(self.daemon, "/loki/api/v1/tail?" + query, flags)
        opcode, payload = tail.frame()
        frame = json.loads(payload)
        self.assertEqual(frame["encodingFlags"], ["categorize-labels"])
        self.assertEqual(frame["streams"][0]["stream"], {"case": "apart", "service_name": "unknown_service"})
        self.assertEqual(
            frame["streams"][0]["values"][0][2],
            {"structuredMetadata": {"detected_level": "warn", "trace": "t"}, "parsed": {"lvl": "WARN", "n": "1"}},
        )
        tail.close()

    def test_unmasked_frames_end_it(self):
        tail = WebSocket(self.daemon, "/loki/api/v1/tail?" + urllib.parse.urlencode({"query": '{case="none"}'}))
        tail.sock.sendall(b"\x81\x01x")
        opcode, payload = tail.frame()
        self.assertEqual((opcode, payload), (8, b"\x03\xea"))
        tail.close()

    def test_not_a_websocket(self):
        status, _ = self.daemon.get("/loki/api/v1/tail", query='{a="b"}')
        self.assertEqual(status, 400)

    def test_events(self):
        connection = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=WAIT_S)
        self.daemon.push(["e0"], {"case": "sse"})
        connection.request("GET", "/logmill/v1/tail?" + urllib.parse.urlencode({"query": '{case="sse"}'}))
        response = connection.getresponse()
        self.assertEqual(response.headers["Content-Type"], "text/event-stream")
        line = response.readline()
        self.assertEqual(json.loads(line.removeprefix(b"data: "))["streams"][0]["values"][0][1], "e0")
        found = set()
        while "e1" not in found:
            self.daemon.push(["e1"], {"case": "sse"})
            line = response.readline()
            if line.startswith(b"data: "):
                found |= {v[1] for s in json.loads(line[6:])["streams"] for v in s["values"]}
        connection.close()


class TestSavings(ServerCase):
    config_text = "ingest: {head_size: 1MiB}\n"

    def savings(self, **parameters):
        status, body = self.daemon.get("/logmill/v1/savings", **parameters)
        self.assertEqual(status, 200, body)
        answer = json.loads(body)
        return {s["stream"]["app"]: s for s in answer["streams"]}, answer["total"]

    def test_what_streams_take(self):
        lines = [f"request {i} took {i % 50} ms" for i in range(3000)]
        by_app, total = self.savings()
        self.assertEqual((by_app, total["records"], total["ratio"]), ({}, 0, None))
        pushed = 0
        deadline = time.monotonic() + WAIT_S
        while not total["stored_bytes"] and time.monotonic() < deadline:
            for app in ("one", "two"):
                self.assertEqual(self.daemon.push(lines, {"app": app})[0], 204)
            pushed += len(lines)
            by_app, total = self.savings()
        self.assertEqual({a: s["records"] for a, s in by_app.items()}, {"one": pushed, "two": pushed})
        self.assertEqual(total["raw_bytes"], sum(s["raw_bytes"] for s in by_app.values()))
        for saved in by_app.values():
            self.assertLessEqual(saved["sealed_bytes"], saved["raw_bytes"])
            self.assertLess(saved["stored_bytes"], saved["sealed_bytes"])
            self.assertAlmostEqual(saved["ratio"], saved["sealed_bytes"] / saved["stored_bytes"], 6)
        self.assertEqual(list(self.savings(query='{app="one"}')[0]), ["one"])


class TestTenants(ServerCase):
    config_text = (
        "limits: {rate: 100MB}\ntenants: {small: {rate: 1kB, burst: 2kB}, few: {streams: 2}}\n"
        "ingest: {body_size_max: 1MiB}\n"
    )

    def test_apart(self):
        self.daemon.push(["mine"], headers={"X-Scope-OrgID": "one"})
        self.daemon.push(["yours"], headers={"X-Scope-OrgID": "two"})
        self.assertEqual(self.daemon.lines('{app="test"}', {"X-Scope-OrgID": "one"}), ["mine"])
        self.assertEqual(self.daemon.lines('{app="test"}', {"X-Scope-OrgID": "two"}), ["yours"])
        self.assertEqual(self.daemon.lines('{app="test"}', {"X-Scope-OrgID": "three"}), [])

    def test_names(self):
        for name in ("..", ".", "a/b", "a|b", "x" * 151):
            status, _ = self.daemon.push(["x"], headers={"X-Scope-OrgID": name})
            self.assertEqual(status, 400, name)

    def test_rate(self):
        self.assertEqual(self.daemon.push(["x" * 1500], headers={"X-Scope-OrgID": "small"})[0], 204)
        body = json.dumps({"streams": [{"stream": {"a": "b"}, "values": [[str(time.time_ns()), "y" * 1900]]}]})
        response, text = self.daemon.ask(
            "POST", "/loki/api/v1/push", body, {"Content-Type": "application/json", "X-Scope-OrgID": "small"}
        )
        self.assertEqual(response.status, 429)
        self.assertGreaterEqual(int(response.headers["Retry-After"]), 1)
        self.assertIn(b"rate limit", text)

    def test_streams(self):
        statuses = [self.daemon.push(["x"], {"stream": str(i)}, {"X-Scope-OrgID": "few"})[0] for i in range(3)]
        self.assertEqual(statuses, [204, 204, 429])
        self.assertEqual(self.daemon.push(["x"], {"stream": "0"}, {"X-Scope-OrgID": "few"})[0], 204)

    def test_large_bodies(self):
        for body, headers in (
            (b"x" * (2 << 20), {}),
            (iter([b"x" * (1 << 20)] * 2), {"Transfer-Encoding": "chunked"}),
        ):
            connection = http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=WAIT_S)
            try:
                connection.request("POST", "/loki/api/v1/push", body, headers, encode_chunked=bool(headers))
            except (BrokenPipeError, ConnectionResetError):
                pass  # it is told before all is sent
            response = connection.getresponse()
            self.assertEqual(response.status, 413)
            connection.close()

    def test_bombs(self):
        bomb = gzip.compress(b'{"streams":[' + b" " * (200 << 20))
        response, _ = self.daemon.ask(
            "POST", "/loki/api/v1/push", bomb, {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        )
        self.assertEqual(response.status, 413)
        self.assertEqual(self.daemon.push(["after"], headers={"X-Scope-OrgID": "bomb"})[0], 204)


def hash_of(secret, *options):
    done = subprocess.run(
        [LOGMILL, "config", "hash", *options], input=secret + "\n", capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


class TestAuth(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-test-"))
        self.config = self.folder / "logmill.yaml"
        self.write("secret")
        self.daemon = Daemon(self.folder, self.config)

    def write(self, password):
        self.config.write_text(f"""
auth:
  enabled: true
  users:
    - {{name: me, password_hash: "{hash_of(password)}", scopes: [read, write, admin]}}
  tokens:
    - {{name: shipper, hash: "{hash_of("tok-1", "--token")}", tenant: team, scopes: [write]}}
    - {{name: reader, hash: "{hash_of("tok-2", "--token")}", tenant: team, scopes: [read]}}
sources: []
""")

    def tearDown(self):
        code = self.daemon.stop()
        shutil.rmtree(self.folder)
        self.assertEqual(code, 0)

    @staticmethod
    def basic(name, password):
        return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}

    @staticmethod
    def bearer(token):
        return {"Authorization": f"Bearer {token}"}

    def status(self, headers, path="/loki/api/v1/labels", method="GET"):
        return self.daemon.ask(method, path, headers=headers)[0].status

    def test_who_may(self):
        self.assertEqual(self.status({}), 401)
        self.assertEqual(self.status({}, "/ready"), 200)
        self.assertEqual(self.status({}, "/metrics"), 401)
        for _ in range(2):  # known the second time
            self.assertEqual(self.status(self.basic("me", "secret")), 200)
        self.assertEqual(self.status(self.basic("me", "Secret")), 401)
        self.assertEqual(self.status(self.basic("you", "secret")), 401)
        self.assertEqual(self.status({"Authorization": "Basic !!!"}), 401)
        self.assertEqual(self.status({"Authorization": "Basic"}), 401)
        self.assertEqual(self.status(self.bearer("tok-2")), 200)
        self.assertEqual(self.status(self.bearer("tok-1")), 403)
        self.assertEqual(self.status(self.bearer("tok-3")), 401)
        self.assertEqual(self.status(self.bearer("tok-2"), "/-/reload", "POST"), 403)
        self.assertEqual(self.status({**self.bearer("tok-2"), "X-Scope-OrgID": "other"}), 403)
        response, _ = self.daemon.ask("GET", "/loki/api/v1/labels")
        self.assertIn("Basic", response.headers["WWW-Authenticate"])

    def test_tenant_of_a_token(self):
        self.assertEqual(self.daemon.push(["hidden"], headers=self.bearer("tok-1"))[0], 204)
        self.assertEqual(self.daemon.push(["x"], headers=self.bearer("tok-2"))[0], 403)
        self.assertEqual(self.daemon.lines('{app="test"}', self.bearer("tok-2")), ["hidden"])
        self.assertEqual(self.daemon.lines('{app="test"}', self.basic("me", "secret")), [])
        self.assertEqual(
            self.daemon.lines('{app="test"}', {**self.basic("me", "secret"), "X-Scope-OrgID": "team"}), ["hidden"]
        )

    def test_reload(self):
        self.write("changed")
        response, body = self.daemon.ask("POST", "/-/reload", headers=self.basic("me", "secret"))
        self.assertEqual((response.status, body), (200, b"reloaded\n"))
        self.assertEqual(self.status(self.basic("me", "secret")), 401)
        self.assertEqual(self.status(self.basic("me", "changed")), 200)
        self.config.write_text("auth:\n  enabled: perhaps\n")
        response, body = self.daemon.ask("POST", "/-/reload", headers=self.basic("me", "changed"))
        self.assertEqual(response.status, 400)
        self.assertIn(b"logmill.yaml:2:12", body)
        self.assertEqual(self.status(self.basic("me", "changed")), 200)
        self.daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT_S
        while (self.folder / "log").read_text().count("reload_refused") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        log = (self.folder / "log").read_text()
        self.assertEqual(log.count("reload_refused"), 2)
        self.assertNotIn("argon2", log)
        self.assertNotIn("secret", log)


@unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificates")
class TestTls(unittest.TestCase):
    def certificates(self, *names):
        subprocess.run([CERTIFICATES, self.folder, *names], check=True, capture_output=True)

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-test-"))
        self.certificates()

    def tearDown(self):
        shutil.rmtree(self.folder)

    def ask(self, daemon, certificate=None, version=None):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        if certificate:
            context.load_cert_chain(self.folder / f"{certificate}.pem", self.folder / f"{certificate}.key")
        if version:
            context.minimum_version = context.maximum_version = version
        connection = http.client.HTTPSConnection(daemon.host, daemon.port, timeout=WAIT_S, context=context)
        try:
            connection.request("GET", "/loki/api/v1/labels")
            response = connection.getresponse()
            response.read()
            return response
        finally:
            connection.close()

    def daemon(self, tls, authority="ca"):
        shutil.copy(self.folder / f"{authority}.pem", self.folder / "clients.pem")
        config = self.folder / "logmill.yaml"
        config.write_text(f"""
listen:
  http: {{address: "127.0.0.1:0", tls: {{certificate: {self.folder}/server.pem, key: {self.folder}/server.key{tls}}}}}
  elasticsearch: ""
  otlp_http: ""
  otlp_grpc: ""
sources: []
""")
        return Daemon(self.folder, config, listen=None)

    def test_reload_of_certificates(self):
        """A certificate that was renewed, and TLS where there was none: same address, no restart."""
        config = self.folder / "logmill.yaml"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        files = f"tls: {{certificate: {self.folder}/server.pem, key: {self.folder}/server.key}}"
        text = 'listen: {http: DOOR, elasticsearch: "", otlp_http: "", otlp_grpc: ""}\nsources: []\n'
        config.write_text(text.replace("DOOR", f'"127.0.0.1:{port}"'))
        daemon = Daemon(self.folder, config, listen=None)
        config.write_text(text.replace("DOOR", f'{{address: "127.0.0.1:{port}", {files}}}'))
        self.assertEqual(daemon.ask("POST", "/-/reload")[0].status, 200)
        self.assertEqual(self.ask(daemon).status, 200)
        shown = []
        for name in ("server", "client", "server"):
            for kind in ("pem", "key"):
                shutil.copy(self.folder / f"{name}.{kind}", self.folder / f"new.{kind}")
                os.replace(self.folder / f"new.{kind}", self.folder / f"server.{kind}")
            daemon.process.send_signal(signal.SIGHUP)
            wanted = ssl.PEM_cert_to_DER_cert((self.folder / "server.pem").read_text())
            deadline = time.monotonic() + WAIT_S
            while ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port))) != wanted:
                self.assertLess(time.monotonic(), deadline, "the new certificate is not shown")
                time.sleep(0.02)
            shown.append(wanted)
            self.assertEqual(self.ask(daemon).status, 200)
        self.assertEqual(len(set(shown)), 2)
        (self.folder / "server.key").write_text("none")
        daemon.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.ask(daemon).status, 200)  # goes on with what it has
        daemon.stop()

    def test_reload_of_client_authority(self):
        """The file of the clients' authority holds another one: same address, other clients."""
        daemon = self.daemon(f", client_ca: {self.folder}/clients.pem", "other")
        self.assertEqual(self.ask(daemon, "stranger").status, 200)
        shutil.copy(self.folder / "ca.pem", self.folder / "clients.pem")
        daemon.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + WAIT_S
        while self.status_of(daemon, "client") != 200:
            self.assertLess(time.monotonic(), deadline, "its clients are not served")
            time.sleep(0.02)
        self.assertIn(self.status_of(daemon, "stranger"), (403, None))
        self.assertEqual(daemon.stop(), 0)

    def test_tls(self):
        daemon = self.daemon("")
        self.assertTrue(daemon.addresses[0].startswith("https://"))
        response = self.ask(daemon)
        self.assertEqual(response.status, 200)
        self.assertIn("max-age", response.headers["Strict-Transport-Security"])
        self.assertEqual(self.ask(daemon, version=ssl.TLSVersion.TLSv1_2).status, 200)
        with socket.create_connection((daemon.host, daemon.port), timeout=WAIT_S) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertNotIn(b"HTTP/1.1 200", plain.recv(1000))
        self.assertEqual(daemon.stop(), 0)

    def test_client_certificates(self):
        daemon = self.daemon(f", client_ca: {self.folder}/clients.pem")
        self.assertEqual(self.ask(daemon).status, 403)
        self.assertEqual(self.ask(daemon, "client").status, 200)
        self.assertIn(self.status_of(daemon, "other"), (403, None))
        self.assertEqual(daemon.stop(), 0)

    def status_of(self, daemon, certificate):
        try:
            return self.ask(daemon, certificate).status
        except (ssl.SSLError, OSError):
            return None

    def test_wrong_files(self):
        (self.folder / "server.key").write_text("no key")
        with self.assertRaisesRegex(AssertionError, "server.key"):
            self.daemon("")


class TestLife(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-test-"))

    def tearDown(self):
        shutil.rmtree(self.folder)

    def test_killed_and_started_again(self):
        daemon = Daemon(self.folder)
        acknowledged, stop = [], threading.Event()

        def pusher(number):
            count = 0
            while not stop.is_set():
                lines = [f"p{number} {count + i}" for i in range(7)]
                try:
                    if daemon.push(lines, {"case": "kill"})[0] == 204:
                        acknowledged.extend(lines)
                except (OSError, http.client.HTTPException):
                    return
                count += 7

        threads = [threading.Thread(target=pusher, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 300:
            time.sleep(0.01)
        daemon.stop(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join()
        daemon.start()
        found = set()
        for number in range(3):
            found |= set(daemon.lines(f'{{case="kill"}} |= "p{number} "'))
        self.assertEqual(set(acknowledged) - found, set())
        self.assertEqual(daemon.stop(), 0)

    def test_folder_and_port_in_use(self):
        daemon = Daemon(self.folder)
        done = subprocess.run(
            [LOGMILL, "run", "--listen", "127.0.0.1:0", "--data", str(self.folder / "data")],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith("logmill: ")]), 1)
        done = subprocess.run(
            [LOGMILL, "run", "--listen", f"127.0.0.1:{daemon.port}", "--data", str(self.folder / "b")],
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertIn("in use", done.stderr)
        self.assertEqual(daemon.stop(), 0)

    def test_wrong_starts(self):
        config = self.folder / "wrong.yaml"
        config.write_text("query:\n  timeout: 5\n")
        for args, code, words in (
            (["--config", str(config)], 2, "wrong.yaml:2:12"),
            (["--config", str(self.folder / "none.yaml")], 4, "none.yaml"),
            (["--listen", "nowhere"], 2, "port"),
            (["--listen", "127.0.0.1:99999"], 2, "port"),
        ):
            done = subprocess.run(
                [LOGMILL, "run", "--data", str(self.folder / "data"), *args],
                capture_output=True,
                text=True,
                timeout=WAIT_S,
                check=False,
            )
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(words, done.stderr)

    def test_config_command(self):
        config = self.folder / "c.yaml"
        config.write_text("memory: {max: 64MiB}\n")
        done = subprocess.run([LOGMILL, "config", "check", str(config)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0)
        done = subprocess.run([LOGMILL, "config", "show", str(config)], capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, "memory:\n  max: 64MiB\n")
        done = subprocess.run([LOGMILL, "config", "show", "--effective"], capture_output=True, text=True, check=False)
        (self.folder / "all.yaml").write_text(done.stdout)
        done = subprocess.run(
            [LOGMILL, "config", "check", str(self.folder / "all.yaml")], capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_the_example_is_right(self):
        source = pathlib.Path(os.environ.get("LOGMILL_SOURCE", pathlib.Path(__file__).parent.parent.parent))
        example = source / "deploy" / "logmill.yaml"
        subprocess.run([LOGMILL, "config", "check", str(example)], check=True, capture_output=True)
        shown = [
            subprocess.run([LOGMILL, "config", "show", "--effective", *args], check=True, capture_output=True).stdout
            for args in ([], [str(example)])
        ]
        self.assertEqual(shown[0], shown[1])  # it says that it shows the defaults

    def test_slow_clients_hold_nobody_up(self):
        daemon = Daemon(self.folder)
        slow = []
        for _ in range(50):
            sock = socket.create_connection((daemon.host, daemon.port))
            sock.sendall(b"POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{")
            slow.append(sock)
        for _ in range(20):
            self.assertEqual(daemon.push(["x"])[0], 204)
        for sock in slow:
            sock.close()
        self.assertEqual(daemon.push(["y"])[0], 204)
        self.assertEqual(daemon.stop(), 0)

    def test_reload_of_listeners(self):
        config = self.folder / "logmill.yaml"
        others = 'elasticsearch: "", otlp_http: "", otlp_grpc: ""'
        config.write_text(f'listen: {{http: "127.0.0.1:0", {others}}}\nsources: []\n')
        daemon = Daemon(self.folder, config, listen=None)
        self.assertEqual(len(daemon.addresses), 1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config.write_text(
            f'listen: {{http: ["127.0.0.1:0", "127.0.0.1:{port}"], {others}}}\n'
            "sources: []\n"
        )
        response, body = daemon.ask("POST", "/-/reload")
        self.assertEqual(response.status, 200, body)
        self.assertEqual(daemon.ask("GET", "/ready", port=port)[0].status, 200)
        self.assertEqual(daemon.get("/ready")[0], 200)
        config.write_text(f'listen: {{http: "127.0.0.1:{port}", {others}}}\nsources: []\n')
        self.assertEqual(daemon.ask("POST", "/-/reload")[0].status, 200)
        self.assertEqual(daemon.ask("GET", "/ready", port=port)[0].status, 200)
        with self.assertRaises(OSError):
            daemon.get("/ready")
        self.assertEqual(daemon.stop(), 0)

    def test_files_source(self):
        log = self.folder / "app.log"
        log.write_text("first\nsecond\n")
        config = self.folder / "logmill.yaml"
        config.write_text(f'sources:\n  - {{type: files, paths: ["{self.folder}/*.log"], labels: {{job: files}}}}\n')
        daemon = Daemon(self.folder, config)
        deadline = time.monotonic() + WAIT_S
        found = []
        while len(found) < 2 and time.monotonic() < deadline:
            found = daemon.lines('{job="files"}')
            time.sleep(0.05)
        self.assertEqual(found, ["first", "second"])
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-") and "/" in sys.argv[1]:
        LOGMILL = sys.argv.pop(1)
    unittest.main()
