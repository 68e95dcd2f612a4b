"""What is brought to a year counts the bars that sessions held on each day, and the volume curve covers all of them."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import IST, Interval
from pipelines.domain.market_calendar import regular_hours, sessions_between
from pipelines.features.closes import SESSIONS_A_YEAR, bars_a_year
from pipelines.features.volume import FIRST_MINUTE, LAST_MINUTE


@pytest.mark.parametrize(
    ("interval", "before", "since"), [("1min", 375, 360), ("5min", 75, 72), ("60min", 7, 6), ("day", 1, 1)]
)
def test_a_year_holds_fewer_bars_since_the_closing_auction(interval, before, since):
    closes = [pd.Timestamp(day, tz=IST) for day in ("2026-07-31 15:30", "2026-08-03 09:20", "2026-08-03 15:15")]
    times = np.array([close.value // 1000 for close in closes])

    assert (bars_a_year(times, Interval(interval)) / SESSIONS_A_YEAR).tolist() == [before, since, since]


def test_every_regular_session_has_a_usual_volume_of_each_minute():
    for session in sessions_between(date(2000, 1, 3), date(2026, 12, 31)):
        hours = regular_hours(session.day)
        assert hours.open.hour * 60 + hours.open.minute >= FIRST_MINUTE
        assert hours.last_close.hour * 60 + hours.last_close.minute <= LAST_MINUTE
    assert timedelta(minutes=LAST_MINUTE - FIRST_MINUTE) == timedelta(hours=6.5)
