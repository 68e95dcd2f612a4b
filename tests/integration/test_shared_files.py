"""Every shared file is ingested and validated, the dirty ones too; a file that nobody asserts anything of fails here.

Expected figures are what the collection's own description says of each file (rows, repeats, impossible rows, gaps),
counted by our rules. Files of one interval are judged together under their own names, so that one suite run does.
"""

import base64
import csv
import json
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from kiteconnect import KiteConnect, KiteTicker

from pipelines.domain.bars import IST, Interval
from pipelines.domain.corporate_actions import actions_table, adjust
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import derivative_from_dump
from pipelines.domain.market_calendar import session_on, sessions_between
from pipelines.ingest.containers import NoBars
from pipelines.ingest.dated_tables import read_dated_table
from pipelines.ingest.files import read_files
from pipelines.ingest.joining import at_interval
from pipelines.ingest.names import kind_of
from pipelines.ingest.series import series_of
from pipelines.ingest.shapes import read_sheet
from pipelines.ingest.sources.bhavcopy import read_bhavcopy
from pipelines.ingest.sources.corporate_actions import read_actions
from pipelines.ingest.sources.entities import read_entities
from pipelines.ingest.sources.kite_history import KiteHistory
from pipelines.ingest.sources.news_files import NewsFile
from pipelines.ingest.sources.tick_files import minute_bars, read_tick_sheet
from pipelines.ingest.world import instruments_table
from pipelines.params import IngestParams, ValidateParams
from pipelines.validate.bars import Raw, validated
from pipelines.validate.release import Released
from pipelines.validate.ticks import sift_ticks
from tests.conftest import SHARED_DATA, params_content

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")

REPORT_DAY = date(2025, 12, 16)
#: Nothing stops the dirty files here: what is asked is how much of each is set aside
PARAMS = ValidateParams.model_validate(
    params_content({"validate.max_quarantined": 1.0, "validate.min_bars": 1, "validate.severity": {}})["validate"]
)


@dataclass(frozen=True)
class Judged:
    """What became of one file's bars."""

    rows: int  #: read
    aside: dict[str, int] = field(default_factory=dict)  #: set aside, by rule
    missing: int = 0  #: sessions without a bar between the first and the last
    thin: int = 0  #: sessions with less than 95 % of their bars


def _unadjusted() -> dict[str, Judged]:
    """Sessions of each stock since 2000 or its listing. No file tells of splits: for each night that nobody
    explains a session is set aside and missing then; BAJFINANCE lacks 71 besides, and LT's first day is a wild one.
    """
    told = {
        "ASIANPAINT": (5306, 5), "AXISBANK": (5306, 13), "BAJFINANCE": (5235, 19), "BHARTIARTL": (4774, 6),
        "HINDUNILVR": (5306, 2), "ICICIBANK": (5306, 6), "INFY": (5306, 7), "ITC": (5306, 4), "LT": (4184, 5),
        "M&M": (5306, 4), "MARUTI": (4427, 3), "NTPC": (4088, 2), "RELIANCE": (5306, 9), "SBIN": (5306, 3),
        "SUNPHARMA": (5306, 8), "TATAMOTORS": (5306, 5), "TATASTEEL": (5306, 11), "TCS": (4139, 4), "WIPRO": (5306, 7),
    }  # fmt: skip
    found = {
        f"daily/nse_unadjusted/{symbol}.parquet": Judged(
            rows,
            ({"price_outlier": 1} if symbol == "LT" else {}) | {"unexplained_gap": nights},
            nights + 71 * (symbol == "BAJFINANCE"),
        )
        for symbol, (rows, nights) in told.items()
    }
    return found | {"daily/nse_unadjusted/INFY.csv": found["daily/nse_unadjusted/INFY.parquet"]}


def _adjusted() -> dict[str, Judged]:
    symbols = [
        "ASIANPAINT",
        "AXISBANK",
        "BAJFINANCE",
        "BHARTIARTL",
        "HDFCBANK",
        "HINDUNILVR",
        "ICICIBANK",
        "INFY",
        "ITC",
        "LT",
        "M&M",
        "MARUTI",
        "NTPC",
        "RELIANCE",
        "SBIN",
        "SUNPHARMA",
        "TATAMOTORS",
        "TATASTEEL",
        "TCS",
        "WIPRO",
    ]
    found = {f"daily/broker_adjusted/{symbol}.parquet": Judged(805) for symbol in symbols}
    return found | {"daily/broker_adjusted/RELIANCE.csv": Judged(805)}


