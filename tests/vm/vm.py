# SPDX-License-Identifier: GPL-2.0-only
"""Virtual machines for the tests: one kernel, the host's root, no image.

A VM boots a kernel from build/kernels/<ver> with an initrd made here; its root
is the host's root, read-only over 9p, under a tmpfs. `Vm` is what a single
script needs (see run-one); cluster.Node adds disks that survive a kill, a
command channel and a network, for tests in which hosts must die.

Every wait has an end, and only processes started here are ever killed.
"""
import atexit
import contextlib
import ctypes
import fcntl
import glob
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
KERNELS = os.path.join(REPO, "build", "kernels")
RESULTS = os.path.join(REPO, "build", "results")

# What must be loaded before the root file system is there. Names that are
# built in, or that a kernel does not have, are passed over.
BOOT_MODULES = ("virtio_pci", "9p", "9pnet_virtio", "overlay")

CMDLINE = ("console=ttyS0 panic=-1 oops=panic nokaslr mitigations=off "
           "tsc=reliable random.trust_cpu=on sysrq_always_enabled=1 "
           "hung_task_panic=0 sysctl.kernel.hung_task_timeout_secs=60 "
           # This machine may stop for a while: it is not the guest that is stuck then.
           "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 "
           "net.ifnames=0 quiet loglevel=6")

# Where the timer of QEMU's machine is that neither lags behind nor stops: without ACPI a kernel must be told.
PM_TIMER = " pmtmr=0x608"

# Anything like this in the kernel's log fails a test, whatever the test said.
SPLAT = re.compile(
    r"WARNING: |BUG: |kernel BUG|INFO: task .* blocked for more than|"
    r"possible (circular|recursive) locking|inconsistent lock state|"
    r"suspicious RCU usage|rcu.*detected stalls|soft lockup|hard LOCKUP|"
    r"KASAN|use-after-free|kmemleak: \d+ new|refcount_t:|"
    r"scheduling while atomic|sleeping function called from invalid|"
    r"Call Trace:|general protection fault|Oops|Kernel panic|"
    r"Objects remaining in|list_(add|del) corruption|UBSAN")

# One side of a race as KCSAN tells it; behind it comes where that was.
KCSAN_SIDE = re.compile(r"(read|write|no accesses).* of \d+ bytes by (task|interrupt)")
# What looks at memory for its caller, who is meant then: bit maps, lists, strings, sort.
KCSAN_LIB = re.compile(r" (_find_\w+|__bitmap_\w+|__list_\w+|llist_\w+|_*mem(chr_inv|cmp|cpy|move|set)|"
                       r"str[a-z]+|sized_strscpy|sort(_r)?|crc32c\w*)\+0x")


def without_foreign_races(lines):
    """Drop KCSAN's reports of races of which neither side is in our module: the kernel has its own. So is
    that of memalloc_*_restore(), inlined into ours, with a tick that looks at the same task's flags. A side
    is where its first function is that is not of KCSAN_LIB.
    """
    report, ours, side = [], False, False
    for line in lines:
        if report or "BUG: KCSAN:" in line:
            report.append(line)
            ours |= side and "[dm_circle]" in line
            side = bool(KCSAN_SIDE.search(line)) or (side and bool(KCSAN_LIB.search(line)))
            if "Reported by Kernel Concurrency Sanitizer" in line:
                yield from report if ours and "kthread_data" not in report[0] else ()
                report, ours = [], False
        else:
            yield line
    yield from report


# Bits of EFLAGS that no x86 CPU ever sets (31-22, 15, 5, 3) or clears (1).
EFLAGS_ZERO, EFLAGS_ONE = 0xffc08028, 0x2


def emulator_fault(out):
    """The line that proves that the emulated CPU, not the guest, went wrong; or None.

    TCG has been seen to lose track of how the flags were computed: a trace then
    shows EFLAGS that are a piece of another register. And to run an int3 where,
    as the trace shows, none stands any more: the guest had patched its code back.
    A vCPU that stood still while the kernel measured the TSC has a clock that runs many
    times too fast or too slow: the two timers it is measured by do not agree, then.
    """
    for path in glob.glob(os.path.join(out, "**", "console.log"), recursive=True):
        with open(path, encoding="utf-8", errors="replace") as f:
            int3 = False
            for line in f:
                if "tsc: PIT calibration deviates from HPET" in line:
                    return line.strip()
                int3 |= "Oops: int3" in line
                m = re.search(r"Code: .*\b([0-9a-f]{2}) <[0-9a-f]{2}>", line)
                if int3 and m and m[1] != "cc":
                    return "int3 that is not there, " + line.strip()
                m = re.search(r"EFLAGS: ([0-9a-f]{8})\b", line)
                flags = int(m[1], 16) if m else EFLAGS_ONE
                if flags & EFLAGS_ZERO or not flags & EFLAGS_ONE:
                    return line.strip()
    return None


