#!/usr/bin/env python3
"""The daemon is killed at random points under load, again and again, and must have every line that it acknowledged.

Heads are small, so that segments are sealed all the time; every few rounds the load rests long enough for segments to
be merged, and the kill comes then. No timing can trick the comparison: what was acknowledged is what the clients read
as 204.
"""

import time

from daemon_harness import NS, QUERY_CONFIG, ROUNDS, Daemon, Writer, check, main

CONFIG = QUERY_CONFIG + "ingest: {head_size: 256KiB}\nmill: {cpu_percent: 100}\nsources: []\n"
WRITERS = 4


def killed(dice, folder):
    rounds = ROUNDS or 8
    daemon = Daemon(folder, CONFIG)
    begin_ns = time.time_ns() // NS * NS - 3600 * NS
    writers = [Writer(daemon, i, begin_ns, dice.choice((1, 20, 100, 300))) for i in range(WRITERS)]
    merges = 0
    for number in range(rounds):
        before = [w.next for w in writers]
        writers = [w.again() for w in writers]
        for writer in writers:
            writer.start()
        time.sleep(dice.choice((dice.random() * 0.1, dice.random(), dice.random() * 2)))
        if number % 4 == 3:  # what is merged, and when, is the daemon's own affair: any moment of it will do
            for writer in writers:
                writer.end()
            time.sleep(2 + dice.random() * 1.5)
            merges += daemon.metric("logmill_store_merges_total")
        daemon.kill()
        for writer in writers:
            writer.end()
        daemon.start()
        check("event=damaged" not in daemon.log(), f"round {number}: a kill is no damage:\n{daemon.log()}")
        for writer, first in zip(writers, before):  # what came in the rounds before is looked at now and then
            writer.compare(daemon, 0 if dice.random() < 0.1 else first)
    found = sum(w.compare(daemon) for w in writers)
    acknowledged = sum(w.sizes[b] for w in writers for b in w.acknowledged)
    check(acknowledged > 0, "nothing was acknowledged")
    print(f"      {rounds} kills, {acknowledged} lines acknowledged, {found} found, {merges:.0f} merges", flush=True)
    daemon.stop()
    daemon.start()
    for writer in writers:
        writer.compare(daemon)
    daemon.stop()


main("test_daemon_kill", [killed])
