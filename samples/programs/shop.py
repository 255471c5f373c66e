#!/usr/bin/env python3
"""A small web shop, as an origin of log lines: a text log with stack traces and a log of events in JSON.

usage: shop.py PORT REDIS_PORT TEXT_LOG JSON_LOG
"""
import json
import logging
import random
import socket
import sqlite3
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "lamp desk chair shelf rug vase clock mirror stool sofa bench frame tray bowl hook rack bin mat quilt throw".split()
COLOURS = "white black oak birch grey green blue red brass linen".split()

log = logging.getLogger("shop")
log_db = logging.getLogger("shop.db")
log_cache = logging.getLogger("shop.cache")
log_cart = logging.getLogger("shop.cart")
log_pay = logging.getLogger("shop.payment")


class OutOfStock(Exception):
    pass


class PaymentError(RuntimeError):
    pass


class Events:
    """One JSON object a line."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def write(self, level, event, **fields):
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1e6) % 1000000:06d}Z"
        line = json.dumps({"ts": stamp, "level": level, "event": event, **fields})
        with self.lock:
            self.file.write(line + "\n")
            self.file.flush()


class Redis:
    """As much of the protocol as a counter and a cache need."""

    def __init__(self, port):
        self.port = port
        self.local = threading.local()

    def call(self, *words):
        if not hasattr(self.local, "file"):
            self.local.file = socket.create_connection(("127.0.0.1", self.port)).makefile("rwb")
        f = self.local.file
        f.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(w).encode() for w in words)))
        f.flush()
        head = f.readline().rstrip()
        if head[:1] == b"$":
            n = int(head[1:])
            return None if n < 0 else f.read(n + 2)[:-2].decode()
        if head[:1] == b"-":
            raise ConnectionError(head[1:].decode())
        return head[1:].decode()


class Shop:
    def __init__(self, redis, events):
        self.redis, self.events = redis, events
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.lock = threading.Lock()
        self.db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER, stock INTEGER)")
        rng = random.Random(7)
        rows = [(i, f"{rng.choice(COLOURS)} {rng.choice(WORDS)}", rng.randrange(500, 50000), rng.randrange(5, 60)) for i in range(1, 801)]
        self.db.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", rows)

    def query(self, sql, *values):
        begin = time.perf_counter()
        with self.lock:
            rows = self.db.execute(sql, values).fetchall()
        took = (time.perf_counter() - begin) * 1000
        log_db.debug("%.3f ms, %d rows: %s; args=%r", took, len(rows), sql, values)
        if took > 1.5:
            log_db.warning("slow query took %.1f ms", took)
        return rows

    def item(self, number):
        cached = self.redis.call("GET", f"item:{number}")
        if cached:
            log_cache.debug("hit item:%d", number)
            return json.loads(cached)
        rows = self.query("SELECT id, name, price, stock FROM item WHERE id = ?", number)
        if not rows:
            log_cache.debug("miss item:%d", number)
            raise KeyError(f"item {number}")
        item = dict(zip(("id", "name", "price", "stock"), rows[0]))
        self.redis.call("SETEX", f"item:{number}", 3 + number % 7, json.dumps(item))
        log_cache.info("stored item:%d for %d s", number, 3 + number % 7)
        return item

    def search(self, text):
        return self.query("SELECT id, name FROM item\n    WHERE name LIKE ?\n    ORDER BY price\n    LIMIT 20", f"%{text}%")

    def add(self, user, number):
        item = self.item(number)
        size = self.redis.call("LPUSH", f"cart:{user}", number)
        self.redis.call("EXPIRE", f"cart:{user}", 30)
        log_cart.info("user %s put %d x '%s' into the cart, %s items now", user, 1, item["name"], size)

    def charge(self, user, order, amount):
        if random.random() < 0.06:
            raise TimeoutError("gateway did not answer within 250 ms")
        if random.random() < 0.03:
            raise PaymentError(f"card declined (code {random.choice((51, 54, 61, 65))})")
        log_pay.info("order %s: charged %.2f EUR to user %s", order, amount / 100, user)

    def take(self, number):
        rows = self.query("SELECT stock FROM item WHERE id = ?", number)
        if not rows or rows[0][0] <= 0:
            raise OutOfStock(f"item {number}: 0 left")
        self.query("UPDATE item SET stock = stock - 1 WHERE id = ?", number)

    def checkout(self, user):
        order = uuid.uuid4()
        number = self.redis.call("RPOP", f"cart:{user}")
        if number is None:
            log_cart.warning("user %s wants to pay for an empty cart", user)
            return None
        item = self.item(int(number))
        begin = time.time()
        try:
            self.take(item["id"])
            try:
                self.charge(user, order, item["price"])
            except TimeoutError as err:
                raise PaymentError(f"order {order}: no answer for {item['price'] / 100:.2f} EUR") from err
        except OutOfStock as err:
            log.error("order %s of user %s: %s", order, user, err)
            self.query("UPDATE item SET stock = 20 WHERE id = ?", item["id"])
            return None
        took = int((time.time() - begin) * 1e6)
        self.events.write("info", "order.paid", order=str(order), user=user, item=item, took_us=took, tags=["web", item["name"].split()[1]])
        return str(order)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shop = None

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        shop, begin = self.shop, time.perf_counter()
        url = urllib.parse.urlsplit(self.path)
        user = self.headers.get("X-User", "anonymous")
        request = self.headers.get("X-Request-Id") or uuid.uuid4().hex
        status, body = 404, {"error": "no such thing"}
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        try:
            parts = url.path.strip("/").split("/")
            if parts[:2] == ["api", "items"]:
                status, body = 200, shop.item(int(parts[2]))
            elif parts[:2] == ["api", "search"]:
                status, body = 200, shop.search(urllib.parse.parse_qs(url.query).get("q", [""])[0])
            elif parts[:2] == ["api", "cart"]:
                shop.add(user, int(parts[2]))
                status, body = 201, {"ok": True}
            elif parts[:2] == ["api", "checkout"]:
                order = shop.checkout(user)
                status, body = (200, {"order": order}) if order else (409, {"error": "not possible"})
            elif parts[:2] == ["api", "health"]:
                status, body = 200, {"up": True}
        except KeyError as err:
            log.warning("request %s: not found: %s", request, err)
        except ValueError as err:
            status, body = 400, {"error": str(err)}
            log.warning("request %s from user %s is malformed: %s", request, user, err)
        except Exception as err:  # the log of a shop that falls over now and then is what this is for
            status, body = 502, {"error": type(err).__name__}
            log.exception("request %s of user %s failed", request, user)
        took = (time.perf_counter() - begin) * 1000
        self.answer(status, body)
        level = "error" if status >= 500 else "warn" if status >= 400 else "info"
        shop.events.write(level, "http.request", request_id=request, method=self.command, path=url.path, status=status,
                          duration_ms=round(took, 3), user=user, client=self.headers.get("X-Forwarded-For", "-"))

    do_GET = do_POST = handle_one


def main():
    port, redis_port, text_log, json_log = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    logging.basicConfig(filename=text_log, level=logging.DEBUG,
                        format="%(asctime)s %(levelname)-8s [%(threadName)s] %(name)s: %(message)s")
    events = Events(json_log)
    events.write("info", "service.start", version="2.4.1", workers=8, features={"search": True, "recommendations": False})
    log.info("shop 2.4.1 listens on 127.0.0.1:%d", port)
    Handler.shop = Shop(Redis(redis_port), events)
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    random.seed(11)
    main()
