"""Lay out an example as a user would have it: prototype, manifest, interface, baseline, a test, and the data."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from roadworthy.demo.data import ExampleFiles, write_flights, write_loans
from roadworthy.errors import InputError, NotFoundError
from roadworthy.lifecycle import checkout

_FILES: Final = ("system.yaml", "interface.yaml", "train.py", "baseline.sql")
_FLIGHTS_TEST: Final = '''"""What must stay true of every candidate, whoever trained it."""


def test_missing_weather_still_gets_an_answer(predict, rows):
    """A station that reports nothing must not stop a passenger from being warned."""
    weather = ("dewp", "humid", "wind_speed", "precip", "visib", "pressure")
    for answer in predict([{**row, **dict.fromkeys(weather)} for row in rows]):
        assert 0 <= answer["probability"] <= 1
'''
_LOANS_TEST: Final = '''"""What must stay true of every candidate, whoever trained it."""


def test_a_larger_loan_for_the_same_house_is_no_less_likely_to_be_denied(predict, rows):
    """Nobody may get ahead in the queue by asking for more money."""
    more = [{**row, "loan_to_value": row["loan_to_value"] + 0.2} for row in rows if row["loan_to_value"] < 1]
    less = [{**row, "loan_to_value": row["loan_to_value"] - 0.2} for row in more]
    for high, low in zip(predict(more), predict(less), strict=True):
        assert high["probability"] >= low["probability"]
'''
EXAMPLES: Final[Mapping[str, tuple[Callable[[Path], ExampleFiles], str]]] = {
    "flights": (write_flights, _FLIGHTS_TEST),
    "loans": (write_loans, _LOANS_TEST),
}
"""How each example's data is written, and its first test."""


def lay_out_example(name: str, folder: Path) -> ExampleFiles:
    """Write an example's project into a new or empty folder, ready for `roadworthy release`; data go to `data/`.

    With Git and outside of any repository, the files are committed.

    Raises:
        NotFoundError: no such example.
        InputError: the folder holds something already.
        PluginError: the package that holds the data is not installed.
    """
    if name not in EXAMPLES:
        raise NotFoundError.among("example", name, list(EXAMPLES))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty, and nothing is overwritten", hint="name a new folder")
    made = put_example(name, folder)
    if not checkout.git_is_missing() and not checkout.in_repository(folder):
        checkout.start(folder, [".gitignore", *_FILES, "tests/test_system.py"], "Begin with the example")
    return made


def put_example(name: str, folder: Path) -> ExampleFiles:
    """Write an example's files into a folder: data, prototype, manifest, a first test."""
    write, test = EXAMPLES[name]
    made = write(folder / "data")
    for file in _FILES:
        shutil.copyfile(str(files(f"roadworthy.demo.{name}").joinpath(file)), folder / file)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_system.py").write_text(test, encoding="utf-8")
    ignored = ".roadworthy/\n/data/\n__pycache__/\n*.jsonl\n*.log\n"
    (folder / ".gitignore").write_text(ignored, encoding="utf-8")
    return made
