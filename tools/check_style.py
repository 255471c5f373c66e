#!/usr/bin/env python3
"""Fail on what the house style forbids and a machine can see. With --format: ask clang-format (77: not installed)."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
C_FOLDERS = ("src", "include", "tests", "fuzz", "bench", "examples")
TEXT_SUFFIXES = {".c", ".h", ".def", ".py", ".sh", ".build", ".md", ".scd", ".yaml", ".txt", ""}
COLUMNS_MAX = 120
MALLOC = re.compile(r"(?<![\w.>])(malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf)\s*\(")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
LINE_COMMENT = re.compile(r"^\s*//|[;{}]\s*//")


def files():
    for folder in C_FOLDERS + ("tools", "scripts", "docs", "man", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            is_data = {"data", "seeds", "golden", "samples"} & set(path.relative_to(ROOT).parts)
            if path.is_file() and not is_data and path.suffix in TEXT_SUFFIXES:
                yield path
    yield from sorted(ROOT.glob("*.md"))


def check_text(path, bad):
    name = path.relative_to(ROOT)
    is_code = path.suffix in {".c", ".h", ".def"}
    in_base = name.parts[:2] == ("src", "base")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        bad.append(f"{name}: is not UTF-8")
        return
    for number, line in enumerate(lines, 1):
        where = f"{name}:{number}"
        if len(line) > COLUMNS_MAX and path.suffix not in {".md", ".scd"}:
            bad.append(f"{where}: {len(line)} columns, at most {COLUMNS_MAX}")
        if path.name != "check_style.py" and UNFINISHED.search(line):
            bad.append(f"{where}: says that it is not finished")
        if not is_code:
            continue
        if line != line.rstrip() or "\t" in line:
            bad.append(f"{where}: tab or blank at the end")
        if LINE_COMMENT.search(line):
            bad.append(f"{where}: comments are written /* */")
        if name.parts[0] == "src" and not in_base and path.suffix != ".def":
            code = re.sub(r'"(\\.|[^"\\])*"|/\*.*?\*/', "", line)
            if MALLOC.search(code) and not line.lstrip().startswith("*"):
                bad.append(f"{where}: memory comes from lm_mem, lm_arena or lm_buf")


def check_format():
    tool = next((t for t in ("clang-format-19",) if shutil.which(t)), None)
    if not tool:
        print("clang-format-19 is not installed")
        return 77
    paths = [p for p in files() if p.suffix in {".c", ".h"}]
    done = subprocess.run([tool, "--dry-run", "--Werror", *map(str, paths)], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    lines = [line for line in done.stderr.splitlines() if "error:" in line]
    print("\n".join(lines[:50]) or f"format ok: {len(paths)} files")
    if lines:
        print(f"{len(lines)} places; mend with: {tool} -i FILE")
    return int(done.returncode != 0)


def main():
    if "--format" in sys.argv:
        return check_format()
    bad, count = [], 0
    for path in files():
        check_text(path, bad)
        count += 1
    print("\n".join(bad) or f"style ok: {count} files")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
