"""Run all measurements one after the other and write the README's table.

    python benchmarks/run.py [--quick] [--readme] [--json FOLDER] [--only online,record_log,drift]

Each script runs in a process of its own, alone. `--quick` is for a look: fewer rounds, shorter. `--readme` rewrites the
block between the two `bench` marks and takes figures of full runs only. `--from FOLDER` writes the table from figures
that a run left with `--json FOLDER`, without measuring.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import readme

HERE = Path(__file__).resolve().parent
SCRIPTS = ("online", "record_log", "drift")
QUICK = {
    "online": ["--quick"],
    "record_log": ["--records", "50000", "--rounds", "1", "--history", "100000"],
    "drift": [],
}
SERVERS = {
    "roadworthy": "**Roadworthy**, every feature on",
    "plain": "the same stack without features",
    "echo": "bare RSGI echo, no model",
    "fastapi-onnx": "FastAPI + ONNX Runtime",
    "fastapi-sklearn": "FastAPI + scikit-learn",
}
AIMS = {"echo": 0.55, "plain": 0.85, "fastapi-onnx": 4, "fastapi-sklearn": 40}


def measure(name, folder, *, quick):
    """Run one script; its table goes to the terminal, its figures to a file."""
    print(f"\n== {name}", flush=True)
    words = [sys.executable, str(HERE / f"{name}.py"), "--json", str(folder / f"{name}.json")]
    subprocess.run([*words, *(QUICK[name] if quick else [])], check=True)


def block(folder):
    """Write the README's table from the figures in a folder."""
    measured = json.loads((folder / "machine.json").read_text())
    where = f"{measured['cores']} cores, Python {measured['python']}"
    parts = [f"Measured {measured['date']} on {where}, all in one run, with the `uvloop` extra: `make bench`."]
    for name, write in (("online", online), ("record_log", record_log), ("drift", drift)):
        path = folder / f"{name}.json"
        if path.exists():
            parts.append(write(json.loads(path.read_text())))
    return "\n\n".join(parts)


def online(figures):
    """Write the serving table: one worker each, one row a request, answers of all servers compared beforehand."""
    lines = [
        "| One row a request, one worker | rps at 1 / 16 / 64 callers | p99 at 16 | CPU a request | memory |",
        "|---|---|---|---|---|",
    ]
    for name, title in SERVERS.items():
        if name not in figures:
            continue
        one = figures[name]
        rps = " / ".join(f"{one[f'c{callers}']['rps']:,.0f}" for callers in (1, 16, 64))
        c16 = one["c16"]
        cost = f"{c16['p99_ms']:.1f} ms | {c16['cpu_us']:,.0f} µs | {one['pss_mb']:.0f} MB"
        lines.append(f"| {title} | {rps} | {cost} |")
    ours = figures["roadworthy"]["c16"]["rps"]
    ratios = [
        f"{ours / figures[name]['c16']['rps']:.2f} times {SERVERS[name]} (aim {aim})"
        for name, aim in AIMS.items()
        if name in figures
    ]
    lines += ["", f"At 16 callers: {'; '.join(ratios)}."]
    if {"fastapi-onnx", "fastapi-sklearn"} <= figures.keys():
        onnx, sklearn = (figures[name]["c16"]["cpu_us"] for name in ("fastapi-onnx", "fastapi-sklearn"))
        lines.append(
            f"Much of the distance to scikit-learn comes from the runtime: under the same FastAPI a request costs "
            f"{sklearn:,.0f} µs of CPU with scikit-learn, {onnx:,.0f} µs with ONNX Runtime."
        )
    return "\n".join(lines)


def record_log(figures):
    """Write what a record costs beside its rivals."""
    rows = [
        f"| {name} | {one['median_us']:.1f} µs | {one['cpu_us']:.1f} µs |" for name, one in figures["append"].items()
    ]
    return "\n".join(["| One record | median | CPU |", "|---|---|---|", *rows])


def drift(figures):
    """Write what a drift look over 12 features costs."""
    lines = ["| Drift of 12 features | ours | scipy, no bins kept |", "|---|---|---|"]
    for one in figures["windows"]:
        ours = one["fold_ms"] + one["compare_ms"]
        lines.append(f"| {one['rows']:,} rows | {ours:.1f} ms | {one['scipy_ms']:,.0f} ms |")
    lines.append(
        f"| false alarms in {figures['null_windows']} windows of a true null | {figures['false_alarms']} "
        f"| {figures['false_alarms_scipy']} (p < 0.05) |"
    )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--only", default=",".join(SCRIPTS))
    given = parser.parse_args()
    if given.readme and given.quick:
        parser.error("--readme takes figures of full runs only")
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.source or given.json or Path(scratch)
        if given.source is None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "machine.json").write_text(json.dumps(readme.machine()))
            for name in given.only.split(","):
                measure(name, folder, quick=given.quick)
        table = block(folder)
    print(f"\n{table}")
    if given.readme:
        readme.put("bench", table)


if __name__ == "__main__":
    main()
