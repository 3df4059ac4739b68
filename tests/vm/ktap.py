# SPDX-License-Identifier: GPL-2.0-only
"""KTAP for tests that run on the host; the twin of tests/lib/ktap.sh."""
import atexit
import resource
import sys
import traceback

import vm

_count = {"n": 0, "failed": 0, "skipped": 0}


def ok(what):
    """A case that passed."""
    _count["n"] += 1
    print(f"ok {_count['n']} {what}", flush=True)


def not_ok(what, why=""):
    """One that failed; the reason may have several lines."""
    _count["n"] += 1
    _count["failed"] += 1
    print(f"not ok {_count['n']} {what}")
    for line in str(why).splitlines():
        print(f"# {line}")
    sys.stdout.flush()


def skip(what, why):
    """One that could not be run."""
    _count["n"] += 1
    _count["skipped"] += 1
    print(f"ok {_count['n']} {what} # SKIP {why}", flush=True)


def check(what, condition, why=""):
    """A case from a condition; returns it."""
    if condition:
        ok(what)
    else:
        not_ok(what, why)
    return bool(condition)


def check_splats(cluster, allow=None):
    """No kernel of the cluster complained, `allow` (a compiled pattern) apart."""
    bad = [s for s in cluster.splats() if not (allow and allow.search(s))]
    check("the kernel logs are clean", not bad, "\n".join(bad[:20]))


def _tell_cpu():
    """Of all machines, which have ended then."""
    vm.kill_all()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"# {used.ru_utime + used.ru_stime:.0f} s of CPU", flush=True)


atexit.register(_tell_cpu)


def main(test):
    """Run test(); an exception is a failed case. Does not return."""
    print("KTAP version 1", flush=True)
    try:
        test()
    except Exception as e:          # whatever it is, it is the test's result
        not_ok("the test runs to its end", f"{e}\n{traceback.format_exc()}")
    print(f"1..{_count['n']}", flush=True)
    if _count["failed"]:
        sys.exit(1)
    sys.exit(4 if _count["n"] == _count["skipped"] else 0)
