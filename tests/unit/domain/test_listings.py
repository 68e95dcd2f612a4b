"""What a symbol meant on a day, as far as it is known."""

from datetime import date

import pandas as pd
import pytest

from pipelines.domain.listings import current_symbol, life_of, listed_on, sector_on, symbol_changes, symbol_on
from tests.conftest import SHARED_DATA


@pytest.mark.parametrize(
    ("day", "symbol"), [("2011-06-28", "INFOSYSTCH"), ("2011-06-29", "INFY"), ("2026-01-02", "INFY")]
)
def test_a_share_bears_the_symbol_of_its_day(day, symbol):
    assert symbol_on("INFY", date.fromisoformat(day)) == symbol
    assert symbol_on("INFOSYSTCH", date.fromisoformat(day)) == symbol
    assert current_symbol("INFOSYSTCH") == "INFY"


def test_of_an_unknown_symbol_nothing_is_claimed():
    assert symbol_on("NOBODY", date(2001, 1, 1)) == "NOBODY"
    assert listed_on("NOBODY", date(1901, 1, 1))
    assert sector_on("NOBODY", date(2024, 1, 1)) == ""


def test_a_share_trades_from_its_first_to_its_last_day():
    assert not listed_on("TCS", date(2004, 8, 24))
    assert listed_on("TCS", date(2004, 8, 25))
    assert not listed_on("HDFC", date(2023, 7, 13))
    assert life_of("ZOMATO") == life_of("ETERNAL")
    assert not listed_on("ZOMATO", date(2021, 7, 22))


def test_large_shares_have_a_sector_under_every_name():
    assert sector_on("INFY", date(2024, 1, 1)) == sector_on("INFOSYSTCH", date(2005, 1, 3)) == "IT"


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
def test_renames_and_first_days_agree_with_the_exchanges_daily_prices():
    seen: dict[str, tuple[date, date]] = {}
    for path in sorted((SHARED_DATA / "daily" / "nse_unadjusted").glob("*.parquet")):
        frame = pd.read_parquet(path, columns=["Date", "Symbol"])
        for symbol, days in frame.groupby("Symbol")["Date"]:
            seen[str(symbol)] = (days.min().date(), days.max().date())

    changed = [change for change in symbol_changes() if change.old in seen]

    assert len(changed) == 7
    for change in changed:
        assert seen[change.old][1] < change.effective_from == seen[change.new][0]
    for symbol in ("MARUTI", "TCS", "NTPC"):
        assert life_of(symbol).first == seen[symbol][0]
    assert life_of("BHARTIARTL").first == seen["BHARTI"][0]
