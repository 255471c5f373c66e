#!/usr/bin/env python3
"""Run one script test of the program.

usage: run_case.py CASE.sh

The script runs with 'sh -u' in an empty folder, with the program as `logmill` (a function) and sample
logs in $DATA. CASE.stdout.exact is its standard output, byte for byte; CASE.stderr.glob has one fnmatch
pattern a line for its standard error, where a line '...' stands for any lines. A missing file means:
nothing may be written. A script that exits with 77 is left out, and says why. With LOGMILL_CASES_WRITE=1
the .stdout.exact file is written instead of compared.
"""
import fnmatch
import os
import pathlib
import subprocess
import sys
import tempfile


def globs_fit(patterns, lines):
    """Do the lines fit the patterns, with '...' for any lines?"""
    if not patterns:
        return not lines
    if patterns[0] == "...":
        return any(globs_fit(patterns[1:], lines[i:]) for i in range(len(lines) + 1))
    return bool(lines) and fnmatch.fnmatchcase(lines[0], patterns[0]) and globs_fit(patterns[1:], lines[1:])


def main():
    case = pathlib.Path(sys.argv[1]).resolve()
    program = pathlib.Path(os.environ["LOGMILL"]).resolve()
    data = case.parent.parent / "data"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LOGMILL": str(program),
        "DATA": str(data),
        "SOURCE": str(case.parent.parent.parent.parent),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "NO_COLOR": "1",
    }
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    with tempfile.TemporaryDirectory(prefix="logmill-case-") as folder:
        env["TMPDIR"] = str(pathlib.Path(folder) / ".tmp")
        os.mkdir(env["TMPDIR"])
        body = 'logmill() { "$LOGMILL" "$@"; }\n' + case.read_text()
        done = subprocess.run(["sh", "-u", "-c", body, case.name], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=300)
        left = os.listdir(env["TMPDIR"])
    if done.returncode == 77:
        print("left out:", done.stdout.decode(errors="replace"))
        return 77
    stdout_file = case.with_suffix(".stdout.exact")
    stderr_file = case.with_suffix(".stderr.glob")
    if os.environ.get("LOGMILL_CASES_WRITE") == "1":
        if done.stdout:
            stdout_file.write_bytes(done.stdout)
        elif stdout_file.exists():
            stdout_file.unlink()
    wanted = stdout_file.read_bytes() if stdout_file.exists() else b""
    globs = stderr_file.read_text().splitlines() if stderr_file.exists() else []
    stderr = done.stderr.decode(errors="replace").splitlines()
    bad = []
    if done.returncode != 0:
        bad.append(f"the script ended with {done.returncode}")
    if done.stdout != wanted:
        bad.append("standard output differs:\n--- wanted\n%s\n--- got\n%s" % (wanted.decode(errors="replace"),
                                                                         done.stdout.decode(errors="replace")))
    if not globs_fit(globs, stderr):
        bad.append("standard error differs:\n--- wanted (globs)\n%s\n--- got\n%s"
                   % ("\n".join(globs), "\n".join(stderr)))
    if left:
        bad.append(f"temporary files were left: {left}")
    print("\n".join(bad) or "ok")
    return 1 if bad else 0


sys.exit(main())
