"""Time drift of 12 features: a weekly window of 6,500 rows, and 256,000 rows; reference 81,000 rows.

Beside it, in the same run and on the same arrays, what a user would pick instead: scipy's `ks_2samp` for the
numeric and `chi2_contingency` for the categorical features, which need the reference's rows each time.

    python benchmarks/drift.py [--json FILE]
"""

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path

import numpy as np
from scipy import stats

from roadworthy.stats.counts import fold, freeze
from roadworthy.stats.drift import compare, drifted

ROWS, LARGE, REFERENCE, PAST = 6_500, 256_000, 81_000, 8
AIMS = {ROWS: 15.0, LARGE: 300.0}
AIM_NS = 100.0


def draw(generator, rows):
    """Return 12 features: 6 continuous (one half null), 2 integer, 3 text, 1 boolean."""
    airports = np.array([f"A{n:03}" for n in range(105)], dtype=object)
    carriers = np.array([f"C{n}" for n in range(16)], dtype=object)
    weights = 1 / np.arange(1, 106)
    return {
        "distance": generator.lognormal(6, 0.8, rows),
        "temperature": generator.normal(55, 18, rows),
        "wind": generator.gamma(2, 5, rows),
        "pressure": generator.normal(1018, 7, rows),
        "visibility": np.minimum(10, generator.exponential(30, rows)),
        "gust": np.where(generator.random(rows) < 0.5, np.nan, generator.gamma(5, 5, rows)),
        "hour": generator.integers(5, 24, rows),
        "month": generator.integers(1, 13, rows),
        "destination": distinct(airports[generator.choice(105, rows, p=weights / weights.sum())]),
        "carrier": carriers[generator.integers(0, 16, rows)],
        "origin": carriers[generator.integers(0, 3, rows)],
        "holiday": generator.random(rows) < 0.05,
    }


def distinct(texts):
    """Return the same texts, each an object of its own, as a reader of rows makes them."""
    return np.array(["".join(list(text)) for text in texts], dtype=object)


def median_ms(job, rounds):
    """Return the median CPU time of the job in ms."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        job()
        taken.append((time.process_time() - start) * 1e3)
    return statistics.median(taken)


def by_scipy(window, reference):
    """Return scipy's p-value per feature: Kolmogorov-Smirnov for numbers, chi-square for the rest."""
    found = {}
    for name, values in window.items():
        against = reference[name]
        if values.dtype.kind == "f":
            found[name] = stats.ks_2samp(values[~np.isnan(values)], against[~np.isnan(against)]).pvalue
            continue
        a, b = Counter(values.tolist()), Counter(against.tolist())
        keys = sorted(a.keys() | b.keys())
        found[name] = stats.chi2_contingency([[a[k] for k in keys], [b[k] for k in keys]]).pvalue
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    windows = []
    generator = np.random.default_rng(1)
    reference = draw(generator, REFERENCE)
    bins = {name: freeze(name, values) for name, values in reference.items()}
    counted = {name: fold(bins[name], values) for name, values in reference.items()}
    weeks = [draw(generator, ROWS) for _ in range(PAST)]
    past = {name: [fold(bins[name], week[name]) for week in weeks] for name in reference}
    print(f"12 features, reference {REFERENCE:,} rows, {PAST} past windows; median CPU ms")
    print(
        f"{'rows':>8} {'fold':>8} {'compare':>8} {'both':>8} {'aim':>6} {'aim/both':>9} {'scipy':>8} {'scipy/both':>10}"
    )
    for rows, rounds in ((ROWS, 31), (LARGE, 7)):
        window = draw(generator, rows)

        def fold_all(window=window):
            return {name: fold(bins[name], values) for name, values in window.items()}

        counts = fold_all()

        def compare_all(counts=counts):
            results = [result for name in counts for result in compare(counts[name], counted[name], past[name])]
            return drifted(results)

        folding, comparing = median_ms(fold_all, rounds), median_ms(compare_all, rounds)
        both, rival = folding + comparing, median_ms(lambda w=window: by_scipy(w, reference), max(3, rounds // 4))
        windows.append({"rows": rows, "fold_ms": folding, "compare_ms": comparing, "scipy_ms": rival})
        print(
            f"{rows:>8,} {folding:>8.2f} {comparing:>8.2f} {both:>8.2f} {AIMS[rows]:>6.0f} "
            f"{AIMS[rows] / both:>8.1f}x {rival:>8.1f} {rival / both:>9.1f}x"
        )
    print(f"\nfold of {LARGE:,} values, ns a value (aim {AIM_NS:.0f})")
    for name, values in window.items():
        each = median_ms(lambda n=name, v=values: fold(bins[n], v), 7) * 1e6 / LARGE
        print(f"{name:>12} {values.dtype!s:>8} {each:>7.1f}  {AIM_NS / each:>5.1f}x under the aim")
    ours, theirs = false_alarms(generator, reference, bins, counted)
    if given.json:
        told = {"windows": windows, "null_windows": 100, "false_alarms": ours, "false_alarms_scipy": theirs}
        given.json.write_text(json.dumps(told, indent=1) + "\n")


def false_alarms(generator, reference, bins, counted):
    """Print and return in how many of 100 windows from the reference's own distribution each method alarms."""
    ours = theirs = 0
    for _ in range(100):
        window = draw(generator, 2_000)
        results = [r for name in window for r in compare(fold(bins[name], window[name]), counted[name])]
        ours += bool(drifted(results))
        theirs += bool(min(by_scipy(window, reference).values()) < 0.05)
    print(f"\ntrue null, 100 windows of 2,000 rows: ours alarms on {ours}, scipy at p < 0.05 on {theirs}")
    return ours, theirs


if __name__ == "__main__":
    main()
