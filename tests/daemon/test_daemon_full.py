#!/usr/bin/env python3
"""What runs out outside the daemon, disk and descriptors, or is taken away. Who pushes is told (507), who asks is
answered, and when there is room again, all goes on without a restart; nothing acknowledged is lost."""

import os
import resource
import shutil
import socket
import subprocess
import time

from daemon_harness import NS, QUERY_CONFIG, ROUNDS, Daemon, Writer, check, main, wait_until


def push_until(writer, is_over):
    writer.start()
    wait_until(is_over, "the disk to be full")
    writer.end()


def refused_and_back(folder, daemon, make_room):
    """Pushes until it is full, looks, makes room, pushes again, restarts, compares."""
    writer = Writer(daemon, 0, time.time_ns() // NS * NS - 600 * NS, 200)
    push_until(writer, lambda: writer.refused[507] >= 3)
    check(set(writer.refused) <= {507, 429}, f"answers while the disk was full: {writer.refused}")
    wait_until(lambda: daemon.push({"app": "more"}, [[str(time.time_ns()), "x"]])[0] == 507, "507")
    status, text = daemon.push({"app": "more"}, [[str(time.time_ns()), "x"]])
    check(status in (204, 507), f"{status} {text!r}")
    if status == 507:
        check(text.strip(), "507 without a reason")
    writer.compare(daemon)
    check(daemon.get("/-/healthy")[0] in (200, 503), "no word about its health")
    make_room()
    wait_until(
        lambda: daemon.push({"app": "again"}, [[str(time.time_ns()), "x"]])[0] == 204, "pushes after there is room"
    )
    writer = writer.again()
    before = len(writer.acknowledged)
    push_until(writer, lambda: len(writer.acknowledged) > before + 3)
    writer.compare(daemon)
    daemon.check_alive()
    daemon.kill()
    daemon.start()
    writer.compare(daemon)
    daemon.stop()


def small_disk(dice, folder):
    """A file system of 40 MB, half of it taken by somebody else who gives it back."""
    disk = folder / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", disk], capture_output=True, check=False)
    if done.returncode:
        print("      skipped: no file system can be mounted here")
        return
    try:
        kinds = (("1B", "64KiB"), ("4MiB", "1MiB"), ("1B", "24MiB"))
        for free_min, head in kinds if ROUNDS else [dice.choice(kinds)]:
            other = disk / "other"
            other.write_bytes(bytes(35 << 20))
            config = (
                QUERY_CONFIG + f"storage: {{disk_free_min: {free_min}}}\ningest: {{head_size: {head}}}\nsources: []\n"
            )
            daemon = Daemon(folder, config, data=disk / "data")
            refused_and_back(folder, daemon, other.unlink)
            shutil.rmtree(disk / "data")
    finally:
        for process in Daemon.running:
            process.kill()
            process.wait()
        subprocess.run(["umount", "-l", disk], check=True)


def file_size(dice, folder):
    """No file may grow beyond a megabyte: the write of a log fails half-way, and a signal comes with it."""
    daemon = Daemon(
        folder,
        QUERY_CONFIG + "ingest: {head_size: 24MiB}\nsources: []\n",
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY)),
    )

    def lift():
        subprocess.run(["prlimit", f"--pid={daemon.process.pid}", "--fsize=unlimited"], check=True)

    if not shutil.which("prlimit"):
        print("      skipped: no prlimit")
        return
    daemon.before = None
    refused_and_back(folder, daemon, lift)


def few_descriptors(dice, folder):
    """Too few descriptors for all who connect: they wait or are refused, the others go on, and it recovers."""
    daemon = Daemon(
        folder,
        QUERY_CONFIG + "ingest: {head_size: 64KiB}\nmill: {cpu_percent: 100}\nsources: []\n",
        before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    writer = Writer(daemon, 0, time.time_ns() // NS * NS - 600 * NS)
    writer.start()
    wait_until(lambda: len(writer.acknowledged) > 5, "the first pushes")
    socks = []
    for _ in range(200):
        one = socket.socket()
        one.settimeout(2)
        try:
            one.connect((daemon.host, daemon.port))
            one.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        except OSError:
            pass
        socks.append(one)
    time.sleep(2)
    for one in socks:
        one.close()
    before = len(writer.acknowledged)
    wait_until(lambda: len(writer.acknowledged) > before + 20, "pushes after the descriptors came back")
    writer.end()
    daemon.check_alive()
    check(daemon.get("/ready")[0] == 200, "not ready")
    writer.compare(daemon)
    daemon.kill()
    daemon.before = None
    daemon.start()
    writer.compare(daemon)
    daemon.stop()


def store_is_gone(dice, folder):
    """Somebody deletes the store below the running daemon: nothing more is acknowledged, and it says so."""
    daemon = Daemon(folder, "sources: []\n")
    now = time.time_ns()
    check(daemon.push({"app": "x"}, [[str(now), "kept"]])[0] == 204, "push")
    for path in ("/ready", "/-/healthy"):
        check(daemon.get(path)[0] == 200, f"{path} of a daemon that is well")
    (folder / "data").rename(folder / "away")
    shutil.rmtree(folder / "away")
    status, text = daemon.push({"app": "x"}, [[str(now + 1), "lost"]])
    check(status == 507 and b"deleted" in text, f"a push into nothing: {status} {text!r}")
    for path in ("/ready", "/-/healthy"):
        status, text = daemon.get(path)
        check(status == 503 and b"cannot be written" in text, f"{path}: {status} {text!r}")
    check(daemon.metric("logmill_store_log_failures_total") >= 1, "it is not counted")
    daemon.stop()
    daemon.start()  # begins anew
    check(daemon.push({"app": "x"}, [[str(now), "new"]])[0] == 204, "push after a restart")
    daemon.stop()


if __name__ == "__main__":
    os.umask(0o022)
    main("test_daemon_full", [small_disk, file_size, few_descriptors, store_is_gone])
