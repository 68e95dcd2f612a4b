"""Rules that cut an entry: each says how many rupees it leaves, and the smallest counts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from pipelines.domain.orders import Product
from pipelines.domain.risk.records import Exposure, Held, Proposal, RiskLimits
from pipelines.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class _Room:
    """What one rule leaves for the entry."""

    gate: str
    rupees: Decimal
    per_share: Decimal  #: rupees that a share takes of it
    note: str = ""
    most: int | None = None  #: shares that it leaves, where they are not in proportion to the rupees


def cut_to_limits(proposal: Proposal, exposure: Exposure, limits: RiskLimits) -> tuple[int, tuple[Verdict, ...]]:
    """The most shares that every rule of size allows, and how each rule counted.

    Returns
    -------
    quantity : whole lots, at most what was asked for
    verdicts : one per rule; one that leaves no lot has not passed, nor has the last if too little is left
    """
    quantity, verdicts = proposal.quantity, []
    for room in _rooms(proposal, exposure, limits):
        allowed = _whole_lots(room.rupees, room.per_share, proposal.lot_size) if room.most is None else room.most
        evidence = f"asked for {proposal.quantity} shares, {allowed} are within {room.rupees:.2f} rupees{room.note}"
        verdicts.append(Verdict(room.gate, allowed > 0, float(proposal.quantity), float(allowed), evidence))
        quantity = min(quantity, allowed)
    quantity = quantity // proposal.lot_size * proposal.lot_size
    left = worthwhile(quantity, proposal, limits)
    return quantity if left.passed else 0, (*verdicts, left)


def worthwhile(quantity: int, proposal: Proposal, limits: RiskLimits) -> Verdict:
    """What is left after cutting must carry the charges that do not grow with it, e.g. the DP charge.

    Nothing left is no second refusal: the rule that cut it has said so.
    """
    share = quantity / proposal.quantity
    evidence = f"{quantity} of {proposal.quantity} shares are left"
    passed = quantity == 0 or share >= limits.min_share_of_decision
    return Verdict("share of the decision", passed, share, limits.min_share_of_decision, evidence)


def _rooms(proposal: Proposal, exposure: Exposure, limits: RiskLimits) -> Iterator[_Room]:
    assert proposal.stop is not None
    price, sign = proposal.price, proposal.side.sign
    equity = max(exposure.equity, Decimal(0))
    yield _Room("position size", equity * _exact(limits.max_position), price)
    yield _Room("risk per trade", equity * _exact(limits.risk_per_trade), abs(price - proposal.stop))
    yield _Room("gross exposure", equity * _exact(limits.max_gross) - exposure.gross, price)
    yield _Room("net exposure", equity * _exact(limits.max_net) - exposure.net * sign, price)
    yield _sector_room(proposal, exposure, limits, equity)
    yield _correlation_room(proposal, exposure, limits, equity)
    yield _margin_room(proposal, exposure, limits, equity)


def _sector_room(proposal: Proposal, exposure: Exposure, limits: RiskLimits, equity: Decimal) -> _Room:
    """Instruments whose sector is not known share one bucket with a limit of its own."""
    share = limits.max_sector if proposal.sector else limits.max_unclassified
    taken = sum((held.value for held in exposure.held.values() if held.sector == proposal.sector), Decimal(0))
    note = f" of the sector {proposal.sector}" if proposal.sector else "; its sector is not known"
    return _Room("sector exposure", equity * _exact(share) - taken, proposal.price, note)


def _correlation_room(proposal: Proposal, exposure: Exposure, limits: RiskLimits, equity: Decimal) -> _Room:
    """What moves with the entry is the same bet, by as much as it is correlated."""
    alike = {symbol: likeness(held, proposal, limits) for symbol, held in exposure.held.items()}
    taken = sum((exposure.held[symbol].value * _exact(share) for symbol, share in alike.items()), Decimal(0))
    names = ", ".join(f"{symbol} {share:.2f}" for symbol, share in sorted(alike.items()) if share)
    return _Room(
        "correlated exposure",
        equity * _exact(limits.max_correlated) - taken,
        proposal.price,
        f" of what moves alike: {names}" if names else "",
    )


def _margin_room(proposal: Proposal, exposure: Exposure, limits: RiskLimits, equity: Decimal) -> _Room:
    per_share = proposal.price * margin_rate(proposal.product, limits)
    if exposure.margin_available is None:
        return _Room("margin", Decimal(0), per_share, ": the broker's margin is not known")
    spendable = exposure.margin_available - equity * _exact(limits.margin_buffer)
    most = proposal.need.most(proposal.quantity, spendable) if proposal.need is not None else None
    return _Room("margin", spendable, per_share, " of margin", most)


def likeness(held: Held, proposal: Proposal, limits: RiskLimits) -> float:
    """Share of a position that counts as one bet with the entry, from 0 to 1.

    Long one and short another that moves against it is one bet, too. Where the correlation is not known, the same
    direction counts whole.
    """
    same_side = held.side is proposal.side
    if held.correlation is None:
        return 1.0 if same_side else 0.0
    together = held.correlation if same_side else -held.correlation
    return together if together >= limits.min_correlation else 0.0


def margin_rate(product: Product, limits: RiskLimits) -> Decimal:
    """Rupees blocked for a rupee of a position; only an intraday position is bought on margin."""
    return _exact(limits.intraday_margin) if product is Product.MIS else Decimal(1)


def _whole_lots(rupees: Decimal, per_share: Decimal, lot_size: int) -> int:
    if rupees <= 0 or per_share <= 0:
        return 0
    return math.floor(rupees / per_share / lot_size) * lot_size


def _exact(share: float) -> Decimal:
    return Decimal(str(share))
