"""A daemon of one's own on free ports of 127.0.0.1, and questions to it over Loki's query API."""
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOGMILL = os.environ.get("LOGMILL", str(ROOT / "build" / "logmill"))
if os.environ.get("LOGMILL_SANITIZED"):  # the tracer of leaks faults now and then on threads of a module
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
START_TIMEOUT_S = 60
ENTRIES_MAX = 5000  # of one answer: the daemon's default bound


class Daemon:
    """`logmill run` with a store in folder. Ports are new with every start."""

    def __init__(self, folder, rotated=None, tls=None):
        self.folder = pathlib.Path(folder)
        self.log = self.folder / "daemon.log"
        self.process = None
        self.http = self.elastic = self.otlp = self.otlp_grpc = self.syslog_port = self.syslog_tls = None
        sources = '  - {type: syslog, address: "127.0.0.1:0"}\n'
        if rotated:
            sources += f'  - {{type: files, paths: ["{rotated}"]}}\n'
        if tls:  # a folder of certificates
            sources += ('  - {type: syslog, address: "127.0.0.1:0", udp: false, tls: {'
                        f'certificate: {tls}/server.pem, key: {tls}/server.key, client_ca: {tls}/ca.pem}}}}\n')
        (self.folder / "logmill.yaml").write_text(
            'listen: {http: "127.0.0.1:0", elasticsearch: "127.0.0.1:0", otlp_http: "127.0.0.1:0",'
            ' otlp_grpc: "127.0.0.1:0"}\n'
            f'storage: {{path: "{self.folder / "store"}"}}\n'
            f"sources:\n{sources}")

    def start(self):
        with open(self.log, "ab") as err:
            self.process = subprocess.Popen([LOGMILL, "run", "--config", str(self.folder / "logmill.yaml")],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err)
        doors = []
        for line in self.process.stdout:  # ends early when the daemon does
            words = line.decode().split()
            if words[:1] == ["ready"]:
                break
            if words[:1] != ["listening"]:
                continue
            if words[1] == "syslog" and words[-1] == "tls":
                self.syslog_tls = int(words[2].rpartition(":")[2])
            elif words[1] == "syslog":
                self.syslog_port = int(words[2].rpartition(":")[2])
            elif words[1].startswith("http"):
                doors.append(words[1])
            elif words[1].startswith("grpc"):
                self.otlp_grpc = words[1].replace("grpc", "http")  # as OpenTelemetry's endpoints are written
        if len(doors) != 3 or not self.otlp_grpc:
            raise RuntimeError(f"the daemon did not start:\n{self.log.read_text()}")
        self.http, self.elastic, self.otlp = doors
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(self.http + "/ready", timeout=10).close()
                return
            except urllib.error.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def kill(self):
        """As a machine that loses its power would, page cache apart."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        """Its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=60)
        self.process.stdout.close()
        return status

    def query(self, query, start_ns, end_ns):
        """[(labels, time in ns, line, structured metadata)], oldest first."""
        form = {"query": query, "start": start_ns, "end": end_ns, "limit": ENTRIES_MAX, "direction": "forward"}
        request = urllib.request.Request(self.http + "/loki/api/v1/query_range?" + urllib.parse.urlencode(form))
        request.add_header("X-Loki-Response-Encoding-Flags", "categorize-labels")  # as Grafana asks
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{query}: {error.code} {error.read().decode(errors='replace')}") from None
        entries = []
        for stream in answer["data"]["result"]:
            for value in stream["values"]:
                metadata = value[2].get("structuredMetadata", {}) if len(value) > 2 else {}
                entries.append((stream["stream"], int(value[0]), value[1], metadata))
        return sorted(entries, key=lambda entry: entry[1])
