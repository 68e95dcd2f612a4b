"""Kite's history collected from the real paper exchange by the official client, through what goes wrong there."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import httpx
import pandas as pd
import pytest
from kiteconnect import KiteConnect

from pipelines.domain.bars import BAR_COLUMNS
from pipelines.domain.errors import BadInput, LoggedOut, NotFound, ServiceUnavailable
from pipelines.ingest.source import Fetched
from pipelines.ingest.sources.kite_history import KiteHistory
from pipelines.pacing import ReadPacer
from tests.integration.test_exchange import ADMIN, ENVIRONMENT, go_on, logged_in, running_exchange
from tests.integration.test_exchange_faults import arm, count_of
from tests.unit.exchange.builders import DAY, a_frame, random_bars, write_workspace

#: Sessions more than a hundred days apart: five-minute candles of them need several requests
DAYS = (date(2025, 11, 3), date(2026, 3, 2), date(2026, 3, 4), date(2026, 7, 15), date(2026, 10, 28))
START = date(2025, 11, 1)
HISTORY = "GET /instruments/historical"
PACER = ReadPacer()  #: one for all tests: the exchange counts by API key, whoever calls


@pytest.fixture(scope="module")
def played() -> dict[str, pd.DataFrame]:
    levels = {"ALPHA": (1500.0, 0.05), "M&B": (840.0, 0.1)}
    return {
        symbol: a_frame([bar for day in DAYS for bar in random_bars(symbol, day, level, day.day, tick)])
        for symbol, (level, tick) in levels.items()
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory, played) -> Iterator[str]:
    root: Path = tmp_path_factory.mktemp("history")
    history = [list(bars.itertuples(index=False)) for bars in played.values()]
    write_workspace(root, history, [random_bars("ALPHA", DAY, 1500.0, 4), random_bars("M&B", DAY, 840.0, 5, 0.1)])
    with running_exchange(root, "--rate-limits", "on") as address:
        go_on(address, 12)  # into the session, amid its third bar
        yield address


@pytest.fixture
def kite(url) -> Iterator[KiteConnect]:
    yield logged_in(url)
    httpx.delete(f"{url}/paper/faults", headers=ADMIN)


@pytest.fixture
def market_time(url) -> datetime:
    return datetime.fromisoformat(httpx.get(f"{url}/paper/status", headers=ADMIN).json()["clock"])


class Learnt:
    """What a lake would know after a run that broke off."""

    def __init__(self, pieces: list[Fetched]):
        self._pieces = pieces

    def last_day(self, kind, key):
        days = [p.table["open_time"].max().date() for p in self._pieces if (p.kind, p.key) == (kind, key)]
        return max(days, default=None)

    def holds(self, kind, key, day):
        raise NotImplementedError

    def seen(self, origin, digest):
        raise NotImplementedError


def history(kite, market_time, interval="5minute", symbols=("ALPHA", "M&B"), **given) -> KiteHistory:
    return KiteHistory(kite, symbols, interval, START, pacer=PACER, now=lambda: market_time, **given)


def bars_in(pieces: list[Fetched], symbol: str) -> pd.DataFrame:
    tables = [piece.table for piece in pieces if piece.kind == "bars" and set(piece.table["symbol"]) == {symbol}]
    return pd.concat(tables, ignore_index=True)


def test_every_bar_that_was_played_and_has_closed_is_fetched_and_no_other(kite, market_time, played):
    pieces = list(history(kite, market_time).fetch(None, DAY))

    for symbol, bars in played.items():
        found = bars_in(pieces, symbol)
        before = found[found["open_time"].dt.date < DAY]
        pd.testing.assert_frame_equal(before[list(BAR_COLUMNS)], bars, check_dtype=False)
        today = found[found["open_time"].dt.date == DAY]
        assert len(today) == 2
        assert (today["close_time"] <= market_time).all()
    assert all(piece.known_at == market_time for piece in pieces), "adjusted prices are known from the fetch on"
    assert {piece.key for piece in pieces} == {"kite", "ALPHA@5min", "M&B@5min"}


def test_instruments_come_first_with_kites_tokens_and_ticks(kite, market_time):
    piece = next(history(kite, market_time).fetch(None, DAY))

    assert piece.kind == "instruments"
    assert piece.table[["symbol", "token", "tick_size", "kind"]].to_numpy().tolist() == [
        ["ALPHA", 408065, "0.05", "stock"],
        ["M&B", 738561, "0.1", "stock"],
    ]


def test_a_run_that_broke_off_goes_on_with_its_last_window_and_ends_with_the_same_bars(kite, market_time, played):
    whole = list(history(kite, market_time, symbols=["ALPHA"]).fetch(None, DAY))
    broken_off = whole[:2]
    assert len(whole) > 4

    rest = list(history(kite, market_time, symbols=["ALPHA"], known=Learnt(broken_off)).fetch(None, DAY))

    assert [piece.origin for piece in rest[1:]] == [piece.origin for piece in whole[1:]], "its last window comes again"
    again = list(history(kite, market_time, symbols=["ALPHA"], known=Learnt(whole)).fetch(None, DAY))
    assert [(p.origin, p.digest) for p in again[1:]] == [(p.origin, p.digest) for p in whole[-1:]]
    assert len(again) == 2


def test_a_break_amid_the_symbols_leaves_the_first_one_whole(kite, url, market_time, played):
    arm(url, "token_expired", route=HISTORY, after=6)
    source = history(kite, market_time)
    learnt: list[Fetched] = []

    with pytest.raises(LoggedOut, match="run: tradesage login") as told:
        for piece in source.fetch(None, DAY):
            learnt.append(piece)

    assert "\n" not in str(told.value)
    assert kite.access_token not in str(told.value)
    rest = list(history(logged_in(url), market_time, known=Learnt(learnt)).fetch(None, DAY))
    for symbol, bars in played.items():
        found = bars_in([*learnt, *rest], symbol).drop_duplicates("open_time")
        assert len(found[found["open_time"].dt.date < DAY]) == len(bars)


@pytest.mark.parametrize(
    ("kind", "times", "fields"),
    [
        ("too_many_requests", 2, {}),
        ("server_error", 2, {"status": 502}),
        ("server_error", 1, {"status": 500}),
        ("reset_before", 2, {}),
        ("answer_lost", 1, {}),
    ],
)
def test_what_passes_is_tried_again_and_no_bar_is_lost(kite, url, market_time, played, kind, times, fields):
    arm(url, kind, route=HISTORY, count=times, after=1, **fields)
    before, slept = count_of(url, kind), []

    pieces = list(history(kite, market_time, symbols=["ALPHA"], sleep=slept.append).fetch(None, DAY))

    found = bars_in(pieces, "ALPHA")
    assert len(found[found["open_time"].dt.date < DAY]) == len(played["ALPHA"])
    assert count_of(url, kind) - before == times
    assert len(slept) == times
    assert slept[0] > 1.0, "Kite counts by calendar seconds: a refused call waits out more than one"
    assert slept == sorted(slept)


@pytest.mark.parametrize(
    ("kind", "words"), [("too_many_requests", "too many calls"), ("server_error", "collect again")]
)
def test_what_does_not_pass_ends_in_one_line(kite, url, market_time, kind, words):
    arm(url, kind, route=HISTORY, count=50)

    with pytest.raises(ServiceUnavailable, match=words) as told:
        list(history(kite, market_time, sleep=lambda seconds: None).fetch(None, DAY))

    assert "\n" not in str(told.value)


def test_the_pace_stays_below_the_limit_that_the_exchange_enforces(kite, url, market_time, played):
    refused = count_of(url, "too_many_requests")
    slept: list[float] = []
    source = history(kite, market_time, interval="15minute", sleep=slept.append)

    for _ in range(3):
        list(source.fetch(None, DAY))

    assert slept == [], "no call was refused, so none was tried again"
    assert count_of(url, "too_many_requests") == refused


def test_daily_candles_span_their_session_and_todays_waits_until_it_is_settled(kite, market_time, played):
    pieces = list(history(kite, market_time, interval="day", symbols=["ALPHA"]).fetch(None, DAY))

    found = bars_in(pieces, "ALPHA")
    bars = played["ALPHA"].groupby(played["ALPHA"]["open_time"].dt.date)
    assert found["open_time"].dt.date.tolist() == list(DAYS)
    assert found["close"].tolist() == bars["close"].last().tolist()
    assert found["volume"].tolist() == bars["volume"].sum().tolist()
    assert set(found["open_time"].dt.strftime("%H:%M")) == {"09:15"}
    assert set(found["close_time"].dt.strftime("%H:%M")) == {"15:30"}


def test_what_kite_does_not_know_is_told_by_name(kite, market_time):
    with pytest.raises(NotFound, match="does not list GAMMA"):
        next(history(kite, market_time, symbols=["ALPHA", "GAMMA"]).fetch(None, DAY))
    with pytest.raises(BadInput, match="no interval '7minute'; it has minute, 3minute"):
        next(history(kite, market_time, interval="7minute").fetch(None, DAY))
    with pytest.raises(BadInput, match="does not take the request for ALPHA minute"):
        list(history(kite, market_time, interval="minute").fetch(None, DAY))


def test_a_paper_exchange_gives_its_token_to_the_source_by_itself(url, market_time, monkeypatch):
    from serving.kite_source import kite_history

    for name in ("KITE_API_KEY", "KITE_API_SECRET"):
        monkeypatch.setenv(f"TRADESAGE_{name}", ENVIRONMENT[f"TRADESAGE_{name}"])

    source = kite_history(["ALPHA"], "60minute", START, root=url, now=lambda: market_time)

    assert len(bars_in(list(source.fetch(None, DAY)), "ALPHA")) == len(DAYS) * 7
    assert source.name == "paper_exchange"  # not Kite's: nothing made on them may trade with money


def test_without_a_token_of_today_the_source_says_what_to_do(tmp_path, monkeypatch):
    from serving.kite_source import kite_history

    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path))
    monkeypatch.setenv("TRADESAGE_KITE_LIVE_API_KEY", "somekey")
    monkeypatch.setenv("TRADESAGE_KITE_LIVE_API_SECRET", "somesecret")

    with pytest.raises(LoggedOut, match=r"no token of today .* run: tradesage login"):
        kite_history(["ALPHA"], "minute", START)
