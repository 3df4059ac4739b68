# SPDX-License-Identifier: GPL-2.0-only
"""What is measured: one VM each. Documentation/benchmark.rst explains the rows."""
import collections

Config = collections.namedtuple("Config", "name stack origin volatile rows sizes what")

EMPTY = ("empty-write-1", "empty-write-32", "empty-seq")
WARM = ("write-1", "write-32", "sync", "seq", "read-1", "read-32", "mix")
BACK = ("back-write-1", "back-write-32")
FLUSHED = ("write-1", "sync")           # what a volatile cache of the SSDs changes
STALL = ("stall-32",)
LENT = ("write-1", "read-1", "mix")    # and the same while replicas are stored

LOCAL = ("dmcache64", "dmcache256", "writecache", "bcache")
SAFE = ("drbd_dmcache", "drbd_writecache", "md_writecache")

WHAT = {
    "raw_ssd": "the SSD alone",
    "raw_origin": "the origin alone",
    "linear": "dm-linear on the SSD",
    "dmcache64": "dm-cache writeback, blocks of 64 KiB",
    "dmcache256": "dm-cache writeback, blocks of 256 KiB",
    "dmcache64_wt": "dm-cache writethrough, blocks of 64 KiB",
    "writecache": "dm-writecache",
    "bcache": "bcache writeback",
    "circle0": "circle as a local cache",
    "circle1": "circle, degree 1",
    "circle2": "circle, degree 2",
    "lender": "circle that stores replicas",
    "yardstick": "the least that a copy on another host can cost",
    "drbd_dmcache": "dm-cache on DRBD protocol C",
    "drbd_writecache": "dm-writecache on DRBD protocol C",
    "md_writecache": "dm-writecache on md-raid1 over NVMe-TCP",
}


def _config(stack, rows, suffix="", origin="san", volatile=False, sizes=()):
    return Config(stack + suffix, stack, origin, volatile, tuple(rows), tuple(sizes), WHAT[stack])


def everything():
    """All configurations, what one compares with first."""
    out = []
    for stack in WHAT:
        if stack == "raw_origin":
            rows = ("write-1", "write-32", "read-1", "read-32")
        elif stack in ("raw_ssd", "linear"):
            rows = WARM
        elif stack == "yardstick":
            rows = ("ping", *WARM)
        elif stack == "lender":
            rows = (*LENT, *("lend-" + row for row in LENT))
        elif stack in ("dmcache64", "dmcache256", "circle0", "circle1"):
            rows = (*EMPTY, *WARM, *BACK)
        else:
            rows = (*EMPTY, *WARM)
        out.append(_config(stack, rows))
    for stack in ("raw_ssd", "dmcache64", "writecache", "bcache", "circle0", "circle1", "circle2",
                  "yardstick", *SAFE):
        rows = ("ping", *FLUSHED) if stack == "yardstick" else FLUSHED
        out.append(_config(stack, rows, "-volatile", volatile=True))
    for origin, sizes in (("san", ("SSD_MB=32", "TOP_MB=256")), ("disk", ("SSD_MB=16", "TOP_MB=128"))):
        for stack in ("raw_origin", "dmcache64", "circle0", "circle1"):
            out.append(_config(stack, STALL, f"-stall-{origin}", origin, False, sizes))
    return out


def short():
    """What CI can afford; compared with baseline.tsv."""
    return [_config("linear", ("write-1", "read-32")),
            _config("circle0", ("empty-write-32", "write-1", "write-32", "sync", "seq", "read-1", "read-32",
                                "mix")),
            _config("circle1", ("empty-write-32", "write-1", "write-32", "sync", "seq", "mix")),
            _config("yardstick", ("write-1", "write-32")),
            *(c for c in everything() if c.name in ("circle0-stall-san", "circle1-stall-san"))]