# Our module, also in a trace; not as the kernel's command line may name the tree.
OURS = re.compile(r"^(?!.*ommand line:).*(dm_circle|circle:)", re.M)


class VmError(Exception):
    """A VM did not do what the test needs of every VM."""


class Timeout(VmError):
    """It did not do so in time."""


SLOW = float(os.environ.get("VM_SLOW", 1))
BOOT = 150 * SLOW       # seconds after which a machine is started once more; it takes about 10


# ---------------------------------------------------------------- kernels

MADE = ("-debug", "-kcsan")     # ends of versions that scripts/debug-kernel builds


def kernels():
    """Versions that can be booted, oldest first."""
    found = [os.path.basename(os.path.dirname(os.path.dirname(p)))
             for p in glob.glob(os.path.join(KERNELS, "*", "boot", "vmlinuz-*"))]
    return sorted(found, key=lambda v: [int(n) for n in re.findall(r"\d+", v)])


def find_kernel(want=None):
    """The one version that `want` names or begins; the newest without it.

    "debug", "kcsan": one with checkers (scripts/debug-kernel), never taken unasked.
    """
    have, asked = kernels(), want
    if want in have:
        return want
    made = [v for v in have if v.endswith(MADE)]
    if want in ("debug", "kcsan"):
        have = [v for v in made if v.endswith("-" + want)]
        want = None
    else:
        have = [v for v in have if v not in made]
    fit = [v for v in have if not want or re.match(re.escape(want) + r"\b", v)]
    if not fit:
        raise VmError(f"no such kernel ({asked or 'any'}) under build/kernels "
                      "(`make deps` brings them)")
    return fit[-1]


def _moddir(kver):
    return os.path.join(KERNELS, kver, "lib", "modules", kver)


