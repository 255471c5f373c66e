"""Runs in an environment with the packages of requirements.txt: one client sends the messages of a file.

clients_pypi.py CLIENT URL MESSAGES [OPTION]; MESSAGES is JSON, [{"text": ..., "seconds": ..., "nanos": ...}, ...].
The clients are used as their documents say, and nothing of them is changed. What a client complains of goes to standard
error, which must stay empty.
"""
import datetime
import json
import logging
import sys


def send_logging_loki(url, messages, _):
    import logging_loki

    handler = logging_loki.LokiHandler(
        url=url + "/loki/api/v1/push", tags={"client": "python-logging-loki", "empty": ""}, version="1")
    logger = logging.getLogger("orders.api")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    for i, message in enumerate(messages):
        level = logging.ERROR if i % 2 else logging.INFO
        logger.log(level, "%s", message["text"], extra={"tags": {"zone name": "Zürich \"1\"\\"}})
    handler.close()


def send_elasticsearch(url, messages, option):
    import elasticsearch
    import elasticsearch.helpers

    client = elasticsearch.Elasticsearch(url, http_compress=option == "gzip")
    assert client.info()["tagline"]
    actions = []
    for i, message in enumerate(messages):
        stamp = datetime.datetime.fromtimestamp(message["seconds"], datetime.timezone.utc)
        stamp = stamp.replace(microsecond=message["nanos"] // 1000)
        action = {"_index": "es-py-" + (option or "plain"), "_source": {
            "@timestamp": stamp.isoformat(), "message": message["text"], "n": i, "empty": "", "none": None,
            "user": {"name": "Zoë \"z\"", "tags": []}}}
        if i % 2:
            action["_op_type"] = "create"
        actions.append(action)
    sent, errors = elasticsearch.helpers.bulk(client, actions, chunk_size=50)
    assert (sent, errors) == (len(messages), []), (sent, errors)
    client.close()


def http_exporter(url, option):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    compression = {None: Compression.NoCompression, "gzip": Compression.Gzip, "deflate": Compression.Deflate}[option]
    return OTLPLogExporter(endpoint=url + "/v1/logs", compression=compression)


def grpc_exporter(url, option):
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    compression = {None: None, "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}[option]
    return OTLPLogExporter(endpoint=url, compression=compression)


def send_opentelemetry(url, messages, option, name="otlp-py-", exporter=http_exporter):
    from opentelemetry._logs import LogRecord, SeverityNumber
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create({"service.name": name + (option or "plain"), "service.version": "1.2",
                                "host.name": "web-1"})
    provider = LoggerProvider(resource=resource)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter(url, option), max_export_batch_size=50))
    logger = provider.get_logger("shop.basket", "3.4")
    for i, message in enumerate(messages):
        time_ns = message["seconds"] * 10**9 + message["nanos"]
        logger.emit(LogRecord(
            timestamp=time_ns, observed_timestamp=time_ns + 1, body=message["text"],
            severity_text="WARN", severity_number=SeverityNumber.WARN,
            attributes={"n": i, "empty": "", "who": "Zoë \"z\"\nsecond line", "ratio": 0.5, "ok": True,
                        "parts": ["a", "b"]}))
    assert provider.force_flush()
    provider.shutdown()


def send_opentelemetry_grpc(url, messages, option):
    send_opentelemetry(url, messages, option, "otlp-grpc-", grpc_exporter)


CLIENTS = {
    "logging_loki": send_logging_loki,
    "elasticsearch": send_elasticsearch,
    "opentelemetry": send_opentelemetry,
    "opentelemetry_grpc": send_opentelemetry_grpc,
}

if __name__ == "__main__":
    with open(sys.argv[3], encoding="utf-8") as file:
        CLIENTS[sys.argv[1]](sys.argv[2], json.load(file), sys.argv[4] if len(sys.argv) > 4 else None)
