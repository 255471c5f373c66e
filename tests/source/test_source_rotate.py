#!/usr/bin/env python3
"""logrotate turns files over under a writer at full speed, and the reader is killed (SIGKILL) again and again: every
line must come through, none twice.

usage: test_source_rotate.py FEED METHOD KILLS

METHOD: create, copytruncate, compress, copytruncate-compress, copytruncate-delay (packed one turn later)
"""
import collections
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

FEED, METHOD, KILLS = sys.argv[1], sys.argv[2], int(sys.argv[3])
SEED = int(os.environ.get("LOGMILL_TEST_SEED", "20260117"))
random.seed(SEED)
print(f"# seed {SEED}")
logrotate = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin:/sbin")
if not logrotate:
    print("logrotate is not installed")
    sys.exit(77)


class Writer(threading.Thread):
    """Numbered lines as fast as they go; reopens its file when told, as a daemon does after SIGHUP. With copytruncate
    a line that is written between copy and truncation is lost by logrotate itself, so the writer pauses for it."""

    def __init__(self, path):
        super().__init__()
        self.path, self.count, self.over = path, 0, False
        self.reopen = path.parent / "reopen"  # made by the postrotate script, which waits until it is gone
        self.pause, self.paused = threading.Event(), threading.Event()

    def run(self):
        file = open(self.path, "ab", buffering=0)
        while not self.over:
            if self.pause.is_set():
                self.paused.set()
                time.sleep(0.001)
                continue
            self.paused.clear()
            lines = []
            for _ in range(random.randint(1, 200)):
                minute, second, part = self.count // 60000 % 60, self.count // 1000 % 60, self.count % 1000
                stamp = f"2026-11-23T10:{minute:02d}:{second:02d}.{part:03d}Z"
                lines.append(f"{stamp} INFO worker[{self.count % 7}]: did number {self.count} of many\n")
                if self.count % 50 == 0:
                    lines[-1] += f"\tat some.place(Some.java:{self.count})\n"
                self.count += 1
            text = "".join(lines).encode()
            cut = random.randint(0, len(text))  # lines come in pieces
            file.write(text[:cut])
            file.write(text[cut:])
            if self.reopen.exists():
                file.close()
                file = open(self.path, "ab", buffering=0)
                self.reopen.unlink()
            time.sleep(random.random() * 0.002)
        file.close()


def rotate(folder, writer):
    config = folder / "logrotate.conf"
    ways = {"create": "nocompress\ncreate", "compress": "compress\ncreate", "copytruncate": "nocompress\ncopytruncate",
            "copytruncate-compress": "compress\ncopytruncate",
            "copytruncate-delay": "compress\ndelaycompress\ncopytruncate"}
    postrotate = (f" postrotate\n  touch {folder}/reopen; while [ -e {folder}/reopen ]; do sleep 0.01; done\n"
                  " endscript\n")
    config.write_text(f"{folder}/app.log {{\n rotate 1000\n size 1\n missingok\n nodelaycompress\n"
                      + "".join(f" {line}\n" for line in ways[METHOD].split("\n"))
                      + ("" if "copytruncate" in METHOD else postrotate) + "}\n")
    config.chmod(0o644)
    if "copytruncate" in METHOD:
        writer.pause.set()
        writer.paused.wait(10)
    subprocess.run([logrotate, "-f", "-s", str(folder / "state"), str(config)], check=True)
    if "copytruncate" in METHOD:
        writer.pause.clear()


def start(sink, globs):
    with open(sink.parent / "notes", "a") as notes:
        return subprocess.Popen([FEED, str(sink), *globs], stdin=subprocess.PIPE, stderr=notes)


def lines_of(sink):
    return subprocess.run([FEED, "--dump", str(sink)], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()


def main():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="logmill-test-"))
    folder.chmod(0o755)
    sink = folder / "sink.bin"
    globs = [f"{folder}/app.log*"]
    writer = Writer(folder / "app.log")
    writer.start()
    reader = start(sink, globs)
    for _ in range(KILLS):
        time.sleep(random.random() * 0.4)
        if random.random() < 0.5:
            reader.send_signal(signal.SIGKILL)
            reader.wait()
            if random.random() < 0.5:
                rotate(folder, writer)
            reader = start(sink, globs)
        else:
            rotate(folder, writer)
    writer.over = True
    writer.join()
    wanted, got = set(range(writer.count)), collections.Counter()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(2)
        got = collections.Counter(int(line.split("number ")[1].split()[0]) for line in lines_of(sink)
                                  if "number " in line)
        if set(got) == wanted:
            break
    time.sleep(2)  # what comes twice may come late
    reader.stdin.close()
    reader.wait()
    lines = lines_of(sink)
    got = collections.Counter(int(line.split("number ")[1].split()[0]) for line in lines if "number " in line)
    frames = collections.Counter(int(line.split("java:")[1].split(")")[0]) for line in lines if "java:" in line)
    lost, twice = sorted(wanted - set(got)), sorted(n for n, times in got.items() if times > 1)
    frames_wanted = set(range(0, writer.count, 50))
    bad_frames = sorted((frames_wanted ^ set(frames)) | {n for n, times in frames.items() if times > 1})
    print(f"{METHOD}: {writer.count} lines; {len(lost)} lost {lost[:5]}; {len(twice)} twice {twice[:5]}; "
          f"{len(bad_frames)} further lines wrong {bad_frames[:5]}")
    if lost or twice or bad_frames:
        print(f"kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


sys.exit(main())