#: What is expected of each file of bars, by the interval that they are judged at
BAR_FILES: dict[Interval, dict[str, Judged]] = {
    Interval.DAY: _unadjusted()
    | _adjusted()
    | {
        "daily/bhavcopy_long/LT.parquet": Judged(3946, {"unexplained_gap": 4}, missing=19),
        "daily/bhavcopy_long/MARUTI.csv": Judged(3946, missing=15),
        "daily/bhavcopy_long/MARUTI.parquet": Judged(3946, missing=15),
        "daily/bhavcopy_long/SBIN.parquet": Judged(3946, {"unexplained_gap": 1}, missing=16),
        "daily/index/BANKNIFTY_day.csv": Judged(5959, {"conflicting_rows": 8, "not_a_session": 1}, missing=18),
        "daily/index/INDIAVIX_day.csv": Judged(1221, missing=18),
        "daily/index/NIFTY50_day.csv": Judged(8130),
        "daily/mixed_series_dirty/RELIANCE.csv": Judged(
            9955,
            {"conflicting_rows": 4010, "duplicate": 1, "not_positive": 13, "unexplained_gap": 13},
            missing=322,
        ),
        "daily/mixed_series_dirty/TCS.csv": Judged(
            4718, {"conflicting_rows": 36, "duplicate": 1, "unexplained_gap": 4}, missing=124
        ),
        "daily/nse_site_shape/INDIAVIX_2023.csv": Judged(246),
        "daily/nse_site_shape/NIFTY_2023.csv": Judged(246),
        "daily/yahoo_shape/RELIANCE.csv": Judged(7035, {"not_a_session": 57, "unexplained_gap": 8}, missing=41),
    },
    Interval.MIN_1: {
        **{
            f"intraday/1min/{name}": Judged(15001, {"outside_session": 1})
            for name in (
                "AXISBANK_2023AprMay.parquet", "BANKNIFTY_2023AprMay.parquet", "HDFCBANK_2023AprMay.parquet",
                "ICICIBANK_2023AprMay.parquet", "INDIAVIX_2023AprMay.parquet", "SBIN_2023AprMay.csv",
                "SBIN_2023AprMay.parquet",
            )
        },
        "intraday/1min/BANKNIFTY_2021_2022H1.parquet": Judged(139521, {"outside_session": 1093}, thin=3),
        "intraday/1min/NIFTY50_2021_2022H1.parquet": Judged(139552, {"outside_session": 1087}, thin=3),
        "intraday/1min/NIFTY_2021_JAN_headerless.csv": Judged(7557, {"outside_session": 57}),
        "intraday/1min/TCS_2024JanFeb.csv": Judged(14625),
        "ticks/bars_1min_from_ticks_2021.parquet": Judged(295423, missing=2, thin=410),
    },
    Interval.MIN_5: {
        "intraday/5min/BANKNIFTY.parquet": Judged(56003, thin=2),
        "intraday/5min/NIFTY50.parquet": Judged(56012, thin=1),
        "intraday/5min/RELIANCE_yahoo_shape_2026.csv": Judged(1650),
    },
    Interval.MIN_15: {
        "intraday/15min/BANKNIFTY_2018_2023_dirty.csv": Judged(34300, {"price_outside_range": 696}, 14, thin=118),
        "intraday/15min/RELIANCE_2011_2020.parquet": Judged(61351, {"off_grid": 309, "outside_session": 12}, 36, 3),
    },
}  # fmt: skip
BARS_OF = {file: interval for interval, files in BAR_FILES.items() for file in files}


@cache
def judged(interval: Interval) -> dict[str, Judged]:
    """All files of an interval, read one by one and judged at once, each under its own name."""
    tables, listed, files = [], [], {}
    for file in BAR_FILES[interval]:
        sheet = read_sheet(SHARED_DATA / file, file)
        assert not isinstance(sheet, NoBars), file
        for series in series_of(sheet):
            own = at_interval(series, interval)
            assert not len(own.rejected), file
            name = f"{file} {own.symbol}"
            files[name] = file
            tables.append(own.bars.assign(symbol=name))
            listed.append({"symbol": name, "token": len(files), "kind": kind_of(own.symbol).value, "tick_size": "0.05",
                           "lot_size": 1, "sector": "", "has_volume": own.has_volume})  # fmt: skip
    bars = pd.concat(tables, ignore_index=True)
    found = validated(Raw(bars, instruments_table(listed), None), interval, PARAMS)
    faults = {name: Counter(rules) for name, rules in found.quarantine.groupby("symbol")["rule"]}
    per_file: dict[str, Judged] = {}
    for name, rest in found.bars.items():
        own, aside, gaps = per_file.get(files[name], Judged(0)), faults.get(name, Counter()), found.completeness[name]
        per_file[files[name]] = Judged(
            own.rows + len(rest) + aside.total(),
            dict(sorted((Counter(own.aside) + aside).items())),
            own.missing + gaps.missing_sessions,
            own.thin + gaps.thin_sessions,
        )
    assert sum(one.rows for one in per_file.values()) == len(bars), "each row is sound or set aside"
    return per_file