@contextlib.contextmanager
def _locked(path):
    with open(path, "w", encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


_claims = {}


def claim(out):
    """These results are ours until we end; whoever comes meanwhile fails."""
    if out in _claims:
        return
    os.makedirs(os.path.dirname(out), exist_ok=True)
    f = open(out + ".lock", "w", encoding="ascii")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        f.close()
        raise VmError(f"{out}: another run of this test writes there") from None
    _claims[out] = f


def _install_module(kver):
    """Put our freshest module among the kernel's, so that modprobe finds it."""
    built = os.path.join(REPO, "build", kver, "drivers/md/dm-circle/dm-circle.ko")
    there = os.path.join(_moddir(kver), "updates", "dm-circle.ko")
    stale = not os.path.exists(os.path.join(_moddir(kver), "modules.dep"))
    if os.path.exists(built) and (
            not os.path.exists(there) or
            os.path.getmtime(built) != os.path.getmtime(there)):
        os.makedirs(os.path.dirname(there), exist_ok=True)
        shutil.copy2(built, there + ".new")
        os.rename(there + ".new", there)
        stale = True
    elif os.path.exists(there) and not os.path.exists(built):
        os.unlink(there)
        stale = True
    if stale:
        depmod = shutil.which("depmod") or "/usr/sbin/depmod"
        subprocess.run([depmod, "-b", os.path.join(KERNELS, kver), kver], check=True)


def _boot_order(kver):
    """BOOT_MODULES and what they need, as paths in an order that loads."""
    deps, path = {}, {}
    with open(os.path.join(_moddir(kver), "modules.dep"), encoding="ascii") as f:
        for line in f:
            mod, need = line.split(":")
            path[re.sub(r"\.ko.*$", "", os.path.basename(mod)).replace("-", "_")] = mod
            deps[mod] = need.split()
    order = []
    for name in BOOT_MODULES:
        mod = path.get(name)
        if mod:     # modules.dep lists the outermost need first
            order += [m for m in [*reversed(deps[mod]), mod] if m not in order]
    return order


def _ko_bytes(path):
    for end, tool in ((".xz", ["xz", "-dc"]), (".zst", ["zstd", "-dcq"]),
                      (".gz", ["gzip", "-dc"])):
        if path.endswith(end):
            return subprocess.run([*tool, path], stdout=subprocess.PIPE,
                                  check=True).stdout
    with open(path, "rb") as f:
        return f.read()


def _cpio(entries):
    """A newc archive of (name, mode, data)."""
    out = bytearray()
    for ino, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        raw = name.encode() + b"\0"
        head = [ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
        out += b"070701" + b"".join(b"%08X" % n for n in head) + raw
        out += b"\0" * (-len(out) % 4) + data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def prepare(kver):
    """Module tree and initrd of a kernel; the initrd's path."""
    with _locked(os.path.join(KERNELS, kver, ".lock")):
        _install_module(kver)
        with open(os.path.join(HERE, "initramfs-init"), "rb") as f:
            init = f.read()
        order = _boot_order(kver)
        key = hashlib.sha1(init + "\n".join(order).encode()).hexdigest()[:12]
        path = os.path.join(KERNELS, kver, f"initrd-{key}.img")
        if not os.path.exists(path):
            busybox = shutil.which("busybox") or "/bin/busybox"
            with open(busybox, "rb") as f:
                entries = [("dev", 0o040755, b""), ("bin", 0o040755, b""),
                           ("mods", 0o040755, b""),
                           ("init", 0o100755, init),
                           ("bin/busybox", 0o100755, f.read())]
            names = []
            for mod in order:
                names.append(re.sub(r"(\.ko).*$", r"\1", os.path.basename(mod)))
                entries.append(("mods/" + names[-1], 0o100644,
                                _ko_bytes(os.path.join(_moddir(kver), mod))))
            entries.append(("mods/order", 0o100644,
                            "".join(n + "\n" for n in names).encode()))
            with open(path + ".new", "wb") as f:
                f.write(_cpio(entries))
            os.rename(path + ".new", path)
        return path


# --------------------------------------------------------------- one VM

_running = set()


def kill_all():
    """Whatever still runs."""
    for p in list(_running):
        with contextlib.suppress(OSError):
            p.kill()
            p.wait()


atexit.register(kill_all)
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent():
    """For preexec_fn: what we started does not outlive us, however we end."""
    _libc.prctl(1, signal.SIGKILL)      # PR_SET_PDEATHSIG


# For machines whose time is counted in instructions. Without these the kernel copies by the word, as
# fast as a real CPU: QEMU counts one instruction for each byte of a "rep movsb", which is what they
# make it use.
CPU_COUNTED = "max,-erms,-fsrm"


class Vm:
    """One boot of one kernel. `out` is shared with the guest as /vm/out."""

    def __init__(self, out, kver=None, mem=1024, smp=2, icount=False, modules=()):
        self.kver = find_kernel(kver)
        self.made = self.kver.endswith(MADE)
        self.out = os.path.abspath(out)
        self.mem, self.smp, self.icount = mem, 1 if icount else smp, icount
        self.modules = tuple(modules)
        self.extra = []                 # more arguments for QEMU
        self.job = {}                   # more variables for guest-init
        self.proc = None
        self.boots = 0
        self._log_at = 0                # where this boot begins in the console's log
        os.makedirs(self.out, exist_ok=True)
        # Paths of unix sockets are short, those of results need not be.
        self.run = tempfile.mkdtemp(prefix="vm.")
        atexit.register(shutil.rmtree, self.run, ignore_errors=True)

    @property
    def console(self):
        """The console's log."""
        return os.path.join(self.out, "console.log")

    def said(self):
        """What is on the console since this boot."""
        try:
            with open(self.console, "rb") as f:
                f.seek(self._log_at)
                return f.read().decode("utf-8", "replace").replace("\r\n", "\n")
        except FileNotFoundError:
            return ""

    def begun(self):
        """Has guest-init started what it was to start?"""
        return any(line.endswith(" begins\n") and "vm: " in line
                   for line in self.said().splitlines(True))

    def ours(self):
        """Is our module on the console? Then it may be why the machine died."""
        return bool(OURS.search(self.said()))

    def again(self, why):
        """Tell why a boot is tried once more; the machine is dead, and its console as before."""
        self.kill9()
        print(f"# {why}: once more", flush=True)
        said = self.said()
        for line in said.splitlines()[-10:]:
            print(f"#   {line}", flush=True)
        if said:
            with open(self.console + ".failed", "a", encoding="utf-8") as f:
                f.write(said)
            os.truncate(self.console, self._log_at)

    def _accel(self):
        if self.icount:
            return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
        return ["-accel", os.environ.get("VM_ACCEL", "tcg,thread=multi")]

    def _smp(self):
        """Of the MP tables, which go for ACPI in a kernel without it, each entry is a socket."""
        return f"{self.smp},sockets={self.smp}" if self.made else str(self.smp)

    def _argv(self, initrd):
        boot = os.path.join(KERNELS, self.kver, "boot", "vmlinuz-" + self.kver)
        p9 = "security_model=none,multidevs=remap"
        return [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config",
            "-display", "none", "-no-reboot", "-machine", "pc",
            "-cpu", CPU_COUNTED if self.icount else "max",
            "-m", str(self.mem), "-smp", self._smp(), *self._accel(),
            "-kernel", boot, "-initrd", initrd,
            "-append", f"{CMDLINE}{PM_TIMER if self.made else ''} vm.repo={REPO}",
            "-chardev", f"socket,id=con,path={self.run}/con,server=on,wait=off,"
                        f"logfile={self.console},logappend=on",
            "-serial", "chardev:con",
            "-qmp", f"unix:{self.run}/qmp,server=on,wait=off",
            "-fsdev", f"local,id=root,path=/,readonly=on,{p9}",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=root",
            "-fsdev", f"local,id=out,path={self.out},{p9}",
            "-device", "virtio-9p-pci,fsdev=out,mount_tag=out",
            *self.extra]

    def start(self, mode, argv=()):
        """Boot; returns when QEMU runs, not when the guest does."""
        initrd = prepare(self.kver)
        job = {"REPO": REPO, "KVER": self.kver, "JOB_MODE": mode,
               "JOB_MODULES": " ".join(self.modules), "JOB_SMP": self.smp, **self.job}
        with open(os.path.join(self.out, "job"), "w", encoding="utf-8") as f:
            f.writelines(f"{k}={shlex.quote(str(v))}\n" for k, v in job.items())
        with open(os.path.join(self.out, "argv"), "wb") as f:
            f.write(b"".join(os.fsencode(a) + b"\0" for a in argv))
        self.boots += 1
        self._log_at = os.path.getsize(self.console) if os.path.exists(self.console) else 0
        with open(os.path.join(self.out, "qemu.log"), "ab") as log:
            self.proc = subprocess.Popen(
                self._argv(initrd), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=die_with_parent)
        _running.add(self.proc)

    def alive(self):
        """Is QEMU running?"""
        return self.proc is not None and self.proc.poll() is None

    def kill9(self):
        """The host dies. What the guest wrote to its disks is on them."""
        if self.proc:
            self.proc.kill()
            self.proc.wait(30)
            _running.discard(self.proc)

    def wait(self, timeout):
        """Until the guest has powered off by itself."""
        try:
            self.proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout(f"still running after {timeout} s") from None
        _running.discard(self.proc)

    def qmp(self, execute, timeout=60, **arguments):
        """One QMP command, over a connection of its own."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.run + "/qmp")
            f = s.makefile("rw", encoding="utf-8")
            f.readline()
            for cmd in ({"execute": "qmp_capabilities"},
                        {"execute": execute, "arguments": arguments}):
                f.write(json.dumps(cmd) + "\n")
                f.flush()
                while True:
                    line = f.readline()
                    if not line:
                        raise VmError(f"{execute}: QEMU is gone")
                    ans = json.loads(line)
                    if "error" in ans:
                        raise VmError(f"{execute}: {ans['error']['desc']}")
                    if "return" in ans:
                        break
            return ans["return"]

    def sysrq(self, keys="wl"):
        """Have the kernel say on the console what it is stuck in."""
        with contextlib.suppress(OSError, VmError), \
                socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.run + "/con")
            for key in "9" + keys:
                self.qmp("chardev-send-break", timeout=5, id="con")
                s.sendall(key.encode())
                time.sleep(1)           # for the console to print it

    def splats(self):
        """Lines of the console that no test may cause."""
        try:
            with open(self.console, encoding="utf-8", errors="replace") as f:
                return [line.rstrip() for line in without_foreign_races(f)
                        if SPLAT.search(line)]
        except FileNotFoundError:
            return []
