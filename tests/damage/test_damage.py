#!/usr/bin/env python3
"""The whole program on damaged archives, full disks and kills: clear words, exit codes of the table, the rest served.

An archive of the project's own samples, in several segments, is cut (at places spread over it and near its end) and has
bits flipped (tests/archive does both at every boundary of its blocks); then every reading command runs on it.
Whatever happens to the bytes:

  - no signal, no time-out, exit status 0..5, and on trouble one that says so;
  - an error names the archive, damage also the byte or segment;
  - what comes out of undamaged segments is what went in; wrong bytes never come out as good ones;
  - no process becomes larger than --memory allows, by more than the program itself needs.

LOGMILL is the program; LOGMILL_DAMAGE_ROUNDS (default 10) says how many places of each kind; the seed is fixed and
printed.
"""
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOGMILL = os.environ.get("LOGMILL", str(ROOT / "build" / "logmill"))
ROUNDS = int(os.environ.get("LOGMILL_DAMAGE_ROUNDS", "10"))
SEED = int(os.environ.get("LOGMILL_TEST_SEED", "20261123"))
SAMPLE_BYTES = 150_000  # of each sample
MEMORY_MIB, OWN_MIB = 48, 40  # given, and what code, stacks and the mapped archive may add
TIMEOUT_S = 60
IS_SANITIZED = bool(os.environ.get("ASAN_OPTIONS"))
failures = []


def check(good, what):
    if not good:
        failures.append(what)
        print(f"FAILED: {what}")
        if len(failures) > 20:
            sys.exit(1)


def run(*words, folder, stdin=subprocess.DEVNULL, memory=True):
    """(status, stdout, stderr, peak MiB); a negative status is a signal."""
    argv = [LOGMILL, *words] + (["--memory", f"{MEMORY_MIB}MiB"] if memory else [])
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(argv, stdin=stdin, stdout=out, stderr=err, cwd=folder)
        begin = time.monotonic()
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - begin > TIMEOUT_S:
                process.kill()
                check(False, f"{' '.join(words)} did not end within {TIMEOUT_S} s")
            time.sleep(0.002)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return process.returncode, out.read(), err.read().decode(errors="replace"), usage.ru_maxrss / 1024


def sample_texts():
    """{name: bytes}: heads of the samples, or lines made here where zstd is missing."""
    texts = {}
    if shutil.which("zstd"):
        for path in sorted((ROOT / "samples").glob("*.zst")):
            text = subprocess.run(["zstd", "-dqc", str(path)], stdout=subprocess.PIPE, check=True).stdout[:SAMPLE_BYTES]
            texts[path.name.removesuffix(".zst")] = text[: text.rfind(b"\n") + 1]
    else:
        print("# zstd is not installed: made-up lines instead of the samples")
    rng = random.Random(SEED)
    lines = [f"2026-11-23 13:{i // 60 % 60:02}:{i % 60:02},{rng.randrange(1000):03} INFO worker-{rng.randrange(9)}: "
             f"job {rng.getrandbits(64):x} done" for i in range(2500)]
    texts["made.log"] = "\n".join(lines).encode()
    texts["noise.bin"] = rng.randbytes(20000)
    return texts


