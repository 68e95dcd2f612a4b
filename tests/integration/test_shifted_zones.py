"""Real files whose stamps were moved to another zone on their way: no bar passes with the figures of another time."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pandas as pd
import pytest

from tests.conftest import SHARED_DATA
from tests.integration.corruption import Mutation
from tests.integration.judging import VALUES, Ended, judge_all, params, read, silent

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
Writer = Callable[[pd.Series], pd.Series]


@dataclass(frozen=True)
class Cut:
    """The last whole sessions of a real file."""

    path: str
    sessions: int
    interval: str  #: that the run asks for


CUTS = {
    "1min joined to 5min": Cut("intraday/1min/TCS_2024JanFeb.csv", 2, "5min"),
    "5min": Cut("intraday/5min/NIFTY50.parquet", 3, "5min"),  # levels of an index, read as those of a stock
    "15min": Cut("intraday/15min/RELIANCE_2011_2020.parquet", 12, "15min"),
    "15min joined to days": Cut("intraday/15min/RELIANCE_2011_2020.parquet", 22, "day"),
    "days": Cut("daily/broker_adjusted/SBIN.parquet", 60, "day"),
}


@cache
def cut_of(name: str) -> pd.DataFrame:
    """Columns `date` (Asia/Kolkata), open, high, low, close, volume."""
    cut = CUTS[name]
    path = SHARED_DATA / cut.path
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    table = table.rename(columns={"datetime": "date", "timestamp": "date"})
    dates = pd.to_datetime(table["date"])
    table["date"] = dates.dt.tz_localize("Asia/Kolkata") if dates.dt.tz is None else dates.dt.tz_convert("Asia/Kolkata")
    table = table.reindex(columns=["date", *VALUES]).fillna({"volume": 1000})
    days = table["date"].dt.normalize()
    return table[days.isin(days.unique()[-cut.sessions :])].reset_index(drop=True)


# how stamps are written


def _clock(zone: str, offset: str) -> Writer:
    """The clock of another zone, under an offset that is not its own."""
    return lambda times: times.dt.tz_convert(zone).dt.strftime(f"%Y-%m-%d %H:%M:%S{offset}")


def _moved(**by: int) -> Writer:
    return lambda times: (times + pd.Timedelta(**by)).dt.strftime("%Y-%m-%d %H:%M:%S+05:30")


def _epoch_of_the_clock(times: pd.Series) -> pd.Series:
    """Seconds since 1970 as if the clock on the wall were UTC's."""
    return (times.dt.tz_localize(None).astype("datetime64[s]").astype("int64")).astype("str")


WRONG: dict[str, Writer] = {
    "UTC written as IST": _clock("UTC", "+05:30"),
    "UTC without its offset": _clock("UTC", ""),
    "IST written as UTC": _clock("Asia/Kolkata", "+00:00"),
    "+05:30 applied twice": _moved(minutes=330),
    "+05:30 taken away": _moved(minutes=-330),
    "the offset's sign turned": _clock("Asia/Kolkata", "-05:30"),
    "epoch of the wall clock": _epoch_of_the_clock,
    **{f"{zone} written as IST": _clock(zone, "+05:30") for zone in (
        "Asia/Singapore", "Asia/Dubai", "Asia/Dhaka", "Europe/London", "America/New_York")},
    "half an hour late": _moved(minutes=30),
    "an hour early": _moved(minutes=-60),
    "half a day late": _moved(hours=12),
    "a day late": _moved(days=1),
}  # fmt: skip
SMALL = ("Asia/Singapore written as IST", "Asia/Dubai written as IST", "Asia/Dhaka written as IST",
         "half an hour late", "an hour early", "a day late")  # fmt: skip
#: Other ways to write the same moments
SAME: dict[str, Writer] = {
    "offset dropped": _clock("Asia/Kolkata", ""),
    "UTC": _clock("UTC", "+00:00"),
    "Zulu": _clock("UTC", "Z"),
    "New York with its offset": lambda times: times.dt.tz_convert("Etc/GMT+5").dt.strftime("%Y-%m-%d %H:%M:%S-05:00"),
    "epoch": lambda times: (times.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[s]")
                            .astype("int64")).astype("str"),
}  # fmt: skip


def _every(table: pd.DataFrame) -> pd.Series:
    return pd.Series(True, table.index)


def _one_day(table: pd.DataFrame) -> pd.Series:
    days = table["date"].dt.normalize()
    return days == days.unique()[-2]


def _half_a_day(table: pd.DataFrame) -> pd.Series:
    return _one_day(table) & (table["date"].dt.hour >= 12)


def _every_other_row(table: pd.DataFrame) -> pd.Series:
    return pd.Series(table.index % 2 == 0, table.index)


WHERE = {"everywhere": _every, "one day": _one_day, "half a day": _half_a_day, "every other row": _every_other_row}


# what becomes of them


def file_of(name: str, stamps: pd.Series) -> bytes:
    return cut_of(name).assign(date=stamps).to_csv(index=False).encode()


def cases() -> list[tuple[str, str, str]]:
    """Without parts of a day moved a little, which leave bars that are possible in themselves; without whole days moved
    where too few are there to tell by weekends; without parts of days that become daily bars, which hold what is left.
    """
    return [
        (name, way, where)
        for name in CUTS
        for way in WRONG
        for where in WHERE
        if (where == "everywhere" and (way != "a day late" or CUTS[name].sessions >= 20))
        or (where == "one day" and name != "days")
        or (where in ("half a day", "every other row") and CUTS[name].interval != "day" and way not in SMALL)
    ]


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> dict[tuple[str, ...], Ended]:
    """What became of each case, of each right way to write the stamps, and of the clean file (its name alone)."""
    folder = tmp_path_factory.mktemp("zones")
    right = _clock("Asia/Kolkata", "+05:30")
    stamps: dict[tuple[str, ...], pd.Series] = {(name,): right(cut_of(name)["date"]) for name in CUTS}
    stamps |= {(name, way): SAME[way](cut_of(name)["date"]) for name in CUTS for way in SAME}
    for name, way, where in cases():
        table = cut_of(name)
        stamps[name, way, where] = right(table["date"]).where(~WHERE[where](table), WRONG[way](table["date"]))
    found = {}
    for place, (case, written) in enumerate(stamps.items()):
        found[case] = Ended(Mutation(file_of(case[0], written), None))
        interval = CUTS[case[0]].interval
        try:
            found[case].world = read(folder / f"{place:04}", "TCS.csv", found[case].mutation.content, interval)
        except Exception as error:  # judged by its case's test
            found[case].error = error
    judge_all({f"Z{place:04}": one for place, one in enumerate(found.values())}, params(folder))
    return found


@pytest.mark.parametrize(("name", "way", "where"), cases())
def test_no_bar_passes_with_the_figures_of_another_time(everything, name, way, where):
    problem = silent(everything[name, way, where], everything[name,])

    assert problem is None, problem


@pytest.mark.parametrize("way", SAME)
@pytest.mark.parametrize("name", CUTS)
def test_other_ways_to_write_the_same_moments_are_the_same_bars(everything, name, way):
    found, clean = everything[name, way], everything[name,]

    assert found.error is None
    pd.testing.assert_frame_equal(found.table, clean.table, check_exact=True)
    assert not found.aside
