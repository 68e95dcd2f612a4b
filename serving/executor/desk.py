"""What the parts of a trading session share: its terms, the two books' keepers, the moment, and the open trades."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import structlog

from pipelines.domain.ex_dates import ExDates
from pipelines.domain.exits import ExitSchedule
from pipelines.domain.halts import HaltEvent
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import Session as TradingDay
from pipelines.domain.orders import BookedOrder, Product
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.restrictions import Restriction
from pipelines.domain.risk import RiskLimits
from pipelines.domain.verdicts import Verdict
from pipelines.ingest.newest_actions import KnownActions
from pipelines.journal.memory import AnyJournal
from serving.executor.alarms import Alarms
from serving.executor.bar_builder import Tick
from serving.executor.broker import Broker
from serving.executor.order_calls import OrderCalls
from serving.executor.trade import Trade
from serving.executor.trading_state import Trading
from serving.executor.watch import Triggers

LOG = structlog.get_logger("executor")
CHASE = ExitSchedule(10.0, 15.0, 3, timedelta(seconds=15), timedelta(seconds=5))


@dataclass(frozen=True, slots=True)
class Frame:
    """What one message of the feed tells: the market's time, and the trades since the one before."""

    at: datetime
    ticks: tuple[Tick, ...] = ()
    index_move: float | None = None  #: of NIFTY 50 since its previous close, as a share; None if it was not told
    levels: tuple[Tick, ...] = ()  #: of indices, for the bars that features look at; nothing is traded on them
    doubtful_levels: tuple[Tick, ...] = ()  #: those that are not believed, or not yet


@dataclass(frozen=True)
class Terms:
    """What the session is to trade and how."""

    account: str
    instruments: Mapping[str, Instrument]  #: by symbol
    product: Product
    limits: RiskLimits
    flatten_at_end: bool  #: whether everything is closed on the last day, also what is for delivery
    stage: str = ""  #: of the ladder, that the decisions are served from
    exits: ExitSchedule = CHASE
    reconcile_every: int = 12  #: bars
    reconcile_after: timedelta = timedelta(seconds=5)  #: of the market and of the wall clock, both
    lost_after: timedelta = timedelta(seconds=60)  #: market time; an order without an answer is given up then
    late_after: timedelta = timedelta(seconds=5)  #: an older tick moves no order
    most_jump: float = 0.1  #: a price further from the last one is believed when four packets tell it
    cash_is_a_ledger: bool = True  #: whether the broker's cash can be compared to the paisa at any time
    triggers: Triggers | None = None  #: None: nothing stops trading by itself
    correlation_window: int = 100  #: returns per estimate
    restrictions: Callable[[], tuple[Restriction, ...]] = tuple  #: read anew each day
    actions: Callable[[datetime], KnownActions] = lambda at: KnownActions()  #: by a moment; read anew each day
    halt_file: Path | None = None  #: stops trading while it is there
    asked: Callable[[], Iterable[HaltEvent]] = tuple  #: what a person has said at the door since the last call
    takes_entry: Callable[[int], bool] = lambda owed: True  #: beside so many stops that are still to be sent
    look_every_s: float = 0.0  #: of the wall clock, between two looks at the books for the sake of order updates
    order_state: Callable[[str], BookedOrder | None] = lambda order_id: None  #: of one order, beside the order book
    untold: Callable[[], str] = str  #: what others trade in the account that we do not read; empty: nothing
    out_of_reach: Mapping[str, str] = field(default_factory=dict)  #: why nothing is sent for what is held
    market_is_now: bool = False  #: whether packets are stamped with the wall clock's time


@dataclass
class Prices:
    """Last trades of the present session."""

    last: dict[str, Decimal] = field(default_factory=dict)
    at: dict[str, datetime] = field(default_factory=dict)
    before: dict[str, Decimal] = field(default_factory=dict)  #: of the sessions before, where we saw them

    def next_session(self) -> "Prices":
        return Prices(before=self.before | self.last)

    def take(self, tick: Tick) -> None:
        self.last[tick.symbol] = Decimal(str(tick.price))
        self.at[tick.symbol] = tick.at


