#!/usr/bin/env python3
"""Every query on every log: logmill search against `zstd -dc | grep` on a zstd -3 file and ripgrep on the raw text.

CPU time (user + system, children included), the best of several runs. Everybody writes into a pipe that is read to its
end: grep looks at its output, and stops at the first match when that is /dev/null. Results are compared each time, and
counts (-c) are taken side by side with grep -c. Queries are made from each log: absent, rare and frequent strings,
strings that cross constant text and variables, numbers, patterns. Prints a JSON line a query, and the worst.

  bench_search.py PROGRAM [--archives FOLDER] LOG...      logs are packed into FOLDER (kept) if they are not there yet
"""

import argparse, collections, json, os, random, re, resource, shlex, subprocess, sys


def cpu(argv):
    """Milliseconds, and what was printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, shell=isinstance(argv, str))
    parts = []
    while part := os.read(child.stdout.fileno(), 1 << 20):
        parts.append(part)
    child.stdout.close()
    child.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000, b"".join(parts)


def best(argv, runs):
    """The least time of all runs, and what the last one printed."""
    times, out = [], b""
    for _ in range(runs):
        ms, out = cpu(argv)
        times.append(ms)
    return min(times), out


def quote(text):
    return '"' + "".join("\\" + c if c in '"\\' else c for c in text) + '"'


def queries(path, rng):
    """(kind, grep flags, grep pattern, query) made from the lines themselves."""
    lines = open(path, errors="replace").read().split("\n")
    lines = [l for l in lines if l and l.isascii() and l.isprintable()]
    text = "\n".join(lines)
    found = []

    def fixed(kind, needle):
        found.append((kind, "-F", needle, "|= " + quote(needle)))

    fixed("absent word", "zqx_not_there")
    fixed("absent hex", "0badc0ffee0ddf00d")
    fixed("absent number", "987654321987")
    fixed("absent short", "ZQ")
    line = rng.choice(lines)
    fixed("whole line", line)
    for _ in range(2):  # rare: a long token with digits
        tokens = [t for t in re.findall(r"[\w.:-]{9,}", rng.choice(lines)) if re.search(r"\d", t)]
        if tokens:
            fixed("token", rng.choice(tokens))
    for _ in range(4):
        line = rng.choice(lines)
        begin = rng.randrange(len(line))
        fixed("crossing", line[begin : begin + rng.randint(4, 24)])
    words = collections.Counter(re.findall(r"[A-Za-z]{5,}", text[:2000000]))
    fixed("frequent word", words.most_common(3)[-1][0])
    fixed("uncommon word", words.most_common()[len(words) // 2][0])
    numbers = re.findall(r"\b\d{3,5}\b", rng.choice(lines))
    if numbers:
        fixed("number", rng.choice(numbers))
        fixed("number apart", " " + rng.choice(numbers) + " ")
    fixed("one letter", "e")
    stamp = re.search(r"\d\d:\d\d:\d\d", rng.choice(lines))
    if stamp:
        fixed("second", stamp.group())
        fixed("minute", stamp.group()[:5] + ":")
    a, b = words.most_common(8)[-1][0], words.most_common()[len(words) // 2][0]
    for kind, pattern in [
        ("regex gap", a + ".*" + b),
        ("regex either", a + "|" + b),
        ("regex class", b + r"[ :=]+[0-9a-z]+"),
        ("regex digits", r"[0-9]{3}\.[0-9]{3}"),
        ("regex begin", "^" + re.escape(line[:6]).replace(r"\ ", " ")),
    ]:
        found.append((kind, "-P", pattern, "|~ " + quote(pattern)))
    pattern = "(?i)" + b.upper()
    found.append(("regex any case", "-P", pattern, "|~ " + quote(pattern)))
    found.append(("both", None, ("-F", a, b), f"|= {quote(a)} |= {quote(b)}"))
    return found


def main():
    args = argparse.ArgumentParser()
    args.add_argument("program")
    args.add_argument("--archives", default="bench-archives")
    args.add_argument("--runs", type=int, default=3)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--search", default="search", help="words between program and query (default: search)")
    args.add_argument("--pack", default="pack -q {log} -o {archive}")
    args.add_argument("logs", nargs="+")
    o = args.parse_args()
    os.makedirs(o.archives, exist_ok=True)
    worst, wrong, slower, slower_count, total = [], 0, 0, 0, 0
    for log in o.logs:
        name = os.path.splitext(os.path.basename(log))[0]
        archive, zst = f"{o.archives}/{name}.lm", f"{o.archives}/{name}.zst"
        if not os.path.exists(archive):
            subprocess.run([o.program] + shlex.split(o.pack.format(log=log, archive=archive)), check=True)
        if not os.path.exists(zst):
            subprocess.run(["zstd", "-q", "-3", "-f", log, "-o", zst], check=True)
        raw_bytes = os.path.getsize(log)
        for kind, flag, pattern, query in queries(log, random.Random(o.seed)):
            mine = [o.program] + shlex.split(o.search) + [query, archive]
            if flag:
                peer = f"zstd -dc {shlex.quote(zst)} | LC_ALL=C grep -a {flag} -e {shlex.quote(pattern)}"
                rg = (
                    ["rg", "-a", "--no-filename", "--no-line-number", "--no-unicode", "--color=never"]
                    + (["-F"] if flag == "-F" else ["-P"] if "(?i)" in pattern else [])
                    + ["-e", pattern, log]
                )
            else:
                greps = "".join(f" | LC_ALL=C grep -aF -e {shlex.quote(text)}" for text in pattern[1:])
                peer = f"zstd -dc {shlex.quote(zst)}{greps}"
                rg = None
            mine_ms, got = best(mine, o.runs)
            peer_ms, want = best(peer, o.runs)
            mine_count_ms, got_count = best([o.program] + shlex.split(o.search) + ["-c", query, archive], o.runs)
            peer_count_ms, want_count = best(peer + " -c", o.runs)
            rg_ms = best(rg, o.runs)[0] if rg else 0
            ok = got == want and got_count == want_count
            lines, want_lines = got.count(b"\n"), want.count(b"\n")
            total += 1
            wrong += not ok
            slower += mine_ms >= peer_ms
            slower_count += mine_count_ms >= peer_count_ms
            row = {
                "name": "search",
                "input": name,
                "kind": kind,
                "query": query[:100],
                "lines": lines,
                "equal": ok,
                "logmill_ms": round(mine_ms, 1),
                "zstd_grep_ms": round(peer_ms, 1),
                "logmill_count_ms": round(mine_count_ms, 1),
                "zstd_grep_count_ms": round(peer_count_ms, 1),
                "rg_raw_ms": round(rg_ms, 1),
                "ms_per_100mb": round(mine_ms * 1e8 / raw_bytes, 1),
                "runs": o.runs,
            }
            if not ok:
                row["expected_lines"] = want_lines
            print(json.dumps(row), flush=True)
            worst.append((mine_ms / max(peer_ms, 0.1), row))
    worst.sort(key=lambda w: -w[0])
    print(
        f"\n{total} queries: {total - wrong} equal, {wrong} wrong; "
        f"{total - slower} faster than zstd -dc | grep printing, {total - slower_count} counting"
    )
    for ratio, row in worst[:12]:
        print(
            f"  {ratio:5.2f}  {row['input']:14} {row['kind']:14} {row['logmill_ms']:7.1f} ms"
            f"  zstd|grep {row['zstd_grep_ms']:7.1f}  rg {row['rg_raw_ms']:6.1f}  {row['lines']:7} lines"
        )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
