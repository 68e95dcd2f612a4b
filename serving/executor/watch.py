"""When trading stops by itself: each trigger takes figures and gives a verdict; a cause that is gone is lifted.

What only a person may lift (a drawdown, losses in a row, a halt by hand) stays. The rest is lifted once its cause has
been gone for a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import takewhile

from pipelines.domain.equity import EquityDay
from pipelines.domain.halts import BY_A_PERSON_ONLY, Cause
from pipelines.domain.verdicts import Verdict
from serving.executor.trading_state import Trading


@dataclass(frozen=True, slots=True)
class Triggers:
    """The `executor.halt` section of `params.yaml`; shares are of equity."""

    max_drawdown: float
    losses_in_a_row: int
    slow_decision_ms: float
    slow_decisions: int  #: so many in a row are no hiccup
    feed_silence: timedelta  #: of the wall clock, in market hours
    clock_skew: timedelta
    skewed_frames: int  #: so many in a row are no hiccup
    calm: timedelta  #: market time that a cause has to be gone before its halt is lifted


def drawdown(day: EquityDay, triggers: Triggers) -> Verdict:
    evidence = f"equity {day.last:.2f} is {day.drawdown:.2%} below its peak {day.peak:.2f}"
    return Verdict("drawdown", day.drawdown <= triggers.max_drawdown, day.drawdown, triggers.max_drawdown, evidence)


def losses_in_a_row(results: Sequence[Decimal], triggers: Triggers) -> Verdict:
    """Parameters: net rupees of closed trades in the order in which they closed, since a person last looked."""
    lost = list(takewhile(lambda net: net < 0, reversed(results)))
    evidence = f"{len(lost)} losses in a row, {sum(lost, Decimal(0)):.2f} rupees"
    most = triggers.losses_in_a_row
    return Verdict("losses in a row", len(lost) < most, float(len(lost)), float(most), evidence)


def slow_decisions(latencies_ms: Sequence[float], triggers: Triggers) -> Verdict:
    """Slow if each of the last few decisions took too long."""
    last = latencies_ms[-triggers.slow_decisions :]
    fastest = min(last, default=0.0) if len(last) == triggers.slow_decisions else 0.0
    evidence = f"the fastest of the last {triggers.slow_decisions} decisions took {fastest:.0f} ms"
    return Verdict("slow decisions", fastest <= triggers.slow_decision_ms, fastest, triggers.slow_decision_ms, evidence)


def stale_feed(silence_s: float, triggers: Triggers) -> Verdict:
    limit = triggers.feed_silence.total_seconds()
    return Verdict("stale feed", silence_s <= limit, silence_s, limit, f"no packet for {silence_s:.0f} s")


def skewed_clock(skews_s: Sequence[float], triggers: Triggers) -> Verdict:
    """Parameters: seconds that our clock was ahead of each of the last packets; one late packet is no skew."""
    last = [abs(skew) for skew in skews_s[-triggers.skewed_frames :]]
    least = min(last, default=0.0) if len(last) == triggers.skewed_frames else 0.0
    limit = triggers.clock_skew.total_seconds()
    evidence = f"our clock and the last {triggers.skewed_frames} packets' stamps are at least {least:.1f} s apart"
    return Verdict("clock skew", least <= limit, least, limit, evidence)


def equal_books(differences: Sequence[str]) -> Verdict:
    return Verdict("reconciliation", not differences, float(len(differences)), 0.0, "; ".join(differences))


class Watch:
    """Turns verdicts into halts, and lifts those whose cause has been gone for long enough."""

    def __init__(self, trading: Trading, calm: timedelta):
        self._trading, self._calm = trading, calm
        self._gone_since: dict[Cause, datetime] = {}

    def judge(self, cause: Cause, verdict: Verdict, now: datetime) -> bool:
        """Act on what a trigger found; True if trading was just halted for it."""
        if not verdict.passed:
            self._gone_since.pop(cause, None)
            return self._trading.halt(cause, verdict.evidence, now)
        if cause in self._trading.state.standing and cause not in BY_A_PERSON_ONLY:
            since = self._gone_since.setdefault(cause, now)
            if now - since >= self._calm:
                del self._gone_since[cause]
                self._trading.lift(cause, f"gone for {(now - since).total_seconds():.0f} s", now)
        return False
