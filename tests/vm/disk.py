# SPDX-License-Identifier: GPL-2.0-only
"""A disk with a volatile write cache, served to QEMU over NBD.

What is written is readable at once and durable after a FLUSH or by FUA. When
power goes, every write since then is kept or lost by the throw of a seeded
die, each for itself, in any order; a write of several sectors may be torn
between two of them. So a test can show that what was flushed is there, and
that nothing relied on more.
"""
import os
import random
import socket
import struct
import threading

SECTOR = 512
MAGIC, OPTION, REPLY = 0x4e42444d41474943, 0x49484156454F5054, 0x3e889045565a9
OPT_EXPORT_NAME, OPT_ABORT, OPT_GO = 1, 2, 7
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
READ, WRITE, DISC, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FUA = 1
# flags: has flags, FLUSH, FUA, TRIM, WRITE_ZEROES
FLAGS = 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6


def _exactly(conn, n):
    buf = bytearray()
    while len(buf) < n:
        part = conn.recv(n - len(buf))
        if not part:
            raise EOFError
        buf += part
    return bytes(buf)


class VolatileDisk:
    """One disk: `path` holds what is durable, `path`.now what is readable."""

    def __init__(self, path, mib, sock, seed=0):
        self.size = mib << 20
        self.durable = self._file(path)
        self.now = self._file(path + ".now")
        self.pending = []               # (offset, data, FUA?) since the last FLUSH
        self.lock = threading.Lock()    # covers pending and both files
        self.die = random.Random(seed)
        self.lost = 0                   # writes that power losses took
        self.serving = []               # threads
        self.sock = sock
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(sock)
        self.listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def _file(self, path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(fd, self.size)
        return fd

    def power_loss(self, keep=0.5):
        """Decide the fate of what was not flushed. Only while no VM uses it."""
        # A request may be on its way still, though who sent it is dead.
        while self.serving:
            t = self.serving.pop()
            t.join(60)
            if t.is_alive():
                raise TimeoutError(f"{self.sock}: power loss of a disk in use")
        with self.lock:
            for offset, data, fua in self.pending:
                fate = self.die.random()
                if fua or fate < keep * 0.9:
                    os.pwrite(self.durable, data, offset)
                elif fate < keep and len(data) > SECTOR:
                    cut = self.die.randrange(1, len(data) // SECTOR) * SECTOR
                    os.pwrite(self.durable, data[:cut], offset)
                    self.lost += 1
                else:
                    self.lost += 1
            for offset, data, _ in self.pending:
                os.pwrite(self.now, os.pread(self.durable, len(data), offset), offset)
            self.pending.clear()

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            t = threading.Thread(target=self._serve, args=(conn,), daemon=True)
            t.start()
            self.serving.append(t)

    def _serve(self, conn):
        with conn:
            try:
                if self._greet(conn):
                    while self._request(conn):
                        pass
            except (EOFError, OSError):
                pass                    # QEMU was killed

    def _greet(self, conn):
        conn.sendall(struct.pack(">QQH", MAGIC, OPTION, 1))     # fixed newstyle
        _exactly(conn, 4)
        while True:
            _, opt, length = struct.unpack(">QII", _exactly(conn, 16))
            _exactly(conn, length)
            if opt == OPT_EXPORT_NAME:
                conn.sendall(struct.pack(">QH", self.size, FLAGS) + b"\0" * 124)
                return True
            if opt == OPT_GO:
                conn.sendall(struct.pack(">QIIIHQH", REPLY, opt, INFO, 12, 0,
                                         self.size, FLAGS) +
                             struct.pack(">QIII", REPLY, opt, ACK, 0))
                return True
            kind = ACK if opt == OPT_ABORT else UNSUPPORTED
            conn.sendall(struct.pack(">QIII", REPLY, opt, kind, 0))
            if opt == OPT_ABORT:
                return False

    def _request(self, conn):
        _, flags, kind, cookie, offset, length = struct.unpack(
            ">IHHQQI", _exactly(conn, 28))
        answer, error = b"", 0
        data = _exactly(conn, length) if kind == WRITE else b""
        if kind == DISC:
            return False
        with self.lock:
            if kind == READ:
                answer = os.pread(self.now, length, offset)
            elif kind in (WRITE, ZEROES, TRIM):
                data = data or b"\0" * length
                os.pwrite(self.now, data, offset)
                # FUA waits here too: it makes durable nothing but itself, and
                # what is older must not come over it later.
                self.pending.append((offset, data, flags & FUA))
            elif kind == FLUSH:
                self._flush()
            else:
                error = 22
        conn.sendall(struct.pack(">IIQ", 0x67446698, error, cookie) + answer)
        return True

    def _flush(self):
        for offset, data, _ in self.pending:
            os.pwrite(self.durable, data, offset)
        self.pending.clear()
