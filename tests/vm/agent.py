#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The guest's end of vm.Node: run commands that come over a virtio port.

One JSON object a line, {"id", "cmd", "timeout"} in, {"id", "rc", "out"} out;
every command has a thread of its own, so that a slow one holds up nobody.
"""
import glob
import json
import os
import signal
import subprocess
import threading
import time


def open_port():
    """The port named "agent"; without udev it has no name in /dev."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for path in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(path, encoding="ascii") as f:
                if f.read().strip() == "agent":
                    dev = "/dev/" + path.split("/")[-2]
                    return os.open(dev, os.O_RDWR)
        time.sleep(0.05)
    raise SystemExit("agent: no port")


def run(cmd, timeout):
    """Run cmd by bash in a session of its own; 124 when time was up."""
    # No "with": its end would wait for what cannot be killed.
    p = subprocess.Popen(["/bin/bash", "-c", cmd], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         start_new_session=True)
    try:
        out, _ = p.communicate(timeout=timeout)
        return p.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        # What the command left in the kernel may not die: do not wait.
        try:
            out, _ = p.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            out = b""
        return 124, out


def serve(fd, lock, req):
    """Answer one request."""
    try:
        rc, out = run(req["cmd"], req.get("timeout", 60))
    except Exception as e:          # the host must get an answer, whatever it is
        rc, out = 125, repr(e).encode()
    ans = json.dumps({"id": req["id"], "rc": rc,
                      "out": out.decode("utf-8", "replace")}) + "\n"
    data = ans.encode()
    with lock:
        while data:
            data = data[os.write(fd, data):]


def main():
    """Read requests for ever; the host ends the VM."""
    fd = open_port()
    lock = threading.Lock()
    os.write(fd, b'{"id": 0, "rc": 0, "out": "ready"}\n')
    buf = b""
    while True:
        data = os.read(fd, 65536)
        if not data:                # the host's end is closed: wait for it
            time.sleep(0.1)
            continue
        buf += data
        while b"\n" in buf:
            line, buf = buf.split(b"\n", 1)
            req = json.loads(line)
            if req.get("cmd") is None:
                return
            threading.Thread(target=serve, args=(fd, lock, req),
                             daemon=True).start()


main()
