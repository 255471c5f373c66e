#!/usr/bin/env python3
"""The source of Kafka against a real broker.

Odd messages arrive as what they are, over a login and TLS. Two daemons of one group share a topic's partitions under
load; each is killed once, the broker is stopped and started: every message is found, and on one daemon none twice. A
daemon that is killed again and again reads a topic: all of it, each message once.

77: no Java, no Maven, or what they fetch cannot be had.
"""
import collections
import json
import pathlib
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "daemon")]
from daemon_harness import NS, Daemon, Scratch, announce, check, wait_until  # noqa: E402
from kafka_broker import PASSWORD, Broker, jars, use_python_packages  # noqa: E402

PARTITIONS = 6
MIB = 1 << 20
CONFIG = """
query: {{entries_max: 1000000, timeout: 5m}}
sources:
  - type: kafka
    brokers: ["{broker.address}"]
    topics: [orders, "^late-.*"]
    group_id: shared
    options: {{topic.metadata.refresh.interval.ms: 1000, session.timeout.ms: 2000, heartbeat.interval.ms: 300}}
"""
ODD = """
  - type: kafka
    brokers: ["{broker.secure_address}"]
    topics: [odd]
    group_id: odd
    client_id: odd one
    sasl: {{mechanism: PLAIN, username: shipper, password: "{password}"}}
    tls: {{ca: {broker.folder}/ca.pem, certificate: {broker.folder}/client.pem, key: {broker.folder}/client.key}}
    options: {{fetch.message.max.bytes: 16777216}}
    stream_fields: [app]
    labels: {{env: test}}
"""
SOLO = """
query: {{entries_max: 1000000, timeout: 5m}}
sources:
  - type: kafka
    brokers: ["{broker.address}"]
    topics: [orders]
    group_id: solo
    options:
      group.instance.id: solo
      queued.min.messages: 100
      fetch.message.max.bytes: 20000
"""


def metrics(daemon, name):
    """{source: value} of one metric."""
    found = {}
    for line in daemon.get("/metrics")[1].decode().splitlines():
        if line.startswith(f"logmill_source_{name}{{"):
            source = line.partition('"')[2].partition('"')[0]
            found[source] = found.get(source, 0) + int(line.rpartition(" ")[2])
    return found


def of_group(daemon, name, group):
    return sum(value for source, value in metrics(daemon, name).items() if source.startswith(f"kafka {group} "))


def entries(daemon, query):
    """[(labels, metadata, time, line)], oldest first."""
    now = time.time_ns()
    status, body = daemon.get("/loki/api/v1/query_range", {"X-Loki-Response-Encoding-Flags": "categorize-labels"},
                              query=query, start=now - 3600 * NS, end=now + 3600 * NS, limit=1000000,
                              direction="forward")
    check(status == 200, f"{query}: {status} {body[:500]}")
    found = []
    for stream in json.loads(body)["data"]["result"]:
        for value in stream["values"]:
            metadata = value[2].get("structuredMetadata", {}) if len(value) > 2 else {}
            metadata.pop("detected_level", None)  # found by the query, not sent
            found.append((stream["stream"], metadata, int(value[0]), value[1]))
    return sorted(found, key=lambda entry: entry[2])


def count(daemon, query):
    """How many records there are; cheap."""
    status, body = daemon.get("/loki/api/v1/query", query=f"sum(count_over_time({query}[1h]))",
                              time=time.time_ns() + 60 * NS)
    check(status == 200, f"{query}: {status} {body[:500]}")
    result = json.loads(body)["data"]["result"]
    return int(float(result[0]["value"][1])) if result else 0


class Load(threading.Thread):
    """Sends numbered messages, a thousand a second or two, until it is stopped; none is lost when the broker goes."""

    def __init__(self, broker):
        super().__init__()
        from confluent_kafka import Producer
        self.producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True, "linger.ms": 5,
                                  "message.timeout.ms": 120000, "log_level": 0})
        self.sent, self.is_over = 0, False
        self.begun, self.rate = time.monotonic(), 0

    def run(self):
        while not self.is_over:
            for _ in range(20):
                try:
                    self.producer.produce("orders", f"order {self.sent} of {self.sent % 89} things", f"{self.sent}")
                    self.sent += 1
                except BufferError:  # while the broker is away
                    break
            self.producer.poll(0)
            time.sleep(0.01)

    def finish(self):
        self.is_over = True
        self.join()
        self.rate = self.sent / (time.monotonic() - self.begun)
        check(self.producer.flush(60) == 0, "the broker did not take all messages")

    def wait_for(self, number):
        """Until so many more are sent."""
        until = self.sent + number
        wait_until(lambda: self.sent >= until, f"{number} more messages")


