#!/usr/bin/env python3
"""Write a folder of small logs of several formats, the same in every run: make_logs.py FOLDER."""
import pathlib
import sys


class Numbers:
    """A linear congruential generator: the same numbers in every version of Python."""

    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % bound

    def pick(self, items):
        return items[self.below(len(items))]


def clock(n):
    return f"{8 + n // 3600 % 12:02}:{n // 60 % 60:02}:{n % 60:02}"


def access_log(r, count):
    for n in range(count):
        yield (f"10.0.{r.below(4)}.{r.below(250)} - - [14/Mar/2026:{clock(n)} +0000] \"{r.pick(['GET', 'POST'])} "
               f"/{r.pick(['api/v1/items', 'static/app.js', 'login', ''])}/{r.below(9999)} HTTP/1.1\" "
               f"{r.pick([200, 200, 200, 304, 404, 500])} {r.below(90000)} \"-\" \"curl/8.{r.below(12)}\"")


def service_log(r, count):
    for n in range(count):
        level = r.pick(["INFO", "INFO", "INFO", "WARN", "ERROR"])
        text = r.pick([
            f"request {r.below(2**32):08x}-{r.below(2**16):04x} done in {r.below(2000)} ms",
            f"worker {r.below(16)} took job {r.below(10**6)} from queue mail",
            f"timeout of {r.below(5000)}ms while reading from 192.168.{r.below(3)}.{r.below(255)}:{5432 + r.below(3)}",
            "cache is warm",
        ])
        yield f"2026-03-14 {clock(n)},{r.below(1000):03} {level} [main-{r.below(8)}] c.e.Service - {text}"
        if level == "ERROR" and r.below(3) == 0:
            yield "java.lang.IllegalStateException: pool is closed"
            for depth in range(1 + r.below(4)):
                yield f"\tat c.e.Pool.take(Pool.java:{40 + depth})"


def json_log(r, count):
    for n in range(count):
        yield (f'{{"ts":"2026-03-14T{clock(n)}.{r.below(1000):03}Z","level":"{r.pick(["info", "debug"])}",'
               f'"msg":"order placed","order":{100000 + n * 3},"price":{r.below(300)}.{r.below(100):02},'
               f'"tags":["{r.pick(["a", "b"])}","{r.below(5)}"]}}')


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    r = Numbers(7)
    for name, lines in {
        "access.log": access_log(r, 6000),
        "service.log": service_log(r, 6000),
        "orders.json": json_log(r, 3000),
    }.items():
        (folder / name).write_bytes("".join(line + "\n" for line in lines).encode())
    (folder / "odd.bin").write_bytes(bytes(r.below(256) for _ in range(20000)) + b"\r\nno newline at the end")


if __name__ == "__main__":
    main()
