# SPDX-License-Identifier: GPL-2.0-only
"""Devices for the tests of the tools, as files: made by mkimage, filled with known contents."""
import json
import os
import subprocess

MB = 4096
SECTOR = 512
BLOCK = 64                      # sectors; 8 pages
SLOTS = 200                     # 3 pages of the table
ORIGIN = 15980                  # sectors; the last of 250 blocks is short
LABEL = 16384                   # sector of the label
MBS = 110                       # of the metadata device
TABLE, JOURNAL = 32, 38         # metadata blocks; 72 of journal
ACTIVE, RECOVERING, CLEAN, TAKING = 2, 3, 4, 1
SSD, WEAK, EMPTY, UNSEEN = 1, 2, 4, 8
MAPPED, INTENT, RETIRED, LOST = 1, 2, 4, 8


def words(fields):
    """key=value words."""
    return " ".join(f"{k}={v}" for k, v in fields.items())


class Result:
    """What a program did."""

    def __init__(self, rc, out, err):
        self.rc, self.out, self.err = rc, out, err

    def __repr__(self):
        return f"exit {self.rc}\n{self.out}{self.err}"


class Rig:
    """Metadata, SSD and origin in a directory, and the tools that look at them."""

    def __init__(self, tools, where):
        self.tools, self.dir = tools, where
        self.meta, self.ssd, self.org = (os.path.join(where, n) for n in ("meta", "ssd", "org"))
        self.lines, self.slots = [], {}
        self.super = {"flags": 1, "seq": 2, "meta_uuid": 0x77, "set_uuid": 0x55, "generation": 3,
                      "activation": 7, "block_sectors": BLOCK, "nr_slots": SLOTS,
                      "origin_sectors": ORIGIN, "tail_lsn": 10}

    # ------------------------------------------------------------ images

    def circle(self, **fields):
        """The metadata are a circle's, node 1."""
        self.super.update({"flags": 5, "node_id": 1, "label_kind": 1, "label_sector": LABEL},
                          **fields)
        return self

    def slot(self, n, block, valid=0xff, dirty=0, **fields):
        """State of a slot, in the table."""
        f = {"block": block, "valid": valid, "dirty": dirty, "seq": 100 + n, "gen": 3,
             "flags": MAPPED, **fields}
        self.slots[n] = f
        return self

    def slot_line(self, n):
        """mkimage's line for it."""
        return f"slot {n} {words(self.slots[n])}"

    def make(self, *more):
        """Write the metadata: table in copy A with lsn 9, both superblocks; then these lines."""
        lines = [f"meta {self.meta} {MBS}", "super " + words(self.super), *self.lines]
        lines += [self.slot_line(n) for n in self.slots]
        lines += ["format 9", f"super seq={self.super['seq'] - 1}", "put 1",
                  f"super seq={self.super['seq']}", "put 0"]
        self.mkimage(*lines, *more)
        return self

    def mkimage(self, *lines):
        """Run it."""
        subprocess.run([os.path.join(self.tools, "mkimage")], input="\n".join(lines) + "\n",
                       encoding="ascii", check=True)

    def devices(self):
        """SSD and origin, every sector different."""
        for path, sectors, name in ((self.ssd, SLOTS * BLOCK, "ssd"), (self.org, 18432, "org")):
            with open(path, "wb") as f:
                for n in range(min(sectors, LABEL)):
                    f.write((f"{name} {n:8} " * 40)[:SECTOR].encode())
                f.truncate(sectors * SECTOR)
        return self

    def label(self, copy=0, sector=LABEL, path=None, peers=(), **fields):
        """One copy of a place; by default node 1's, which fits to the metadata."""
        f = {"state": ACTIVE, "flags": SSD, "seq": 5, "set_uuid": 0x55, "generation": 3,
             "activation": 7, "node_id": 1, "degree": len(peers), "floor": len(peers),
             "block_sectors": BLOCK, "origin_sectors": ORIGIN, **fields}
        peer = " ".join(f"peer={p},1,{p * 11}" for p in peers)
        self.mkimage(f"label {path or self.org} {sector} {copy} {words(f)} {peer}")
        return self

    def flip(self, path, byte, n=3):
        """Bits rot."""
        with open(path, "r+b") as f:
            f.seek(byte)
            data = f.read(n)
            f.seek(byte)
            f.write(bytes(b ^ 0x5a for b in data))

    def flip_mb(self, mb):
        """In a metadata block, where no magic number stands."""
        self.flip(self.meta, mb * MB + 200)

    # ------------------------------------------------------------ tools

    def run(self, tool, *args, **faults):
        """Run a tool."""
        env = dict(os.environ, ASAN_OPTIONS="exitcode=99", UBSAN_OPTIONS="print_stacktrace=1",
                   **{"FAULT_" + k.upper(): str(v) for k, v in faults.items()})
        p = subprocess.run([os.path.join(self.tools, tool), *args], env=env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, encoding="utf-8", check=False)
        return Result(p.returncode, p.stdout, p.stderr)

    def check(self, *args):
        """circle_check"""
        return self.run("circle_check", *args, self.meta)

    def dump(self, *args):
        """circle_dump of the metadata, read."""
        r = self.run("circle_dump", *args, self.meta)
        return json.loads(r.out) if r.out else None

    def dump_label(self):
        """The label area, read."""
        return json.loads(self.run("circle_dump", "--label", self.org).out)

    def writeback(self, *args, **faults):
        """circle_writeback"""
        return self.run("circle_writeback", "--metadata-device", self.meta, "--origin-device",
                        self.org, "--fast-device", self.ssd, *args, **faults)

    def identify(self, path, *args):
        """circle_id"""
        return self.run("circle_id", *args, path)

    # ------------------------------------------------------------ contents

    def origin_wrong(self, want):
        """Sectors of the origin that are not as want {block: (slot, mask)} says; nothing was
        written between its end and the label."""
        wrong = []
        with open(self.org, "rb") as f:
            data = f.read(LABEL * SECTOR)
        for n in range(LABEL):
            slot, mask = want.get(n // BLOCK, (0, 0)) if n < ORIGIN else (0, 0)
            text = f"org {n:8} "
            if mask >> (n % BLOCK // 8) & 1:
                text = f"ssd {slot * BLOCK + n % BLOCK:8} "
            if data[n * SECTOR:(n + 1) * SECTOR] != (text * 40)[:SECTOR].encode():
                wrong.append(n)
        return wrong

    def bytes_of(self, path):
        """A whole file."""
        with open(path, "rb") as f:
            return f.read()