def read_all(archive, texts, folder, what, is_whole):
    """Every reading command on an archive that may be damaged."""
    status, _, err, peak = run("verify", archive, folder=folder)
    check(status in (0, 1, 3, 4, 5), f"{what}: verify ended with {status}: {err[-300:]}")
    is_hurt = status != 0
    if is_whole:
        check(not is_hurt, f"{what}: verify says {err}")
    if is_hurt:
        check(archive in err, f"{what}: verify does not name the archive: {err!r}")
        has_place = re.search(r"\d", err) is not None or "is not a logmill archive" in err
        check(has_place, f"{what}: verify names no place: {err!r}")
    for words in (("cat", archive), ("search", "-c", "INFO", archive), ("templates", archive), ("schema", archive),
                  ("stats", archive), ("ls", archive), ("tail", archive),
                  ("search", "--salvage", "level>=warn", archive)):
        status, out, err, peak = run(*words, folder=folder)
        check(0 <= status <= 5 and status != 2, f"{what}: {' '.join(words)} ended with {status}: {err[-300:]}")
        if status > 1:
            is_said = err.strip() != "" and err.count("\n") < 200
            check(is_said, f"{what}: {' '.join(words)} ended with {status} and says {err[:200]!r}")
        if not IS_SANITIZED:
            check(peak < MEMORY_MIB + OWN_MIB, f"{what}: {' '.join(words)} took {peak:.0f} MiB")
    # What comes out of it: each file whole, or with whole pieces missing and the loss told.
    out_folder = os.path.join(folder, "out")
    shutil.rmtree(out_folder, ignore_errors=True)
    status, _, err, peak = run("unpack", "--salvage", archive, "-o", out_folder, folder=folder)
    check(0 <= status <= 5 and status != 2, f"{what}: unpack ended with {status}: {err[-300:]}")
    good_bytes, same = 0, True
    for name, text in texts.items():
        found = pathlib.Path(out_folder, name)
        if not found.is_file():
            same = False
            continue
        back = found.read_bytes()
        same = same and back == text
        good_bytes += len(back)
        if back != text:
            known = set(text.split(b"\n"))
            wrong = [line for line in back.split(b"\n") if line and line not in known]
            # a piece may begin or end inside of a line; more than that are wrong bytes
            check(len(wrong) <= 4, f"{what}: {name} has {len(wrong)} lines that never were, as {wrong[:1]!r}")
            check(status != 0, f"{what}: {name} differs and nobody says so")
    if status == 0 and not is_hurt:
        check(same, f"{what}: no trouble is told, but the files differ")
    return is_hurt, good_bytes


