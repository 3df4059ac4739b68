#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=700 kernels=newest
"""The network between owner and peers is cut: a pause, then slower, and nothing is lost."""
import os
import sys

import ktap
import vm

sys.path.insert(0, os.path.join(vm.REPO, "tests", "demo"))
import peer_loss                        # noqa: E402
from peer_loss import back, event       # noqa: E402


# faults: link hang writing
# faults: link return writing
def events(h, c1):
    """n1 loses sight of n3, then of both, while all reach their origins."""
    h.net.cut(1, 3)
    event(c1, "link cut", 1)
    h.net.cut(1, 2)
    event(c1, "both links cut", 0)
    c1.until_logged(peer_loss.LOGGED // 10, c1.logged())    # every write goes through to the origin now
    h.net.join(1, 2)
    h.net.join(1, 3)
    back(c1, "links joined")


# faults: owner-host power-loss writing
ktap.main(lambda: peer_loss.test(events))
