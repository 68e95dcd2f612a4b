"""What goes wrong at a real broker, on demand or by a seeded schedule.

A fault is asked for by `POST /paper/faults` or dealt out by a `FaultPlan`. `Faults.decide` is asked wherever something
may go wrong: at the HTTP edge for each call, in the conductor for each order event and frame, by the venue for orders.
Without faults nobody asks: `Faults.active` is false.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from pipelines.domain.errors import BadParams
from pipelines.domain.orders import OrderType
from serving.exchange.book import OrderRequest
from serving.exchange.refusals import input_error

MAX_ARMED = 1000  #: faults that may wait at once, and times that one may be asked for
LISTED = 200  #: injected faults that GET /paper/faults lists
BURST = 3  #: calls in a row that a scheduled burst of 429 refuses
LEAN_CALLS = 12  #: readings in a row that a scheduled book with too few rows lasts
STATUSES = (500, 502, 503, 504)


class FaultKind(StrEnum):
    ANSWER_LOST = "answer_lost"  #: the call is carried out, then the connection closes without an answer
    RESET_BEFORE = "reset_before"  #: the connection is reset before the call is carried out
    SERVER_ERROR = "server_error"  #: 500 in Kite's JSON, 502, 503 and 504 as a gateway's page
    TOO_MANY_REQUESTS = "too_many_requests"
    SLOW_ANSWER = "slow_answer"  #: the call is carried out at once, its answer comes `seconds` later
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  #: every access token dies; the next log-in gives a new one
    EVENT_DUPLICATE = "event_duplicate"
    EVENT_LATE = "event_late"  #: an order update comes some steps later, behind newer ones
    EVENT_REORDER = "event_reorder"  #: an order update comes behind what follows it in its step
    EVENT_LOST = "event_lost"
    TICKER_DROP = "ticker_drop"  #: every WebSocket breaks off
    TICKER_MUTE = "ticker_mute"  #: connected, but for `seconds` nothing comes; heartbeats only if asked for
    TICK_STALE = "tick_stale"  #: an instrument's packet tells what was true before its last trade
    TICK_OUT_OF_RANGE = "tick_out_of_range"  #: an instrument's packet tells a price far outside its circuit
    TICKS_STOP = "ticks_stop"  #: for `seconds` no packets come, of `symbol` or of any; updates and heartbeats go on
    TICK_STAMP = "tick_stamp"  #: one packet's stamp is wrong by `seconds`, e.g. a minute, a day, 1970, 2106
    TICK_TRADE_TIME = "tick_trade_time"  #: the same of its last trade's time
    TICK_VOLUME = "tick_volume"  #: one packet's volume of the day is far too high or too low
    STOP_REJECTED = "stop_rejected"  #: the exchange rejects a stop that would have been taken
    FILL_THEN_CANCEL = "fill_then_cancel"  #: a part of an order fills, the exchange cancels the rest
    TAKEN_TWICE = "taken_twice"  #: the broker makes two orders of one call; the answer tells of the first
    FILL_AFTER_CANCEL = "fill_after_cancel"  #: what was shown as cancelled fills all the same, some frames later
    ORDER_BOOK_EMPTY = "order_book_empty"  #: for `seconds`, or for one call, GET /orders tells of no order
    ORDER_BOOK_SHORT = "order_book_short"  #: the same of the younger half of the orders
    TRADE_BOOK_EMPTY = "trade_book_empty"  #: the same of GET /trades and the trades


class Purpose(StrEnum):
    """What an order is for, as far as its terms and the position tell."""

    ENTRY = "entry"
    STOP = "stop"
    EXIT = "exit"


CALLS = (
    FaultKind.TOKEN_EXPIRED,
    FaultKind.RESET_BEFORE,
    FaultKind.TOO_MANY_REQUESTS,
    FaultKind.SERVER_ERROR,
    FaultKind.ANSWER_LOST,
    FaultKind.SLOW_ANSWER,
)
EVENTS = (FaultKind.EVENT_LOST, FaultKind.EVENT_LATE, FaultKind.EVENT_REORDER, FaultKind.EVENT_DUPLICATE)
TICKERS = (FaultKind.TICKER_DROP, FaultKind.TICKER_MUTE, FaultKind.TICKS_STOP)
TICKS = (FaultKind.TICK_STALE, FaultKind.TICK_OUT_OF_RANGE, FaultKind.TICK_TRADE_TIME, FaultKind.TICK_VOLUME)
STAMPS = (FaultKind.TICK_STAMP,)
ORDERS = (
    FaultKind.STOP_REJECTED,
    FaultKind.FILL_THEN_CANCEL,
    FaultKind.TAKEN_TWICE,
    FaultKind.FILL_AFTER_CANCEL,
)
BOOKS = (FaultKind.ORDER_BOOK_EMPTY, FaultKind.ORDER_BOOK_SHORT, FaultKind.TRADE_BOOK_EMPTY)

#: How often a kind comes, for a rate of 1 a call: frames and events are many more than calls. Kinds that are not here
#: come by their name only: such errors are the broker's own, and rare
WEIGHTS: Mapping[FaultKind, float] = {
    FaultKind.ANSWER_LOST: 1.0,
    FaultKind.RESET_BEFORE: 1.0,
    FaultKind.SERVER_ERROR: 1.0,
    FaultKind.TOO_MANY_REQUESTS: 0.5,
    FaultKind.SLOW_ANSWER: 0.5,
    FaultKind.TOKEN_EXPIRED: 0.02,
    FaultKind.EVENT_DUPLICATE: 1.0,
    FaultKind.EVENT_LATE: 1.0,
    FaultKind.EVENT_REORDER: 1.0,
    FaultKind.EVENT_LOST: 1.0,
    FaultKind.TICKER_DROP: 0.05,
    FaultKind.TICKER_MUTE: 0.02,
    FaultKind.TICK_STALE: 0.2,
    FaultKind.TICK_OUT_OF_RANGE: 0.2,
    FaultKind.TICKS_STOP: 0.02,
    FaultKind.TICK_STAMP: 0.2,
    FaultKind.TICK_TRADE_TIME: 0.2,
    FaultKind.TICK_VOLUME: 0.2,
    FaultKind.STOP_REJECTED: 1.0,
    FaultKind.FILL_THEN_CANCEL: 1.0,
}
DEFAULT_RATE = 0.02
DEFAULT_SECONDS: Mapping[FaultKind, float] = {
    FaultKind.SLOW_ANSWER: 1.0,
    FaultKind.TICKER_MUTE: 2.0,
    FaultKind.TICKS_STOP: 2.0,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that is asked for."""

    kind: FaultKind
    route: str | None = None  #: of a call: its method and the beginning of its path, e.g. "POST /orders"; None: any
    count: int = 1  #: times
    after: int = 0  #: opportunities that are let pass first
    seconds: float | None = None  #: of a slow answer, a mute ticker, a late event, a wrong time; none: the kind's own
    order_purpose: Purpose | None = None  #: only calls and orders of this purpose
    symbol: str | None = None  #: of a tick or an order; None: any
    status: int | None = None  #: of a server error; None: one of 500, 502, 503, 504
    executed: bool = False  #: a server error comes after the call was carried out
    heartbeats: bool = False  #: of a mute ticker: they go on
    instruments: int = 1  #: of wild numbers: so many packets of a message have them


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault that happens now, and a number in [0, 1) for whatever it leaves open."""

    fault: Fault
    number: int  #: among all that were injected, from 1
    draw: float

    @property
    def kind(self) -> FaultKind:
        return self.fault.kind

    @property
    def seconds(self) -> float:
        given = self.fault.seconds
        return DEFAULT_SECONDS.get(self.kind, 0.0) if given is None else given

    @property
    def status(self) -> int:
        return self.fault.status or STATUSES[int(self.draw * len(STATUSES))]

    def choice(self, names: Sequence[str]) -> str | None:
        """The symbol that was asked for, or the one that was drawn."""
        if self.fault.symbol is not None:
            return self.fault.symbol
        return names[int(self.draw * len(names))] if names else None

    def choices(self, names: Sequence[str]) -> list[str]:
        """The same, and as many after it as were asked for."""
        first = self.choice(names)
        if first not in names:
            return []
        place = names.index(first)
        return [*names[place:], *names[:place]][: self.fault.instruments]


@dataclass(frozen=True)
class FaultPlan:
    """A seeded schedule: whether the n-th opportunity of a kind on a route is hit depends on these and the seed only.

    So the same calls meet the same faults, whatever other calls come between them.
    """

    seed: int
    rates: Mapping[FaultKind, float]  #: share of its opportunities that a kind hits

    @classmethod
    def seeded(cls, seed: int, rates: Mapping[FaultKind, float] | float = DEFAULT_RATE) -> "FaultPlan":
        """A plan by kinds' rates, or by one rate for calls, from which every kind takes its share."""
        if not isinstance(rates, Mapping):
            rates = {kind: rates * weight for kind, weight in WEIGHTS.items()}
        rates = {FaultKind(kind): float(rate) for kind, rate in rates.items()}
        if not all(0 <= rate <= 1 for rate in rates.values()):
            raise BadParams(f"rates of faults {dict(rates)}: shares between 0 and 1 were expected")
        return cls(seed, rates)

    @classmethod
    def from_text(cls, text: str) -> "FaultPlan":
        """`7` or `7:0.05`: a seed and a rate."""
        seed, _, rate = text.partition(":")
        try:
            return cls.seeded(int(seed), float(rate) if rate else DEFAULT_RATE)
        except ValueError:
            raise BadParams(f"--faults {text}: a seed, or a seed and a rate such as 7:0.05, was expected") from None

    def hit(self, kind: FaultKind, route: str, number: int) -> Fault | None:
        """What the plan has for the `number`-th opportunity, from 0."""
        rate = self.rates.get(kind, 0.0)
        reach = BURST if kind is FaultKind.TOO_MANY_REQUESTS else LEAN_CALLS if kind in BOOKS else 1
        earlier = range(max(number - reach + 1, 0), number + 1)
        if not any(self.draw(kind, route, n) < rate for n in earlier):
            return None
        executed = kind is FaultKind.SERVER_ERROR and self.draw(kind, f"{route} executed", number) < 0.5
        return Fault(kind, executed=executed)

    def draw(self, kind: FaultKind, route: str, number: int) -> float:
        """Uniform in [0, 1)."""
        digest = hashlib.blake2b(f"{self.seed}|{kind}|{route}|{number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64


@dataclass
class Faults:
    """All faults of one exchange: those asked for, in the order they came, and those of the plan."""

    plan: FaultPlan | None = None
    active: bool = field(init=False)
    _armed: list[Fault] = field(default_factory=list, init=False)
    _seen: Counter[tuple[FaultKind, str]] = field(default_factory=Counter, init=False)
    _counts: Counter[FaultKind] = field(default_factory=Counter, init=False)
    _listed: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LISTED), init=False)
    _purposeful: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.active = self.plan is not None

    def arm(self, *faults: Fault) -> None:
        if len(self._armed) + len(faults) > MAX_ARMED:
            raise input_error(f"No more than {MAX_ARMED} faults may wait; take them back by DELETE /paper/faults.")
        self._set_armed([*self._armed, *faults])

    def disarm(self) -> int:
        """Take back what has not happened yet, and end the plan; gives how many waited."""
        waited, self.plan = len(self._armed), None
        self._set_armed([])
        return waited

    @property
    def asks_purpose(self) -> bool:
        """Whether somebody must find out what a call's order is for."""
        return self._purposeful

    def decide(
        self,
        kinds: Iterable[FaultKind],
        route: str = "",
        *,
        purpose: Purpose | None = None,
        symbol: str | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Injection | None:
        """Which of `kinds` happens at this opportunity, if any.

        Parameters
        ----------
        kinds : in the order in which they are asked
        route : method and path of a call, or what it is: event, frame, order
        purpose, symbol : of the order, where they are known
        about : what GET /paper/faults lists beside it
        """
        if not self.active:
            return None
        kinds = tuple(kinds)
        family = _family(route)
        found: tuple[Fault, float] | None = None
        for kind in kinds:  # each opportunity is counted for each kind, so that none shifts another's draws
            number = self._seen[kind, family]
            self._seen[kind, family] += 1
            fault = self.plan.hit(kind, family, number) if self.plan else None
            if fault is not None and found is None:
                found = fault, self.plan.draw(kind, f"{family} choice", number) if self.plan else 0.0
        armed = self._next_armed(kinds, route, purpose, symbol)
        if armed is not None:
            found = armed, FaultPlan(0, {}).draw(armed.kind, family, self._counts[armed.kind])
        return self._injected(*found, route, about or {}) if found else None

    def told(self) -> dict[str, Any]:
        """What was injected: counts by kind, the last ones, and what still waits."""
        return {
            "plan": {"seed": self.plan.seed, "rates": dict(self.plan.rates)} if self.plan else None,
            "injected": sum(self._counts.values()),
            "counts": {kind.value: self._counts[kind] for kind in FaultKind},
            "last": list(self._listed),
            "waiting": [as_dict(fault) for fault in self._armed],
        }

    def _set_armed(self, armed: list[Fault]) -> None:
        self._armed = armed
        self.active = self.plan is not None or bool(armed)
        self._purposeful = any(fault.order_purpose for fault in armed)

    def _next_armed(
        self, kinds: Sequence[FaultKind], route: str, purpose: Purpose | None, symbol: str | None
    ) -> Fault | None:
        found: Fault | None = None
        left: list[Fault] = []
        for fault in self._armed:
            if fault.kind not in kinds or not _meant(fault, route, purpose, symbol):
                left.append(fault)
            elif fault.after:
                left.append(replace(fault, after=fault.after - 1))
            elif found is None:
                found = fault
                left += [replace(fault, count=fault.count - 1)] if fault.count > 1 else []
            else:
                left.append(fault)
        self._set_armed(left)
        return found

    def _injected(self, fault: Fault, draw: float, route: str, about: Mapping[str, Any]) -> Injection:
        self._counts[fault.kind] += 1
        number = sum(self._counts.values())
        self._listed.append({"number": number, "kind": fault.kind.value, "route": route, **about})
        return Injection(fault, number, draw)


def order_purpose(request: OrderRequest, held: int) -> Purpose:
    """What an order is for, by its terms and the shares that are held in its product."""
    if request.order_type in (OrderType.SL, OrderType.SL_M):
        return Purpose.STOP
    return Purpose.EXIT if held * request.side.sign < 0 else Purpose.ENTRY


def as_dict(fault: Fault) -> dict[str, Any]:
    return {f.name: getattr(fault, f.name) for f in fields(Fault)}


def _meant(fault: Fault, route: str, purpose: Purpose | None, symbol: str | None) -> bool:
    return (
        (fault.route is None or route.startswith(fault.route))
        and (fault.order_purpose is None or fault.order_purpose is purpose)
        and (fault.symbol is None or symbol is None or fault.symbol == symbol)
    )


def _family(route: str) -> str:
    """ "PUT /orders/regular/26…" belongs to "PUT /orders"."""
    return "/".join(route.split("/")[:2])
