"""The real daemon at the real exchange over a feed that tells wild things, or nothing any more."""

import contextlib
import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.outcomes import Outcome
from pipelines.journal import journal_at
from pipelines.journal.connecting import PATIENT
from pipelines.journal.journal import Journal
from pipelines.journal.postgres import database_url
from pipelines.paths import Paths
from pipelines.tables import read_table, write_table
from serving.exchange.book import RMS_USER
from serving.exchange.faults import Fault, FaultKind, FaultPlan, Faults
from tests.torture.daemon import ENDED_WELL, Life
from tests.torture.judge import judge
from tests.torture.play import _last_line, _live, _workspace, exchange
from tests.torture.schedule import Schedule, reference
from tests.torture.watch import NakedWatch

DAY, DAYS, TO_1970, TO_2106 = 86_400, 30 * 86_400, -5e9, 5e9


@dataclass(frozen=True)
class Played:
    outcomes: list[Outcome]
    by_the_broker: int  #: orders of its own square-off
    wrong: list[str]
    alarms: list[str]
    naked_s: float
    injected: int


@pytest.fixture(scope="module")
def folder(own_postgres, tmp_path_factory) -> Path:
    journal_at(database_url("journal")).close()
    return tmp_path_factory.mktemp("days")


def play(
    folder: Path, schedule: Schedule, *armed: Fault, rates: dict[FaultKind, float] | None = None, unlisted: str = ""
) -> Played:
    account, keys = f"wild-{secrets.token_hex(4)}", tuple(secrets.token_hex(8) for _ in range(3))
    root, diary, watch = _workspace(folder / account, schedule), folder / f"{account}.log", NakedWatch()
    with (
        contextlib.closing(Journal(database_url("journal"))) as journal,
        exchange(schedule, keys, watch) as (address, conductor, _),
    ):
        conductor.venue.faults = faults = Faults(FaultPlan(schedule.seed, rates) if rates else None)
        faults.arm(*armed)
        life = Life(
            schedule, str(root), account, address, database_url("journal"), keys[2], keys[0], keys[1], None, str(diary),
            limits=PATIENT,  # a busy machine may answer late; what becomes of trades then is told by other tests
        )  # fmt: skip
        if unlisted:
            table = read_table(Paths(root).instruments)
            ghost = table.tail(1).assign(symbol=unlisted, token=999_937)
            write_table(pd.concat([table, ghost], ignore_index=True), Paths(root).instruments)
        code = _live(life)
        told = _last_line(diary)
        assert code == 0, diary.read_text()[-3000:]
        return Played(
            outcomes=journal.outcomes(account),
            by_the_broker=sum(order.placed_by == RMS_USER for order in conductor.venue.orders()),
            wrong=judge(conductor.venue, journal, account).sentences,
            alarms=json.loads(told.removeprefix(ENDED_WELL))["alarms"],
            naked_s=watch.market.total_seconds(),
            injected=faults.told()["injected"],
        )


def course(played: Played) -> list[tuple]:
    """When and why each trade was entered and left, and what it brought."""
    return [(o.symbol, o.entered_at, o.exited_at, o.exit_reason, o.net_inr, o.hold_bars) for o in played.outcomes]


@pytest.fixture(scope="module")
def clean(folder) -> Played:
    return play(folder, reference())


@pytest.mark.parametrize("wrong_by", [60, 3600, DAY, DAYS, TO_2106, -60, -DAY, TO_1970])
def test_packets_with_wrong_stamps_change_nothing_of_a_day(folder, clean, wrong_by):
    armed = [Fault(FaultKind.TICK_STAMP, count=2, after=after, seconds=wrong_by) for after in (0, 3, 10, 25, 40)]

    wild = play(folder, reference(), *armed)

    assert wild.injected >= 8
    assert course(wild) == course(clean)
    assert (wild.wrong, wild.alarms) == ([], clean.alarms)


@pytest.mark.parametrize("kind", [FaultKind.TICK_TRADE_TIME, FaultKind.TICK_VOLUME, FaultKind.TICK_STAMP])
def test_every_third_packet_may_be_wild_and_a_day_goes_on_as_it_was(folder, clean, kind):
    wild = play(folder, reference(), rates={kind: 0.3})

    assert wild.injected >= 10
    assert course(wild) == course(clean)
    assert wild.wrong == []


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [
        (FaultKind.TICK_STAMP, 60),
        (FaultKind.TICK_STAMP, DAY),
        (FaultKind.TICK_STAMP, -3600),
        (FaultKind.TICK_TRADE_TIME, TO_1970),
        (FaultKind.TICK_TRADE_TIME, TO_2106),
        (FaultKind.TICK_VOLUME, None),
    ],
)
@pytest.mark.parametrize("instruments", [2, 4])
def test_three_messages_wild_in_several_instruments_change_nothing(folder, clean, kind, seconds, instruments):
    armed = [Fault(kind, count=3, after=after, seconds=seconds, instruments=instruments) for after in (0, 6, 12, 20)]

    wild = play(folder, reference(), *armed)

    assert wild.injected >= 9
    assert course(wild) == course(clean)
    assert (wild.wrong, wild.by_the_broker) == ([], clean.by_the_broker)


@pytest.mark.parametrize("after", [0, 5, 14])
def test_three_wild_prices_of_several_instruments_lead_to_no_exit(folder, clean, after):
    wild = play(folder, reference(), Fault(FaultKind.TICK_OUT_OF_RANGE, count=3, after=after, instruments=2))

    assert [one[:4] for one in course(wild)] == [one[:4] for one in course(clean)]
    assert wild.wrong == []


def test_wild_first_prices_lead_to_no_exit_and_no_halt(folder, clean):
    wild = play(folder, reference(), Fault(FaultKind.TICK_OUT_OF_RANGE, count=3))

    assert [one[:4] for one in course(wild)] == [one[:4] for one in course(clean)]
    assert all(abs(o.mfe_inr) < 0.1 * float(o.entry_price) * o.quantity for o in wild.outcomes)
    assert (wild.wrong, wild.alarms) == ([], clean.alarms)


def test_ticks_that_never_come_again_leave_no_position_to_the_broker(folder):
    """Whatever is connected anew hears nothing either: what is held is left by the exchange's clock."""
    deaf = Fault(FaultKind.TICKS_STOP, after=20, count=900, seconds=600)

    played = play(folder, replace(reference(), bars=10), deaf)

    assert played.outcomes
    assert played.by_the_broker == 0
    assert played.wrong == []
    assert any("ticks have stopped" in alarm for alarm in played.alarms)


def test_ticks_that_stop_come_again_by_a_new_connection(folder):
    played = play(folder, replace(reference(), bars=10), Fault(FaultKind.TICKS_STOP, after=20, seconds=600))

    assert played.wrong == []
    assert played.naked_s <= 1.0
    assert max(outcome.entered_at for outcome in played.outcomes) > min(o.exited_at for o in played.outcomes)
    assert any("connected anew" in alarm for alarm in played.alarms)


def test_a_share_that_the_broker_does_not_list_is_left_out_and_the_others_trade(folder, clean):
    played = play(folder, reference(), unlisted="GHOST")

    assert course(played) == course(clean)
    assert played.wrong == []
    assert [alarm for alarm in played.alarms if alarm not in clean.alarms] == [
        "GHOST is not entered: the broker does not list it: delisted, suspended, or its symbol has changed"
    ]
