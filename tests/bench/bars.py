# SPDX-License-Identifier: GPL-2.0-only
"""What dm-circle has to reach, each as one line: pass, fail, or not measured."""
import configs


class Missing(Exception):
    """A configuration or row that a bar needs was not measured."""


class Bars:
    """Evaluates bars over results {config: {row: {column: value}}}."""

    def __init__(self, res):
        self.res = res
        self.lines = []                 # (verdict, text)

    def get(self, config, row, column):
        """One number."""
        try:
            return self.res[config][row][column]
        except KeyError:
            raise Missing(f"{config} {row}") from None

    def best(self, names, row, suffix=""):
        """The fastest of these, of those that were measured: (IOPS, name)."""
        have = [(self.res[n + suffix][row]["iops"], n) for n in names
                if row in self.res.get(n + suffix, {})]
        if not have:
            raise Missing(f"{'/'.join(names)} {row}")
        return max(have)

    def bar(self, what, evaluate):
        """evaluate() returns (value, limit, at_least, remark)."""
        try:
            value, limit, at_least, remark = evaluate()
        except Missing as e:
            self.lines.append(("none", f"{what}: not measured: {e}"))
            return
        good = value >= limit if at_least else value <= limit
        self.lines.append(("pass" if good else "FAIL",
                           f"{what}: {value:.3f}, {'at least' if at_least else 'at most'} {limit:.2f}{remark}"))

    def speed(self, what, config, row, limit, names, suffix=""):
        """IOPS of a configuration over the best of others."""
        def evaluate():
            best, name = self.best(names, row, suffix)
            return self.get(config, row, "iops") / best, limit, True, f" x {name}{suffix}"
        self.bar(f"{what}, {row}", evaluate)

    def time(self, what, config, row, limit, other, column="mean", plus=None):
        """A time over another's, which `plus` makes longer."""
        def evaluate():
            base = self.get(other, row, column)
            if plus:
                base += self.get(*plus)
            text = f" x {other}" + (f" plus {plus[0]} {plus[1]}" if plus else "")
            return self.get(config, row, column) / base, limit, False, text
        self.bar(f"{what}, {row} ({column})", evaluate)

    def local(self):
        """Degree 0."""
        for row in (*configs.EMPTY, *configs.WARM):
            self.speed("degree 0: as fast as the best local cache", "circle0", row, 0.97, configs.LOCAL)
        for row in configs.BACK:
            busy = [n for n in ("dmcache64", "dmcache256", "circle0")
                    if self.res.get(n, {}).get(row, {}).get("org.w")]
            self.speed("degree 0: faster than dm-cache while it writes back",
                       "circle0" if "circle0" in busy else "circle0 (did not write back)", row, 1.5,
                       [n for n in busy if n != "circle0"] or ["dm-cache (did not write back)"])
        for row in ("read-1", "read-32"):
            self.speed("degree 0: cached reads", "circle0", row, 0.95, ("linear",))
        for suffix in ("", "-volatile"):
            self.time("degree 0: write + fdatasync", "circle0" + suffix, "sync", 1.1, "writecache" + suffix)

    def replicated(self):
        """Degree 1."""
        yard = ("yardstick",)
        self.time("degree 1: one write", "circle1", "write-1", 1.12, "yardstick")
        self.speed("degree 1: many writes", "circle1", "write-32", 0.7, yard)
        self.speed("degree 1: many writes", "circle1", "write-32", 2.5, configs.SAFE)
        self.speed("degree 1: sequential writes", "circle1", "seq", 0.9, yard)
        self.time("degree 1: write + fdatasync", "circle1", "sync", 1.15, "yardstick")
        self.time("degree 1: write + fdatasync, volatile", "circle1-volatile", "sync", 1.15,
                  "yardstick-volatile", plus=("yardstick-volatile", "ping", "mean"))
        for row in (*configs.EMPTY, *configs.WARM):
            self.speed("degree 1: above every safe stack", "circle1", row, 1, configs.SAFE)
        for row in configs.FLUSHED:
            self.speed("degree 1: above every safe stack, volatile", "circle1-volatile", row, 1,
                       configs.SAFE, "-volatile")

    def lending(self):
        """What replicas cost the host that stores them."""
        for row in configs.LENT:
            self.bar(f"a host that stores replicas: {row} (p99)", lambda r=row: (
                self.get("lender", "lend-" + r, "p99") / self.get("lender", r, "p99"), 1.5, False,
                " x without"))

    def stall(self):
        """Writes over eight times the cache."""
        for origin in ("san", "disk"):
            raw = f"raw_origin-stall-{origin}"
            for stack in ("circle0", "circle1"):
                name = f"{stack}-stall-{origin}"
                self.time(f"{stack}: no stall, {origin}", name, "stall-32", 3, raw, "p999")
                self.bar(f"{stack}: settles at the origin's speed, {origin}", lambda n=name, r=raw: (
                    self.get(n, "stall-32", "late") / self.get(r, "stall-32", "late"), 0.95, True,
                    f" x {r}"))

    def all(self):
        """Every bar: [(verdict, text)]."""
        self.local()
        self.replicated()
        self.lending()
        self.stall()
        return self.lines
