"""Record ids: ordered, unique, and they name their hour."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from roadworthy.domain.moment import HOUR
from roadworthy.stores.records.ids import hour_of, new_record_id, time_of

MOMENT = st.integers(min_value=0, max_value=(1 << 47) * 1000)


@given(moment=MOMENT, worker=st.integers(min_value=0, max_value=0xFFFF))
def test_a_record_id_is_a_version_7_uuid(moment: int, worker: int) -> None:
    """A record id is a UUIDv7 in 32 hex digits, so other tools can read it."""
    record_id = new_record_id(worker, moment)
    assert len(record_id) == 32
    assert uuid.UUID(hex=record_id).version == 7
    assert uuid.UUID(hex=record_id).variant == uuid.RFC_4122


def test_record_ids_grow_while_the_clock_stands_still_or_slips_back() -> None:
    """Ids of a process keep their order when the clock stands still or is set back by less than a minute."""
    start = 1_700_000_000_000_000
    moments = [start, start, start - 5_000_000, start + 1_000, start - 59_000_000, start + 2_000_000]
    ids = [new_record_id(3, moment) for moment in moments]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_a_clock_set_back_by_an_hour_is_followed() -> None:
    """After a clock was wrong by more than a minute, new ids carry the right time again and stay unique."""
    wrong = 4_000_000_000_000_000
    before = new_record_id(1, wrong)
    after = new_record_id(1, wrong - 2 * HOUR)
    assert time_of(after) == wrong - 2 * HOUR
    assert after != before


def test_an_id_names_the_hour_of_its_answer() -> None:
    """One id is enough to know which hour to open."""
    moment = 1_360_000_000_000_000
    assert hour_of(new_record_id(0, moment)) == moment - moment % HOUR


@given(text=st.text(max_size=40))
def test_a_text_that_is_no_id_names_no_hour(text: str) -> None:
    """A caller's odd id is looked up and not found, never an error."""
    assert hour_of(text) >= 0
    assert hour_of("z" * 32) == 0


def test_threads_never_share_an_id() -> None:
    """Ids made by several threads at once are all different."""
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda _: [new_record_id(0, 1_700_000_000_000_000) for _ in range(5_000)], range(4))
    ids = [record_id for part in parts for record_id in part]
    assert len(set(ids)) == 20_000
