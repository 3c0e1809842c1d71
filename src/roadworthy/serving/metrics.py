"""Prometheus' text of what all workers of a home have counted, living and dead."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from roadworthy.serving.meter import LATENCY_BOUNDS_US, SEPARATOR

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BOOKS: Final = (
    ("answers", "roadworthy_answers_total", "Answers given, one a row, shadows and refusals included."),
    ("records", "roadworthy_records_total", "Answers that are in the record log."),
    ("unrecorded", "roadworthy_unrecorded_total", "Answers whose record was lost; answers = records + unrecorded."),
    ("unauthenticated", "roadworthy_unauthenticated_total", "Requests refused before a system was known."),
)
_PLACE: Final = ("system", "environment")
_FAMILIES: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "requests": ("roadworthy_requests_total", "Requests by release and status.", (*_PLACE, "release", "status")),
    "fallbacks": ("roadworthy_fallbacks_total", "Rows answered by a fallback.", (*_PLACE, "kind")),
    "shed": ("roadworthy_shed_total", "Requests refused because too many were in flight.", _PLACE),
    "violations": ("roadworthy_violations_total", "Values that broke the interface.", _PLACE),
    "rows_extra": ("roadworthy_rows_beyond_first_total", "Rows in requests of many rows, the first left out.", _PLACE),
    "outcomes": ("roadworthy_outcomes_total", "Outcomes taken into the log.", _PLACE),
    "shadows": ("roadworthy_shadows_total", "Rows answered by a shadow.", _PLACE),
    "shadows_dropped": (
        "roadworthy_shadows_dropped_total",
        "Rows not shown to the shadow: its queue was full.",
        _PLACE,
    ),
    "tokens": ("roadworthy_tokens_total", "Tokens of language models, as billed.", (*_PLACE, "direction")),
    "cost_micros": ("roadworthy_cost_micros_total", "Cost of answers in micro-units, each rounded up.", _PLACE),
    "cache_hits": ("roadworthy_cache_hits_total", "Answers given again from the exact cache.", _PLACE),
    "guarded": ("roadworthy_guarded_total", "Questions and answers that guards altered or withheld.", _PLACE),
}
_LATENCY: Final = "roadworthy_request_duration_seconds"


def render(counters: Mapping[str, int]) -> str:
    """Write counters, named as `meter.py` names them and summed over workers, as Prometheus' text format."""
    lines: list[str] = []
    for name, family, told in _BOOKS:
        lines += _head(family, told, "counter")
        lines.append(f"{family} {counters.get(name, 0)}")
    grouped = _grouped(counters)
    for what, (family, told, labels) in _FAMILIES.items():
        lines += _head(family, told, "counter")
        lines += [f"{family}{_labels(labels, values)} {n}" for values, n in sorted(grouped[what])]
    lines += _head(_LATENCY, "Seconds from the request's arrival to its answer.", "histogram")
    lines += _histograms(grouped)
    return "\n".join(lines) + "\n"


def _grouped(counters: Mapping[str, int]) -> dict[str, list[tuple[tuple[str, ...], int]]]:
    grouped: dict[str, list[tuple[tuple[str, ...], int]]] = defaultdict(list)
    for name, number in counters.items():
        what, *labels = name.split(SEPARATOR)
        if labels:
            grouped[what].append((tuple(labels), number))
    return grouped


def _histograms(grouped: Mapping[str, Iterable[tuple[tuple[str, ...], int]]]) -> list[str]:
    counts = dict(grouped["latency"])
    lines: list[str] = []
    for place, total_us in sorted(grouped["latency_sum_us"]):
        below = 0
        for bound in (*LATENCY_BOUNDS_US, "inf"):
            below += counts.get((*place, str(bound)), 0)
            edge = "+Inf" if isinstance(bound, str) else f"{bound / 1e6:g}"
            lines.append(f"{_LATENCY}_bucket{_labels((*_PLACE, 'le'), (*place, edge))} {below}")
        lines.append(f"{_LATENCY}_sum{_labels(_PLACE, place)} {total_us / 1e6:.6f}")
        lines.append(f"{_LATENCY}_count{_labels(_PLACE, place)} {below}")
    return lines


def _head(family: str, told: str, kind: str) -> list[str]:
    return [f"# HELP {family} {told}", f"# TYPE {family} {kind}"]


def _labels(names: Iterable[str], values: Iterable[str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + pairs + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
