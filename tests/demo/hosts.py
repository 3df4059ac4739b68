# SPDX-License-Identifier: GPL-2.0-only
"""Hosts of a circle: VMs n1 .. nN with an SSD each, and one more that exports the origins.

Every owner has an origin of its own, o1 .. oN, on the last VM. It exports them
by NBD to all, so that any host can take over any origin: /dev/nbdK is oK
everywhere, once attached.

    with hosts.Hosts(3) as h:
        for d in h.start_all(degree=1): ...     # a Circle per host
        taker = h.circle(4, host=3, origin=1, spare=True, degree=1, peers=[2, 3])
        taker.recovers("recover fenced")
"""
import os
import re
import shutil
import subprocess
import threading
import time

import cluster
import vm

SLOW = float(os.environ.get("VM_SLOW", 1))
TIMEOUT = 2             # seconds after which a peer counts as lost: the module's default
PATIENCE = 8            # for who tests other things: a VM may stand still for longer than that
TRIES = 3               # of what a peer that stood still may have ended
LABEL = 2048            # sectors at the end of an origin that are not the target's
TICKER = os.path.join(vm.REPO, "tests", "demo", "ticker")
HISTORY = os.path.join(vm.REPO, "build", "tools", "circle-history")
MODULE = "drivers/md/dm-circle/dm-circle.ko"
LOAD = ("{ test -e /sys/module/dm_circle || { "
        "modprobe -a $(modinfo -F depends /vm/out/dm-circle.ko | tr , ' ') && insmod /vm/out/dm-circle.ko; }; }")

NBD_CONFIG = "[generic]\nallowlist = true\n"
NBD_EXPORT = "[o{0}]\nexportname = /dev/disk/by-serial/o{0}\nflush = true\nfua = true\ntrim = true\n"


