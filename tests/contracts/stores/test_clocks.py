"""The clocks: the system's, and one that is driven from outside and never goes back."""

import subprocess
import sys

import pytest

from roadworthy.errors import RefusedError
from roadworthy.stores.clock import ReplayClock, SystemClock, clock_of, set_clock
from roadworthy.stores.home import create


def test_a_replay_home_tells_the_time_it_was_told(tmp_path):
    """Replayed time is what the driver says, and stands still in between."""
    home = create(tmp_path / "home", clock="replay", now=1_357_000_000_000_000)
    clock = clock_of(home)
    assert clock.now() == 1_357_000_000_000_000
    assert set_clock(home, 1_357_000_060_000_000) == 1_357_000_060_000_000
    assert clock.now() == 1_357_000_060_000_000


def test_replayed_time_never_goes_back(tmp_path):
    """A late request to set an earlier time changes nothing."""
    home = create(tmp_path / "home", clock="replay", now=100)
    assert set_clock(home, 50) == 100
    assert clock_of(home).now() == 100


def test_another_process_sees_the_new_time_at_once(tmp_path):
    """Workers and control share one time without asking each other."""
    home = create(tmp_path / "home", clock="replay", now=100)
    clock = ReplayClock(home.clock_file, writable=False)
    code = "import sys; from pathlib import Path; from roadworthy.stores.clock import ReplayClock; "
    code += "print(ReplayClock(Path(sys.argv[1])).set(12345))"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(home.clock_file)], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "12345\n"
    assert clock.now() == 12_345


def test_nobody_sets_the_system_clock(home):
    """Time in a production home cannot be driven by a request."""
    assert isinstance(clock_of(home), SystemClock)
    with pytest.raises(RefusedError):
        set_clock(home, 1)
    assert SystemClock().now() > 1_700_000_000_000_000
