#!/usr/bin/env python3
"""Exact sizes of archives, file by file and level by level, next to general compressors on the same bytes.

Rivals that are installed run here, on each file, in the same loop: zstd -3, zstd -19, xz -9e, bzip2 -9, and with --more
brotli -q 11 --large_window=30 and zpaq -m5. Sizes are exact, so this may gate: the exit status is 1 when a bar of
docs/benchmarks.md is missed. Figures that were not made by this run are shown only under --published FILE
(a table `file raw zstd3 zstd19 xz9e ...`) and are marked with a star.

  bench_sizes.py [--logmill PROGRAM] [--level fast,default] [--json FILE] [--rivals zstd3,zstd19,xz9e] [LOG|FOLDER ...]

Without a LOG: every log of $LOGMILL_SHARED/corpus/{loghub2k,logs,big} (default ../shared; unpacked first), and where
that is not there, the project's own samples.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RIVALS = {
    "zstd3": ["zstd", "-3", "-T1", "-qc"],
    "zstd19": ["zstd", "-19", "-T1", "-qc"],
    "xz9e": ["xz", "-9e", "-T1", "-c"],
    "bzip2": ["bzip2", "-9", "-c"],
    "brotli": ["brotli", "-q", "11", "--large_window=30", "-c"],
}
PLAIN_MIN = 100_000  # bytes from which `default` must be below xz -9e


def logs_of(arguments):
    """(name, group, path) of each log; packed ones stay packed here."""
    shared = pathlib.Path(os.environ.get("LOGMILL_SHARED", ROOT.parent / "shared")) / "corpus"
    if arguments:
        places = [("", pathlib.Path(a)) for a in arguments]
    elif shared.is_dir():
        places = [(group, shared / group) for group in ("loghub2k", "logs", "big")]
    else:
        print(f"# no corpus at {shared} (LOGMILL_SHARED): the project's own samples are measured", file=sys.stderr)
        places = [("samples", ROOT / "samples")]
    found = []
    for group, place in places:
        paths = sorted(place.iterdir()) if place.is_dir() else [place]
        for path in paths:
            name = path.name.removesuffix(".zst")
            is_log = path.is_file() and (arguments or path.suffix == ".zst" or name.endswith((".log", ".txt", ".json")))
            if is_log and not name.endswith((".md", ".sh", ".tsv.md", "MANIFEST.tsv")) and "_structured" not in name:
                if group == "loghub2k" and not name.endswith(".log"):
                    continue
                found.append((name, group or place.name, path))
    return found


def unpacked(path, folder):
    if path.suffix != ".zst":
        return path
    out = pathlib.Path(folder) / path.name.removesuffix(".zst")
    subprocess.run(["zstd", "-dqf", str(path), "-o", str(out)], check=True)
    return out


def rival_size(argv, path):
    done = subprocess.run(["sh", "-c", '"$@" | wc -c', "sh", *argv, str(path)], stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def published(path):
    """{file name: {rival: bytes}} of a table made elsewhere."""
    if not path:
        return {}
    lines = pathlib.Path(path).read_text().splitlines()
    heads = lines[0].split("\t")
    table = {}
    for line in lines[1:]:
        row = dict(zip(heads, line.split("\t")))
        name = pathlib.Path(row["file"]).name.removesuffix(".zst")
        table[name] = {k: int(v) for k, v in row.items() if k not in ("file", "raw") and v.isdigit()}
        table[name]["raw"] = int(row["raw"])
    return table


def pack(program, level, path, folder):
    out = pathlib.Path(folder) / "archive.lm"
    # By its bare name: an archive stores names, and the scratch folder's is none of the log's.
    subprocess.run([program, "pack", "--level", level, "-q", "-T", "1", path.name, "-o", str(out)], check=True,
                   cwd=path.parent)
    back = subprocess.run([program, "cat", "-q", str(out)], stdout=subprocess.PIPE, check=True).stdout
    if back != path.read_bytes():
        sys.exit(f"{path.name} at {level}: what comes back is not what went in")
    size = out.stat().st_size
    out.unlink()
    return size


def geomean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def judge(rows, levels):
    """Lines of text, and whether all bars hold."""
    said, good = [], True

    def bar(text, holds):
        nonlocal good
        good = good and holds
        said.append(f"{'ok  ' if holds else 'MISS'}  {text}")

    if "default" in levels:
        larger = [r for r in rows if r["raw"] > PLAIN_MIN and "xz9e" in r]
        worse = [r["name"] for r in larger if r["default"] >= r["xz9e"]]
        ratio = geomean(r["xz9e"] / r["default"] for r in larger)
        if larger:
            bar(f"default is below xz -9e on {len(larger) - len(worse)} of {len(larger)} files over 100 kB"
                + (f"; not on {', '.join(worse)}" if worse else ""), not worse)
            bar(f"default is {ratio:.3f} times smaller than xz -9e in the geometric mean (bar 1.3)", ratio >= 1.3)
        for name, want in (("Apache_2k.log", None), ("apache_error.log", 62), ("linux_syslog.log", 38)):
            row = next((r for r in rows if r["name"] == name), None)
            if row and want:
                times = row["raw"] / row["default"]
                bar(f"{name} is {times:.1f} times smaller than raw (bar {want})", times >= want)
    for level in levels:
        compared = [r for r in rows if "zstd3" in r]
        worse = [r["name"] for r in compared if r[level] > max(r["zstd3"], 0) and r[level] > r["raw"] * 1.001]
        above = [r["name"] for r in compared if r[level] > r["zstd3"]]
        if compared:
            bar(f"{level} is never above zstd -3" + (f"; it is on {', '.join(above)}" if above else ""),
                not above and not worse)
    if "fast" in levels:
        compared = [r for r in rows if "zstd19" in r]
        below = [r for r in compared if r["fast"] < r["zstd19"]]
        if compared:
            bar(f"fast is below zstd -19 on {len(below)} of {len(compared)} files (bar 9 of 10)",
                len(below) * 10 >= len(compared) * 9)
    return said, good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logmill", default=os.environ.get("LOGMILL", str(ROOT / "build" / "logmill")))
    parser.add_argument("--level", default="fast,default")
    parser.add_argument("--rivals", default="zstd3,zstd19,xz9e")
    parser.add_argument("--more", action="store_true", help="also brotli and bzip2")
    parser.add_argument("--published", help="a table of sizes made elsewhere; shown with a star")
    parser.add_argument("--json")
    parser.add_argument("logs", nargs="*")
    args = parser.parse_args()
    levels = args.level.split(",")
    rivals = [r for r in args.rivals.split(",") if r] + (["bzip2", "brotli"] if args.more else [])
    for rival in [r for r in rivals if not shutil.which(RIVALS[r][0])]:
        print(f"# {rival} is left out: {RIVALS[rival][0]} is not installed", file=sys.stderr)
        rivals.remove(rival)
    table = published(args.published)
    rows = []
    columns = levels + rivals + (["xz9e*"] if table else [])
    print(f"{'file':36} {'raw':>10} " + " ".join(f"{c:>10}" for c in columns) + "   xz9e/default")
    with tempfile.TemporaryDirectory(prefix="logmill-bench-") as folder:
        for name, group, source in logs_of(args.logs):
            path = unpacked(source, folder)
            row = {"name": name, "group": group, "raw": path.stat().st_size}
            for level in levels:
                row[level] = pack(os.path.abspath(args.logmill), level, path, folder)
            for rival in rivals:
                row[rival] = rival_size(RIVALS[rival], path)
            known = table.get(name, {})
            if known.get("raw") == row["raw"]:
                row["xz9e*"] = known.get("xz9e")
                for rival in ("zstd3", "zstd19", "xz9e"):
                    row.setdefault(rival, known.get(rival))
                    if row[rival] is None:
                        del row[rival]
            if path != source:
                path.unlink()
            rows.append(row)
            times = f"{row['xz9e'] / row['default']:.3f}" if "xz9e" in row and "default" in row else ""
            sizes = " ".join(f"{row.get(c) or '-':>10}" for c in columns)
            print(f"{name:36} {row['raw']:10} {sizes}   {times}", flush=True)
    said, good = judge(rows, levels)
    for level in levels:
        if rows:
            times = geomean(r["raw"] / r[level] for r in rows)
            said.append(f"      {level}: {times:.2f} times smaller than raw in the geometric mean")
    print("\n".join(said))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"rows": rows, "said": said}, indent=1) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
