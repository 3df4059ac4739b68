#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=700 kernels=newest
"""Peers die, or stop: the owner pauses for no longer than the timeout, and loses nothing."""
import os
import sys
import time

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import hosts                            # noqa: E402

STALL = 4 * hosts.TIMEOUT * hosts.SLOW  # emulated, so this much slower
RUN = "--zero --threads 2 --qd 2 --overlap --hot 50 --seconds 600"
LOGGED = 50000          # bytes of history: the writer is in the middle of it


def event(c1, what, left):
    """A peer is lost: it leaves the view, and what it held gets another holder, or to the origin."""
    begin = time.monotonic()
    c1.wait("in_view", left)
    ktap.ok(f"{what}: it leaves the view")
    print(f"# after {time.monotonic() - begin:.1f} s: {c1.status()}", flush=True)
    c1.wait("at_risk", 0)
    ktap.ok(f"{what}: nothing is at risk after a while")


def back(c1, what):
    """Both peers count again."""
    c1.wait("in_view", 2, 45)
    ktap.ok(f"{what}: it is back in view")


def events(h, c1):
    """n2 dies and starts again; n2 stops for a while."""
    c2 = h.circles[2]
    c2.node.kill9()
    event(c1, "killed", 1)
    c2.node.start()
    c2.create()
    back(c1, "restarted")
    c2.node.pause()
    event(c1, "paused", 1)
    c2.node.resume()
    back(c1, "resumed")


def finish(h, c1, writer):
    """The writer ends; then another one is cut short by n1's death, and n3 takes over."""
    c1.node.try_sh("pkill -TERM circle-history")
    rc, out = writer()
    print("# " + "\n# ".join(out.splitlines()), flush=True)
    ktap.check("no error reached the writer", rc == 0, f"exit {rc}")
    # Not counted: that the whole machine stood still.
    limit = STALL + hosts.longest_gap(out)
    ktap.check(f"it never waited longer than {STALL:.0f} s", 0 <= hosts.slowest(out) <= limit,
               f"{hosts.slowest(out)} of {limit} s")
    was = c1.logged()
    wait = c1.node.spawn(c1.history("run", "--resume --threads 2 --seconds 200"), 250)
    c1.until_logged(LOGGED, was)
    c1.until_dirty(h.count - 1)
    c1.node.kill9()
    ktap.check("n1 dies in the middle of writing", wait()[0] == 125)
    taker = h.circle(4, host=3, origin=1, spare=True, peers=[2, 3])
    out = taker.create("recover fenced")
    print(f"# {hosts.recovered(out)}", flush=True)
    taker.inherit(c1)
    ktap.check("the owner dies: no completed write is lost", *taker.check())


def test():
    """n1 writes; things happen to its peers; then n1 dies, and the peers must have all of it."""
    with hosts.Hosts(3) as h:
        c1 = h.start_all()[0]
        writer = c1.node.spawn(c1.history("run", f"{RUN} --stall 60 --seed {h.seed % 1000000}"), 700)
        events(h, c1)
        finish(h, c1, writer)
        ktap.check_splats(h)


ktap.main(test)
