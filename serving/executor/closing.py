"""What became of a trade that is over: the outcome, from its fills and its position alone. Pure."""

from decimal import Decimal

from pipelines.domain.charges import Charges
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.positions import PRICE_PLACES
from serving.executor.trade import Trade


def outcome_of(trade: Trade, charges: Charges) -> Outcome:
    """The outcome of a trade.

    Slippage is a cost: above zero where the fills were worse than the price at which was decided. The entry's is
    measured against the decision's price, the exit's against the price when leaving was decided, a stop's against its
    trigger.

    Parameters
    ----------
    trade : over, with at least one fill
    charges : of all its orders
    """
    position = trade.position
    assert trade.over
    assert position is not None
    filled = [leg for leg in trade.legs if leg.filled and (leg.ours or leg.order_id in trade.taken().by_order)]
    shares, value = trade.taken_back
    reason = _left_because(trade)
    exited_at = max(leg.last_fill_at for leg in filled if leg.last_fill_at is not None)
    exit_price = (value / shares).quantize(PRICE_PLACES)
    decided_at = _decided_at(trade, reason, exit_price)
    bought, paid = sum(leg.filled for leg in trade.entries), sum((leg.value for leg in trade.entries), Decimal(0))
    sign, gross = trade.side.sign, trade.gross_inr
    return Outcome(
        symbol=trade.symbol,
        side=trade.side,
        quantity=position.quantity,
        decision_id=trade.trade_id,
        policy_version=trade.decision.policy_version,
        catalogue_hash=trade.decision.catalogue_hash,
        regime=trade.decision.regime,
        decision_price=trade.decision.reference_price,
        entry_price=position.entry_price,
        exit_price=exit_price,
        entered_at=position.entered_at,
        exited_at=exited_at,
        exit_reason=reason,
        gross_inr=gross,
        charges=charges.as_dict(),
        net_inr=gross - charges.total,
        mfe_inr=max(position.mfe_inr, gross),  # the exit's own price counts, too
        mae_inr=min(position.mae_inr, gross),
        hold_bars=position.bars_held,
        features_hash=trade.features_hash,
        entry_slippage_inr=sign * (paid - trade.decision.reference_price * bought),
        exit_slippage_inr=sign * (decided_at * shares - value),
        exit_decision_price=decided_at,
        holding_seconds=(exited_at - position.entered_at).total_seconds(),
    )


def _left_because(trade: Trade) -> ExitReason:
    """What took the position back: the stop, if it was filled as one before it could be turned."""
    assert trade.position is not None
    wanted = trade.position.exit_reason
    taken = trade.taken().by_order
    by_others = [leg for leg in trade.against if leg.order_id in taken]
    left = [*(leg for leg in trade.ways_out if leg.filled), *by_others]
    if not left:
        return wanted or ExitReason.EMERGENCY  # orders that were taken twice took it back
    if wanted is None and not any(leg.ours for leg in left):
        return ExitReason.EXTERNAL
    if wanted is None or all(leg.ours and leg.left_as_stop for leg in left):
        return ExitReason.STOP
    return wanted


def _decided_at(trade: Trade, reason: ExitReason, exit_price: Decimal) -> Decimal:
    position = trade.position
    assert position is not None
    if reason is ExitReason.STOP:
        return position.stop
    return position.exit_decision_price or exit_price
