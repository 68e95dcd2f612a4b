"""Members of an index are those of the day; who joins later or has left is not among them."""

from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from pipelines.domain.errors import BadInput
from pipelines.domain.index_membership import members_on
from pipelines.ingest.kinds import empty, typed
from pipelines.ingest.members import members_only
from pipelines.ingest.world import World
from tests.unit.ingest.test_stage import a_world

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")


def membership(*rows: tuple[str, str, str | None], index: str = "NIFTY 50") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "effective_from", "effective_to"])
    for name in ("effective_from", "effective_to"):
        frame[name] = pd.to_datetime(frame[name]).dt.tz_localize("Asia/Kolkata")
    return typed(frame.assign(index_name=index, known_at=None, source="a test"), "membership")


def two_stocks() -> World:
    one, other = (a_world(*((day, 100.0) for day in DAYS), symbol=symbol) for symbol in ("TCS", "INFY"))
    listed = pd.concat([one.instruments, other.instruments], ignore_index=True)
    return replace(one, bars={**one.bars, **other.bars}, instruments=listed)


def test_members_are_those_of_the_day():
    table = membership(("TCS", "2024-01-02", "2024-01-03"), ("INFY", "2024-01-03", None))

    found = {day: members_on(table, "NIFTY 50", date.fromisoformat(day)) for day in DAYS}

    assert found == {
        "2024-01-01": frozenset(),
        "2024-01-02": {"TCS"},
        "2024-01-03": {"TCS", "INFY"},
        "2024-01-04": {"INFY"},
    }
    assert members_on(table, "NIFTY BANK", date(2024, 1, 3)) == frozenset()


def test_a_stock_counts_from_the_day_it_joined_to_the_day_it_left():
    world = replace(two_stocks(), membership=membership(("TCS", "2024-01-02", "2024-01-03")))

    found = members_only(world, "NIFTY50")

    assert list(found.bars) == ["TCS"]
    assert found.bars["TCS"]["open_time"].dt.strftime("%Y-%m-%d").tolist() == ["2024-01-02", "2024-01-03"]
    assert found.instruments["symbol"].tolist() == ["TCS"]
    assert found.left_out[-1] == "members of NIFTY 50 only: 1 stocks, 6 bars of days outside the index are left out"


def test_without_an_index_named_all_stay():
    world = two_stocks()

    assert members_only(world, "") is world


@pytest.mark.parametrize("table", [empty("membership"), membership(("TCS", "2024-01-02", None), index="NIFTY BANK")])
def test_an_index_whose_members_nobody_tells_is_refused(table):
    with pytest.raises(BadInput, match="the source tells no members of it"):
        members_only(replace(two_stocks(), membership=table), "NIFTY50")


def test_an_index_without_bars_of_its_members_is_refused():
    world = replace(two_stocks(), membership=membership(("WIPRO", "2000-01-03", None)))

    with pytest.raises(BadInput, match="no bar of a member"):
        members_only(world, "NIFTY50")
