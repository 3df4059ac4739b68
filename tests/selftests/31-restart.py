#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=600 kernels=newest
"""The owner loses power and comes back with its SSD: the peers have what the SSD's cache lost."""
import os
import sys

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import hosts                            # noqa: E402

MIX = "--mix write=70,read=26,flush=1,fua=2,discard=1 --threads 4 --qd 2 --overlap --seconds 200"
FIRST = "--zero --hot 50 " + MIX
AGAIN = "--resume " + MIX
LOGGED = 100000         # bytes of history: the writer is in the middle of it


# faults: owner-host power-loss writing
# faults: owner-ssd power-loss writing
# faults: owner-meta power-loss writing
# faults: owner-host return idle
def outage(h, c1, args):
    """n1 writes and loses power; it starts again with the same line."""
    was = c1.logged()
    wait = c1.node.spawn(c1.history("run", args), 250)
    c1.until_logged(LOGGED, was)
    status = c1.until_dirty(h.count - 1)
    c1.node.power_cut()
    ktap.check("power goes in the middle of writing", wait()[0] == 125)
    ktap.check("something is dirty, nothing at risk",
               status["dirty"] > 0 and status["at_risk"] == "0", status)
    print(f"# dirty {status['dirty']}, writes that the SSD lost: "
          f"{[d.lost for d in c1.node.disks.values()]}", flush=True)
    c1.node.start()
    rc, out = c1.try_create("recover")
    ktap.check("recover is refused: nobody else has taken over", rc != 0, out)
    out = c1.restarts()
    print("# " + "\n# ".join(line for line in out.splitlines() if "recover" in line), flush=True)
    ktap.check("no completed write is lost, flushed or not", *c1.check())
    c1.wait("in_view", h.count - 1)
    c1.wait("at_risk", 0)
    ktap.ok("the peers are in view again")


def test():
    """Twice, since the second time there is a past."""
    with hosts.Hosts(3, volatile=True) as h:
        c1 = h.start_all()[0]
        outage(h, c1, f"{FIRST} --seed {h.seed % 1000000}")
        outage(h, c1, AGAIN)
        ktap.check_splats(h)


ktap.main(test)
