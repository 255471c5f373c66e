#!/usr/bin/env python3
"""Who may do what: users and tokens with scopes on every route, TLS with and without certificates of clients, secrets
that are told nowhere, and nothing but loopback unless it is said."""

import base64
import http.client
import pathlib
import re
import shutil
import ssl
import subprocess
import time

from daemon_harness import CERTIFICATES, LOGMILL, NS, QUERY_CONFIG, Daemon, check, main

SECRETS = {"writer": "tok-write-4711", "reader": "tok-read-4712", "admin": "tok-admin-4713", "all": "tok-all-4714"}
PASSWORD = "pass-word-4715"

WRITE, READ, ADMIN, OPEN = "write", "read", "admin", "open"
ROUTES = (
    ("POST", "/loki/api/v1/push", WRITE),
    ("POST", "/api/prom/push", WRITE),
    ("POST", "/v1/logs", WRITE),
    ("POST", "/otlp/v1/logs", WRITE),
    ("POST", "/logmill/v1/push/jsonline", WRITE),
    ("POST", "/insert/jsonline", WRITE),
    ("POST", "/_bulk", WRITE),
    ("PUT", "/_bulk", WRITE),
    ("POST", "/x/_bulk", WRITE),
    ("POST", "/x/_doc", WRITE),
    ("PUT", "/x/_doc/7", WRITE),
    ("POST", "/x/_create/7", WRITE),
    ("GET", "/loki/api/v1/query", READ),
    ("POST", "/loki/api/v1/query_range", READ),
    ("GET", "/loki/api/v1/query_range", READ),
    ("GET", "/loki/api/v1/labels", READ),
    ("GET", "/loki/api/v1/label", READ),
    ("GET", "/loki/api/v1/label/a/values", READ),
    ("GET", "/loki/api/v1/series", READ),
    ("GET", "/loki/api/v1/index/stats", READ),
    ("GET", "/loki/api/v1/index/volume", READ),
    ("GET", "/loki/api/v1/index/volume_range", READ),
    ("GET", "/loki/api/v1/patterns", READ),
    ("GET", "/loki/api/v1/detected_labels", READ),
    ("GET", "/loki/api/v1/detected_fields", READ),
    ("GET", "/loki/api/v1/detected_field/a/values", READ),
    ("GET", "/loki/api/v1/format_query", READ),
    ("GET", "/loki/api/v1/status/buildinfo", READ),
    ("GET", "/loki/api/v1/drilldown-limits", READ),
    ("GET", "/loki/api/v1/tail", READ),
    ("GET", "/logmill/v1/tail", READ),
    ("GET", "/prometheus/api/v1/rules", READ),
    ("GET", "/prometheus/api/v1/alerts", READ),
    ("GET", "/api/prom/query", READ),
    ("GET", "/api/prom/label", READ),
    ("GET", "/api/prom/label/a/values", READ),
    ("GET", "/api/prom/series", READ),
    ("GET", "/metrics", READ),
    ("GET", "/logmill/v1/templates", READ),
    ("GET", "/logmill/v1/segments", READ),
    ("GET", "/logmill/v1/savings", READ),
    ("GET", "/logmill/v1/schemas", READ),
    ("GET", "/logmill/v1/health", READ),
    ("POST", "/-/reload", ADMIN),
    ("PUT", "/-/reload", ADMIN),
    ("GET", "/ready", OPEN),
    ("GET", "/-/healthy", OPEN),
    ("GET", "/", OPEN),
)


def every_route_is_listed():
    """The table of routes in the source says which there are; a new one needs its row here."""
    source = pathlib.Path(__file__).resolve().parents[2] / "src" / "server" / "server_routes.def"
    patterns = re.findall(r'SERVER_ROUTE\("([a-z_]+)", METHOD_(?!CALL)\w+, "([^"]+)"', source.read_text())
    known = {
        re.sub(r"/label/a/|/detected_field/a/", lambda m: m[0].replace("/a/", "/*/"), path) for _, path, _ in ROUTES
    }
    known |= {"/*/_bulk", "/*/_doc/_bulk", "/*/_doc", "/*/_doc/*", "/*/_create/*"}
    missing = [p for name, p in patterns if name != "elastic" and p not in known]
    check(not missing, f"routes without a row: {missing}")


def hash_of(secret, *options):
    done = subprocess.run(
        [LOGMILL, "config", "hash", *options], input=secret + "\n", capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def auth_config():
    scopes = {"writer": "[write]", "reader": "[read]", "admin": "[admin]", "all": "[write, read, admin]"}
    tokens = "\n".join(
        f'    - {{name: {n}, hash: "{hash_of(s, "--token")}", scopes: {scopes[n]}}}' for n, s in SECRETS.items()
    )
    return QUERY_CONFIG + f"""sources: []
auth:
  enabled: true
  users:
    - {{name: anna, password_hash: "{hash_of(PASSWORD)}", tenant: team, scopes: [read]}}
  tokens:
{tokens}
"""


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def bearer(name):
    return {"Authorization": "Bearer " + SECRETS[name]}


def scopes(dice, folder):
    every_route_is_listed()
    daemon = Daemon(folder, auth_config())
    may = {"writer": {WRITE}, "reader": {READ}, "admin": {ADMIN}, "all": {WRITE, READ, ADMIN}}
    for method, path, scope in dice.sample(ROUTES, len(ROUTES)):
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            basic("anna", "wrong"),
            basic("nobody", PASSWORD),
            {"Authorization": "Bearer"},
            {"Authorization": "Basic !!!"},
            {"Authorization": "x" * 5000},
        ):
            status, text = daemon.ask(method, path, b"" if method != "GET" else None, headers)
            check((status == 401) == (scope != OPEN), f"{method} {path} with {str(headers)[:60]}: {status}")
            check(status != 401 or text.strip(), "401 without a reason")
        for name, granted in may.items():
            status, _ = daemon.ask(method, path, b"" if method != "GET" else None, bearer(name))
            wanted = scope == OPEN or scope in granted
            check((status not in (401, 403)) == wanted, f"{method} {path} as {name}: {status}")
    status, _ = daemon.get("/loki/api/v1/labels", basic("anna", PASSWORD))
    check(status == 200, f"anna: {status}")
    status, _ = daemon.get("/loki/api/v1/labels", {**basic("anna", PASSWORD), "X-Scope-OrgID": "others"})
    check(status == 403, f"anna for another tenant: {status}")
    status, _ = daemon.push({"app": "x"}, [["1", "x"]], basic("anna", PASSWORD))
    check(status == 403, f"anna may read: {status}")
    now = time.time_ns()
    check(
        daemon.push({"app": "x"}, [[str(now), "of team"]], {**bearer("all"), "X-Scope-OrgID": "team"})[0] == 204, "push"
    )
    check(
        [v[1] for v in daemon.values('{app="x"}', basic("anna", PASSWORD), start=now - NS, end=now + NS)]
        == ["of team"],
        "team",
    )
    daemon.stop()
    told_nowhere(daemon)


