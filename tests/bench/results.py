# SPDX-License-Identifier: GPL-2.0-only
"""Results: one TSV a configuration, read back, compared, judged, drawn."""
import os
import shutil
import subprocess

import configs

COLUMNS = ("count", "us", "iops", "mibs", "mean", "p50", "p99", "p999", "max", "late", "insns")
ORDER = (*configs.EMPTY, *configs.WARM, *configs.BACK, "ping", *configs.STALL)


def parse(text):
    """Lines of key=value: {row: {key: value}}."""
    rows = {}
    for line in text.splitlines():
        pairs = dict(f.split("=", 1) for f in line.split("\t") if "=" in f)
        if "row" in pairs:
            name = pairs.pop("row")
            rows[name] = {k: float(v) for k, v in pairs.items()}
    return rows


def save(path, name, rows):
    """One configuration; columns that only some rows have go last, as key=value."""
    with open(path, "w", encoding="ascii") as f:
        f.write("\t".join(("config", "row", *COLUMNS, "devices")) + "\n")
        for row, v in rows.items():
            rest = " ".join(f"{k}={v[k]:g}" for k in v if k not in COLUMNS)
            f.write("\t".join((name, row, *(f"{v.get(c, 0):.10g}" for c in COLUMNS), rest)) + "\n")


def load(path):
    """What save() wrote, of one or more configurations: {config: {row: {key: value}}}."""
    out = {}
    with open(path, encoding="ascii") as f:
        head = f.readline().rstrip("\n").split("\t")
        for line in f:
            v = dict(zip(head, line.rstrip("\n").split("\t")))
            row = {c: float(v[c]) for c in COLUMNS if c in v}
            row.update((k, float(n)) for k, n in
                       (p.split("=") for p in v.get("devices", "").split()))
            out.setdefault(v["config"], {})[v["row"]] = row
    return out


def load_all(directory):
    """All configurations with results, in the order of configs.py."""
    out = {}
    for c in configs.everything():
        path = os.path.join(directory, c.name + ".tsv")
        if os.path.exists(path):
            out.update(load(path))
    return out


def table(res):
    """Text: for each row of the benchmark, every configuration that has it."""
    lines = []
    for row in ORDER:
        have = [(c, r[row]) for c, r in res.items() if row in r]
        if not have:
            continue
        best = max(v["iops"] for _, v in have)
        lines.append(f"{row:28} {'IOPS':>9} {'MiB/s':>8} {'mean us':>9} {'p50':>9} {'p99':>9} {'p99.9':>9} "
                     f"{'insns':>8} {'ratio':>6}")
        for c, v in have:
            lines.append(f"  {c:26} {v['iops']:9.0f} {v['mibs']:8.1f} {v['mean']:9.1f} {v['p50']:9.1f} "
                         f"{v['p99']:9.1f} {v['p999']:9.1f} {v['insns']:8.0f} {v['iops'] / best:6.3f}")
        lines.append("")
    return "\n".join(lines)


def chart(directory, res):
    """chart.svg: speed of each configuration relative to the SSD alone. False without gnuplot."""
    if not shutil.which("gnuplot"):
        return False
    rows = [r for r in configs.WARM if r in res.get("raw_ssd", {})]
    names = [c for c in res if c in {x.stack for x in configs.everything()} and c != "raw_origin"
             and all(r in res[c] for r in rows)]
    if not rows or not names:
        return False
    data = os.path.join(directory, "chart.dat")
    with open(data, "w", encoding="ascii") as f:
        f.write("row\t" + "\t".join(names) + "\n")
        for r in rows:
            speeds = [res[c][r]["iops"] / res["raw_ssd"][r]["iops"] for c in names]
            f.write(r + "\t" + "\t".join(f"{s:.4f}" for s in speeds) + "\n")
    script = f"""
set terminal svg size 1400,600 font 'sans,12' noenhanced
set output '{os.path.join(directory, "chart.svg")}'
set datafile separator '\\t'
set style data histogram
set style histogram cluster gap 2
set style fill solid 0.85
set boxwidth 1
set grid ytics
set yrange [0:*]
set key outside right top
set title 'Speed in virtual time, the SSD alone = 1'
plot for [i=2:{len(names) + 1}] '{data}' using i:xtic(1) title columnheader(i)
"""
    return subprocess.run(["gnuplot"], input=script, encoding="ascii", check=False).returncode == 0
