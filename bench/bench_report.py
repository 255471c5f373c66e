#!/usr/bin/env python3
"""The tables of docs/benchmarks.md from what the benches wrote.

  bench_report.py FOLDER      sizes.json, speed.json and search.jsonl as `make bench` leaves them in build/bench;
                              what is missing is left out

Prints Markdown to standard output. Nothing is measured here.
"""
import json
import math
import pathlib
import sys

BIG_FROM = 100_000  # bytes from which `default` is held against xz -9e


def lines_of(path):
    """Objects of a file of one object a line; lines for people are passed over."""
    found = []
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            found.append(json.loads(line))
    return found


def geomean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float("nan")


def names_above(rows, ours, theirs):
    over = [r for r in rows if r.get(theirs) and r[ours] > r[theirs]]
    return ", ".join(f"{r['name']} ({r[ours]} against {r[theirs]})" for r in over) or "none"


def sizes(path):
    rows = json.loads(path.read_text())["rows"]
    big = [r for r in rows if r["raw"] > BIG_FROM and r.get("xz9e")]
    below = sum(r["default"] < r["xz9e"] for r in big)
    print(f"- `default` is below `xz -9e` on {below} of {len(big)} files over 100 kB, and "
          f"{geomean(r['xz9e'] / r['default'] for r in big):.2f} times smaller in the geometric mean.")
    print(f"  Not below it: {names_above(big, 'default', 'xz9e')}.")
    for level in ("fast", "default"):
        print(f"- Above zstd -3 at `{level}`: {names_above(rows, level, 'zstd3')}.")
    known = [r for r in rows if r.get("zstd19")]
    print(f"- `fast` is below `zstd -19` on {sum(r['fast'] < r['zstd19'] for r in known)} of {len(known)} files.")
    means = {key: geomean(r["raw"] / r[key] for r in rows if r.get(key)) for key in ("fast", "default", "zstd3")}
    print(f"- All {len(rows)} files, times smaller than raw in the geometric mean: `fast` {means['fast']:.1f}, "
          f"`default` {means['default']:.1f}, zstd -3 {means['zstd3']:.1f}.\n")
    print("| file | raw | fast | default | zstd -3 | zstd -19 | xz -9e |\n|---|--:|--:|--:|--:|--:|--:|")
    for r in rows:
        cells = [r["name"], r["raw"]] + [r.get(k, "") for k in ("fast", "default", "zstd3", "zstd19", "xz9e")]
        print("| " + " | ".join(map(str, cells)) + " |")


def speed(path):
    rows = lines_of(path)
    logs = [r for r in rows if r["file"] != "new-shapes.log"]
    print("| level | pack, geometric mean | pack, least | unpack, geometric mean | unpack, least | peak packing "
          "| peak unpacking |\n|---|--:|--:|--:|--:|--:|--:|")
    for what in ("fast", "default", "zstd -3"):
        of = [r for r in logs if r["what"] == what]
        if not of:
            continue
        pack, unpack = [r["pack_mb_s"] for r in of], [r["unpack_mb_s"] for r in of]
        print(f"| {what} | {geomean(pack):.0f} | {min(pack):.0f} | {geomean(unpack):.0f} | {min(unpack):.0f} | "
              f"{max(r['pack_mib'] for r in of):.0f} MiB | {max(r['unpack_mib'] for r in of):.0f} MiB |")
    print("\n| file | raw MB | fast: pack, unpack | default: pack, unpack | zstd -3: pack, unpack |"
          "\n|---|--:|--:|--:|--:|")
    for name in dict.fromkeys(r["file"] for r in rows):
        of = {r["what"]: r for r in rows if r["file"] == name}
        cells = [f"{of[w]['pack_mb_s']:.0f}, {of[w]['unpack_mb_s']:.0f}" if w in of else ""
                 for w in ("fast", "default", "zstd -3")]
        print(f"| {name} | {next(iter(of.values()))['raw'] / 1e6:.1f} | " + " | ".join(cells) + " |")


def search(path):
    rows = [r for r in lines_of(path) if r.get("name") == "search"]
    print("| log | queries | faster than `zstd -dc \\| grep`, lines printed | the same, counting (`-c`) "
          "| a word that is not there | one line, printed |\n|---|--:|--:|--:|--:|--:|")
    for log in dict.fromkeys(r["input"] for r in rows):
        of = [r for r in rows if r["input"] == log]
        absent = next((r["logmill_ms"] for r in of if r["kind"] == "absent word"), None)
        rare = [r["logmill_ms"] for r in of if r["lines"] == 1]
        print(f"| {log} | {len(of)} | {sum(r['logmill_ms'] < r['zstd_grep_ms'] for r in of)} | "
              f"{sum(r['count_ms'] < r['zstd_grep_ms'] for r in of)} | "
              f"{'' if absent is None else f'{absent:.1f} ms'} | {f'{max(rare):.0f} ms' if rare else ''} |")
    print(f"\n{sum(r['equal'] for r in rows)} of {len(rows)} results equal grep's; "
          f"{sum(r['logmill_ms'] < r['zstd_grep_ms'] for r in rows)} are faster with all lines printed, "
          f"{sum(r['count_ms'] < r['zstd_grep_ms'] for r in rows)} counting.")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) == 2 else None
    if not folder or not folder.is_dir():
        sys.exit(__doc__.strip())
    for name, title, show in (("sizes.json", "Sizes", sizes), ("speed.json", "Speed and memory", speed),
                              ("search.jsonl", "Search", search)):
        if (folder / name).is_file():
            print(f"## {title}\n")
            show(folder / name)
            print()


if __name__ == "__main__":
    main()