@dataclass
class Desk:
    """The state that all parts of a session read and change."""

    terms: Terms
    broker: Broker
    journal: AnyJournal
    trades: dict[str, Trade] = field(default_factory=dict)  #: open ones, by symbol
    ended: dict[str, Trade] = field(default_factory=dict)  #: those of today that are over, by decision
    prices: Prices = field(default_factory=Prices)
    alarms: Alarms = field(default_factory=Alarms)
    clock: datetime | None = None  #: market time, as the last message told it
    wall: datetime | None = None  #: this machine's time at the last message, where the market is now; else None
    day: TradingDay | None = None
    final: bool = False  #: whether this day is the last that is traded
    order_calls: OrderCalls = field(default_factory=OrderCalls)
    results: list[Decimal] = field(default_factory=list)  #: net rupees of what closed since a person last looked
    ex_dates: ExDates = field(default_factory=ExDates)  #: announced ones; none where nothing stays overnight
    no_policy: str = ""  #: why no policy decides and nothing is entered; empty if one does
    restrictions_lacking: str = ""  #: why the restricted list is not known; nothing is entered then
    actions_lacking: str = ""  #: why not all that was announced is known; nothing for delivery is entered then
    added_shares: dict[str, int] = field(default_factory=dict)  #: by splits and bonuses to what our fills left
    overtaken: dict[str, str] = field(default_factory=dict)  #: why nothing is sent for an open trade, by symbol
    others_hold: Callable[[str], int] = lambda symbol: 0  #: shares of a symbol in the account that are not ours
    others_owe: Callable[[str], bool] = lambda symbol: False  #: whether others may give back shares of an ended trade
    refused: Counter[str] = field(default_factory=Counter)  #: how often each rule said no
    on_outcome: Callable[[Outcome], None] = lambda outcome: None  #: is told of every trade that has ended
    trading: Trading = field(init=False)

    def __post_init__(self) -> None:
        self.trading = Trading(self.terms.account, self.journal, self.terms.halt_file, self.terms.asked)

    @property
    def account(self) -> str:
        return self.terms.account

    @property
    def now(self) -> datetime:
        """Market time."""
        assert self.clock is not None, "start the session first"
        return self.clock

    @property
    def market_open(self) -> bool:
        return self.day is not None and self.day.open <= self.now <= self.day.end

    @property
    def late(self) -> bool:
        """Whether the session is so near its end that what is intraday is being closed.

        By the packets' stamps or, where they lag behind it, by the wall clock.
        """
        now = self.now if self.wall is None else max(self.now, self.wall)
        return self.day is not None and now >= self.day.close - self.terms.limits.square_off

    def leave_now(self, symbol: str) -> ExitReason | None:
        """When a person says so, all is closed; before the session's end what is intraday, on the last day all.

        At the same moment what is for delivery, if it were carried into an ex-date.
        """
        if self.trading.must_flatten:
            return ExitReason.FLATTEN
        if not self.late:
            return None
        if self.terms.product is Product.MIS:
            return ExitReason.SQUARE_OFF
        if self.final and self.terms.flatten_at_end:
            return ExitReason.FLATTEN
        assert self.day is not None
        ahead = self.ex_dates.ahead(symbol, self.day.day, self.day.open)
        return ExitReason.EX_DATE if ahead is not None else None

    def price_of(self, symbol: str, otherwise: Decimal) -> Decimal:
        """Of the last trade, before the session's first one that of the session before."""
        return self.prices.last.get(symbol, self.prices.before.get(symbol, otherwise))

    def alarm(self, sentence: str, stands: Callable[[], bool] | None = None) -> None:
        """Tell a person; `stands` says whether it is so still, else it is over when it is told no more."""
        self.alarms.tell(sentence, stands)

    def refuse(self, verdict: Verdict, symbol: str | None = None, decision_id: str | None = None) -> None:
        """Note a rule that said no, with its figures."""
        self.refused[verdict.gate] += 1
        self.journal.record_risk_event(self.account, verdict, self.now, symbol, decision_id)
