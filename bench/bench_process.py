"""A process that is measured from outside, by what /proc says of it; and a daemon of ours as one."""

import os
import pathlib
import subprocess
import sys
import time
import urllib.parse

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    def __init__(self, argv, **options):
        self.process = subprocess.Popen([str(word) for word in argv], stdin=subprocess.DEVNULL, **options)
        self.proc = pathlib.Path("/proc") / str(self.process.pid)

    def cpu_seconds(self):
        stat = (self.proc / "stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / CLOCK_TICKS

    def status(self, name):
        """A number of /proc/PID/status; of memory in KiB."""
        for line in (self.proc / "status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        return 0

    def mib(self, name):
        return round(self.status(name) / 1024, 1)

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


class Daemon(Process):
    """`logmill run` on a free port, with its store in data; it is there when this returns."""

    def __init__(self, program, data, folder, config="sources: []\n"):
        path = pathlib.Path(folder) / "logmill.yaml"
        path.write_text(config)
        self.log = open(pathlib.Path(folder) / "server.log", "wb+")
        begun = time.monotonic()
        super().__init__([program, "run", "--listen", "127.0.0.1:0", "--data", data, "--config", path],
                         stdout=subprocess.PIPE, stderr=self.log)
        self.port = None
        for line in self.process.stdout:
            words = line.decode().split()
            if words[:1] == ["listening"] and words[1].startswith("http") and not self.port:
                self.port = urllib.parse.urlsplit(words[1]).port
            if words[:1] == ["storing"]:
                break
        if not self.port:
            sys.exit(f"{pathlib.Path(sys.argv[0]).name}: the daemon did not start:\n{self.output()}")
        self.begun = begun

    def output(self):
        return pathlib.Path(self.log.name).read_text("utf-8", "replace")

    def stop(self):
        super().stop()
        self.process.stdout.close()
        self.log.close()
