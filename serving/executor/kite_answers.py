"""What each of Kite's routes answers, as far as we use it: its kind is looked at before anything is read from it.

Rows of books are read one by one, in `kite_rows`, so that one which is none does not hide the others.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

LONGEST_WORD = 200  #: characters of an id or a token
LARGEST_NUMBER = 1e15  #: rupees, shares


def fault_of(route: str, answer: Any) -> str | None:
    """Why an answer is none of its route, None if it may be; `route` by the official client's name."""
    look = _LOOKS.get(route)
    if look is None:
        return None
    try:
        return None if look(answer) else f"{_kind(answer)} is none"
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return f"it has no {error.args[0]}" if isinstance(error, KeyError) else "a part of it is of another kind"


def is_number(found: Any, least: float = -LARGEST_NUMBER, most: float = LARGEST_NUMBER) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool) and least <= found <= most


def is_word(found: Any) -> bool:
    """A short text that a log line, a table and an address can carry."""
    return isinstance(found, str) and 0 < len(found) <= LONGEST_WORD and found.isprintable()


def _is_list(answer: Any) -> bool:
    return isinstance(answer, list)


def _positions(answer: Any) -> bool:
    return isinstance(answer["net"], list)


def _margins(answer: Any) -> bool:
    equity = answer["equity"]
    return is_number(equity["available"]["cash"]) and is_number(equity["net"])


def _profile(answer: Any) -> bool:
    return is_word(answer["user_id"])


def _order(answer: Any) -> bool:
    return is_word(answer["order_id"])


def _session(answer: Any) -> bool:
    return is_word(answer["access_token"]) and is_word(answer["user_id"])


def _quotes(answer: Any) -> bool:
    return isinstance(answer, dict) and all(_quote(quote) for quote in answer.values())


def _quote(quote: Any) -> bool:
    """Indices have no volume."""
    volume = quote.get("volume")
    told_at = quote["timestamp"]
    return (volume is None or is_number(volume, 0)) and (told_at is None or _is_time(told_at))


def _candles(answer: Any) -> bool:
    candles = answer["candles"]
    return isinstance(candles, list) and all(
        _is_time(row[0]) and all(is_number(row[place], 0) for place in range(1, 6)) for row in candles
    )


def _is_time(found: Any) -> bool:
    return 1990 <= datetime.fromisoformat(found).year <= 2199


def _kind(answer: Any) -> str:
    if isinstance(answer, float) and not math.isfinite(answer):
        return str(answer)
    return "null" if answer is None else type(answer).__name__


_LOOKS: Mapping[str, Callable[[Any], bool]] = {
    "orders": _is_list,
    "trades": _is_list,
    "portfolio.holdings": _is_list,
    "portfolio.positions": _positions,
    "user.margins": _margins,
    "user.profile": _profile,
    "order.place": _order,
    "order.modify": _order,
    "order.cancel": _order,
    "api.token": _session,
    "market.quote": _quotes,
    "market.historical": _candles,
}
