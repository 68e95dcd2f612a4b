"""What splits and bonuses make of shares that were held over their ex-dates. Pure."""

from collections.abc import Iterable, Mapping
from datetime import date
from fractions import Fraction

from pipelines.domain.corporate_actions import share_ratio, shares_after
from pipelines.domain.ex_dates import ExDate
from pipelines.domain.orders import Fill

ShareStep = tuple[date, Fraction]  #: an ex-date, and shares from it on for one before


def steps_of(ex_dates: Iterable[ExDate], after: date, until: date) -> tuple[ShareStep, ...]:
    """The steps in the count of shares later than one day and not later than another, in order of time."""
    return tuple(
        (found.day, ratio)
        for found in ex_dates
        if found.kind.changes_shares and after < found.day <= until and (ratio := share_ratio(found.ratio)) is not None
    )


def added_shares(fills: Iterable[Fill], steps: Iterable[ShareStep]) -> int:
    """Whole shares of one symbol that its steps added to what the fills before each had left; below zero: taken away.

    Parameters
    ----------
    fills : of one symbol, in any order
    steps : in order of time
    """
    fills, added = sorted(fills, key=lambda fill: fill.filled_at), 0
    for day, ratio in steps:
        held = added + sum(fill.side.sign * fill.quantity for fill in fills if fill.filled_at.date() < day)
        added += shares_after(held, ratio)[0] - held
    return added


def as_credited(ours: Mapping[str, int], added: Mapping[str, int], at_broker: Mapping[str, int]) -> dict[str, int]:
    """Our shares by symbol, with those that actions added where the broker has credited them: it does so days later."""
    credited = {
        symbol: ours.get(symbol, 0) + more
        for symbol, more in added.items()
        if at_broker.get(symbol, 0) == ours.get(symbol, 0) + more
    }
    return {symbol: shares for symbol, shares in {**ours, **credited}.items() if shares}
