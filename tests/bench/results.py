# SPDX-License-Identifier: GPL-2.0-only
"""Results: one TSV a configuration, read back, compared, judged, drawn."""
import os
import shutil
import subprocess

import configs

COLUMNS = ("count", "us", "iops", "mibs", "mean", "p50", "p99", "p999", "max", "late", "insns")
ORDER = (*configs.EMPTY, *configs.WARM, *configs.BACK, "ping", *configs.STALL)
COLOURS = {
    "linear": "#999999", "dmcache64": "#74add1", "dmcache256": "#4575b4", "writecache": "#66a61e",
    "bcache": "#a6761d", "circle0": "#d7301f", "circle1": "#d7301f", "circle2": "#fc8d59",
    "drbd_dmcache": "#4575b4", "drbd_writecache": "#66a61e", "md_writecache": "#1b9e77",
}


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


def _panel(directory, res, names, base):
    """Data of one half of the chart: its gnuplot commands, or None."""
    rows = [r for r in configs.WARM if r in res.get(base, {})]
    names = [n for n in names if all(r in res.get(n, {}) for r in rows)]
    if not rows or not names:
        return None
    data = os.path.join(directory, f"chart-{base}.dat")
    with open(data, "w", encoding="ascii") as f:
        f.write("row\t" + "\t".join(names) + "\n")
        for r in rows:
            speeds = [res[n][r]["iops"] / res[base][r]["iops"] for n in names]
            f.write(r + "\t" + "\t".join(f"{s:.4f}" for s in speeds) + "\n")
    plots = [f"'{data}' using {i}:xtic(1) title '{n}' lc rgb '{COLOURS[n]}'"
             for i, n in enumerate(names, 2)]
    return (f"set title 'Speed in virtual time; {configs.WHAT[base]} = 1'\n"
            f"plot {', '.join(plots)}\n")


def chart(directory, res):
    """chart.svg: local caches beside the SSD, replicated ones beside the yardstick. False without gnuplot."""
    panels = [_panel(directory, res, ("linear", *configs.LOCAL, "circle0"), "raw_ssd"),
              _panel(directory, res, (*configs.SAFE, "circle1", "circle2"), "yardstick")]
    if not shutil.which("gnuplot") or None in panels:
        return False
    script = f"""
set terminal svg size 1100,800 font 'sans,12' noenhanced background 'white'
set output '{os.path.join(directory, "chart.svg")}'
set datafile separator '\\t'
set style data histogram
set style histogram cluster gap 2
set style fill solid 0.9 noborder
set grid ytics
set yrange [0:1.1]
set key outside right top
set multiplot layout 2,1
{panels[0]}{panels[1]}
unset multiplot
"""
    return subprocess.run(["gnuplot"], input=script, encoding="ascii", check=False).returncode == 0
