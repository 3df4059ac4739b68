#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=700 kernels=newest
"""Peers die, or stop: the owner pauses for no longer than the timeout, and loses nothing."""
import os
import sys

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import peer_loss                        # noqa: E402
from peer_loss import back, event       # noqa: E402


# faults: peer-host power-loss writing
# faults: peer-host hang writing
# faults: peer-host return writing
def events(h, c1):
    """n2 dies and starts again; n2 stops for a while."""
    c2 = h.circles[2]
    c2.node.kill9()
    event(c1, "killed", 1)
    c2.node.start()
    h.tick([2])
    c2.restarts()
    back(c1, "restarted")
    c2.node.pause()
    event(c1, "paused", 1)
    c2.node.resume()
    back(c1, "resumed")


# faults: owner-host power-loss writing
ktap.main(lambda: peer_loss.test(events))