def told_nowhere(daemon):
    shown = ""
    for option in ([], ["--effective"]):
        done = subprocess.run(
            [LOGMILL, "config", "show", *option, daemon.config_path], capture_output=True, text=True, check=False
        )
        check(done.returncode == 0, f"config show {option}: {done.stderr}")
        shown += done.stdout + done.stderr
    check("anna" in shown, f"the user is not shown:\n{shown}")
    log = daemon.log_path.read_text()
    hashes = re.findall(r'hash: "([^"]+)"', daemon.config_path.read_text())
    check(len(hashes) == 5, "five hashes")
    for secret in (*SECRETS.values(), PASSWORD, *hashes, *[h.rsplit("$", 1)[-1].rsplit(":", 1)[-1] for h in hashes]):
        check(secret not in shown, f"config show tells {secret}")
        check(secret not in log, f"the log tells {secret}")


# ---- TLS ----


def secure(folder, daemon, client=None, oldest=None, newest=None):
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    if client:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    if newest:
        context.minimum_version, context.maximum_version = oldest, newest
    connection = http.client.HTTPSConnection("127.0.0.1", daemon.port, context=context, timeout=30)
    try:
        connection.request("GET", "/loki/api/v1/labels")
        return connection.getresponse().status
    except (ssl.SSLError, OSError, http.client.HTTPException) as problem:
        return type(problem).__name__
    finally:
        connection.close()


def tls(dice, folder):
    if not shutil.which("openssl"):
        print("      skipped: no openssl")
        return
    subprocess.run([CERTIFICATES, folder], check=True, capture_output=True)
    files = f"certificate: {folder}/server.pem, key: {folder}/server.key"
    config = (
        QUERY_CONFIG
        + "sources: []\nlisten:\n  http: {address: '127.0.0.1:0', tls: {FILES}}\n  elasticsearch: []\n"
        + "  otlp_http: []\n  otlp_grpc: []\n"
    )
    daemon = Daemon(folder, config.replace("FILES", files), listen=None)
    check(daemon.addresses[0].startswith("https://"), f"{daemon.addresses}")
    check(secure(folder, daemon) == 200, "TLS")
    check(secure(folder, daemon, oldest=ssl.TLSVersion.TLSv1_2, newest=ssl.TLSVersion.TLSv1_2) == 200, "TLS 1.2")
    plain = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)
    try:
        plain.request("GET", "/loki/api/v1/labels")
        check(plain.getresponse().status >= 400, "plain text is served on a TLS port")
    except (OSError, http.client.HTTPException):
        pass
    finally:
        plain.close()
    daemon.stop()
    daemon = Daemon(folder, config.replace("FILES", files + f", client_ca: {folder}/ca.pem"), listen=None)
    check(secure(folder, daemon, "client") == 200, "a client with its certificate")
    for client in (None, "stranger"):
        answer = secure(folder, daemon, client)
        check(answer != 200, f"a client with {client or 'no certificate'} is served")
    check(secure(folder, daemon, "client") == 200, "afterwards")
    daemon.stop()


def loopback(dice, folder):
    """What listens without being told to, listens on loopback alone."""
    daemon = Daemon(
        folder,
        "sources: []\nlisten: {http: 'localhost:0', elasticsearch: [], otlp_http: [], otlp_grpc: []}\n",
        listen=None,
    )
    inodes = set()
    for link in pathlib.Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            found = re.match(r"socket:\[(\d+)\]", str(link.readlink()))
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    seen = 0
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for row in pathlib.Path(f"/proc/{daemon.process.pid}/net/{table}").read_text().splitlines()[1:]:
            parts = row.split()
            if parts[9] in inodes and (parts[3] == "0A" or table.startswith("udp")):
                seen += 1
                check(
                    parts[1].split(":")[0] in ("0100007F", "00000000000000000000000001000000"), f"listens on {parts[1]}"
                )
    check(seen > 0, "nothing listens")
    daemon.stop()
    done = subprocess.run([LOGMILL, "config", "show", "--effective"], capture_output=True, text=True, check=False)
    addresses = re.findall(r'"?([\w.:\[\]]+):(\d{3,5})"?', done.stdout)
    check(len(addresses) >= 3, f"no addresses in\n{done.stdout}")
    for host, _ in addresses:
        check("127.0.0.1" in host or "localhost" in host or "::1" in host, f"by default it listens on {host}")


main("test_daemon_auth", [scopes, tls, loopback])
