# SPDX-License-Identifier: GPL-2.0-only
"""Several VMs that may die: Net (their cables), Node (one VM), Cluster.

A node's disks are files that survive its death; with volatile=True they have a
write cache which a power loss empties. The nodes' network cards are joined by
a hub in this process, which can cut any pair.
"""
import atexit
import itertools
import json
import os
import queue
import random
import selectors
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time

import disk
import vm

BOOT_SECONDS = 2 * vm.BOOT
HUB_QUEUE = 4 << 20     # bytes on the way to a node that does not read; then drop


class Net:
    """An Ethernet hub over unix sockets, in a thread of its own.

    QEMU's stream netdev sends each frame after its length. A card's address
    ends in the node's number, so there is nothing to learn.
    """

    def __init__(self, run):
        self.run = run
        self.sel = selectors.DefaultSelector()
        self.inbuf, self.outbuf, self.conn = {}, {}, {}
        self.cuts = set()
        self.dropped = 0
        threading.Thread(target=self._loop, daemon=True).start()

    def path(self, n):
        """Where node n's QEMU is to connect."""
        return f"{self.run}/net{n}"

    def add(self, n):
        """A socket on the hub."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path(n))
        listener.listen(1)
        self.sel.register(listener, selectors.EVENT_READ, ("listen", n))

    def cut(self, a, b):
        """Nothing passes between a and b, either way."""
        self.cuts |= {(a, b), (b, a)}

    def join(self, a, b):
        """It passes again."""
        self.cuts -= {(a, b), (b, a)}

    def _loop(self):
        while True:
            for key, mask in self.sel.select(0.2):
                kind, n = key.data
                if kind == "listen":
                    self._accept(key.fileobj, n)
                    continue
                if mask & selectors.EVENT_READ:
                    self._read(n, key.fileobj)
                if mask & selectors.EVENT_WRITE and self.conn.get(n) is key.fileobj:
                    self._write(n)

    def _accept(self, listener, n):
        conn, _ = listener.accept()
        conn.setblocking(False)
        self._drop(n)
        self.conn[n], self.inbuf[n], self.outbuf[n] = conn, bytearray(), bytearray()
        self.sel.register(conn, selectors.EVENT_READ, ("conn", n))

    def _drop(self, n):
        conn = self.conn.pop(n, None)
        if conn:
            self.sel.unregister(conn)
            conn.close()

    def _read(self, n, conn):
        try:
            data = conn.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            if self.conn.get(n) is conn:
                self._drop(n)
            return
        buf = self.inbuf[n]
        buf += data
        while len(buf) >= 4:
            length = struct.unpack_from(">I", buf)[0]
            if len(buf) < 4 + length:
                break
            self._forward(n, bytes(buf[:4 + length]))
            del buf[:4 + length]

    def _forward(self, n, frame):
        to = [frame[9]] if not frame[4] & 1 else list(self.conn)
        for m in to:
            if m == n or m not in self.conn or (n, m) in self.cuts:
                continue
            if len(self.outbuf[m]) > HUB_QUEUE:
                self.dropped += 1
                continue
            self.outbuf[m] += frame
            self._write(m)

    def _write(self, n):
        buf = self.outbuf[n]
        try:
            while buf:
                del buf[:self.conn[n].send(buf[:1 << 18])]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(n)
            return
        want = selectors.EVENT_READ | (selectors.EVENT_WRITE if buf else 0)
        self.sel.modify(self.conn[n], want, ("conn", n))


class CommandError(vm.VmError):
    """A command in a guest failed."""


class Node(vm.Vm):
    """A VM with a number, an address, disks, and a command channel."""

    def __init__(self, number, out, net=None, disks=None, volatile=False, seed=0, **kw):
        super().__init__(out, **kw)
        self.number, self.net = number, net
        self.addr = f"10.77.0.{number}"
        self.modules = ("virtio_console", "virtio_blk", "virtio_net", "dm-mod",
                        *self.modules)
        self.job["JOB_NODE"] = number
        self.disks = {}
        self._ids = itertools.count(1)
        self._answers, self._lock, self._agent = {}, threading.Lock(), None
        self.extra += [
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self.run}/agent,server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=agent"]
        for name, mib in (disks or {}).items():
            self._add_disk(name, mib, volatile, seed)
        if net:
            net.add(number)
            self.extra += [
                "-netdev", "stream,id=net,server=off,addr.type=unix,"
                           f"addr.path={net.path(number)}",
                "-device", "virtio-net-pci,netdev=net,id=nic,romfile=,"
                           f"mac=52:54:00:77:00:{number:02x}"]

    def _add_disk(self, name, mib, volatile, seed):
        path = os.path.join(self.out, f"disk-{name}")
        if volatile:
            sock = f"{self.run}/{name}"
            self.disks[name] = disk.VolatileDisk(path, mib, sock, f"{seed}/{self.number}/{name}")
            drive = f"file.driver=nbd,file.server.type=unix,file.server.path={sock}"
        else:
            with open(path, "wb") as f:
                f.truncate(mib << 20)
            drive = f"file={path}"
        # cache=unsafe: a flush need not reach the disk of this machine, which
        # the test does not kill; the guest still sees a write cache.
        cache = "writeback" if volatile else "unsafe"
        self.extra += ["-drive", f"if=none,id={name},format=raw,cache={cache},"
                                 f"discard=unmap,{drive}",
                       "-device", f"virtio-blk-pci,drive={name},serial={name}"]

    def start(self, mode="agent", argv=(), wait=True):
        """Boot, with the disks as they are."""
        self._power_on(mode, argv)
        if wait:
            self.ready()

    def _power_on(self, mode="agent", argv=()):
        for name in ("agent", "qmp", "con"):
            if os.path.exists(f"{self.run}/{name}"):
                os.unlink(f"{self.run}/{name}")
        super().start(mode, argv)

    def ready(self, timeout=BOOT_SECONDS):
        """Wait until commands can be run. A boot that hangs or dies is tried once more, unless our
        module may be why: before the agent runs, nothing writes to the disks.
        """
        try:
            self._ready(timeout)
        except vm.VmError as e:
            if self.ours():
                raise
            self.again(e)
            self._power_on()
            self._ready(timeout)

    def _ready(self, timeout):
        end = time.monotonic() + timeout
        s = socket.socket(socket.AF_UNIX)
        while True:
            try:
                s.connect(f"{self.run}/agent")
                break
            except OSError:
                if not self.alive() or time.monotonic() > end:
                    raise vm.VmError(f"n{self.number}: QEMU does not start, "
                                     f"see {self.out}/qemu.log") from None
                time.sleep(0.02)
        with self._lock:
            self._agent, self._answers = s, {0: queue.Queue()}
            answers = self._answers
        threading.Thread(target=self._reader, args=(s, answers), daemon=True).start()
        try:
            if answers[0].get(timeout=max(0.1, end - time.monotonic())) is None:
                raise vm.VmError(f"n{self.number}: died while booting, see {self.console}")
        except queue.Empty:
            self.sysrq()
            raise vm.Timeout(f"n{self.number}: no boot in {timeout} s, "
                             f"see {self.console}") from None

    @staticmethod
    def _reader(s, answers):
        try:
            for line in s.makefile("r", encoding="utf-8"):
                ans = json.loads(line)
                if ans["id"] in answers:
                    answers[ans["id"]].put(ans)
        except (OSError, ValueError):
            pass
        for q in list(answers.values()):    # nobody waits for a dead VM
            q.put(None)

    def spawn(self, cmd, timeout=60):
        """Begin a command; returns a function that waits for (rc, output).

        The guest ends it after timeout (rc 124). A node that dies gives rc 125.
        """
        number, q = next(self._ids), queue.Queue()
        with self._lock:
            self._answers[number] = q
            try:
                self._agent.sendall((json.dumps(
                    {"id": number, "cmd": cmd, "timeout": timeout}) + "\n").encode())
            except OSError:
                q.put(None)
        begin = time.monotonic()

        def result(more=30):
            try:
                left = begin + timeout + more - time.monotonic()
                ans = q.get(timeout=max(0.1, left))
            except queue.Empty:
                self.sysrq()
                raise vm.Timeout(f"n{self.number}: no answer to: {cmd}") from None
            return (125, "") if ans is None else (ans["rc"], ans["out"])
        return result

    def try_sh(self, cmd, timeout=60):
        """Run a command by bash: (rc, output). A dead node: rc 125."""
        return self.spawn(cmd, timeout)()

    def sh(self, cmd, timeout=60):
        """Run a command that must succeed; its output."""
        rc, out = self.try_sh(cmd, timeout)
        if rc:
            raise CommandError(f"n{self.number}: exit {rc}: {cmd}\n{out}")
        return out

    def wait_for(self, cmd, timeout=30, what=None):
        """Repeat a command until it succeeds."""
        end = time.monotonic() + timeout
        while True:
            rc, out = self.try_sh(cmd, timeout)
            if rc == 0:
                return out
            if time.monotonic() > end or rc == 125:
                raise vm.Timeout(f"n{self.number}: gave up waiting for "
                                 f"{what or cmd}\n{out}")
            time.sleep(0.2)

    def power_cut(self, keep=0.5):
        """kill9, and volatile disks lose what was not flushed."""
        self.kill9()
        for d in self.disks.values():
            d.power_loss(keep)

    def poweroff(self, timeout=120):
        """End in order, as far as that goes without a service manager."""
        with self._lock:
            self._agent.sendall(b'{"id": 0, "cmd": null}\n')
        self.wait(timeout)

    def pause(self):
        """The CPUs stop; peers see silence."""
        self.qmp("stop")

    def resume(self):
        """They go on as if no time had passed."""
        self.qmp("cont")

    def link(self, up):
        """Plug the cable in or out."""
        self.qmp("set_link", name="nic", up=up)

    def delay(self, ms):
        """Milliseconds on the way out; 0 takes it away."""
        self.sh("modprobe sch_netem && tc qdisc replace dev eth0 root netem "
                f"limit 10000 delay {ms}ms")


class Cluster:
    """So many nodes, booted side by side; all are dead when the block ends."""

    def __init__(self, n, disks=None, volatile=False, seed=None, kver=None, mem=512,
                 smp=1, modules=(), name=None):
        self.kver = vm.find_kernel(kver or os.environ.get("KVER"))
        self.seed = seed if seed is not None else int(
            os.environ.get("SEED") or random.randrange(1 << 32))
        name = name or os.path.basename(sys.argv[0])
        self.out = os.path.join(vm.RESULTS, self.kver, name)
        vm.claim(self.out)
        shutil.rmtree(self.out, ignore_errors=True)
        self.run = tempfile.mkdtemp(prefix="net.")
        atexit.register(shutil.rmtree, self.run, ignore_errors=True)
        self.net = Net(self.run)
        disks = {"ssd": 256, "meta": 32} if disks is None else disks
        self.nodes = {i: Node(i, os.path.join(self.out, f"n{i}"), self.net, disks,
                              volatile, self.seed, kver=self.kver, mem=mem, smp=smp,
                              modules=modules)
                      for i in range(1, n + 1)}
        print(f"# {n} nodes, {self.kver}, SEED={self.seed}", flush=True)

    def node(self, i):
        """Node i, from 1."""
        return self.nodes[i]

    def __enter__(self):
        try:
            for n in self.nodes.values():
                n.start(wait=False)
            for n in self.nodes.values():
                n.ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """Kill what runs."""
        for n in self.nodes.values():
            n.kill9()

    def splats(self):
        """What the kernels complained about, on any node."""
        return [f"n{n.number}: {line}" for n in self.nodes.values() for line in n.splats()]
