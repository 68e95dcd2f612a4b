"""What the ladder asks the journal besides its moves: refused moves, and how a policy fared at a stage."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from pipelines.domain.bars import IST
from pipelines.journal.rows import as_json

#: A bar cannot close after its decision was recorded, but for what two machines' clocks differ by
CLOCK_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class StageTrade:
    """A closed trade of a policy, with what its decision expected of it."""

    symbol: str
    decided_at: datetime  #: close of the bar it was decided on
    quantity: int
    entry_price: Decimal
    exit_price: Decimal
    net_inr: Decimal  #: after charges
    slippage_inr: Decimal  #: of entry and exit, beyond the prices at which they were decided
    expected_return: float | None  #: per rupee of position after charges, as the trade model said; None if it did not

    @property
    def entry_value(self) -> Decimal:
        """Rupees."""
        return self.entry_price * self.quantity

    @property
    def traded_value(self) -> Decimal:
        """Rupees, of both legs."""
        return (self.entry_price + self.exit_price) * self.quantity


class LadderRecords:
    """Part of the journal; its heirs give the connection and the audit."""

    def _begin(self) -> AbstractContextManager[Connection]:
        raise NotImplementedError

    @contextmanager
    def together(self) -> Iterator[None]:
        raise NotImplementedError
        yield

    def audit(self, actor: str, action: str, subject: str, detail: Mapping[str, Any], at: datetime) -> str:
        raise NotImplementedError

    def record_policy_refusal(
        self,
        *,
        model: str,
        version: str,
        asked: str,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any],
        at: datetime,
    ) -> None:
        """Note a move that was asked for and not made, and who said no; the audit chain gets an entry with it."""
        row = {"model": model, "version": version, "asked": asked, "actor": actor, "reason": reason, "at": at}
        insert = text(
            "insert into policy_refusals (model, version, asked, actor, reason, evidence, at)"
            " values (:model, :version, :asked, :actor, :reason, :evidence, :at)"
        )
        with self.together():
            with self._begin() as connection:
                connection.execute(insert, row | {"evidence": as_json(dict(evidence))})
            detail = {"asked": asked, "reason": reason, "evidence": dict(evidence)}
            self.audit(actor, "policy refused", f"{model} {version}", detail, at)

    def policy_refusals(self, model: str) -> list[dict[str, Any]]:
        """Refused moves, oldest first."""
        select = text(
            "select model, version, asked, actor, reason, evidence, at from policy_refusals"
            " where model = :model order by refusal_id"
        )
        with self._begin() as connection:
            return [dict(row._mapping) for row in connection.execute(select, {"model": model})]

    def stage_closes(self, policy_version: str, stage: str, since: datetime) -> list[datetime]:
        """Closes from `since` on at which a policy decided while it was served from a stage, each once, in order.

        A decision on a bar that closed after it was recorded counts for nothing: no market was there.
        """
        select = text(
            "select distinct close_time from decisions where policy_version = :policy and stage = :stage"
            " and close_time >= :since and close_time <= recorded_at + :slack order by close_time"
        )
        with self._begin() as connection:
            found = connection.execute(select, _served(policy_version, stage, since))
            return [row.close_time.astimezone(IST) for row in found]

    def stage_trades(self, policy_version: str, stage: str, since: datetime) -> list[StageTrade]:
        """Closed trades of the decisions that `stage_closes` counts.

        A bar of an instrument counts once, however often and in whichever account it was played.
        """
        select = text(
            "select distinct on (d.close_time, o.symbol) o.symbol, d.close_time, o.quantity, o.entry_price,"
            " o.exit_price, o.net_inr, o.entry_slippage_inr + o.exit_slippage_inr as slippage_inr, d.expected_return"
            " from outcomes o join decisions d on d.decision_id = o.decision_id"
            " where d.policy_version = :policy and d.stage = :stage and d.close_time >= :since"
            " and d.close_time <= d.recorded_at + :slack"
            " order by d.close_time, o.symbol, o.outcome_id"
        )
        with self._begin() as connection:
            found = connection.execute(select, _served(policy_version, stage, since))
            return [_trade(dict(row._mapping)) for row in found]


def _served(policy_version: str, stage: str, since: datetime) -> dict[str, Any]:
    return {"policy": policy_version, "stage": stage, "since": since, "slack": CLOCK_SLACK}


def _trade(row: Mapping[str, Any]) -> StageTrade:
    return StageTrade(
        symbol=row["symbol"],
        decided_at=row["close_time"].astimezone(IST),
        quantity=row["quantity"],
        entry_price=row["entry_price"],
        exit_price=row["exit_price"],
        net_inr=row["net_inr"],
        slippage_inr=row["slippage_inr"],
        expected_return=row["expected_return"],
    )
