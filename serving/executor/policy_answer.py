"""What the policy service answers, held against what it was asked: anything else is no decision."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput, TradeSageError
from pipelines.domain.orders import Product
from pipelines.domain.signals import Action, Decision, FeatureRow, Side
from serving.wire import LONGEST_NAME, decision_from_wire, is_plain

LONGEST_HOLD = 10_000  #: bars
LARGEST_POSITION = 10  #: times the equity; no margin rule of the exchange gives so much
LARGEST_RETURN = 10.0  #: per rupee


@dataclass(frozen=True)
class Served:
    """What the service says of its policy."""

    policy_version: str
    catalogue_hash: str
    interval: Interval
    regime_model: dict[str, Any]
    product: Product
    hold_bars: int
    stage: str = ""  #: of the ladder, that the service loads; "" if it does not say
    source: str = ""  #: of the bars it was made on: simulated | files | lake; "" if it is not known


@dataclass(frozen=True, slots=True)
class Answer:
    """Decisions of one close."""

    decisions: tuple[Decision, ...]
    policy_version: str
    latency_ms: float  #: from the request to the decisions in hand, as the executor saw it
    faults: tuple[str, ...] = ()  #: a sentence for each that is none


def served_from(told: Mapping[str, Any]) -> Served:
    """Raises BadInput if it does not describe a policy."""
    hold = told.get("hold_bars")
    if type(hold) is not int or not 1 <= hold <= LONGEST_HOLD:
        raise BadInput(f"hold_bars is no whole number from 1 to {LONGEST_HOLD}")
    return Served(
        policy_version=_word(told, "policy_version"),
        catalogue_hash=_word(told, "catalogue_hash"),
        interval=Interval(_one_of(told, "interval", [interval.value for interval in Interval])),
        regime_model=_regime_model(told.get("regime_model")),
        product=Product(_one_of(told, "product", [product.value for product in Product])),
        hold_bars=hold,
        stage=_word(told, "alias") if told.get("alias") else "",
        source=_word(told, "source") if told.get("source") else "",
    )


def decisions_from(
    told: Mapping[str, Any], rows: Sequence[FeatureRow], equity: Decimal
) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
    """The decisions on `rows`, in their order, and a sentence for each row or part of the answer without one.

    Raises
    ------
    BadInput : if the answer as a whole is none.
    """
    version, parts = _word(told, "policy_version"), told.get("decisions")
    if not isinstance(parts, list) or len(parts) > 2 * len(rows) + 10:
        raise BadInput(f"decisions is no list of {len(rows)}")
    asked = {row.symbol: row for row in rows}
    taken: dict[str, Decision] = {}
    faults: list[str] = []
    times = Counter(part["symbol"] for part in parts if isinstance(part, Mapping) and _is_word(part.get("symbol")))
    for part in parts:
        try:
            decision = decision_from_wire(part)
            row = asked.get(decision.symbol)
            if row is None:
                raise BadInput(f"{decision.symbol} was not asked about")
            if times[decision.symbol] > 1:
                raise BadInput(f"{decision.symbol} is decided on {times[decision.symbol]} times")
            _hold_against(decision, row, version, equity)
        except BadInput as error:
            faults.append(str(error))
        else:
            taken[decision.symbol] = decision
    faults += [f"no decision on {symbol}" for symbol in asked if symbol not in times]
    return tuple(taken[symbol] for symbol in asked if symbol in taken), tuple(faults)


def _hold_against(decision: Decision, row: FeatureRow, version: str, equity: Decimal) -> None:
    """Raises BadInput if it is no decision on this row."""
    for holds, fault in _checks(decision, row, version):
        if not holds:
            raise BadInput(f"{decision.symbol}: {fault}")
    if decision.action is Action.SKIP:
        return
    for holds, fault in _checks_of_a_trade(decision, row, equity):
        if not holds:
            raise BadInput(f"{decision.symbol}: {fault}")


def _checks(decision: Decision, row: FeatureRow, version: str) -> list[tuple[bool, str]]:
    skipped = decision.action is Action.SKIP
    close = Decimal(repr(row.close))
    return [
        (decision.close_time == row.close_time, f"decides on the close of {decision.close_time}, not {row.close_time}"),
        (decision.catalogue_hash == row.catalogue_hash, f"is of the catalogue {decision.catalogue_hash}"),
        (decision.policy_version == version, f"is of policy {decision.policy_version}, the answer of {version}"),
        (
            abs(decision.reference_price - close) <= row.tick_size,
            f"refers to {decision.reference_price}, not to the close {close}",
        ),
        ((decision.quantity == 0) == skipped, f"{decision.action} {decision.quantity} shares"),
        (_is_share(decision.signal, -1.0) or (skipped and _is_nan(decision.signal)), "its signal is not in [-1, 1]"),
        (
            all(
                (_is_share(view.direction, -1.0) or _is_nan(view.direction))
                and (_is_share(view.confidence) or _is_nan(view.confidence))
                for view in decision.views
            ),
            "a view is out of its bounds",
        ),
        (
            all(_is_nan(number) or _is_share(number) for number in (decision.probability, decision.stop_risk)),
            "a probability is not in [0, 1]",
        ),
        (decision.hold_bars <= LONGEST_HOLD, f"holds for {decision.hold_bars} bars"),
    ]


def _checks_of_a_trade(decision: Decision, row: FeatureRow, equity: Decimal) -> list[tuple[bool, str]]:
    """What is entered has numbers, a side, a size that can be paid for, and a way out on either side of the price."""
    price, sign = decision.reference_price, 1 if decision.side is Side.BUY else -1
    below, above = (decision.stop, decision.target) if sign > 0 else (decision.target, decision.stop)
    return [
        (decision.side is not None, "has no side"),
        (_is_share(decision.probability), f"its probability is {decision.probability}"),
        (_is_share(decision.stop_risk), f"its risk of the stop is {decision.stop_risk}"),
        (abs(decision.expected_return) <= LARGEST_RETURN, f"its expected return is {decision.expected_return}"),
        (decision.hold_bars >= 1, f"holds for {decision.hold_bars} bars"),
        (decision.quantity % row.lot_size == 0, f"{decision.quantity} shares are no whole lots of {row.lot_size}"),
        (decision.quantity * price <= LARGEST_POSITION * equity, f"{decision.quantity} shares are beyond all means"),
        (below is not None and 0 < below < price, f"{below} is not below its price {price}"),
        (above is not None and price < above < 10 * price, f"{above} is not above its price {price}"),
        (_is_on_grid(below, row.tick_size) and _is_on_grid(above, row.tick_size), f"{below} or {above} is no price"),
    ]


def _is_share(number: float, least: float = 0.0) -> bool:
    return least <= number <= 1.0


def _is_nan(number: float) -> bool:
    return number != number


def _is_on_grid(price: Decimal | None, tick: Decimal) -> bool:
    return price is not None and price % tick == 0


def _is_word(found: Any) -> bool:
    return isinstance(found, str) and bool(found) and is_plain(found, LONGEST_NAME)


def _word(told: Mapping[str, Any], name: str) -> str:
    found = told.get(name)
    if not _is_word(found):
        raise BadInput(f"{name} is no short text")
    return str(found)


def _one_of(told: Mapping[str, Any], name: str, known: list[str]) -> str:
    found = _word(told, name)
    if found not in known:
        raise BadInput(f"{name} is {found}; known are {', '.join(known)}")
    return found


def _regime_model(found: Any) -> dict[str, Any]:
    """A model that regimes can be told by, close by close."""
    from pipelines.regimes.online import OnlineRegimes

    if not isinstance(found, dict):
        raise BadInput("regime_model is no object")
    try:
        OnlineRegimes(found, {})
        for fit in found["fits"]:
            _require_shapes(fit)
    except (TradeSageError, LookupError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise BadInput(f"regime_model cannot be used ({' '.join(str(error).split())[:200]})") from None
    return found


def _require_shapes(fit: Mapping[str, Any]) -> None:
    """Raises ValueError if the arrays of a fit do not go together or are not finite."""
    means = np.array(fit["means"], dtype=np.float64)
    states, width = means.shape
    shapes = {
        "centre": (width,),
        "start": (states,),
        "transition": (states, states),
        "means": (states, width),
        "covariances": (states, width, width),
    }
    for name, shape in shapes.items():
        array = np.array(fit[name], dtype=np.float64)
        if array.shape != shape or not np.isfinite(array).all():
            raise ValueError(f"{name} of shape {array.shape} is not finite or not of shape {shape}")