@pytest.mark.parametrize("file", sorted(BARS_OF))
def test_a_file_of_bars_is_read_whole_and_its_faults_and_gaps_are_found(file):
    interval = BARS_OF[file]

    assert judged(interval)[file] == BAR_FILES[interval][file]


# files of other kinds: what reads them, and how ingest turns away the others


def refused(path: Path, words: str) -> None:
    """The file holds no bars, and ingest says so in one line."""
    sheet = read_sheet(path, path.name)
    assert isinstance(sheet, NoBars)
    assert words in sheet.reason
    assert "\n" not in sheet.reason


def days_in(path: Path, column: str, written: str = "%Y-%m-%d", **how: object) -> list[date]:
    table = pd.read_csv(path, skipinitialspace=True, **how)
    return pd.to_datetime(table[column].dropna(), format=written).dt.date.tolist()


def holidays_2007_2022(path: Path) -> None:
    refused(path, "holds no prices")
    days = days_in(path, "date")
    traded = days_in(path.with_name("traded_on_holidays.csv"), "Nifty")

    assert len(days) == 234
    assert [day for day in days if session_on(day)] == traded


def published_holidays(path: Path) -> None:
    refused(path, "no header")
    days = days_in(path, 0, "%d-%b-%Y", header=None)

    traded = [session.kind for day in days if (session := session_on(day))]

    assert (path.stem[-4:], len(days), len(traded)) in {("2024", 21, 0), ("2025", 18, 1), ("2026", 20, 0)}
    assert set(traded) <= {"muhurat"}  # of 2026 nobody knows the hours yet


def holiday_master(path: Path) -> None:
    rows = json.loads(path.read_text(encoding="utf-8"))["CM"]
    days = [datetime.strptime(row["tradingDate"], "%d-%b-%Y").date() for row in rows]

    assert len(days) == 18
    assert [day for day in days if session_on(day)] == [date(2025, 10, 21)], "a Muhurat evening"


def sessions_observed(path: Path) -> None:
    refused(path, "holds no prices")
    days = days_in(path, "date")

    assert len(days) == 6459
    assert [session.day for session in sessions_between(days[0], days[-1])] == days


def closures_observed(path: Path) -> None:
    refused(path, "holds no prices")
    days = days_in(path, "date")

    assert len(days) == 345
    assert not any(map(session_on, days))


def traded_days(path: Path) -> None:
    refused(path, "holds no prices")
    for column in ("Nifty", "Reliance"):
        days = days_in(path, column)
        assert len(days) == 14
        assert all(map(session_on, days))


def derived_actions(path: Path) -> None:
    """Every simple ratio that was derived from a jump is found in the traded prices by the adjustment."""
    refused(path, "holds no prices")
    told = pd.read_csv(path)
    assert len(told) == 56
    there = (told["symbol"] != "HDFCBANK") & (told["ex_date"] < "2021-05-01")  # of the others are no traded prices
    told = told[(told["kind"] == "split_or_bonus") & there]
    actions = actions_table(
        {"symbol": row.symbol, "ex_date": midnight, "kind": "split", "ratio": row.nearest_simple_ratio,
         "amount_inr": float("nan"), "known_at": midnight, "source": path.name}
        for row in told.itertuples() if (midnight := pd.Timestamp(row.ex_date, tz=IST))
    )  # fmt: skip
    steps = []
    for symbol in actions["symbol"].unique():
        file = f"daily/nse_unadjusted/{symbol}.parquet"
        (series,) = series_of(read_sheet(SHARED_DATA / file, file))
        steps += adjust(series.frame, actions, symbol).steps

    assert len(steps) == len(told) == 39
    assert all(step.applied == pytest.approx(step.known) for step in steps)


def headlines(path: Path) -> None:
    refused(path, "holds no prices")
    names = read_entities(path.with_name("entity_list_comprehensive.csv"))
    columns = {"headline": "Title", "entities": "Decisions"}

    with pytest.raises(BadInput, match="headlines without one cannot be used"):
        next(NewsFile(path, columns, names).fetch(None, REPORT_DAY))


