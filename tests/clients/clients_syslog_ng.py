"""syslog-ng from Debian's packages in a root of its own: the package conflicts with rsyslog's."""
import contextlib
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
DEPENDS = ["apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks",
           "--no-replaces", "--no-enhances", "syslog-ng-core"]
CONF = """@version: {version}
options {{ keep-hostname(no); use-dns(no); frac-digits(6); stats-freq(0); time-reopen(1); log-fifo-size(10000); }};
{rules}
"""
RULE = """
source s_{id} {{
    file("{folder}/{name}.in" flags(no-parse, validate-utf8) program-override("{name}") default-facility(local3)
         default-priority(warning) follow-freq(0.1));
}};
destination d_{id} {{ {driver} }};
log {{ source(s_{id}); destination(d_{id}); }};
"""


def build(folder):
    """Packages that this machine has not got, taken apart into folder/root."""
    names = subprocess.run(DEPENDS, check=True, capture_output=True, text=True).stdout.split("\n")
    names = sorted({name for name in names if name and name[0] not in " <|"})
    known = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names], check=False,
                           capture_output=True, text=True).stdout
    missing = [name for name in names if f"{name} installed" not in known.split("\n")]
    subprocess.run(["apt-get", "download", *missing], cwd=folder, check=True, capture_output=True, timeout=120)
    for package in pathlib.Path(folder).glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True, capture_output=True)


def make_certificates(folder):
    subprocess.run([HERE.parent / "support" / "certificates", folder], check=True, capture_output=True)


@contextlib.contextmanager
def running(root, folder, drivers):
    """syslog-ng sends FOLDER/NAME.in through drivers[NAME]; what it says of itself is in folder/syslog-ng.err."""
    program = root / "usr/sbin/syslog-ng"
    libraries = {str(path.parent) for path in root.rglob("*.so*")}
    env = {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(libraries))}
    modules = next(root.rglob("libafsocket.so")).parent
    version = modules.name
    rules = "".join(RULE.format(id=name.replace("-", "_"), name=name, folder=folder, driver=driver)
                    for name, driver in drivers.items())
    (folder / "syslog-ng.conf").write_text(CONF.format(version=version, rules=rules))
    argv = [program, "-F", "--no-caps", "-e", "-f", folder / "syslog-ng.conf", "-R", folder / "syslog-ng.persist",
            "-p", folder / "syslog-ng.pid", "-c", folder / "syslog-ng.ctl", f"--module-path={modules}"]
    with open(folder / "syslog-ng.err", "wb") as err:
        process = subprocess.Popen([str(word) for word in argv], env=env, stdin=subprocess.DEVNULL, stdout=err,
                                   stderr=err)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)
