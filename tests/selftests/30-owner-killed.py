#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=600
"""The owner dies while it writes, and its SSD with it: another host has every completed write."""
import os
import sys

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import hosts                            # noqa: E402

RUN = "--zero --threads 4 --qd 2 --overlap --hot 50 --seconds 200"
LOGGED = 100000         # bytes of history: the writer is in the middle of it


# faults: owner-host power-loss writing
def kill(h, c1):
    """Write, and die in the middle of it."""
    wait = c1.node.spawn(c1.history("run", f"{RUN} --seed {h.seed % 1000000}"), 250)
    c1.until_logged(LOGGED)
    status = c1.until_dirty(h.count - 1)
    c1.node.kill9()
    ktap.check("the writer died in the middle of it", wait()[0] == 125)
    ktap.check("there was something to lose", status["dirty"] > 0, status)
    ktap.check("nothing was at risk", status["at_risk"] == "0", status)


def test():
    """n1 dies; n3 takes over its origin."""
    with hosts.Hosts(3) as h:
        c1 = h.start_all()[0]
        kill(h, c1)
        taker = h.circle(4, host=3, origin=1, spare=True, peers=[2, 3])
        rc, out = taker.try_create()
        ktap.check("without recover it is refused", rc and "recover" in out, out)
        out = taker.recovers("recover fenced")
        found = hosts.recovered(out)
        ktap.check("replicas are recovered", found and found["how"] == "complete" and
                   found["peers"] == found["blocks"] > 0, out)
        taker.inherit(c1)
        ktap.check("no completed write is lost", *taker.check())
        rc, out = taker.node.try_sh(taker.history("run", "--resume --threads 2 --seconds 3"), 90)
        ktap.check("the new owner writes", rc == 0, out)
        # faults: owner-host return idle
        c1.node.start()
        rc, out = c1.try_create()
        ktap.check("the old owner is refused", rc and "taken over" in out, out)
        ktap.check("it does no harm", *taker.check())
        ktap.check_splats(h)


ktap.main(test)