def spellings(path: Path) -> None:
    refused(path, "holds no prices")

    assert read_entities(path).symbol_of("Prime Focus") == "PFOCUS"
    assert len(pd.read_csv(path)) == 1010


def dump(path: Path) -> None:
    refused(path, "holds no prices")
    read = read_dated_table(path, path.name)

    wanted = {"nfo_instruments_subset": 0, "nse_instruments": 8725, "instruments_nse": 99, "instruments_all": 55}
    assert read is not None
    assert (read.kind, len(read.table)) == ("instruments", wanted[path.stem])
    if path.stem == "nfo_instruments_subset":
        with path.open(encoding="utf-8", newline="") as file:
            assert all(derivative_from_dump(row).derivative for row in csv.DictReader(file))


def fund_dump(path: Path) -> None:
    refused(path, "holds no prices")
    assert read_dated_table(path, path.name) is None, "funds are not traded here"


def answer_of_kite(path: Path) -> None:
    """Held against the paper exchange by the contract test; to ingest a folder of them is no data."""
    told = json.loads(path.read_text(encoding="utf-8"))

    if path.stem == "postback" or path.stem.startswith("ticker"):
        assert "instrument_token" in told, "an order's or a tick's own fields"
    else:
        assert told.get("status", "success") == "success"
        assert "data" in told
    refused(path, "")


def candles_of_kite(path: Path) -> None:
    told = KiteConnect("key")._format_historical(json.loads(path.read_text(encoding="utf-8"))["data"])
    day = told[0]["date"].date()

    class Recorded:
        def instruments(self, exchange):
            return [{"tradingsymbol": "NIFTYFUT", "instrument_token": 1, "segment": "NFO-FUT", "instrument_type": "FUT",
                     "tick_size": 0.05, "lot_size": 75}]  # fmt: skip

        def historical_data(self, *asked, **named):
            return told

    evening = datetime(2026, 11, 2, 20, tzinfo=IST)
    source = KiteHistory(Recorded(), ["NFO:NIFTYFUT"], "minute", day, now=lambda: evening)
    _, bars = list(source.fetch(day, day))

    assert (len(bars.table), "oi" in bars.table) == {"historical_minute": (6, False), "historical_oi": (6, True)}[
        path.stem
    ]
    assert bars.table["close"].tolist() == [candle["close"] for candle in told]


def packet(path: Path) -> None:
    content = path.read_bytes()
    if path.parent.name == "mocks":  # one bare packet, as base64 text
        body = base64.b64decode(content)
        content = struct.pack(">HH", 1, len(body)) + body
    (tick,) = KiteTicker("key", "token")._parse_binary(content)

    assert tick["instrument_token"] == (408065 if path.parent.name == "mocks" else 884737)
    assert tick["last_price"] > 0


def bhavcopy(path: Path) -> None:
    with pytest.raises(BadInput, match="no column date") as told:
        read_sheet(path, path.name)
    assert "\n" not in str(told.value)

    read = read_bhavcopy(path.read_bytes(), path.name, REPORT_DAY)

    assert len(read.bars) == {"sec": 2514, "pd1": 2638}[path.name[:3]]
    assert not len(read.rejected)
    assert session_on(REPORT_DAY).open == read.bars["open_time"].unique().item()


def announcements(path: Path) -> None:
    refused(path, "holds no prices")

    actions, _ = read_actions(path.read_bytes(), path.name, datetime(2025, 12, 16, 20, tzinfo=IST))

    assert Counter(actions["kind"]) == {"dividend": 2, "split": 2, "bonus": 1, "rights": 1, "demerger": 1}


def series_change(path: Path) -> None:
    refused(path, "holds no prices")
    assert pd.read_csv(path)["To Series"].tolist() == ["BE", "BE"], "trade for trade: the archive reads that series too"


def ticks(path: Path) -> None:
    refused(path, "holds no prices")
    sheet = read_tick_sheet(path, path.name)
    assert sheet is not None

    sifted = sift_ticks(sheet.ticks, {}, Released())

    assert not len(sheet.rejected)
    assert len(sifted.sound) + len(sifted.aside) == len(sheet.ticks)
    rows, bars, aside = TICKS[path.name]
    assert (len(sheet.ticks), len(minute_bars(sifted.sound))) == (rows, bars)
    assert dict(sifted.aside["rule"].value_counts().sort_index()) == aside


