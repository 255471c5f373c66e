#!/usr/bin/env python3
"""Topics of Kafka read at full rate: records a second, CPU time, and how much memory is resident at most.

A broker is started on this machine (what tests/kafka needs), the lines of a log are put into a topic, and then a daemon
with default settings reads them from the beginning.

  bench_daemon_kafka.py [--logmill PROGRAM] [--partitions 8] [--repeat 3] [--codec zstd] [--option KEY=VALUE ...]
                        [--json FILE] [LOG ...]

Without a LOG: postgres.log, nginx_access.log and caddy_json.log of $LOGMILL_SHARED/corpus/big (default ../shared).
--option is a setting of librdkafka. "outside" is what is resident beyond the daemon's own account of its memory: its
code, its stacks, and what the library holds.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

import bench_process

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "kafka"))
import kafka_broker  # noqa: E402

CONFIG = """
sources:
  - type: kafka
    brokers: ["{address}"]
    topics: [{topic}]
    options: {options}
"""


def metric(daemon, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/metrics", timeout=60) as answer:
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", answer.read().decode(), re.M)
    return sum(float(v) for v in values)


def fill(broker, topic, options, log):
    """Records and bytes."""
    from confluent_kafka import Producer
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    for answer in admin.create_topics([NewTopic(topic, options.partitions, 1)]).values():
        answer.result()
    text = subprocess.run(["zstd", "-dcf", log], check=True, stdout=subprocess.PIPE).stdout
    producer = Producer({"bootstrap.servers": broker.address, "compression.type": options.codec, "linger.ms": 50,
                         "queue.buffering.max.messages": 1000000, "log_level": 0})
    lines = text.splitlines() * options.repeat
    for line in lines:
        while True:
            try:
                producer.produce(topic, line)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
    return len(lines), sum(len(line) for line in lines)


def measure(broker, log, options):
    topic = log.name.partition(".")[0]
    records, size = fill(broker, topic, options, log)
    with tempfile.TemporaryDirectory(prefix="logmill-bench-") as folder:
        settings = "{" + ", ".join(o.replace("=", ": ", 1) for o in options.option) + "}"
        config = CONFIG.format(address=broker.address, topic=topic, options=settings)
        daemon = bench_process.Daemon(options.logmill, pathlib.Path(folder) / "data", folder, config)
        try:
            while not (first := metric(daemon, "logmill_source_records_total")):
                time.sleep(0.01)
            cpu, begun, account, outside, now = daemon.cpu_seconds(), time.monotonic(), 0, 0, 0
            while now < records:
                used, resident = metric(daemon, "logmill_server_memory_bytes") / 2**20, daemon.mib("VmRSS")
                account, outside = max(account, used), max(outside, resident - used)
                time.sleep(0.05)
                now = metric(daemon, "logmill_source_records_total")
            seconds = time.monotonic() - begun
            return {"log": topic, "records": records, "mb": round(size / 1e6), "partitions": options.partitions,
                    "records_per_second": round((records - first) / seconds),
                    "cpu_seconds_per_million": round((daemon.cpu_seconds() - cpu) / (records - first) * 1e6, 3),
                    "peak_mib": daemon.mib("VmHWM"), "account_peak_mib": round(account, 1),
                    "outside_peak_mib": round(outside, 1)}
        finally:
            daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*")
    parser.add_argument("--logmill", default=str(ROOT / "build" / "logmill"))
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--codec", default="zstd")
    parser.add_argument("--option", action="append", default=[])
    parser.add_argument("--json")
    options = parser.parse_args()
    shared = pathlib.Path(os.environ.get("LOGMILL_SHARED", ROOT.parent / "shared")) / "corpus" / "big"
    logs = [pathlib.Path(log) for log in options.logs]
    logs = logs or [shared / f"{name}.log.zst" for name in ("postgres", "nginx_access", "caddy_json")]
    kafka_broker.use_python_packages()
    results = []
    with tempfile.TemporaryDirectory(prefix="logmill-broker-") as folder:
        broker = kafka_broker.Broker(folder)
        broker.start()
        try:
            for log in logs:
                results.append(measure(broker, log, options))
                print(json.dumps(results[-1]), flush=True)
        finally:
            broker.stop()
    if options.json:
        pathlib.Path(options.json).write_text("".join(json.dumps(r) + "\n" for r in results))


if __name__ == "__main__":
    main()