def check_odd(broker, daemon):
    from confluent_kafka import Producer
    now_ms = int(time.time() * 1000) - 60000
    long_text = "".join(f"{i:07} " for i in range(1200000))  # 9.6 MB: more than a record may have
    pretty = json.dumps({"message": "pretty", "list": [1, 2]}, indent=2)
    texts = [b"plain", b"lines\n\tof\n\tone record\n", b"", b"\xff\xfe no UTF-8 \x00\x1b[31m", long_text.encode(),
             b'{"message":"taken apart","app":"shop","user":{"id":7},"level":"warn"}', b'{"no":"text"}',
             pretty.encode(), b"x" * (3 * MIB), b"behind what is too large"]
    for i, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        producer = Producer({"bootstrap.servers": broker.address, "message.max.bytes": 39 * MIB,
                             "compression.type": codec, "log_level": 0})
        for n, text in enumerate(texts):
            if i and len(text) > MIB:
                continue
            if text.startswith(b"behind") and not i:
                producer.produce("odd", b"y" * (33 * MIB), "too large", timestamp=now_ms)
            producer.produce("odd", text, f"key {n}", timestamp=now_ms + i * 1000 + n,
                             headers=[("codec", codec), ("bad name!", b"\xe2\x82\xac"), ("none", None)])
        producer.produce("odd", None, "deleted")
        check(producer.flush(60) == 0, "the broker did not take the odd messages")
    broker.run("kafka.tools.ConsoleProducer", "--bootstrap-server", broker.address, "--topic", "odd",
               stdin="from the console\nand żółć\n".encode())
    console = ["from the console", "and żółć"]
    want = 2 + 10 + 1 + 4 * 8 # one is cut in two
    wait_until(lambda: of_group(daemon, "records_total", "odd") >= want, "the odd messages")
    found = entries(daemon, '{topic="odd", env="test"}')
    check(len(found) == want, f"{len(found)} odd messages, not {want}")
    check(of_group(daemon, "rejected_total", "odd") == 1, "what was too large is not counted")
    check(sorted(line for _, _, _, line in found if line in console) == sorted(console), "the console's messages")
    found = [entry for entry in found if entry[3] not in console]
    check("".join(line for _, _, _, line in found if line[:2].isdigit()) == long_text, "the long one is another")
    whole = [entry for entry in found if not entry[3][:2].isdigit()]
    for labels, metadata, time_ns, line in whole:
        i, n = divmod(time_ns // 1000000 - now_ms, 1000)
        wanted = {5: "taken apart", 7: "pretty"}.get(n, texts[n].decode("utf-8", "replace"))
        check(line == wanted, f"message {n}: {line[:200]!r}, not {wanted[:200]!r}")
        named = {"app": "shop", "service_name": "shop"} if n == 5 else {"service_name": "unknown_service"}
        check(labels == {"topic": "odd", "env": "test"} | named, f"labels {labels}")
        codec = ("none", "gzip", "snappy", "lz4", "zstd")[i]
        shown = {"kafka_partition": "0", "kafka_key": f"key {n}", "kafka_header_codec": codec,
                 "kafka_header_bad_name_": "€"}
        shown |= {5: {"user_id": "7", "level": "warn"}, 7: {"list": "[1,2]"}}.get(n, {})
        check(metadata.pop("kafka_offset").isdigit(), "no offset")
        check(metadata == shown, f"metadata of message {n}: {metadata}, not {shown}")
    print(f"ok: {want} odd messages over a login and TLS, each as it was sent")


def numbers_of(daemon):
    """How often each message is there; none may be there twice."""
    lines = collections.Counter(line for _, _, _, line in entries(daemon, '{topic="orders"} | keep topic'))
    twice = [line for line, times in lines.items() if times > 1]
    check(not twice, f"{len(twice)} messages are there twice, like {twice[:3]}")
    return {int(line.split()[1]) for line in lines}


def check_shared(broker, daemons, load):
    shares = lambda: [of_group(daemon, "open", "shared") for daemon in daemons]
    wait_until(lambda: sum(shares()) >= PARTITIONS and min(shares()) >= 1, "partitions to be shared")
    print(f"ok: shares of {PARTITIONS} partitions: {shares()}")
    for victim, other in (daemons, daemons[::-1]):
        load.wait_for(2500)
        victim.kill()
        wait_until(lambda other=other: of_group(other, "open", "shared") >= PARTITIONS, "partitions to be taken over")
        load.wait_for(1000)
        victim.start()
        wait_until(lambda: sum(shares()) >= PARTITIONS and min(shares()) >= 1, "partitions to be shared again")
    print(f"ok: each took over from the other that was killed; {load.sent} messages sent")
    broker.stop()
    broker.start()
    load.wait_for(1000)
    load.finish()
    found = set()
    wanted = set(range(load.sent))
    wait_until(lambda: sum(count(daemon, '{topic="orders"}') for daemon in daemons) >= len(wanted), "all messages")
    for _ in range(100):
        parts = [numbers_of(daemon) for daemon in daemons]
        found = set.union(*parts)
        if found == wanted:
            break
        time.sleep(0.2)
    lost = sorted(wanted - found)
    check(found == wanted, f"{len(lost)} of {len(wanted)} messages are lost, like {lost[:5]}")
    print(f"ok: the broker was away; {len(wanted)} messages, {[len(part) for part in parts]} on the daemons, "
          f"{len(parts[0] & parts[1])} on both")
    # At most a second's records each time one takes over without a word: twice from one that was killed, once when the
    # broker was away. Two seconds', since machines are busy.
    check(len(parts[0] & parts[1]) <= 3 * 2 * load.rate, "too many are on both")
    wait_until(lambda: sum(of_group(daemon, "lag_records", "shared") for daemon in daemons) == 0, "no lag")


def check_solo(broker, folder, sent, random):
    folder.mkdir()
    daemon = Daemon(folder, SOLO.format(broker=broker))
    kills = 0
    while kills < 6:
        so_far = count(daemon, '{topic="orders"}')
        wait_until(lambda so_far=so_far: count(daemon, '{topic="orders"}') > so_far or so_far == sent, "progress")
        time.sleep(random.random() * 0.3)
        daemon.kill()
        kills += 1
        daemon.start()
    wait_until(lambda: count(daemon, '{topic="orders"}') >= sent, "all messages")
    check(numbers_of(daemon) == set(range(sent)), "the messages are others")
    daemon.stop()
    daemon.start()
    wait_until(lambda: of_group(daemon, "open", "solo") == PARTITIONS, "partitions after a clean stop")
    check(len(numbers_of(daemon)) == sent, "after a clean stop")
    daemon.stop()
    print(f"ok: {sent} messages, {kills} kills, each message once")


def check_late(broker, admin, daemons):
    from confluent_kafka import Producer
    from confluent_kafka.admin import NewTopic
    for answer in admin.create_topics([NewTopic("late-1", 1, 1)]).values():
        answer.result()
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    producer.produce("late-1", "a topic that came later")
    producer.flush()
    wait_until(lambda: any(count(daemon, '{topic="late-1"}') for daemon in daemons), "the topic that came later")
    print("ok: a topic that came later")


def main():
    random = announce("kafka")
    jars()
    use_python_packages()
    from confluent_kafka.admin import AdminClient, NewTopic
    with Scratch("kafka") as folder:
        broker = Broker(folder / "broker")
        daemons = []
        try:
            broker.start()
            admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
            for answer in admin.create_topics([NewTopic("orders", PARTITIONS, 1), NewTopic("odd", 1, 1)]).values():
                answer.result()
            load = Load(broker)
            load.start()
            for name, config in (("a", CONFIG + ODD), ("b", CONFIG)):
                (folder / name).mkdir()
                daemons.append(Daemon(folder / name, config.format(broker=broker, password=PASSWORD)))
            check_odd(broker, daemons[0])
            check_shared(broker, daemons, load)
            check_late(broker, admin, daemons)
            for daemon in daemons:
                check(PASSWORD not in daemon.log_path.read_text(), "the password is in a log")
                daemon.stop()
            check_solo(broker, folder / "solo", load.sent, random)
        finally:
            if "load" in locals():
                load.is_over = True
            for process in list(Daemon.running):
                process.kill()
            broker.stop()


if __name__ == "__main__":
    main()
