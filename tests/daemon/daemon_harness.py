"""What the tests of the daemon's promises share: starting it, loading it, and comparing what it acknowledged with
what it answers."""

import collections
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

LOGMILL = os.environ.get("LOGMILL", "build/logmill")
ROUNDS = int(os.environ.get("LOGMILL_TEST_ROUNDS", "0"))  # 0: as few as every build can afford
if os.environ.get("LOGMILL_SANITIZED"):  # the tracer of leaks faults now and then on threads of a module
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
SEED = int(os.environ.get("LOGMILL_TEST_SEED", "20260117"))
CERTIFICATES = pathlib.Path(__file__).resolve().parent.parent / "support" / "certificates"
WAIT_S = 60
NS = 1_000_000_000
JSON = {"Content-Type": "application/json"}
PAGE = 20_000  # lines in one answer; the configurations of these tests allow it
QUERY_CONFIG = f"query: {{entries_max: {PAGE}}}\n"


def announce(name):
    print(f"{name}: LOGMILL_TEST_SEED={SEED}", flush=True)
    return random.Random(SEED)


def check(is_right, text):
    if not is_right:
        raise AssertionError(text)


def wait_until(is_so, text):
    """Polls; the bound is only for what will never come."""
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        check(time.monotonic() < deadline, f"waited in vain: {text}")
        time.sleep(0.02)


class Scratch:
    """A folder that goes away when all was well, and stays for inspection otherwise."""

    def __init__(self, name):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix=f"logmill-{name}-"))

    def __enter__(self):
        return self.path

    def __exit__(self, kind, value, trace):
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            print(f"kept: {self.path}", file=sys.stderr)


