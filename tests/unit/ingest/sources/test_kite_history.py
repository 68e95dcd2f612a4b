"""What Kite's answers become, by answers recorded at Kite and by clients that misbehave."""

import itertools
import json
from datetime import date, datetime

import pandas as pd
import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect import exceptions as refused

from pipelines.domain.bars import IST
from pipelines.domain.errors import LoggedOut, ServiceUnavailable
from pipelines.ingest.sources.kite_history import KiteHistory
from pipelines.pacing import ReadPacer
from tests.conftest import SHARED_DATA

EVENING = datetime(2019, 12, 4, 20, 0, tzinfo=IST)
FUTURE = {"tradingsymbol": "NIFTY19DECFUT", "instrument_token": 12683010, "segment": "NFO-FUT",
          "instrument_type": "FUT", "tick_size": 0.05, "lot_size": 75}  # fmt: skip
STOCK = {"tradingsymbol": "INFY", "instrument_token": 408065, "segment": "NSE", "instrument_type": "EQ",
         "tick_size": 0.05, "lot_size": 1}  # fmt: skip


class Answers:
    """A client with one dump, whose history comes from a function of the call's number."""

    def __init__(self, listed: list[dict], answer):
        self._listed, self._answer, self.asked = listed, answer, []

    def instruments(self, exchange):
        return self._listed

    def historical_data(self, token, first, last, interval, continuous=False, oi=False):
        self.asked.append((token, first, last, interval, oi))
        return self._answer(len(self.asked))


def history(client, symbol: str, interval: str = "minute", now: datetime = EVENING, **given) -> KiteHistory:
    pacer = ReadPacer(sleep=lambda seconds: None, clock=iter(range(10_000)).__next__)
    start = given.pop("start", now.date())
    return KiteHistory(client, [symbol], interval, start, pacer=pacer, now=lambda: now, sleep=lambda s: None, **given)


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
def test_open_interest_is_asked_for_and_kept_where_there_is_any():
    told = json.loads((SHARED_DATA / "kite" / "mocks" / "historical_oi.json").read_text())["data"]
    client = Answers([FUTURE], lambda number: KiteConnect("key")._format_historical(told))

    pieces = list(history(client, "NFO:NIFTY19DECFUT").fetch(None, EVENING.date()))

    bars = pieces[1].table
    assert client.asked[0][-1] is True
    assert bars["oi"].tolist()[:3] == [13667775, 13667775, 13758000]
    assert bars["open_time"].iloc[0] == pd.Timestamp("2019-12-04 09:15", tz=IST)
    assert bars["close_time"].iloc[0] == pd.Timestamp("2019-12-04 09:16", tz=IST)
    assert pieces[0].table[["symbol", "kind", "lot_size"]].to_numpy().tolist() == [["NIFTY19DECFUT", "future", 75]]


def test_a_stocks_candles_are_asked_for_without_open_interest():
    client = Answers([STOCK], lambda number: [])

    assert [piece.kind for piece in history(client, "INFY").fetch(None, EVENING.date())] == ["instruments"]
    assert client.asked[0][-1] is False


def test_windows_are_the_same_in_every_run_and_leave_no_day_out():
    client = Answers([STOCK], lambda number: [])
    start, until = date(2019, 1, 1), EVENING.date()

    list(history(client, "INFY", start=start).fetch(None, until))
    spans = [(first.date(), last.date()) for _, first, last, _, _ in client.asked]
    client.asked.clear()
    list(history(client, "INFY", start=start, now=datetime(2019, 11, 4, 20, tzinfo=IST)).fetch(None, until))

    assert spans[0][0] == start
    assert spans[-1][1] == until
    assert all((after[0] - before[1]).days == 1 for before, after in itertools.pairwise(spans))
    assert all((last - first).days < 60 for first, last in spans)
    assert [first.date() for _, first, *_ in client.asked] == [first for first, _ in spans][: len(client.asked)]


def test_candles_that_still_grow_are_left_for_the_next_run():
    rows = [{"date": pd.Timestamp(f"2019-12-04 {clock}", tz=IST), "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0,
             "volume": 5} for clock in ("09:15", "09:18", "09:21")]  # fmt: skip
    now = datetime(2019, 12, 4, 9, 23, tzinfo=IST)

    pieces = list(history(Answers([STOCK], lambda number: rows), "INFY", "3minute", now).fetch(None, now.date()))

    assert pieces[1].table["open_time"].dt.strftime("%H:%M").tolist() == ["09:15", "09:18"]
    assert pieces[1].key == "INFY@3min"


def test_the_days_own_candle_is_left_until_its_official_close_is_settled():
    days = ("2019-12-03", "2019-12-04")
    rows = [{"date": pd.Timestamp(day, tz=IST), "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 5}
            for day in days]  # fmt: skip
    client = Answers([STOCK], lambda number: rows)
    at_close = EVENING.replace(hour=15, minute=35)

    early = list(history(client, "INFY", "day", at_close, start=date(2019, 12, 3)).fetch(None, EVENING.date()))
    late = list(history(client, "INFY", "day", start=date(2019, 12, 3)).fetch(None, EVENING.date()))

    assert len(early[1].table) == 1
    assert len(late[1].table) == 2


def test_a_dead_token_is_not_tried_again():
    def dead(number):
        raise refused.TokenException("Incorrect `api_key` or `access_token`.", code=403)

    client = Answers([STOCK], dead)

    with pytest.raises(LoggedOut, match="run: tradesage login"):
        list(history(client, "INFY").fetch(None, EVENING.date()))
    assert len(client.asked) == 1


def test_a_secret_in_an_error_does_not_reach_the_reader(monkeypatch):
    from pipelines.credentials import note_secret

    note_secret("verysecrettoken")

    def broken(number):
        raise requests.ConnectionError("HTTPSConnectionPool: /historical?access_token=verysecrettoken\nrefused")

    with pytest.raises(ServiceUnavailable) as told:
        list(history(Answers([STOCK], broken), "INFY").fetch(None, EVENING.date()))
    assert "verysecrettoken" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_fault_of_our_own_is_not_taken_for_kites():
    def wrong(number):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(history(Answers([STOCK], wrong), "INFY").fetch(None, EVENING.date()))
