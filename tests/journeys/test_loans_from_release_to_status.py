"""The second example, from another field, through the doors: nothing is wired to flights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from journeys_kit import Played, post, until

pytestmark = pytest.mark.slow

INPUTS = (
    "payment_to_income", "housing_to_income", "loan_to_value", "credit_history", "mortgage_history",
    "public_bad_record", "unemployment_rate", "self_employed", "condominium", "high_school", "loan_id",
)  # fmt: skip
ASKED = 60


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Lay the example out, release it as it is, and start it with one worker."""
    root = tmp_path_factory.mktemp("examples")
    played = Played(root, "")
    played.cli("example", "loans", "loans")
    played.folder = root / "loans"
    played.cli("release")
    played.key = played.ask("keys", "create", "desk", "--scopes", "predict", "outcome", "read")["key"]
    try:
        played.start(workers=1)
        yield played
    finally:
        played.close()


def later(folder: Path) -> list[dict[str, Any]]:
    """Read applications that nobody has trained on."""
    names = ", ".join((*INPUTS, "deny"))
    found = duckdb.sql(f"select {names} from '{folder / 'data/later.parquet'}' limit {ASKED}")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def test_loans_are_released_served_and_observed(loans: Played) -> None:
    """Applications are scored over HTTP, decisions come back as outcomes, and status has both."""
    assert len((loans.folder / "system.yaml").read_text().splitlines()) <= 12
    for row in later(loans.folder):
        inputs = {name: row[name] for name in INPUTS}
        status, answer = post(loans.port, "/v1/systems/loans/predict", loans.key, {"inputs": inputs})
        assert status == 200, answer
        assert 0 <= answer["outputs"]["probability"] <= 1
        told = {"record": answer["record"], "value": str(row["deny"])}
        status, body = post(loans.port, "/v1/systems/loans/outcomes", loans.key, told)
        assert status < 300, body
    status, refusal = post(
        loans.port, "/v1/systems/loans/predict", loans.key, {"inputs": {**inputs, "credit_history": 9}}
    )
    assert status == 422
    assert "credit_history" in json.dumps(refusal)

    def seen() -> bool:
        shown = json.dumps(loans.ask("status"))
        return all(f'"{name}"' in shown for name in ("brier", "outcomes", "latency", "predictions"))

    until(seen, "status has the signals of answers and outcomes", loans)


def test_an_example_is_never_laid_over_something(loans: Played) -> None:
    """A folder with anything in it stays as it is; an unknown example is named with those there are."""
    before = (loans.folder / "system.yaml").read_bytes()
    loans.cli("example", "loans", ".", code=1)
    assert "loans" in loans.cli("example", "lones", "elsewhere", code=1).stderr
    assert (loans.folder / "system.yaml").read_bytes() == before
    assert not (loans.folder / "elsewhere").exists()
