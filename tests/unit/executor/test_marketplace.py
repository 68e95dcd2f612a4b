"""Where and when the daemon trades: sessions by the calendar, and the signs that money needs."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BadParams, NotAllowed
from pipelines.domain.orders import Product
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.ladder import Stage, promote
from serving.executor.kite_client import KITE
from serving.executor.marketplace import KitePlace, refuse_money, time_of_packets, why_not_live
from serving.executor.policy_client import Served
from serving.executor.signed_policy import refuse_unsigned, why_unsigned
from tests.unit.promotion.builders import AT, MODEL, TRACK, Aliases, registered

SERVED = Served("p1", "hash", Interval.MIN_5, {}, Product.MIS, 24, stage="champion", source="files")


class Wall:
    """A clock that moves when somebody sleeps."""

    def __init__(self, at: str, monkeypatch):
        self.now = datetime.fromisoformat(at).replace(tzinfo=IST)
        monkeypatch.setattr("time.sleep", self._sleep)

    def __call__(self) -> datetime:
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=max(seconds, 1.0))


@pytest.mark.parametrize(
    ("started", "taken_up"),
    [
        ("2026-10-30T08:59:00", "2026-10-30T09:00:00"),  # in the morning: the pre-open session
        ("2026-10-30T11:00:00", "2026-10-30T11:00:00"),  # in mid-session: at once
        ("2026-10-30T16:00:00", "2026-11-02T09:00:00"),  # on Friday evening: over the weekend
        ("2026-11-09T18:00:00", "2026-11-11T09:00:00"),  # before the holiday of 10 November
    ],
)
def test_a_session_is_awaited_over_nights_weekends_and_holidays(started, taken_up, monkeypatch):
    wall = Wall(started, monkeypatch)
    told = []

    assert KitePlace(KITE, wall, cash_is_a_ledger=False).await_session(told.append)

    assert abs(wall.now - datetime.fromisoformat(taken_up).replace(tzinfo=IST)) < timedelta(seconds=10)
    assert len(told) == (started != taken_up)


def test_a_session_is_traded_once_and_the_next_day_follows(monkeypatch):
    wall = Wall("2026-10-29T09:00:00", monkeypatch)
    place = KitePlace(KITE, wall, cash_is_a_ledger=False, days=2)

    assert place.await_session(print)
    wall.now = datetime(2026, 10, 29, 15, 29, tzinfo=IST)
    assert not place.is_last_day(date(2026, 10, 29))
    assert place.await_session(print)
    assert wall.now.date() == date(2026, 10, 30)
    assert place.is_last_day(date(2026, 10, 30))
    assert not place.await_session(print)


def test_a_session_ends_by_its_last_frame_or_by_the_clock_a_little_after_its_end(monkeypatch):
    wall = Wall("2026-10-30T09:00:00", monkeypatch)
    place = KitePlace(KITE, wall, cash_is_a_ledger=False)
    place.await_session(print)
    end = datetime(2026, 10, 30, 15, 30, tzinfo=IST)

    assert not place.is_over(end - timedelta(seconds=1), quiet=False)
    assert place.is_over(end, quiet=False)
    wall.now = end + timedelta(minutes=1)
    assert not place.is_over(end - timedelta(hours=2), quiet=True), "the books may still change"
    wall.now = end + timedelta(minutes=2)
    assert place.is_over(end - timedelta(hours=2), quiet=True)


def test_a_year_that_the_calendar_does_not_know_is_not_traded_on_a_guess(monkeypatch):
    wall = Wall("2026-12-31T18:00:00", monkeypatch)

    with pytest.raises(BadParams, match="does not know 2027-01-01"):
        KitePlace(KITE, wall, cash_is_a_ledger=False).await_session(print)


def test_a_session_whose_hours_nobody_knows_is_passed_over_and_told(monkeypatch):
    wall, told = Wall("2026-11-07T18:00:00", monkeypatch), []

    assert KitePlace(KITE, wall, cash_is_a_ledger=False).await_session(told.append)

    assert wall.now.date() == date(2026, 11, 9)
    assert "2026-11-08" in told[0]
    assert "nothing is traded" in told[0]


def test_money_is_traded_only_with_the_switch_a_stage_and_a_real_market():
    assert why_not_live(KITE, SERVED, True) is None
    refusals = [
        (why_not_live(KITE, SERVED, False), "executor.live is false"),
        (why_not_live(KITE, replace(SERVED, stage="paper"), True), "stands at paper; money needs canary or champion"),
        (why_not_live(KITE, replace(SERVED, stage=""), True), "stands at no stage"),
        (why_not_live(KITE, replace(SERVED, source="simulated"), True), "made on simulated market data"),
        (why_not_live(KITE, replace(SERVED, source=""), True), "made on an unknown market data"),
    ]

    for reason, told in refusals:
        assert reason is not None
        assert told in reason
        assert "\n" not in reason


@pytest.mark.parametrize("source", ["files", "lake"])
def test_a_policy_made_on_any_real_bars_may_trade_with_money(source):
    assert why_not_live(KITE, replace(SERVED, source=source), True) is None


@pytest.mark.parametrize("source", ["satellite", "Files", "real"])
def test_a_source_that_is_not_known_to_be_real_is_refused_money(source):
    assert why_not_live(KITE, replace(SERVED, source=source), True) is not None


def test_money_is_traded_only_by_what_the_journal_recorded_at_the_stage():
    journal = MemoryJournal()
    real = registered(journal, "1", source="lake", policy_version="p1")
    registered(journal, "2", source="simulated", policy_version="p2")
    for stage in (Stage.PAPER, Stage.CANARY, Stage.CHAMPION):
        promote(Aliases(), journal, "1", stage, "asha", "good", approved_by="asha", track=TRACK, at=AT)
    for stage in (Stage.PAPER, Stage.CANARY):
        promote(Aliases(), journal, "2", stage, "asha", "good", approved_by="asha", track=TRACK, at=AT)
    events = journal.policy_events(MODEL)

    assert real.is_real
    assert why_unsigned(SERVED, events) is None
    for served, told in (
        (replace(SERVED, policy_version="p9"), "has not recorded that policy p9 stands at champion"),
        (replace(SERVED, stage="canary"), "has not recorded that policy p1 stands at canary"),
        (replace(SERVED, policy_version="p2", stage="canary"), "a simulated market with a planted momentum edge"),
    ):
        with pytest.raises(NotAllowed, match=told):
            refuse_unsigned(KITE, served, lambda: events)
    refuse_unsigned("http://127.0.0.1:7070", replace(SERVED, policy_version="p9"), lambda: events)


def test_a_paper_exchange_takes_any_policy_and_kite_refuses_in_one_line():
    refuse_money("http://127.0.0.1:7070", replace(SERVED, stage="paper", source="simulated"), False)

    with pytest.raises(NotAllowed, match="until a person sets it to true"):
        refuse_money(KITE, SERVED, False)


def test_at_kite_stamps_are_held_against_this_machine_and_elsewhere_against_the_exchange():
    at = datetime(2026, 10, 30, 10, 0, tzinfo=IST)
    ahead = int((at + timedelta(hours=2)).timestamp())
    asked = []

    def clock() -> datetime:
        asked.append(at)
        return at

    played = KitePlace("http://127.0.0.1:1", clock, cash_is_a_ledger=True)
    live = KitePlace(KITE, lambda: datetime.now(IST), cash_is_a_ledger=False)

    assert time_of_packets(played).judge([(1, ahead)]) == int(at.timestamp())
    assert len(asked) == 2
    assert time_of_packets(live).judge([(1, int((datetime.now(IST) + timedelta(hours=2)).timestamp()))]) is None
    assert time_of_packets(live).judge([(1, ahead)]) == ahead, "of a day that is past"
