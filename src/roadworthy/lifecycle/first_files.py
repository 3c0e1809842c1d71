"""The text files of a new project: manifest, first test, what Git leaves out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from roadworthy.domain.interface import Interface, Task
from roadworthy.domain.system import DataPlan

MOST_COMMITTED_BYTES: Final = 10_000_000
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-@+")


def manifest(name: str, owner: str, use: str, data: DataPlan, trust: Sequence[str] = ()) -> str:
    """Write a manifest of at most twelve lines; every other setting has its default, which `plan` prints."""
    time = f", time: {_scalar(data.time)}" if data.time else ""
    entity = f", entity: {_scalar(data.entity)}" if data.entity else ""
    trusted = f"trust: [{', '.join(map(_scalar, trust))}]\n" if trust else ""
    what = json.dumps(f"act on the predicted {data.target}; say here what that is", ensure_ascii=False)
    return f"""roadworthy: 1
system: {name}
kind: model
owner: {_scalar(owner)}
decision: {{what: {what}, tier: low}}
use: {_scalar(use)}
{trusted}data: {{table: {_scalar(data.table)}, target: {_scalar(data.target)}{time}{entity}}}
baseline: baseline.sql
failure:
  - {{when: errors > 2% for 1m, do: [fallback, page]}}
"""


def first_test(name: str, interface: Interface) -> str:
    """Write a first test of the project: what must hold of any candidate, and a place to add what must hold of this."""
    check, same = {
        Task.BINARY: ('0 <= answer["probability"] <= 1', 'alone["probability"] - among["probability"]'),
        Task.MULTICLASS: (
            'abs(sum(answer["probabilities"].values()) - 1) < 1e-6',
            'alone["probabilities"][among["label"]] - among["probabilities"][among["label"]]',
        ),
        Task.REGRESSION: (
            'isinstance(answer["value"], float)',
            '(alone["value"] - among["value"]) / (among["value"] or 1)',
        ),
    }[interface.task]
    return f'''"""Tests of {name}, run by the gate `tests` on every candidate. Add what must hold of yours.

A test may ask for `predict`, which answers a list of rows with what would be served, and for `rows`, up to 100 rows
that the model was not trained on.
"""


def test_every_row_gets_an_answer(predict, rows):
    answers = predict(rows)
    assert len(answers) == len(rows)
    for answer in answers:
        assert {check}


def test_a_row_gets_the_same_answer_alone_as_among_others(predict, rows):
    (alone,), (among, *_) = predict(rows[:1]), predict(rows)
    assert abs({same}) < 1e-6
'''


def ignored(folder: Path, large: list[str]) -> str | None:
    """Return the new content of `.gitignore`, or None when it says everything already; its own lines stay."""
    path = folder / ".gitignore"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    present = {line.strip() for line in old.splitlines()}
    wanted = [line for line in (".roadworthy/", "__pycache__/", *(f"/{name}" for name in large)) if line not in present]
    if not wanted:
        return None
    return (old if not old or old.endswith("\n") else old + "\n") + "\n".join(wanted) + "\n"


def _scalar(text: str) -> str:
    """Write a text so that YAML reads that text: bare where nothing can be misread, else quoted."""
    plain = bool(text) and set(text) <= _PLAIN and text[0].isalpha() and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


_WORDS: Final = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
