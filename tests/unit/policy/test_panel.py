import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.policy.labels import squared_off
from pipelines.policy.panel import Panel, session_ends
from tests.unit.policy.builders import a_panel


def closes(*times):
    return pd.Series(pd.to_datetime(list(times))).dt.tz_localize("Asia/Kolkata").astype(TIME_DTYPE)


def test_a_session_ends_when_the_calendar_says_and_not_when_the_bars_do():
    found = session_ends(closes("2026-02-02 09:30", "2026-02-02 11:45", "2026-10-05 10:00"))

    expected = closes("2026-02-02 15:30", "2026-02-02 15:30", "2026-10-05 15:15")  # an auction closes days since August
    pd.testing.assert_series_equal(found, expected, check_names=False)
    assert found.dtype == TIME_DTYPE


def test_a_day_the_calendar_does_not_know_ends_with_its_bars():
    sunday = closes("2026-02-08 10:00", "2026-02-08 12:00")

    assert (session_ends(sunday) == sunday.iloc[-1]).all()


def test_bars_that_stop_early_do_not_foretell_a_square_off():
    panel = a_panel(days=1, instruments=1)
    broken = panel.table.iloc[:10].copy()
    broken["session_end"] = session_ends(broken["close_time"])

    squared = squared_off(Panel(broken, panel.instruments, Interval.MIN_15, panel.catalogue), minutes=20)

    assert not squared.any()
