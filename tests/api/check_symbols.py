#!/usr/bin/env python3
"""Headers, symbol map and shared library must name the same functions.

usage: check_symbols.py SOURCE_ROOT LIBRARY
"""
import pathlib
import re
import subprocess
import sys

root, library = pathlib.Path(sys.argv[1]), sys.argv[2]
headers = "".join(path.read_text() for path in (root / "include/logmill").glob("*.h"))
headers = re.sub(r"/\*.*?\*/", "", headers, flags=re.S)
promised = set(re.findall(r"LM_API[^;(]*?\b(lm_[a-z_]+)\(", headers))
mapped = set(re.findall(r"^\s+(lm_[a-z_]+);", (root / "src/api/liblogmill.map").read_text(), flags=re.M))
dump = subprocess.run(["nm", "-D", "--defined-only", library],
                      capture_output=True, text=True, check=True).stdout
exported = {line.split()[2].split("@")[0] for line in dump.splitlines() if " T " in line or " W " in line}
bad = []
for title, a, b in (("in the headers, not in the map", promised, mapped),
                    ("in the map, not in the headers", mapped, promised),
                    ("in the map, not exported", mapped, exported),
                    ("exported, not in the map", exported, mapped)):
    if a - b:
        bad.append(f"{title}: {' '.join(sorted(a - b))}")
print("\n".join(bad) or f"{len(promised)} symbols agree")
sys.exit(bool(bad))
