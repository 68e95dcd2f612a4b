"""Judges an entry by every rule."""

from pipelines.domain.risk.records import Exposure, Proposal, Review, RiskLimits
from pipelines.domain.risk.rules import (
    daily_loss,
    delivery_is_long,
    drawdown,
    fresh_price,
    lively_market,
    market_wide_halt,
    no_ex_date,
    not_restricted,
    one_per_instrument,
    order_rate,
    others_on_our_side,
    position_count,
    sane_price,
    sane_stop,
    session_hours,
)
from pipelines.domain.risk.sizes import cut_to_limits


def review(proposal: Proposal, exposure: Exposure, limits: RiskLimits) -> Review:
    """Judge an entry by every rule and cut its size to what the limits allow.

    Parameters
    ----------
    proposal : the entry asked for and the market it would meet
    exposure : equity and what is held already
    limits : shares of equity, counts, times

    Returns
    -------
    Review : quantity 0 if a rule refuses or nothing is left after cutting; never more than was asked for.
    """
    rules = (
        session_hours(proposal, limits),
        not_restricted(proposal),
        no_ex_date(proposal),
        market_wide_halt(proposal),
        lively_market(proposal, limits),
        fresh_price(proposal, limits),
        sane_price(proposal, limits),
        sane_stop(proposal),
        delivery_is_long(proposal),
        one_per_instrument(proposal, exposure),
        others_on_our_side(proposal),
        position_count(exposure, limits),
        daily_loss(exposure, limits),
        drawdown(exposure, limits),
        order_rate(exposure, limits),
    )
    if not all(rule.passed for rule in rules):
        return Review(0, rules)
    quantity, sizes = cut_to_limits(proposal, exposure, limits)
    return Review(quantity, (*rules, *sizes))
