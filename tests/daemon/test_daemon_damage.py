#!/usr/bin/env python3
"""Files of a stopped daemon are damaged: bits flipped, ends cut, garbage behind. It must start again, name what is
damaged, serve all the rest, and take new records."""

import time

from daemon_harness import NS, PAGE, QUERY_CONFIG, ROUNDS, Daemon, check, line_of, main

CONFIG = QUERY_CONFIG + "ingest: {head_size: 64KiB}\nmill: {cpu_percent: 0}\nsources: []\n"
BATCH = 50


def push(daemon, writer, first, begin_ns, count=BATCH):
    values = [[str(begin_ns + n * 1000), line_of(writer, n)] for n in range(first, first + count)]
    status, text = daemon.push({"app": "damage", "writer": str(writer)}, values)
    check(status == 204, f"push: {status} {text!r}")


def flip(dice, path):
    """Some bits in one place."""
    raw = bytearray(path.read_bytes())
    at = dice.randrange(len(raw))
    for _ in range(dice.choice((1, 1, 8))):
        raw[min(at, len(raw) - 1)] ^= 1 << dice.randrange(8)
        at += dice.randrange(8)
    path.write_bytes(raw)


def cut(dice, path):
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(dice.choice((0, 1, size - 1, dice.randrange(size))))


def garble(dice, path):
    raw = bytearray(path.read_bytes())
    at = dice.randrange(len(raw))
    raw[at : at + 512] = dice.randbytes(min(512, len(raw) - at))
    path.write_bytes(raw)


def append(dice, path):
    with open(path, "ab") as file:
        file.write(dice.randbytes(dice.choice((1, 15, 16, 4096))))


HARMS = (flip, cut, garble, append)


def fill(folder, name, batches):
    """A daemon whose folder has segments and a log."""
    daemon = Daemon(folder, CONFIG, data=folder / name)
    begin_ns = time.time_ns() // NS * NS - 600 * NS
    for batch in range(batches):
        push(daemon, batch % 2, batch // 2 * BATCH, begin_ns)
    return daemon, begin_ns


def found_lines(daemon, writer, begin_ns, end):
    """{number: line}"""
    lines = {}
    for first in range(0, end, PAGE // 4):
        values = daemon.values(
            '{app="damage",writer="%d"}' % writer,
            start=begin_ns + first * 1000,
            end=begin_ns + min(end, first + PAGE // 4) * 1000,
        )
        for time_ns, line in values:
            number = (time_ns - begin_ns) // 1000
            check(number not in lines, f"line {number} twice")
            lines[number] = line
    return lines


def harm_and_look(dice, daemon, begin_ns, end, harm, path, known):
    name = f"{harm.__name__} of {path.name} ({path.stat().st_size} bytes)"
    keep = path.read_bytes()
    harm(dice, path)
    is_same = path.read_bytes() == keep
    daemon.start()
    total = sum(len(known[w]) for w in known)
    left = 0
    for writer, lines in known.items():
        now = found_lines(daemon, writer, begin_ns, end)
        for number, line in now.items():
            check(line == line_of(writer, number), f"{name}: line {number} of {writer} is wrong: {line!r}")
        left += len(now)
    new_ns = begin_ns + 300 * NS
    push(daemon, 9, 0, new_ns)
    check(len(found_lines(daemon, 9, new_ns, BATCH)) == BATCH, f"{name}: new records are not found")
    check(daemon.get("/ready")[0] == 200, f"{name}: not ready")
    log = daemon.log()
    if left < total and not is_same:
        check(
            "event=damaged" in log or "event=log_unfinished" in log,
            f"{name}: {total - left} lines are gone, and nobody says so:\n{log}",
        )
        check(path.name.split(".")[0] in log, f"{name}: not named:\n{log}")
    daemon.check_alive()
    daemon.stop()
    return left, total


def of_log(dice, folder):
    """A frame that is hit is lost, no other."""
    for number in range(ROUNDS or 6):
        daemon, begin_ns = fill(folder, f"log{number}", 8)
        daemon.kill()
        known = {w: set(range(4 * BATCH)) for w in (0, 1)}
        path = dice.choice(sorted((daemon.data / "log").glob("*.log")))
        harm = HARMS[number % len(HARMS)]
        left, total = harm_and_look(dice, daemon, begin_ns, 4 * BATCH, harm, path, known)
        if harm is append:
            check(left == total, f"garbage behind a log took {total - left} lines")
        if harm is flip:
            check(total - left <= 2 * BATCH, f"a flipped place took {total - left} of {total} lines")


def of_segments(dice, folder):
    for number in range(ROUNDS or 8):
        daemon, begin_ns = fill(folder, f"seg{number}", 60)
        daemon.stop()
        files = sorted((daemon.data / "segments").iterdir())
        check(len(files) >= 4, f"too few segments: {files}")
        known = {w: set(range(30 * BATCH)) for w in (0, 1)}
        left, total = harm_and_look(
            dice, daemon, begin_ns, 30 * BATCH, HARMS[number % len(HARMS)], dice.choice(files), known
        )
        parts = len([f for f in files if f.suffix == ".rec"])
        check(
            total - left <= total * 2 // parts + 4 * BATCH,
            f"one damaged of {parts} segments took {total - left} of {total} lines",
        )


def of_catalog(dice, folder):
    """It can be made anew: nothing is lost."""
    for number in range(ROUNDS or 6):
        daemon, begin_ns = fill(folder, f"cat{number}", 60)
        daemon.stop()
        for extra in daemon.data.glob("catalog.db-*"):
            extra.unlink()
        path = daemon.data / "catalog.db"
        harm = (flip, cut, garble, append, lambda d, p: p.unlink())[number % 5]
        harm(dice, path)
        daemon.start()
        for writer in (0, 1):
            now = found_lines(daemon, writer, begin_ns, 30 * BATCH)
            check(
                set(now) == set(range(30 * BATCH)),
                f"{harm.__name__} of the catalog: {30 * BATCH - len(now)} lines are gone\n{daemon.log()}",
            )
            check(all(line == line_of(writer, n) for n, line in now.items()), "altered")
        push(daemon, 9, 0, begin_ns + 300 * NS)
        daemon.stop()


main("test_daemon_damage", [of_log, of_segments, of_catalog])
