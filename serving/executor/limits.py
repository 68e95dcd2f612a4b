"""The numbers of `params.yaml` as the rules and the triggers see them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from pipelines.domain.errors import BadInput
from pipelines.domain.exits import ExitSchedule
from pipelines.domain.restrictions import Restriction, read_restrictions
from pipelines.domain.risk import RiskLimits
from pipelines.params import ExecutorParams, ExitParams
from serving.executor.pacing import RESERVED
from serving.executor.symbol_names import SymbolNames
from serving.executor.watch import Triggers


def limits_from(params: ExecutorParams) -> RiskLimits:
    return RiskLimits(
        max_positions=params.max_positions,
        max_position=params.max_position,
        risk_per_trade=params.risk_per_trade,
        max_gross=params.max_gross,
        max_net=params.max_net,
        max_sector=params.max_sector,
        max_unclassified=params.max_unclassified,
        max_correlated=params.max_correlated,
        min_correlation=params.min_correlation,
        min_share_of_decision=params.min_share_of_decision,
        max_daily_loss=params.max_daily_loss,
        max_drawdown=params.max_drawdown,
        max_price_deviation=params.max_price_deviation,
        max_orders_per_second=params.max_orders_per_second,
        max_orders_per_minute=params.max_orders_per_minute,
        max_orders_per_day=params.max_orders_per_day,
        reserved_for_exits=RESERVED,
        intraday_margin=params.intraday_margin,
        margin_buffer=params.margin_buffer,
        stale_after=timedelta(seconds=params.stale_after_seconds),
        silent_after=timedelta(seconds=params.market_silent_seconds),
        square_off=timedelta(minutes=params.square_off_minutes),
    )


def triggers_from(params: ExecutorParams) -> Triggers:
    halt = params.halt
    return Triggers(
        max_drawdown=params.max_drawdown,
        losses_in_a_row=halt.losses_in_a_row,
        slow_decision_ms=halt.slow_decision_ms,
        slow_decisions=halt.slow_decisions,
        feed_silence=timedelta(seconds=halt.feed_silence_seconds),
        clock_skew=timedelta(seconds=halt.clock_skew_seconds),
        skewed_frames=halt.skewed_frames,
        calm=timedelta(seconds=halt.calm_seconds),
    )


def restrictions_from(params: ExecutorParams, root: Path) -> tuple[Restriction, ...]:
    """The restricted list: what stands in `params.yaml`, and in the file it names, read anew at each call.

    Raises
    ------
    BadInput : if the file is not there or cannot be understood.
    """
    listed = tuple(
        Restriction(row.symbol, row.reason, row.effective_from, row.effective_to) for row in params.restricted
    )
    if params.restricted_file is None:
        return listed
    path = root / params.restricted_file
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"executor.restricted_file {path} cannot be read ({type(error).__name__}); write it") from None
    return listed + read_restrictions(lines, str(path))


def under_our_names(listed: Iterable[Restriction], names: SymbolNames) -> tuple[Restriction, ...]:
    """A restricted list, which names shares as the exchange does today, under our symbols."""
    return tuple(replace(one, symbol=names.ours(one.symbol)) for one in listed)


def exits_from(params: ExitParams) -> ExitSchedule:
    return ExitSchedule(
        first_offset_bps=params.first_offset_bps,
        step_bps=params.step_bps,
        limit_tries=params.limit_tries,
        wait=timedelta(seconds=params.wait_seconds),
        hurried_wait=timedelta(seconds=params.hurried_wait_seconds),
    )
