"""How far one request for history may reach."""

from datetime import date

from pipelines.domain.history_windows import history_windows_on


def test_each_of_kites_intervals_has_a_window_that_grows_with_its_length():
    windows = sorted(history_windows_on(date(2026, 11, 2)).values(), key=lambda one: one.minutes or 24 * 60)

    assert [one.interval for one in windows] == [
        "minute", "3minute", "5minute", "10minute", "15minute", "30minute", "60minute", "day",
    ]  # fmt: skip
    assert [one.days for one in windows] == sorted(one.days for one in windows)
    assert (windows[0].days, windows[-1].days) == (60, 2000)
    assert all(one.source for one in windows)
