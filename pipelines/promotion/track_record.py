"""How a policy has fared at a stage of the ladder, from the journal alone, and what that says of the next stage.

Counted are decisions that were served from the stage, on bars that closed after the policy had entered it. A day of the
past that is played again is no day at the stage: the policy, or who chose it, may have seen it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from statistics import fmean, stdev, variance
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.verdicts import Verdict
from pipelines.journal.ladder_records import StageTrade
from pipelines.params import EvaluationParams, Params, PromotionParams
from pipelines.promotion.evidence import Evidence
from pipelines.promotion.ladder import StageRecords
from pipelines.promotion.registration import CONTENT, ROLLBACK, Registration
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage

#: The stage whose record speaks for the next one
EVIDENCE_FROM = {Stage.CANARY: Stage.PAPER, Stage.CHAMPION: Stage.CANARY}
BPS = 10_000.0
FEWEST = 2  #: trades without which nothing can be said of their spread


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """Days and closed trades of one policy at one stage."""

    version: str  #: of the registry
    stage: Stage
    days: tuple[date, ...]  #: on which it decided at all
    trades: tuple[StageTrade, ...]

    @property
    def net_inr(self) -> Decimal:
        return sum((trade.net_inr for trade in self.trades), Decimal(0))

    @property
    def returns_bps(self) -> tuple[float, ...]:
        """Of each trade after charges, on the value at its entry."""
        return tuple(float(trade.net_inr / trade.entry_value) * BPS for trade in self.trades)

    @property
    def slippage_bps(self) -> float | None:
        """On the traded value of all trades; None without one."""
        traded = sum((trade.traded_value for trade in self.trades), Decimal(0))
        paid = sum((trade.slippage_inr for trade in self.trades), Decimal(0))
        return float(paid / traded) * BPS if traded else None

    @property
    def beyond_expected_bps(self) -> tuple[float, ...]:
        """Of each trade whose decision expected something: its return less that."""
        return tuple(
            realised - trade.expected_return * BPS
            for realised, trade in zip(self.returns_bps, self.trades, strict=True)
            if trade.expected_return is not None
        )

    def __str__(self) -> str:
        """The figures in one sentence, for a table in which two stand side by side."""
        told = f"version {self.version} at {self.stage}: {len(self.days)} days, {len(self.trades)} trades"
        if not self.trades:
            return told
        won = sum(trade.net_inr > 0 for trade in self.trades) / len(self.trades)
        return (
            f"{told}, {fmean(self.returns_bps):+.1f} bps a trade after charges, {won:.0%} won, "
            f"net ₹{self.net_inr:,.2f}, slippage {self.slippage_bps:.1f} bps"
        )


def track_record(
    journal: StageRecords, version: str, policy_version: str, stage: Stage, since: datetime | None
) -> TrackRecord:
    """What the journal has of a policy at a stage from a moment on.

    Parameters
    ----------
    version, policy_version : of the registry, and of the bundle that decisions name
    since : when it entered the stage; None if it never did, so that nothing is counted
    """
    if since is None:
        return TrackRecord(version, stage, (), ())
    closes = journal.stage_closes(policy_version, stage.value, since)
    days = tuple(sorted({close.date() for close in closes}))
    return TrackRecord(version, stage, days, tuple(journal.stage_trades(policy_version, stage.value, since)))


def judge_track(
    asked: Stage, record: TrackRecord, incumbent: TrackRecord | None, limits: PromotionParams, assumed: EvaluationParams
) -> tuple[Verdict, ...]:
    """What a policy's record at the stage before says of the stage it asks for.

    Parameters
    ----------
    asked : canary or champion
    incumbent : record of what stands there, over the same time; None if nothing does
    assumed : section `evaluation`: the slippage that the policy was judged with
    """
    protects, before = (asked.value,), record.stage
    days, trades = float(len(record.days)), float(len(record.trades))
    return (
        Verdict(f"trading days at {before}", days >= limits.min_days, days, float(limits.min_days),
                _span(record.days), protects),
        Verdict(f"trades at {before}", trades >= limits.min_trades, trades, float(limits.min_trades),
                str(record), protects),
        _slippage(record, limits, assumed, protects),
        _against_expected(record, limits, protects),
        _against_incumbent(record, incumbent, limits, protects),
    )  # fmt: skip


def _span(days: Sequence[date]) -> str:
    if not days:
        return "it has decided on no day since it entered"
    return f"days with a decision, {days[0]} to {days[-1]}"


def _slippage(
    record: TrackRecord, limits: PromotionParams, assumed: EvaluationParams, protects: tuple[str, ...]
) -> Verdict:
    expected = assumed.slippage_bps + assumed.impact_bps
    limit, measured = expected * limits.max_slippage_ratio, record.slippage_bps
    evidence = f"bps of the traded value, entries and exits; {expected:g} were assumed when it was judged"
    return Verdict(
        f"slippage at {record.stage}", measured is not None and measured <= limit, measured, limit, evidence, protects
    )


def _against_expected(record: TrackRecord, limits: PromotionParams, protects: tuple[str, ...]) -> Verdict:
    """Whether trades earned what their decisions expected, as far as chance lets one tell."""
    gate, limit, beyond = f"net return at {record.stage} against expected", -limits.max_shortfall, _spread_out(record)
    if beyond is None:
        return Verdict(gate, False, None, limit, "too few closed trades to say", protects)
    mean, error = fmean(beyond), stdev(beyond) / math.sqrt(len(beyond))
    measured = mean / error if error else None
    passed = measured >= limit if measured is not None else mean >= 0.0
    evidence = f"standard errors; {mean:+.1f} bps a trade beyond what its decision expected after charges"
    return Verdict(gate, passed, measured, limit, evidence, protects)


def _spread_out(record: TrackRecord) -> tuple[float, ...] | None:
    beyond = record.beyond_expected_bps
    return beyond if len(beyond) >= FEWEST else None


def _against_incumbent(
    record: TrackRecord, incumbent: TrackRecord | None, limits: PromotionParams, protects: tuple[str, ...]
) -> Verdict:
    """Whether it is worse than what it would replace by more than chance; nothing to replace passes."""
    gate, limit = "net return against the incumbent", -limits.max_shortfall
    if incumbent is None:
        return Verdict(gate, True, None, limit, f"nothing stands there; {record}", protects)
    side_by_side = f"standard errors; {record}; {incumbent}"
    ours, theirs = record.returns_bps, incumbent.returns_bps
    if len(theirs) < FEWEST:
        return Verdict(gate, True, None, limit, f"the incumbent has too few trades; {record}; {incumbent}", protects)
    if len(ours) < FEWEST:
        return Verdict(gate, False, None, limit, side_by_side, protects)
    error = math.sqrt(variance(ours) / len(ours) + variance(theirs) / len(theirs))
    difference = fmean(ours) - fmean(theirs)
    measured = difference / error if error else None
    passed = measured >= limit if measured is not None else difference >= 0.0
    return Verdict(gate, passed, measured, limit, side_by_side, protects)


def with_track(
    evidence: Evidence, events: Sequence[Mapping[str, Any]], journal: StageRecords, params: Params
) -> Evidence:
    """The evidence together with the record at the stage before; stages that ask for none leave it as it is.

    Parameters
    ----------
    events : the journal's policy events of the model, oldest first
    """
    asked = Stage(evidence.stage)
    before = EVIDENCE_FROM.get(asked)
    if before is None:
        return evidence
    ours = evidence.registration
    since = entered_at(events, ours, before)
    record = track_record(journal, ours.version, ours.policy_version, before, since)
    incumbent = _incumbent(events, ours, asked, journal, since)
    been = Verdict(
        gate=f"has been at {before}",
        passed=since is not None,
        measured=float(since is not None),
        limit=1.0,
        evidence=f"since {since.astimezone(IST):%Y-%m-%d %H:%M}" if since else "not since it was registered or retired",
        protects=(asked.value,),
    )
    real = Verdict(
        gate="bars that a market made",
        passed=ours.is_real,
        measured=float(ours.is_real),
        limit=1.0,
        evidence=ours.bars,
        protects=(asked.value,),
    )
    judged = judge_track(asked, record, incumbent, params.promotion, params.evaluation)
    return replace(evidence, track=(been, real, *judged))


def entered_at(events: Sequence[Mapping[str, Any]], policy: Registration, stage: Stage) -> datetime | None:
    """When a policy first entered a stage, counted anew after it was retired or rolled back; None if it did not."""
    entered: datetime | None = None
    for event in events:
        same = (event["version"], event["evidence"].get(CONTENT)) == (policy.version, policy.content)
        if event["evidence"].get(ROLLBACK) == policy.version or (same and event["to_stage"] == Stage.RETIRED):
            entered = None
        elif same and event["to_stage"] == stage and entered is None:
            entered = event["at"]
    return entered


def _incumbent(
    events: Sequence[Mapping[str, Any]], ours: Registration, asked: Stage, journal: StageRecords, since: datetime | None
) -> TrackRecord | None:
    """What a policy would replace, over the same time: what stands at the stage, else the champion."""
    standing = signatures(events)
    for stage in dict.fromkeys((asked, Stage.CHAMPION)):
        there = standing.get(stage.value)
        if there is None or there.registration is None or there.content == ours.content:
            continue
        theirs = there.registration
        return track_record(journal, theirs.version, theirs.policy_version, stage, since)
    return None
