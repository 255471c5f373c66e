#!/usr/bin/env python3
"""Sources from outside: the journal under a daemon that is killed again and again, and standard input by the million.

The journal is written by systemd-journal-remote; without it, or libsystemd, that part says that it is left out.
"""

import pathlib
import subprocess
import threading
import time

from daemon_harness import LOGMILL, NS, Daemon, check, main, wait_until

REMOTE = pathlib.Path("/lib/systemd/systemd-journal-remote")
BEGIN_US = (time.time_ns() // 1000) - 1800 * 1_000_000
KILLS = 6
CONFIG = """
query: {{entries_max: 1000000}}
sources:
  - {{type: journal, path: "{folder}/journal"}}
"""
STDIN_CONFIG = """
query: {entries_max: 1000000}
sources:
  - {type: pipe, path: "-", labels: {job: stdin}}
"""


class Journal:
    """Numbered entries, file after file."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        (folder / "journal").mkdir()

    def add(self, number):
        text = "".join(
            f"__REALTIME_TIMESTAMP={BEGIN_US + n}\n__MONOTONIC_TIMESTAMP={n + 1}\n_BOOT_ID={'0123456789abcdef' * 2}\n"
            f"MESSAGE=entry number {n}\nPRIORITY={n % 8}\n_SYSTEMD_UNIT=web.service\nSYSLOG_IDENTIFIER=web\n\n"
            for n in range(self.count, self.count + number)
        )
        export = self.folder / "export"
        export.write_text(text)
        made = self.folder / f"part-{self.count}.journal"
        subprocess.run([REMOTE, f"--output={made}", export], check=True, capture_output=True)
        made.rename(self.folder / "journal" / made.name)
        self.count += number


def lines_of(daemon, query):
    now = time.time_ns()
    return [line for _, line in daemon.values(query, start=now - 3600 * NS, end=now + 60 * NS)]


def journal_entries_come_once(dice, folder):
    facts = subprocess.run([LOGMILL, "version"], capture_output=True, text=True, check=True).stdout
    if not REMOTE.exists() or "reads the journal: no" in facts:
        print("skipped: no systemd-journal-remote here, or this build does not read journals")
        return
    journal = Journal(folder)
    journal.add(20_000)
    daemon = Daemon(folder, CONFIG.format(folder=folder))
    for _ in range(KILLS):
        time.sleep(dice.random() * 0.2)
        daemon.kill()
        journal.add(2_000)
        daemon.start()
        journal.add(2_000)
    query = '{unit="web.service"}'
    wait_until(lambda: len(lines_of(daemon, query)) >= journal.count, "all entries of the journal")
    daemon.stop()
    journal.add(500)
    daemon.start()
    wait_until(lambda: len(lines_of(daemon, query)) >= journal.count, "entries written while nobody looked")
    found = sorted(int(line.rsplit(" ", 1)[1]) for line in lines_of(daemon, query))
    check(found == list(range(journal.count)), f"{len(found)} entries of {journal.count}, {len(set(found))} are others")
    daemon.stop()


def standard_input_is_read_to_its_end(_, folder):
    """What a program writes and then ends: all of it, the last line without its end too."""
    config = folder / "logmill.yaml"
    config.write_text(STDIN_CONFIG)
    count = 1_000_000
    process = subprocess.Popen(
        [LOGMILL, "run", "--config", config, "--data", folder / "data", "--listen", "127.0.0.1:0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    Daemon.running.append(process)
    address = process.stdout.readline().split()[1].decode()

    def write():
        for first in range(0, count, 10_000):
            text = "".join(f"line number {n}\n" for n in range(first, first + 10_000))
            process.stdin.write(text.encode())
        process.stdin.write(b"no end")
        process.stdin.close()

    writer = threading.Thread(target=write)
    writer.start()
    writer.join()
    reader = Daemon.__new__(Daemon)
    reader.host, reader.port = address.split("/")[2].split(":")
    reader.port = int(reader.port)

    def total():
        query = 'sum(count_over_time({job="stdin"}[1h]))'
        found = reader.data_of("/loki/api/v1/query", query=query, time=time.time_ns())["data"]["result"]
        return int(float(found[0]["value"][1])) if found else 0

    wait_until(lambda: total() > count, "all of standard input")
    check(total() == count + 1, f"{total()} lines, not {count + 1}")
    check(lines_of(reader, '{job="stdin"} |= "no end"') == ["no end"], "the last line")
    process.terminate()
    check(process.wait(60) == 0, "the daemon did not end well")
    Daemon.running.remove(process)


if __name__ == "__main__":
    main("sources", [standard_input_is_read_to_its_end, journal_entries_come_once])