class Circle:
    """One circle device: where it is, and its table line."""

    def __init__(self, hosts, number, host, origin, spare, degree, peers):
        self.hosts, self.number, self.host, self.origin = hosts, number, host, origin
        self.node = hosts.node(host)
        self.name = f"circle{number}"
        self.dev = f"/dev/mapper/{self.name}"
        self.port = 7001 if spare else 7000
        tail = "2" if spare else ""
        self.meta, self.ssd = (f"/dev/disk/by-serial/{d}{tail}" for d in ("meta", "ssd"))
        self.degree, self.peers = degree, peers

    @property
    def addr(self):
        """Where it listens."""
        return f"{self.node.addr}:{self.port}"

    def table(self, features=""):
        """The line; features besides writeback."""
        words = f"id {self.number} listen {self.addr} degree {self.degree} domain n{self.host}"
        for p in self.peers:
            words += f" peer {p.number}@{p.addr}"
        features = ("writeback " + features).split()
        return (f"0 {self.hosts.sectors} circle {self.meta} {self.ssd} /dev/nbd{self.origin} "
                f"{self.hosts.block} {len(features)} {' '.join(features)} default 0 "
                f"{len(words.split())} {words}")

    def try_create(self, features="", timeout=150):
        """Make it: (rc, what was said, by dmsetup or the kernel). It may wait twice 30 s for peers."""
        self.hosts.attach(self.host, self.origin)
        rc, out = self.node.try_sh(
            f"dmesg -C; {LOAD} && echo {self.hosts.timeout_ms()} >/sys/module/dm_circle/parameters/timeout_ms && "
            f"dmsetup create {self.name} --table '{self.table(features)}'", timeout * SLOW)
        log = self.node.try_sh("dmesg | grep circle")[1]
        if rc:      # else the next one finds a device without a table
            self.node.try_sh(f"dmsetup remove {self.name} 2>/dev/null")
        return rc, out + log

    def create(self, features=""):
        """Make it; what the kernel said."""
        return self._create(features, 1, False)

    def restarts(self):
        """Make it again, with its metadata; once more if a peer stood still meanwhile."""
        return self._create("", TRIES, False)

    def recovers(self, features):
        """Take over; once more, with blank metadata, if a peer stood still meanwhile. Until all is drained."""
        out = self._create(features, TRIES, True)
        self.wait("recovering", 0, 300)
        return out + self.node.sh("dmesg | grep circle")

    def _create(self, features, tries, wipe):
        for left in reversed(range(tries)):
            rc, out = self.try_create(features)
            if rc == 0:
                return out
            why = self.stood_still(out)
            if not (left and why):
                break
            print(f"# n{self.host}: {self.name}: again, since a machine stood still: {why}", flush=True)
            if wipe:
                self.wipe()
        raise cluster.CommandError(f"n{self.host}: {self.name} is refused (exit {rc})\n{out}")

    def stood_still(self, log):
        """What the kernel said of a peer that it lost or did not reach, although it is switched on; or None."""
        there = "|".join(str(p.number) for p in self.peers if p.node.alive())
        m = re.search(rf"peer ({there}): no answer.*connection reset|"
                      rf"peer ({there}) of the view cannot be reached|"
                      rf"peer ({there}) did not give its list \(-(110|104|107)\)|"
                      r"a peer went away or restarted meanwhile|"
                      r"could not be drained \(-(110|104|107)\)", log)
        return m and m[0]

    def remove(self, timeout=60):
        """Take it down in order."""
        self.node.sh(f"dmsetup remove --retry {self.name}", timeout * SLOW)

    def wipe(self):
        """Its metadata device becomes a blank one."""
        self.node.sh(f"dd if=/dev/zero of={self.meta} bs=128k count=1 conv=fsync,notrunc status=none")

    def status(self):
        """The keys behind "circle"; dirty in bytes."""
        words = self.node.sh(f"dmsetup status --noflush {self.name}").split()
        at = len(words) - 1 - words[::-1].index("circle") + 2
        found = dict(zip(words[at::2], words[at + 1::2]))
        page = max(8, self.hosts.block // 64)
        found["dirty"] = int(found["dirty_pages"]) * page * 512
        return found

    def set_timeout(self):
        """As its hosts' by now, of a device that there is."""
        self.node.sh(f"echo {self.hosts.timeout_ms()} >/sys/block/$(dmsetup info -c --noheadings "
                     f"-o blkdevname {self.name})/circle/timeout_ms")

    def wait(self, key, want, timeout=60):
        """Until a status key has this value."""
        end = time.monotonic() + timeout * SLOW
        while self.status()[key] != str(want):
            if time.monotonic() > end:
                raise vm.Timeout(f"n{self.host}: {self.name}: {key} is not {want}: {self.status()}")
            time.sleep(0.2)

    # circle-history, its log on the test's side of the wall: it survives the host.

    def log(self, name="history"):
        """A log's file as the test sees it."""
        return os.path.join(self.node.out, name)

    def logged(self, name="history"):
        """Bytes of a log by now."""
        try:
            return os.path.getsize(self.log(name))
        except FileNotFoundError:
            return 0

    def until_logged(self, more, was=0, log="history", timeout=60):
        """Until a log is so much longer than it was."""
        end = time.monotonic() + timeout * SLOW
        while self.logged(log) < was + more:
            if time.monotonic() > end:
                raise vm.Timeout(f"n{self.host}: {log}: {self.logged(log)} bytes, was {was}")
            time.sleep(0.05)

    def until_dirty(self, in_view, more=1 << 20, timeout=100):
        """Until so much is dirty, none of it at risk, with so many peers in view: this status.

        And the label says so, by its floor: without, nobody would take over from the peers alone.
        """
        end = time.monotonic() + timeout * SLOW
        while True:
            status = self.status()
            if (status["dirty"] >= more and status["at_risk"] == "0" and
                    status["in_view"] == str(in_view) and status["floor"] == str(self.degree)):
                return status
            if time.monotonic() > end:
                raise vm.Timeout(f"n{self.host}: {self.name}: nothing dirty, or it is at risk: {status}")
            time.sleep(0.2)

    def history(self, verb, args="", log="history", size=32):
        """A command line of circle-history; size in MiB."""
        span = "" if verb == "check" or "--resume" in args else f"--size {size}M "
        return (f"{HISTORY} {verb} --dev {self.dev} --log /vm/out/{log} {span}{args}")

    def check(self, allow="all", log="history", timeout=60):
        """What can be read now: (clean?, what the checker says). It becomes the floor."""
        rc, out = self.node.try_sh(self.history("check", f"--allow {allow} --record", log),
                                   timeout * SLOW)
        return rc == 0, f"exit {rc}\n{out}"

    def inherit(self, other, log="history"):
        """Go on with another host's log."""
        shutil.copyfile(other.log(log), self.log(log))


class OwnTicker(threading.Thread):
    """What `ticker` does, for this process."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.found = threading.Event(), []
        self.start()

    def run(self):
        """Until end()."""
        last = time.monotonic()
        while not self.over.wait(0.02):
            now = time.monotonic()
            if now - last > 0.5:
                self.found.append(round(now - last, 2))
            last = now

    def end(self):
        """What it found."""
        self.over.set()
        self.join()
        return self.found


class Hosts(cluster.Cluster):
    """So many hosts, and the one with the origins; MiB of each SSD and origin; how patient nodes are."""

    def __init__(self, n, ssd=64, origin=65, block=128, timeout=PATIENCE, **kw):
        subprocess.run(["make", "-s", "-C", os.path.join(vm.REPO, "tests", "tools")], check=True,
                       stdout=subprocess.DEVNULL)
        disks = {"ssd": ssd, "meta": 16, "ssd2": ssd, "meta2": 16}
        disks.update({f"o{i}": origin for i in range(1, n + 1)})
        super().__init__(n + 1, disks=disks, mem=kw.pop("mem", 384), **kw)
        self.count, self.block, self.timeout = n, block, timeout
        self.sectors = ((origin << 11) - LABEL) // 2048 * 2048
        self.store = self.node(n + 1)
        # One build for all, also for a node that starts again after the next `make`.
        for i in range(1, n + 1):
            shutil.copy(os.path.join(vm.REPO, "build", self.kver, MODULE), self.node(i).out)
        self.circles, self.tickers, self.own_ticker = {}, {}, None

    def __enter__(self):
        super().__enter__()
        conf = NBD_CONFIG + "".join(NBD_EXPORT.format(i) for i in range(1, self.count + 1))
        self.store.sh(f"printf '%s' '{conf}' >/tmp/nbd.conf && nbd-server -C /tmp/nbd.conf")
        self.store.wait_for("ss -tln | grep -q :10809")
        return self

    def timeout_ms(self):
        """As the module takes it."""
        return int(self.timeout * 1000)

    def be_patient(self):
        """From here on lost peers are not the point."""
        self.timeout = PATIENCE
        for c in self.circles.values():
            c.set_timeout()

    def tick(self, numbers):
        """Begin to note when these VMs stand still, or this process, which is their network.

        A paused one does not: its clock is paused too.
        """
        self.own_ticker = self.own_ticker or OwnTicker()
        for n in map(self.node, numbers):
            was = len(self._ticks(n))
            self.tickers[n.number] = n.spawn(f"{TICKER} /vm/out/gaps", 1000)
            end = time.monotonic() + 60 * SLOW
            while len(self._ticks(n)) == was:
                if time.monotonic() > end:
                    raise vm.Timeout(f"n{n.number}: no ticker")
                time.sleep(0.05)

    @staticmethod
    def _ticks(node):
        try:
            with open(os.path.join(node.out, "gaps"), encoding="ascii") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def gaps(self):
        """For how many seconds this process, and each machine, stood still, each time; the tickers end."""
        found = [self.own_ticker.end()]
        for i, wait in self.tickers.items():
            self.node(i).try_sh("pkill -TERM -x ticker")
            wait()
            found.append([float(line) for line in self._ticks(self.node(i))
                          if re.fullmatch(r"\d+\.\d\d", line)])     # one that died wrote half a line
            os.unlink(os.path.join(self.node(i).out, "gaps"))
        self.tickers, self.own_ticker = {}, None
        return found

    def attach(self, host, origin):
        """/dev/nbdK of a host is origin K."""
        self.node(host).sh("modprobe nbd", 30 * SLOW)
        self.node(host).wait_for(
            f"[ \"$(cat /sys/block/nbd{origin}/size)\" -gt 0 ] || timeout 10 "
            f"nbd-client -N o{origin} {self.store.addr} /dev/nbd{origin} -b 512", 60 * SLOW)

    def circle(self, number, host=None, origin=None, spare=False, degree=1, peers=()):
        """Describe a device; peers by number, of those described before or after."""
        c = Circle(self, number, host or number, origin or number, spare, degree, [])
        self.circles[number] = c
        c.peers = [self.circles[p] for p in peers]
        return c

    def start_all(self, degree=1):
        """A device on each host, all peers of each other; they are in each other's view."""
        every = range(1, self.count + 1)
        for i in every:
            self.circle(i, degree=degree)
        for i in every:
            self.circles[i].peers = [self.circles[p] for p in every if p != i]
        for i in every:
            self.circles[i].create()
        for i in every:
            self.circles[i].wait("in_view", self.count - 1)
            self.circles[i].wait("floor", degree)
        return [self.circles[i] for i in every]


def slowest(out):
    """Seconds of the slowest operation that circle-history reports; -1: it reports none."""
    return max(int(n) / 1e6 for n in re.findall(r"slowest (\d+) us", out) or [-1e6])


def recovered(log):
    """What the kernel said about a recovery: {blocks, peers, pages, how}, or None."""
    m = re.search(r"recovery (complete[^:]*): (\d+) blocks \((\d+) from peers\), (\d+) pages", log)
    return m and {"how": m[1], "blocks": int(m[2]), "peers": int(m[3]), "pages": int(m[4])}
