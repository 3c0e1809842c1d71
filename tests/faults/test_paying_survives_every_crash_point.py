"""A kill at any named place of paying and settling loses no money and books none twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from paying_kit import PRICE, Treasury
from roadworthy.domain.pin import Usage
from roadworthy.stores.crash_points import NAMES

POINTS = sorted(name for name in NAMES if name.partition(".")[0] in {"wallet", "purses", "settlement"})


@pytest.fixture(scope="module")
def drive():
    """Run the driver on a home, armed for a crash point; return how it ended (negative: the signal)."""
    command = [sys.executable, str(Path(__file__).with_name("paying_driver.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:

        def ask(folder, point):
            driver.stdin.write(json.dumps({"folder": str(folder), "point": point}) + "\n")
            driver.stdin.flush()
            return int(driver.stdout.readline())

        yield ask
        driver.stdin.close()
        driver.wait(30)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_crash_point_of_paying_keeps_the_sums_equal(tmp_path, drive, point):
    """Whoever comes next finishes it, and ledger and records equal the invoice."""
    Treasury(tmp_path).close()
    codes = [drive(tmp_path, armed) for armed in (point, "")]
    assert codes[1] == 0
    treasury = Treasury.again(tmp_path)
    treasury.finish([])
    billed = treasury.invoice.total
    assert billed >= PRICE.cost(Usage(output=1_000))
    assert treasury.recorded() == treasury.settled("system") == billed
    treasury.close()
    assert codes[0] == -9, f"{point} was never passed"