def damage(texts, folder):
    status, _, err, _ = run("pack", "--segment", "256KiB", *texts, "-o", "whole.lm", folder=folder)
    check(status == 0, f"pack ended with {status}: {err}")
    whole = pathlib.Path(folder, "whole.lm").read_bytes()
    total = sum(map(len, texts.values()))
    read_all("whole.lm", texts, folder, "whole", True)
    rng = random.Random(SEED)
    cuts = {0, 1, 7, 8, 15, 16, 100, len(whole) - 1, len(whole) - 8, len(whole) - 16, len(whole) - 40, len(whole) - 64}
    cuts |= {len(whole) * i // ROUNDS for i in range(1, ROUNDS)} | {rng.randrange(len(whole)) for _ in range(ROUNDS)}
    hurt_path = pathlib.Path(folder, "hurt.lm")
    kept = []
    for cut in sorted(c for c in cuts if 0 <= c < len(whole)):
        hurt_path.write_bytes(whole[:cut])
        is_hurt, good = read_all("hurt.lm", texts, folder, f"cut at {cut} of {len(whole)}", False)
        check(is_hurt, f"cut at {cut} of {len(whole)}: verify finds nothing wrong")
        kept.append((cut, good))
    # Cut shortly before its end, an archive has all its segments; --salvage gets (nearly) all of the text.
    late = [good for cut, good in kept if cut >= len(whole) - 16]
    check(all(good == total for good in late), f"cut in the last 16 bytes: {late} of {total} bytes are served")
    half = [good for cut, good in kept if cut >= len(whole) * 9 // 10]
    check(all(good > total // 4 for good in half), f"cut in the last tenth: only {half} of {total} bytes are served")
    told, served = 0, []
    for _ in range(2 * ROUNDS):
        at, bit = rng.randrange(len(whole)), rng.randrange(8)
        hurt = bytearray(whole)
        hurt[at] ^= 1 << bit
        hurt_path.write_bytes(hurt)
        is_hurt, good = read_all("hurt.lm", texts, folder, f"bit {bit} of byte {at} flipped", False)
        told += is_hurt
        served.append(good)
    check(told == 2 * ROUNDS, f"verify saw {told} of {2 * ROUNDS} flipped bits")
    enough = sum(g >= total // 2 for g in served)
    check(enough >= len(served) * 9 // 10, f"of {total} bytes were served: {sorted(served)}")
    for junk in (b"", b"\0" * 5000, rng.randbytes(5000), whole[:4000] + rng.randbytes(4000), whole[2000:],
                 whole + whole, b"logmill1" * 600):
        hurt_path.write_bytes(junk)
        for words in (("verify", "hurt.lm"), ("unpack", "-f", "hurt.lm", "-o", "junk"),
                      ("unpack", "-f", "--salvage", "hurt.lm", "-o", "junk")):
            status, _, err, _ = run(*words, folder=folder)
            check(0 <= status <= 5, f"junk of {len(junk)} bytes: {' '.join(words)} ended with {status}: {err[-300:]}")
    print(f"# {len(kept)} cuts and {2 * ROUNDS} flips of {len(whole)} bytes, {total} of text")


def is_whole(name, folder):
    """A kill may come between the renaming and the end of the program: then the new archive is there, and whole."""
    return run("verify", name, folder=folder)[0] == 0


def kills(texts, folder):
    """kill -9 at any moment leaves no half archive, and an older one as it was or replaced by a whole one."""
    with open(os.path.join(folder, "large.log"), "wb") as large:
        for _ in range(12):
            for text in texts.values():
                large.write(text)
    older = pathlib.Path(folder, "older.lm")
    status, _, _, _ = run("pack", "made.log", "-o", "older.lm", folder=folder)
    check(status == 0, "packing made.log")
    before = older.read_bytes()
    killed = 0
    for i in range(8):
        process = subprocess.Popen([LOGMILL, "pack", "-q", "-f", "large.log", "-o", "older.lm"], cwd=folder)
        time.sleep(0.02 + 0.05 * i)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        if process.returncode:
            check(older.read_bytes() == before or is_whole("older.lm", folder),
                  f"kill -9 after {0.02 + 0.05 * i:.2f} s spoilt the older archive")
        older.write_bytes(before)
        process = subprocess.Popen([LOGMILL, "pack", "-q", "large.log", "-o", "new.lm"], cwd=folder)
        time.sleep(0.02 + 0.05 * i)
        process.kill()
        process.wait()
        if os.path.exists(os.path.join(folder, "new.lm")):
            check(is_whole("new.lm", folder), "kill -9 left half an archive under its final name")
            os.unlink(os.path.join(folder, "new.lm"))
    print(f"# {killed} of 8 runs were killed before they were done")
    for name in os.listdir(folder):
        if name.endswith(".tmp"):
            os.unlink(os.path.join(folder, name))


def small_disk(texts, folder):
    """A disk that fills up: exit status 4, and nothing left behind."""
    script = ('mount -t tmpfs -o size=32k none disk && '
              '"$1" pack -q made.log noise.bin app.log -o disk/a.lm; echo "status $?"; ls -A disk;'
              ' "$1" unpack -q whole.lm -o disk/out; echo "status $?"; ls -AR disk | grep -c "tmp$"')
    os.mkdir(os.path.join(folder, "disk"))
    argv = ["unshare", "-rm", "sh", "-c", script, "sh", LOGMILL]
    if not shutil.which("unshare"):
        print("# no unshare here: the small disk is left out")
        return
    done = subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if "status" not in done.stdout or "mount" in done.stderr or "unshare" in done.stderr:
        print(f"# cannot mount a small disk here, it is left out: {done.stderr.strip()[:100]}")
        return
    words = done.stdout.split("\n")
    check(words[0] == "status 4", f"pack on a full disk: {done.stdout!r} {done.stderr!r}")
    check(words[1] == "status 4", f"pack on a full disk leaves a file, or unpack did not fail: {done.stdout!r}")
    check(words[2] == "0", f"unpack on a full disk leaves temporary files: {done.stdout!r}")
    check("no space left" in done.stderr.lower(), f"a full disk is called {done.stderr!r}")


def main():
    print(f"# seed {SEED}, {ROUNDS} rounds")
    folder = tempfile.mkdtemp(prefix="logmill-test-damage-")
    try:
        texts = sample_texts()
        for name, text in texts.items():
            pathlib.Path(folder, name).write_bytes(text)
        damage(texts, folder)
        small_disk(texts, folder)
        kills(texts, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("FAILED" if failures else "ok")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
