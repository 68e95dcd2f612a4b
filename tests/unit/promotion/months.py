"""A month at a stage, in a journal: days, decisions and closed trades."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.domain.bars import IST
from pipelines.promotion.stages import Stage
from tests.unit.journal.records import a_decision, a_position, an_outcome

#: What a registration says whose bars a market made
REAL: dict[str, Any] = {"source": "lake", "bars": "real bars of Kite's history", "planted_edge": None}
FIRST = datetime(2026, 11, 2, 11, 0, tzinfo=IST)


def trades_for_a_month(
    journal: Any,
    stage: Stage,
    *,
    policy_version: str = "0123456789ab",
    first: datetime = FIRST,
    days: int = 20,
    symbol: str = "TCS",
    account: str = "paper-1",
) -> None:
    """Three trades on each weekday, which earn a little more or less than the 20 bps their decisions expected."""
    day, left, number = first, days, 0
    while left:
        if day.weekday() < 5:
            left -= 1
            for minutes in (0, 15, 30):
                number += 1
                close = day + timedelta(minutes=minutes)
                decision = a_decision(
                    symbol=symbol, close_time=close, policy_version=policy_version, expected_return=0.002
                )
                decision_id = journal.record_decision(account, decision, 1.0, stage=stage.value)
                journal.record_position(account, a_position(position_id=decision_id, symbol=symbol))
                outcome = an_outcome(
                    symbol=symbol,
                    decision_id=decision_id,
                    policy_version=policy_version,
                    net_inr=Decimal("2.60") if number % 2 else Decimal("1.80"),
                    entry_slippage_inr=Decimal("0.30"),
                    exit_slippage_inr=Decimal("0.20"),
                )
                journal.record_outcome(account, decision_id, outcome)
        day += timedelta(days=1)
