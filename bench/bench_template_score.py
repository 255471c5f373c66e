#!/usr/bin/env python3
"""Accuracy of template mining on the labelled sets: one configuration, grouping by template text.

Reads ../shared/corpus/loghub2k (or $LOGMILL_SHARED), feeds the Content column as bare messages to a program that prints
`id TAB template` per line, and scores the answer with the shared evaluator. Averages are given for all 16 sets and for
two halves: `build` (the eight whose errors were looked at while the rules were written) and `check` (the eight whose
errors were not).

usage: bench_template_score.py [--program CMD] [--errors SET g|t N] [--sets A,B]
  CMD defaults to "build/logmill templates --messages --assign"; the file's name is appended.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict

BUILD = ["Hadoop", "Zookeeper", "BGL", "Thunderbird", "Linux", "Android", "Apache", "HPC"]
CHECK = ["HDFS", "Spark", "OpenStack", "Windows", "Mac", "HealthApp", "OpenSSH", "Proxifier"]


def shared():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.environ.get("LOGMILL_SHARED", os.path.join(here, "..", "shared"))


def truth_of(root, name):
    path = os.path.join(root, "corpus/loghub2k", name + "_2k.log_structured_corrected.csv")
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as f:
        return [(r["Content"], r["EventTemplate"]) for r in csv.DictReader(f)]


def assign(program, messages):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", errors="surrogateescape", newline="\n") as f:
        f.write("".join(m.replace("\n", " ") + "\n" for m in messages))
        f.flush()
        out = subprocess.run(program.split() + [f.name], stdout=subprocess.PIPE, check=True).stdout
    rows = out.decode("utf-8", "surrogateescape").split("\n")[:-1]
    return [r.partition("\t")[2] for r in rows]


def show_errors(truth, messages, got, mode, limit):
    by_truth, by_got = defaultdict(list), defaultdict(list)
    for i, (a, b) in enumerate(zip(truth, got)):
        by_truth[a].append(i)
        by_got[b].append(i)
    bad = []
    for a, m in by_truth.items():
        names = Counter(got[i] for i in m)
        right = len(names) == 1 and len(by_got[got[m[0]]]) == len(m)
        if (mode == "g" and not right) or (mode == "t" and any(got[i] != a for i in m)):
            bad.append((len(m), a, names, m))
    bad.sort(key=lambda x: -x[0])
    for n, a, names, m in bad[:limit]:
        print(n, "truth ", a[:300])
        for p, c in names.most_common(4):
            print("     %5d of %5d  %s" % (c, len(by_got[p]), p[:300]))
        print("         line  ", messages[m[0]][:240])


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/logmill templates --messages --assign")
    ap.add_argument("--errors", nargs=3, metavar=("SET", "KIND", "N"))
    ap.add_argument("--sets", default=",".join(BUILD + CHECK))
    a = ap.parse_args()
    root = shared()
    if not os.path.isdir(os.path.join(root, "corpus/loghub2k")):
        print("left out: no labelled sets at %s" % root)
        return 0
    sys.path.insert(0, os.path.join(root, "eval"))
    import parse_eval

    if a.errors:
        rows = truth_of(root, a.errors[0])
        messages, truth = [r[0] for r in rows], [r[1] for r in rows]
        show_errors(truth, messages, assign(a.program, messages), a.errors[1], int(a.errors[2]))
        return 0
    res = {}
    print("%-12s %5s %5s %6s %6s %6s %6s" % ("set", "pred", "true", "GA", "PA", "FGA", "FTA"))
    for name in a.sets.split(","):
        rows = truth_of(root, name)
        r = res[name] = parse_eval.metrics([t or None for _, t in rows], assign(a.program, [m for m, _ in rows]))
        print(
            "%-12s %5d %5d %6.3f %6.3f %6.3f %6.3f" % (name, r["pred"], r["true"], r["GA"], r["PA"], r["FGA"], r["FTA"])
        )
    for label, names in (("build 8", BUILD), ("check 8", CHECK), ("all 16", BUILD + CHECK)):
        part = [res[n] for n in names if n in res]
        if part:
            avg = parse_eval.average(part)
            print("%-24s %6.3f %6.3f %6.3f %6.3f" % (label, avg["GA"], avg["PA"], avg["FGA"], avg["FTA"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
