#!/usr/bin/env python3
"""Speed of packing and unpacking on one core, and peak memory, next to general compressors in the same loop.

CPU time (user and system, children included), the least of N runs, divided into the raw bytes; sizes are exact,
speeds are this machine's. Peak memory is the largest resident set of the process.

  bench_speed.py [--logmill PROGRAM] [--level fast,default] [--runs 3] [--rivals 3,19] [--json FILE] [--new-shapes]
                 [LOG ...]

Without a LOG: the big logs of $LOGMILL_SHARED/corpus (default ../shared; unpacked first), else the project's samples.
--new-shapes adds a made-up log of which every line has a shape of its own.
"""
import argparse
import json
import math
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NEW_SHAPES_BYTES = 40_000_000


def logs_of(arguments):
    shared = pathlib.Path(os.environ.get("LOGMILL_SHARED", ROOT.parent / "shared")) / "corpus" / "big"
    if arguments:
        return [pathlib.Path(a) for a in arguments]
    if shared.is_dir():
        return sorted(p for p in shared.iterdir() if p.suffix in (".zst", ".log"))
    print(f"# no corpus at {shared} (LOGMILL_SHARED): the project's own samples are measured", file=sys.stderr)
    return sorted((ROOT / "samples").glob("*.zst"))


def new_shapes(path):
    """Words in ever new orders: no line has the shape of another."""
    rng = random.Random(5)
    words = ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 11))) for _ in range(20000)]
    with open(path, "w") as out:
        written = 0
        while written < NEW_SHAPES_BYTES:
            line = " ".join(rng.choices(words, k=rng.randint(8, 24))) + "\n"
            written += out.write(line)


def run(argv, stdout=subprocess.DEVNULL):
    """(CPU seconds, peak bytes) of one child."""
    process = subprocess.Popen(argv, stdout=stdout)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(argv)}: exit status {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def best(argv, runs):
    results = [run(argv) for _ in range(runs)]
    return min(r[0] for r in results), max(r[1] for r in results)


def geomean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def measure(name, raw, pack, unpack, packed, runs):
    """One row; packed is where pack leaves its file."""
    pack_s, pack_bytes = best(pack, runs)
    size = os.path.getsize(packed)
    unpack_s, unpack_bytes = best(unpack, runs)
    return {"what": name, "raw": raw, "size": size,
            "pack_mb_s": raw / pack_s / 1e6, "unpack_mb_s": raw / unpack_s / 1e6,
            "pack_mib": pack_bytes / 2**20, "unpack_mib": unpack_bytes / 2**20, "pack_cpu_ns": int(pack_s * 1e9),
            "unpack_cpu_ns": int(unpack_s * 1e9), "runs": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logmill", default=os.environ.get("LOGMILL", str(ROOT / "build" / "logmill")))
    parser.add_argument("--level", default="fast,default")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rivals", default="3,19", help="levels of zstd; empty: none")
    parser.add_argument("--new-shapes", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("logs", nargs="*")
    args = parser.parse_args()
    rows = []
    heads = ("pack MB/s", "unpack MB/s", "pack MiB", "unpack MiB")
    print(f"{'file':22} {'what':10} {'raw':>9} {'size':>9} " + " ".join(f"{h:>11}" for h in heads))
    with tempfile.TemporaryDirectory(prefix="logmill-bench-") as folder:
        paths = logs_of(args.logs)
        if args.new_shapes:
            made = pathlib.Path(folder) / "new-shapes.log"
            new_shapes(made)
            paths = paths + [made]
        for source in paths:
            path = source
            if source.suffix == ".zst":
                path = pathlib.Path(folder) / source.name.removesuffix(".zst")
                subprocess.run(["zstd", "-dqf", str(source), "-o", str(path)], check=True)
            raw, packed = path.stat().st_size, os.path.join(folder, "packed")
            pack = [args.logmill, "pack", "-q", "-f", "-T", "1", str(path), "-o", packed, "--level"]
            unpack = [args.logmill, "cat", "-q", "-T", "1", packed]
            jobs = [(level, pack + [level], unpack) for level in args.level.split(",")]
            jobs += [(f"zstd -{n}", ["zstd", f"-{n}", "-T1", "-qf", str(path), "-o", packed], ["zstd", "-dqc", packed])
                     for n in args.rivals.split(",") if n and shutil.which("zstd")]
            for what, pack, unpack in jobs:
                runs = 1 if what == "zstd -19" else args.runs
                row = {"file": path.name, **measure(what, raw, pack, unpack, packed, runs)}
                rows.append(row)
                figures = (row["pack_mb_s"], row["unpack_mb_s"], row["pack_mib"], row["unpack_mib"])
                print(f"{row['file']:22} {what:10} {raw:9} {row['size']:9} " + " ".join(f"{v:11.1f}" for v in figures),
                      flush=True)
                os.unlink(packed)
            if path != source:
                path.unlink()
    for level in args.level.split(","):
        mine = [r for r in rows if r["what"] == level and r["file"] != "new-shapes.log"]
        if mine:
            packs, unpacks = [r["pack_mb_s"] for r in mine], [r["unpack_mb_s"] for r in mine]
            print(f"{level}: pack {geomean(packs):.0f} MB/s in the geometric mean, {min(packs):.0f} at least; "
                  f"unpack {geomean(unpacks):.0f}, {min(unpacks):.0f} at least; "
                  f"peak {max(r['pack_mib'] for r in mine):.0f} MiB packing, "
                  f"{max(r['unpack_mib'] for r in mine):.0f} unpacking")
    if args.json:
        asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        lines = [json.dumps({**r, "commit": asked.stdout.strip()}) + "\n" for r in rows]
        pathlib.Path(args.json).write_text("".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
