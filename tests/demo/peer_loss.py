# SPDX-License-Identifier: GPL-2.0-only
"""What tests of lost peers share: n1 writes all the time, and its peers come and go."""
import time

import hosts
import ktap

STALL = 4 * hosts.TIMEOUT * hosts.SLOW  # emulated, so this much slower
RUN = "--zero --threads 2 --qd 2 --overlap --hot 50 --seconds 600 --stall 60"
LOGGED = 50000          # bytes of history: the writer is in the middle of it


def event(c1, what, left):
    """A peer is lost: it leaves the view, and what it held gets another holder, or to the origin."""
    begin = time.monotonic()
    c1.wait("in_view", left)
    ktap.ok(f"{what}: it leaves the view")
    print(f"# after {time.monotonic() - begin:.1f} s: {c1.status()}", flush=True)
    c1.wait("at_risk", 0, 90)   # with no peer left all of it goes to the origin first
    ktap.ok(f"{what}: nothing is at risk after a while")


def back(c1, what):
    """Both peers count again."""
    c1.wait("in_view", 2)
    ktap.ok(f"{what}: it is back in view")


def finish(h, c1, writer):
    """The writer ends; then another one is cut short by n1's death, and n3 takes over."""
    c1.node.try_sh("pkill -TERM circle-history")
    rc, out = writer()
    gaps = h.gaps()
    print("# " + "\n# ".join(out.splitlines()) + f"\n# machines stood still for {gaps} s", flush=True)
    ktap.check("no error reached the writer", rc == 0, f"exit {rc}")
    # Not counted: that whole machines stood still, this one or those that it waited for. What stops
    # one often stops all of them.
    limit = STALL + max(map(sum, gaps))
    ktap.check(f"it never waited longer than {STALL:.0f} s", 0 <= hosts.slowest(out) <= limit,
               f"{hosts.slowest(out)} of {limit} s")
    h.be_patient()
    was = c1.logged()
    wait = c1.node.spawn(c1.history("run", "--resume --threads 2 --seconds 200"), 250)
    c1.until_logged(LOGGED, was)
    status = c1.until_dirty(h.count - 1)
    c1.node.kill9()
    ktap.check("n1 dies in the middle of writing", wait()[0] == 125)
    ktap.check("nothing was at risk", status["at_risk"] == "0", status)
    taker = h.circle(4, host=3, origin=1, spare=True, peers=[2, 3])
    out = taker.recovers("recover fenced")
    print(f"# {hosts.recovered(out)}", flush=True)
    taker.inherit(c1)
    ktap.check("the owner dies: no completed write is lost", *taker.check())


def test(events):
    """n1 writes; things happen to its peers; then n1 dies, and the peers must have all of it."""
    with hosts.Hosts(3, timeout=hosts.TIMEOUT) as h:
        c1 = h.start_all()[0]
        h.tick(h.nodes)
        writer = c1.node.spawn(c1.history("run", f"{RUN} --seed {h.seed % 1000000}"), 700)
        c1.until_logged(LOGGED)
        events(h, c1)
        finish(h, c1, writer)
        ktap.check_splats(h)
