#!/usr/bin/env python3
"""Reloads and stops under load lose no record; a wrong file is refused and the old one goes on; strange clocks do no
harm."""

import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from daemon_harness import CERTIFICATES, JSON, NS, QUERY_CONFIG, ROUNDS, Daemon, Writer, check, main, wait_until

CONFIG = QUERY_CONFIG + "ingest: {head_size: 256KiB}\nsources: []\nshutdown: {timeout: 10s}\n"
WRONG = (
    ("ingest:\n  head_size: perhaps\n", ":2:14"),
    ("storrage: {}\n", ":1:1"),
    ("limits:\n  rate: -1\n", ":2:"),
    ("a: [1, 2\n", ":"),
    ("auth:\n  enabled: true\n", ":"),
    ("\0", ":"),
    ("limits: {rate: 1MB}\nlimits: {rate: 2MB}\n", ":2:"),
)


def reloads(dice, folder):
    daemon = Daemon(folder, CONFIG)
    writers = [Writer(daemon, i, time.time_ns() // NS * NS - 600 * NS) for i in range(3)]
    for writer in writers:
        writer.start()
    done = refused = 0
    for number in range(ROUNDS or 30):
        daemon.check_alive()
        is_wrong = dice.random() < 0.5
        text, place = (
            dice.choice(WRONG) if is_wrong else (CONFIG + f"limits: {{rate: {dice.randrange(100, 999)}MB}}\n", "")
        )
        daemon.config_path.write_text(text)
        if dice.random() < 0.5:
            status, body = daemon.ask("POST", "/-/reload")
            check((status == 400) == is_wrong, f"reload of {text!r}: {status} {body!r}")
            check(not is_wrong or b"logmill.yaml" + place.encode() in body, f"where it is wrong: {body!r}, not {place}")
        else:
            daemon.process.send_signal(signal.SIGHUP)
            want = (done + (not is_wrong), refused + is_wrong)
            wait_until(
                lambda: (daemon.log().count("event=reloaded"), daemon.log().count("event=reload_refused")) == want,
                "SIGHUP",
            )
        done, refused = done + (not is_wrong), refused + is_wrong
        check(daemon.push({"app": "between"}, [[str(time.time_ns()), f"{number}"]])[0] == 204, "a push after a reload")
    for writer in writers:
        writer.end()
        check(not writer.refused, f"answers under reload: {writer.refused}")
        writer.compare(daemon)
    daemon.config_path.write_text(CONFIG)
    daemon.stop()


def stops(dice, folder):
    daemon = Daemon(folder, CONFIG)
    begin_ns = time.time_ns() // NS * NS - 600 * NS
    writers = [Writer(daemon, i, begin_ns, dice.choice((1, 100, 400))) for i in range(4)]
    for _ in range(ROUNDS or 5):
        writers = [w.again() for w in writers]
        for writer in writers:
            writer.start()
        time.sleep(dice.random() * 1.5)
        daemon.stop()
        for writer in writers:
            writer.end()
            check(set(writer.refused) <= {"connection", 503}, f"answers while it stopped: {writer.refused}")
        check("within shutdown.timeout" not in daemon.log(), f"it did not drain:\n{daemon.log()}")
        daemon.start()
        for writer in writers:
            writer.compare(daemon)
    daemon.stop()


def clocks(dice, folder):
    """Times of records that jump: none is lost, and nobody else is harmed."""
    daemon = Daemon(folder, CONFIG.replace("256KiB", "64KiB"))
    now = time.time_ns()
    times = [
        -1,
        -(1 << 63) + 1,
        (1 << 63) - 1,
        0,
        1,
        -(10**18),
        10**18,
        now + 10 * 365 * 86400 * NS,
        now - 50 * 365 * 86400 * NS,
        now,
    ]
    writer = Writer(daemon, 0, now // NS * NS - 600 * NS)
    writer.start()
    kept = []
    for i in range(40):
        for at in dice.sample(times, 3):
            line = f"at {at} number {i} {'x' * 300}"
            status, text = daemon.push({"app": "clock"}, [[str(at), line], [str(now), line + " now"]])
            check(status in (204, 400), f"a record at {at}: {status} {text!r}")
            check(status == 204 or text.strip(), "400 without a reason")
            if status == 204:
                kept += [(at, line), (now, line + " now")]
    for text in ("99999999999999999999999", "1e400", "", "x", "-", "9223372036854775808"):
        body = json.dumps({"streams": [{"stream": {"app": "wrong"}, "values": [[text, "x"]]}]})
        status, reason = daemon.ask("POST", "/loki/api/v1/push", body, JSON)
        check(status == 400 and reason.strip(), f"a time of {text!r}: {status} {reason!r}")
    writer.end()
    for _ in range(2):
        writer.compare(daemon)
        found = []
        for first, last in ((-(1 << 63) + 1, -1), (-1, now - NS), (now - NS, now + NS), (now + NS, (1 << 63) - 1)):
            for line_time, line in ask(daemon, first, last):
                found.append((line_time, line))
        ends = {(1 << 63) - 1}  # an end is outside of its range
        missing = [k for k in kept if k not in set(found) and k[0] not in ends]
        check(
            not missing,
            f"{len(missing)} of {len(kept)} records are not found, the first: {missing[0]}" if missing else "",
        )
        daemon.kill()
        daemon.start()
    daemon.stop()


def shown(port):
    """The certificate that a new connection is shown."""
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port)))