#: Rows, minute bars of the sound ones, and what is set aside by rule
TICKS: dict[str, tuple[int, int, dict[str, int]]] = {
    "INFY_16_April.csv": (
        26_120,
        368,
        {"before_exchange": 3007, "duplicate": 665, "outside_session": 1791, "stub_day": 35, "total_steps_back": 241},
    ),
    "ticks_2021-05-17_to_21.parquet": (357_860, 6_419, {"outside_session": 5928, "total_steps_back": 2386}),
}
OTHER_FILES: dict[str, Callable[[Path], None]] = {
    "calendar/nse_holiday_master_2025.json": holiday_master,
    "calendar/nse_holidays_2007_2022.csv": holidays_2007_2022,
    "calendar/nse_holidays_2024.csv": published_holidays,
    "calendar/nse_holidays_2025.csv": published_holidays,
    "calendar/nse_holidays_2026.csv": published_holidays,
    "calendar/sessions_observed_2000_2025.csv": sessions_observed,
    "calendar/traded_on_holidays.csv": traded_days,
    "calendar/traded_on_weekends.csv": traded_days,
    "calendar/weekday_closures_observed_2000_2025.csv": closures_observed,
    "corporate_actions/derived_splits_bonuses.csv": derived_actions,
    "headlines/SEntFiN_subset.csv": headlines,
    "headlines/entity_list_comprehensive.csv": spellings,
    "kite/instruments/nfo_instruments_subset.csv": dump,
    "kite/instruments/nse_instruments.csv": dump,
    "kite/mocks/instruments_all.csv": dump,
    "kite/mocks/instruments_nse.csv": dump,
    "kite/mocks/mf_instruments.csv": fund_dump,
    "kite/mocks/historical_minute.json": candles_of_kite,
    "kite/mocks/historical_oi.json": candles_of_kite,
    "kite/mocks/ticker_full.packet": packet,
    "kite/mocks/ticker_quote.packet": packet,
    "kite/packets/fullMode_binary.packet": packet,
    "kite/packets/ltpMode_binary.packet": packet,
    "kite/packets/quoteMode_binary.packet": packet,
    "nse_daily_reports/2025-12-16/bc16122025.csv": announcements,
    "nse_daily_reports/2025-12-16/pd16122025.csv": bhavcopy,
    "nse_daily_reports/2025-12-16/sec_bhavdata_full_16122025.csv": bhavcopy,
    "nse_daily_reports/2025-12-16/series_change.csv": series_change,
    "ticks/INFY_16_April.csv": ticks,
    "ticks/ticks_2021-05-17_to_21.parquet": ticks,
} | {
    f"kite/mocks/{name}.json": answer_of_kite
    for name in [
        "alerts_create",
        "alerts_create_ato",
        "alerts_delete",
        "alerts_get",
        "alerts_get_one",
        "alerts_history",
        "alerts_modify",
        "auctions_list",
        "autoslice_response",
        "basket_margins",
        "convert_position",
        "full_profile",
        "generate_session",
        "gtt_delete_order",
        "gtt_get_order",
        "gtt_get_orders",
        "gtt_modify_order",
        "gtt_place_order",
        "holdings",
        "holdings_auth",
        "holdings_compact",
        "holdings_summary",
        "ltp",
        "margin_commodity",
        "margins",
        "margins_equity",
        "mf_holdings",
        "mf_order_cancel",
        "mf_order_response",
        "mf_orders",
        "mf_orders_info",
        "mf_sip_cancel",
        "mf_sip_info",
        "mf_sip_modify",
        "mf_sip_place",
        "mf_sips",
        "ohlc",
        "order_cancel",
        "order_info",
        "order_margins",
        "order_modify",
        "order_response",
        "order_trades",
        "orders",
        "positions",
        "postback",
        "profile",
        "quote",
        "session_logout",
        "ticker_full",
        "ticker_ltp",
        "ticker_quote",
        "trades",
        "trigger_range",
        "virtual_contract_note",
    ]
}


@pytest.mark.parametrize("file", sorted(OTHER_FILES))
def test_a_file_of_another_kind_is_read_by_what_reads_it_or_turned_away(file):
    OTHER_FILES[file](SHARED_DATA / file)


def test_no_shared_file_is_without_an_assertion():
    there = {path.relative_to(SHARED_DATA).as_posix() for path in SHARED_DATA.rglob("*") if path.is_file()}

    assert there - {"README.md"} == {*BARS_OF, *OTHER_FILES}


@pytest.mark.parametrize("folder", ["kite/mocks", "calendar", "headlines"])
def test_a_folder_without_bars_is_refused_in_one_line(folder):
    given = {"ingest.source": "files", "ingest.folder": str(SHARED_DATA / folder)}

    with pytest.raises(BadInput, match="holds no bars") as told:
        read_files(IngestParams.model_validate(params_content(given)["ingest"]))
    assert "\n" not in str(told.value)
