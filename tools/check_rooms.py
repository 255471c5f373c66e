#!/usr/bin/env python3
"""Fail if a room includes a room it may not, a file name is not its room's, or a room's header lacks its contract."""
import pathlib
import re
import sys

SRC = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "src")
WORDS = ("Purpose", "Flow", "Owns", "Threads", "Units", "Limits")
CONTRACT_HEAD = 6000  # characters: a contract is read first or not at all


def read_rules(bad):
    """src/ROOMS, from the ground up: a room may only name rooms above it, so no cycle can be written."""
    rule = {}
    for line in (SRC / "ROOMS").read_text().splitlines():
        if not line.strip() or line[0] == "#":
            continue
        room, _, may = line.partition(":")
        unknown = set(may.split()) - rule.keys()
        if unknown:
            bad.append(f"ROOMS: {room} names {sorted(unknown)} before they are declared")
        rule[room] = set(may.split()) | {room}
    return rule


def check_file(path, rule, bad):
    room = path.relative_to(SRC).parts[0]
    if room not in rule:
        bad.append(f"{path}: room '{room}' is not in ROOMS")
        return
    if path.stem != room and not path.stem.startswith(room + "_"):
        bad.append(f"{path}: the name does not start with '{room}_'")
    for number, text in enumerate(path.read_text().splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
        if not m:
            continue
        to = m[1].split("/")[0]
        if "/" not in m[1]:
            bad.append(f"{path}:{number}: write the room, \"room/file.h\"")
        elif to not in rule[room]:
            bad.append(f"{path}:{number}: '{room}' may not include '{to}'")
        elif to != room and m[1].endswith("_priv.h"):
            bad.append(f"{path}:{number}: '{m[1]}' is private")


def check_contract(room, bad):
    header = SRC / room / f"{room}.h"
    if not (SRC / room).is_dir():
        return
    head = header.read_text()[:CONTRACT_HEAD] if header.exists() else ""
    missing = [word for word in WORDS if f"{word}:" not in head]
    if missing:
        bad.append(f"{header}: the contract lacks {', '.join(missing)}")


def main():
    bad, seen = [], {}
    rule = read_rules(bad)
    for path in sorted(SRC.rglob("*.[ch]")):
        check_file(path, rule, bad)
        if path.name in seen:
            bad.append(f"{path}: the name is taken by {seen[path.name]}")
        seen[path.name] = path
    for room in rule:
        check_contract(room, bad)
    print("\n".join(bad) or f"rooms ok: {len(rule)} rooms, {len(seen)} files")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
