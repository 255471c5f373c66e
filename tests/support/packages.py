"""What tests fetch from registries: once, into LOGMILL_CLIENTS (default: clients beside the program), to stay there."""
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

LOGMILL = os.environ.get("LOGMILL", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "logmill"))
CACHE = pathlib.Path(os.environ.get("LOGMILL_CLIENTS", str(pathlib.Path(LOGMILL).resolve().parent / "clients")))
SKIP = 77
TIMEOUT_S = 240


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIP)


def need(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        skip(f"not installed: {', '.join(missing)}")


def call(*argv, cwd):
    subprocess.run([str(word) for word in argv], cwd=cwd, check=True, capture_output=True, timeout=TIMEOUT_S)


def fetched(name, inputs, build):
    """CACHE/name made by build(folder), once for what the files of inputs say. Skips if it cannot be had."""
    CACHE.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(sys.version.encode())
    for path in inputs:
        digest.update(pathlib.Path(path).read_bytes())
    folder, stamp = CACHE / name, CACHE / f"{name}.stamp"
    with open(CACHE / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir() and stamp.exists() and stamp.read_text() == digest.hexdigest():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            build(folder)
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stdout", None) or b"") + (getattr(error, "stderr", None) or b"")
            names = ", ".join(pathlib.Path(path).name for path in inputs)
            skip(f"what {names} names cannot be had: {error}\n{said.decode('utf-8', 'replace')[-2000:]}")
        stamp.write_text(digest.hexdigest())
    return folder


def python_packages(name, requirements):
    """A virtual environment: its folder."""
    def build(folder):
        call(sys.executable, "-m", "venv", folder, cwd=folder)
        call(folder / "bin" / "pip", "install", "--quiet", "-r", requirements, cwd=folder)

    return fetched(name, [requirements], build)