class Daemon:
    """One `logmill run` after another over the same folder."""

    running = []

    def __init__(self, folder, config="", data=None, listen="127.0.0.1:0", before=None):
        self.folder, self.listen, self.before = folder, listen, before
        self.data = data or folder / "data"
        self.log_path = folder / "daemon.log"
        self.config_path = folder / "logmill.yaml"
        self.config_path.write_text(config)
        self.start()

    def start(self):
        args = [LOGMILL, "run", "--data", str(self.data), "--config", str(self.config_path)]
        if self.listen:
            args += ["--listen", self.listen]
        self.log_at = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=log, text=True, preexec_fn=self.before)
        Daemon.running.append(self.process)
        self.addresses, self.said = [], []
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("listening"):
                self.addresses.append(line.split()[1])
            if line.startswith("storing"):
                break
        if not self.addresses:
            self.process.wait()
            raise AssertionError(f"the daemon did not start (code {self.process.returncode}):\n{self.log()}")
        url = urllib.parse.urlsplit(self.addresses[0])
        self.host, self.port = url.hostname, url.port

    def _over(self):
        code = self.process.wait(WAIT_S)
        self.process.stdout.close()
        Daemon.running.remove(self.process)
        return code

    def kill(self):
        self.process.kill()
        return self._over()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self._over()
        check(code == 0, f"the daemon ended with {code}:\n{self.log()[-4000:]}")

    def log(self):
        """What it said since it was started the last time."""
        with open(self.log_path, "rb") as log:
            log.seek(self.log_at)
            return log.read().decode("utf-8", "replace")

    def check_alive(self):
        code = self.process.poll()
        check(code is None, f"the daemon is gone (code {code}):\n{self.log()[-4000:]}")

    def status(self, name):
        """A number of /proc/PID/status: VmHWM and VmRSS in kB."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        raise AssertionError(f"no {name}")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def connect(self, timeout=WAIT_S):
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get(self, path, headers=None, **parameters):
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters, doseq=True)
        return self.ask("GET", path, headers=headers)

    def data_of(self, path, headers=None, **parameters):
        status, body = self.get(path, headers, **parameters)
        check(status == 200, f"{path} {parameters}: {status} {body[:500]!r}")
        return json.loads(body)

    def push(self, labels, values, headers=None):
        body = json.dumps({"streams": [{"stream": labels, "values": values}]})
        return self.ask("POST", "/loki/api/v1/push", body, {**JSON, **(headers or {})})

    def metric(self, name):
        for line in self.get("/metrics")[1].decode().splitlines():
            if line.startswith(name + " ") or line.startswith(name + "{"):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def values(self, query, headers=None, **parameters):
        """All [time, line] of a query, page after page, forwards."""
        found = []
        start, end = int(parameters.pop("start")), int(parameters.pop("end"))
        while start < end:
            answer = self.data_of(
                "/loki/api/v1/query_range",
                headers,
                query=query,
                start=start,
                end=end,
                limit=PAGE,
                direction="forward",
                **parameters,
            )
            page = sorted((int(v[0]), v[1]) for s in answer["data"]["result"] for v in s["values"])
            if len(page) < PAGE:
                return found + page
            last = page[-1][0]  # more of that instant may follow
            check(page[0][0] < last, "a page of one instant")
            found += [v for v in page if v[0] < last]
            start = last
        return found


def line_of(writer, number):
    """A line that can be made again from its name: what comes back altered is seen."""
    dice = random.Random(writer * 1_000_003 + number)
    words = (
        "took %d ms" % dice.randrange(10_000),
        "user=%x" % dice.randrange(1 << 32),
        "GET /item/%d status=%d" % (dice.randrange(10_000), dice.choice((200, 404, 500))),
        '\u00e9\t"quoted" \\ back',
        "x" * dice.randrange(200),
    )
    return f"writer={writer} number={number} {dice.choice(words)} {dice.choice(words)}"


class Writer(threading.Thread):
    """Pushes numbered lines of its own stream until told to stop; knows which were acknowledged."""

    def __init__(self, daemon, number, begin_ns, batch=100, headers=None):
        super().__init__(daemon=True)
        self.daemon_of, self.number, self.begin_ns, self.batch = daemon, number, begin_ns, batch
        self.headers = {**JSON, **(headers or {})}
        self.next = 0
        self.acknowledged = set()  # first numbers of batches
        self.sizes = {}  # of every batch that was sent
        self.refused = collections.Counter()
        self.stops = threading.Event()
        self.labels = {"app": "load", "writer": str(number)}

    def again(self):
        """A thread like this one that goes on where it ended."""
        one = Writer(self.daemon_of, self.number, self.begin_ns, self.batch, self.headers)
        one.next, one.acknowledged, one.sizes, one.refused = self.next, self.acknowledged, self.sizes, self.refused
        return one

    def time_of(self, number):
        return self.begin_ns + number * 1000

    def body(self):
        first = self.next
        self.sizes[first] = self.batch
        self.next += self.batch
        values = [[str(self.time_of(n)), line_of(self.number, n)] for n in range(first, first + self.batch)]
        return first, json.dumps({"streams": [{"stream": self.labels, "values": values}]}).encode()

    def run(self):
        connection = None
        while not self.stops.is_set():
            try:
                if connection is None:
                    connection = self.daemon_of.connect()
                first, body = self.body()
                connection.request("POST", "/loki/api/v1/push", body, self.headers)
                response = connection.getresponse()
                response.read()
                if response.status == 204:
                    self.acknowledged.add(first)
                else:
                    self.refused[response.status] += 1
                    self.stops.wait(0.02)
            except (OSError, http.client.HTTPException):
                if connection:
                    connection.close()
                connection = None
                self.refused["connection"] += 1
                self.stops.wait(0.02)
        if connection:
            connection.close()

    def end(self):
        self.stops.set()
        self.join()

    def compare(self, daemon, first=0, headers=None):
        """Each acknowledged line once and as it was; of others a line may be there, whole and once."""
        if self.next <= first:
            return 0
        found = daemon.values(
            '{app="load",writer="%d"}' % self.number, headers, start=self.time_of(first), end=self.time_of(self.next)
        )
        counts = collections.Counter(time_ns for time_ns, _ in found)
        twice = [t for t, n in counts.items() if n > 1]
        check(
            not twice,
            f"writer {self.number}: {len(twice)} lines twice, first number "
            f"{(min(twice) - self.begin_ns) // 1000 if twice else 0}",
        )
        for time_ns, line in found:
            number = (time_ns - self.begin_ns) // 1000
            check(line == line_of(self.number, number), f"writer {self.number}: line {number} is altered: {line!r}")
        lost = [
            n
            for batch in sorted(self.acknowledged)
            if batch >= first
            for n in range(batch, batch + self.sizes[batch])
            if self.time_of(n) not in counts
        ]
        check(
            not lost,
            f"writer {self.number}: {len(lost)} acknowledged lines are lost: {lost[:3]}..{lost[-1:]}; "
            f"{len(found)} were found",
        )
        return len(found)


def finish():
    for process in list(Daemon.running):
        process.kill()


def main(name, cases):
    """Runs functions of (dice, folder), each in a scratch folder of its own; names given on the command line choose."""
    chosen = sys.argv[1:]
    dice = announce(name)
    failed = []
    for case in cases:
        if chosen and case.__name__ not in chosen:
            continue
        try:
            with Scratch(case.__name__) as folder:
                case(random.Random(dice.random()), folder)
            print(f"ok    {case.__name__}", flush=True)
        except AssertionError as problem:
            print(f"FAIL  {case.__name__}: {problem}", flush=True)
            failed.append(case.__name__)
        finally:
            finish()
    if failed:
        sys.exit(f"{name}: failed: {', '.join(failed)}")
