"""A Kafka broker of one's own on free ports of 127.0.0.1, from its jars, in KRaft mode; and a Python with a producer.

Jars and Python packages are fetched once, by maven and pip (tests/support/packages.py).
"""
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
SUPPORT = HERE.parent / "support"
sys.path.insert(0, str(SUPPORT))
import packages  # noqa: E402

START_TIMEOUT_S = 90
PASSWORD = "s3cret of the test"  # of the listener with a login
JAVA = ["-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
LOG4J = """log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c: %m%n
"""
CONFIG = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{secure}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
log.dirs={folder}/data
num.partitions=1
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=40000000
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_shipper="{password}";
ssl.keystore.type=PKCS12
ssl.keystore.location={folder}/broker.p12
ssl.keystore.password={password}
ssl.key.password={password}
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth=required
"""


def jars():
    packages.need("java", "mvn", "openssl")

    def build(folder):
        shutil.copy(HERE / "pom.xml", folder)
        packages.call("mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}",
                      cwd=folder)

    return packages.fetched("kafka-jars", [HERE / "pom.xml"], build) / "lib"


def use_python_packages():
    """Makes confluent_kafka importable."""
    folder = packages.python_packages("kafka-python", HERE / "requirements.txt")
    sys.path.insert(0, str(next(folder.glob("lib/python*/site-packages"))))


def make_certificates(folder):
    subprocess.run([SUPPORT / "certificates", folder], check=True, capture_output=True)
    subprocess.run(["openssl", "pkcs12", "-export", "-in", "server.pem", "-inkey", "server.key", "-certfile", "ca.pem",
                    "-name", "broker", "-out", "broker.p12", "-passout", f"pass:{PASSWORD}"], cwd=folder, check=True,
                   capture_output=True)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Broker:
    """start, stop, start again: its ports and data stay."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.jars = jars()
        controller, plain, secure = free_ports(3)
        self.address, self.secure_address = f"127.0.0.1:{plain}", f"127.0.0.1:{secure}"
        self.log = self.folder / "broker.log"
        self.process = None
        (self.folder / "log4j.properties").write_text(LOG4J)
        self.config = self.folder / "server.properties"
        self.config.write_text(CONFIG.format(folder=self.folder, controller=controller, plain=plain, secure=secure,
                                             password=PASSWORD))
        make_certificates(self.folder)
        self.run("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", self.config)

    def java(self, name, *words):
        return ["java", *JAVA, "-cp", f"{self.jars}/*", f"-Dlog4j.configuration=file:{self.folder}/log4j.properties",
                name, *[str(word) for word in words]]

    def run(self, name, *words, stdin=b""):
        """A tool of the jars, to its end."""
        done = subprocess.run(self.java(name, *words), input=stdin, capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{name} ended with {done.returncode}: {(done.stdout + done.stderr).decode()[-2000:]}")

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.java("kafka.Kafka", self.config), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)
        host, _, port = self.address.rpartition(":")
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the broker did not start:\n{self.log.read_text()[-4000:]}") from None
                time.sleep(0.1)

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
        self.process = None