def certificates(dice, folder):
    """Every listener with TLS shows a renewed certificate after a reload. Whoever is connected stays so, and nobody who
    comes meanwhile is turned away. A key that does not fit changes nothing."""
    if not shutil.which("openssl"):
        print("      skipped: no openssl")
        return
    subprocess.run([CERTIFICATES, folder], check=True, capture_output=True)
    files = f"certificate: {folder}/server.pem, key: {folder}/server.key"
    daemon = Daemon(folder, listen=None, config=f"""
listen:
  http: [{{address: "127.0.0.1:0", tls: {{{files}}}}}, "127.0.0.1:0"]
  otlp_grpc: {{address: "127.0.0.1:0", tls: {{{files}}}}}
  elasticsearch: []
  otlp_http: []
sources:
  - {{type: syslog, address: "127.0.0.1:0", udp: false, tls: {{{files}}}}}
""")
    said = [line.split() for line in daemon.said if line.startswith("listening")]
    ports = {words[1].partition(":")[0]: int(words[1 + (words[1] == "syslog")].rpartition(":")[2]) for words in said}
    daemon.port = ports["http"]
    secure = [ports["https"], ports["grpcs"], ports["syslog"]]
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    kept = http.client.HTTPSConnection("127.0.0.1", ports["https"], context=context, timeout=30)
    kept.connect()
    lines = context.wrap_socket(socket.create_connection(("127.0.0.1", ports["syslog"])), server_hostname="127.0.0.1")
    seen, stop, trouble = set(), threading.Event(), []

    def come_again():
        while not stop.is_set():
            try:
                seen.add(shown(ports["https"]))
            except OSError as error:
                trouble.append(error)

    comer = threading.Thread(target=come_again)
    comer.start()
    try:
        for number in range(8):
            subprocess.run([CERTIFICATES, folder, "server"], check=True, capture_output=True)
            wanted = ssl.PEM_cert_to_DER_cert((folder / "server.pem").read_text())
            check(all(shown(port) != wanted for port in secure), "new before it was reloaded")
            check(daemon.ask("POST", "/-/reload")[0] == 200, "a reload")
            check([shown(port) == wanted for port in secure] == [True] * 3, "the new certificate is not shown")
            kept.request("GET", "/loki/api/v1/labels")
            response = kept.getresponse()
            check((response.status, bool(response.read())) == (200, True), "the connection from before")
            lines.sendall(f"<13>1 - host app - - - line {number}\n".encode())
        (folder / "server.key").write_text("none")
        check(daemon.ask("POST", "/-/reload")[0] == 400, "a reload without a key")
        check([shown(port) == wanted for port in secure] == [True] * 3, "what it had is not shown")
        wait_until(lambda: daemon.metric("logmill_store_records_total") == 8, "lines of the connection from before")
    finally:
        stop.set()
        comer.join()
    check(not trouble, f"turned away: {trouble[:3]}")
    check(len(seen) > 1, "nobody came")
    lines.close()
    kept.close()
    subprocess.run([CERTIFICATES, folder, "server"], check=True, capture_output=True)
    daemon.stop()


def ask(daemon, first, last):
    answer = daemon.data_of("/loki/api/v1/query_range", query='{app="clock"}', start=first, end=last, limit=20_000)
    return [(int(v[0]), v[1]) for s in answer["data"]["result"] for v in s["values"]]


main("test_daemon_reload", [reloads, certificates, stops, clocks])
