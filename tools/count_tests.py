#!/usr/bin/env python3
"""Read meson's testlog.json: print 'passed failed skipped', then the name of each failed test on its own line."""
import json
import sys

GOOD = {"OK", "EXPECTEDFAIL"}
passed, skipped, bad = 0, 0, []
with open(sys.argv[1], encoding="utf-8") as log:
    for line in log:
        test = json.loads(line)
        if test["result"] in GOOD:
            passed += 1
        elif test["result"] == "SKIP":
            skipped += 1
        else:
            bad.append(f"{test['name']} ({test['result'].lower()})")
print(passed, len(bad), skipped)
for name in bad:
    print(name)
