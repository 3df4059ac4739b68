#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
# needs: nodes=multi timeout=400 kernels=newest
"""The means of tests with several VMs: network, disks, death, pause."""
import cluster
import ktap

WRITE = ("printf '%-511s\\n' {word} | dd of=/dev/{dev} bs=512 seek={at} count=1 "
         "iflag=fullblock oflag=direct conv=notrunc status=none")
READ = "dd if=/dev/{dev} bs=512 skip={at} count=1 iflag=direct status=none | tr -d '\\0 \\n'"
FLUSH = "sync /dev/{dev} && blockdev --flushbufs /dev/{dev} && python3 -c " \
    "'import os; os.fsync(os.open(\"/dev/{dev}\", os.O_RDWR))'"


def write(node, word, at, dev="vda", flush=False):
    """One sector."""
    cmd = WRITE.format(word=word, at=at, dev=dev)
    node.sh(cmd + (" && " + FLUSH.format(dev=dev) if flush else ""))


def read(node, at, dev="vda"):
    """Its word."""
    return node.sh(READ.format(at=at, dev=dev))


def ping(other):
    """A command."""
    return f"busybox ping -c 1 -W 2 {other.addr}"


def reaches(what, node, other):
    """A ping comes back, if not the first one."""
    node.wait_for(ping(other), 30, what)
    ktap.ok(what)


def lost(what, node, other):
    """None does."""
    ktap.check(what, node.try_sh(ping(other), 20)[0] != 0)


def network(c):
    """Cables and cuts."""
    n1, n2, n3 = (c.node(i) for i in (1, 2, 3))
    reaches("1 reaches 2", n1, n2)
    reaches("1 reaches 3", n1, n3)
    c.net.cut(1, 2)
    lost("cut: 1 does not reach 2", n1, n2)
    reaches("cut: 3 reaches 2", n3, n2)
    c.net.join(1, 2)
    reaches("joined: 1 reaches 2", n1, n2)
    n2.link(False)
    lost("link down: 1 does not reach 2", n1, n2)
    n2.link(True)
    reaches("link up: 1 reaches 2", n1, n2)
    n2.pause()
    lost("paused: 1 does not reach 2", n1, n2)
    n2.resume()
    ktap.check("resumed: it runs", n2.sh("hostname").strip() == "n2")
    n1.delay(100)
    out = n1.sh(f"busybox ping -c 2 {n2.addr}")
    ktap.check("delay: 100 ms more", float(out.split("=")[-1].split("/")[0]) >= 100, out)


def disks(c):
    """What survives what."""
    n1 = c.node(1)
    ktap.check("disks by name", n1.sh("readlink /dev/disk/by-serial/ssd "
               "/dev/disk/by-serial/meta").split() == ["/dev/vda", "/dev/vdb"])
    write(n1, "flushed", 0, flush=True)
    write(n1, "unflushed", 64)
    n1.kill9()
    n1.start()
    ktap.check("both survive a kill", [read(n1, 0), read(n1, 64)] == ["flushed", "unflushed"])
    write(n1, "lost", 0)
    write(n1, "lost", 64)
    n1.power_cut(keep=0)
    n1.start()
    ktap.check("a power cut takes what was not flushed",
               [read(n1, 0), read(n1, 64)] == ["flushed", ""],
               [read(n1, 0), read(n1, 64)])
    job = n1.spawn("sleep 100", 100)
    n1.kill9()
    ktap.check("a command on a node that dies ends", job()[0] == 125)
    ktap.check("a command that takes too long ends", c.node(2).try_sh("sleep 50", 1)[0] == 124)
    c.node(2).poweroff()
    ktap.check("poweroff", not c.node(2).alive())


def test():
    """All of it."""
    with cluster.Cluster(3, disks={"ssd": 16, "meta": 8}, volatile=True, mem=384) as c:
        ktap.ok("three nodes boot")
        network(c)
        disks(c)
        ktap.check_splats(c)


ktap.main(test)
