"""What the parts of a trading session share: its terms, the two books' keepers, the moment, and the open trades."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from pipelines.domain.exits import ExitSchedule
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import Session as TradingDay
from pipelines.domain.orders import Product
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.risk import RiskLimits
from pipelines.journal.memory import AnyJournal
from serving.executor.bar_builder import Tick
from serving.executor.broker import Broker
from serving.executor.trade import Trade

LOG = structlog.get_logger("executor")
MOST_ALARMS = 500  #: kept in memory; the log has them all
CHASE = ExitSchedule(10.0, 15.0, 3, timedelta(seconds=15), timedelta(seconds=5))


@dataclass(frozen=True, slots=True)
class Frame:
    """What one message of the feed tells: the market's time, and the trades since the one before."""

    at: datetime
    ticks: tuple[Tick, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What the session is to trade and how."""

    account: str
    instruments: Mapping[str, Instrument]  #: by symbol
    product: Product
    limits: RiskLimits
    flatten_at_end: bool  #: whether everything is closed on the last day, also what is for delivery
    exits: ExitSchedule = CHASE
    reconcile_every: int = 12  #: bars
    reconcile_after: timedelta = timedelta(seconds=5)  #: of the market and of the wall clock, both
    lost_after: timedelta = timedelta(seconds=60)  #: market time; an order without an answer is given up then
    late_after: timedelta = timedelta(seconds=5)  #: an older tick moves no order
    most_jump: float = 0.1  #: a price further from the last one is believed when it is seen twice
    cash_is_a_ledger: bool = True  #: whether the broker's cash can be compared to the paisa at any time


@dataclass
class Prices:
    """Last trades of the present session."""

    last: dict[str, Decimal] = field(default_factory=dict)
    at: dict[str, datetime] = field(default_factory=dict)

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
    prices: Prices = field(default_factory=Prices)
    alarms: list[str] = field(default_factory=list)
    clock: datetime | None = None  #: market time, as the last message told it
    day: TradingDay | None = None
    final: bool = False  #: whether this day is the last that is traded
    held_back: dict[str, str] = field(default_factory=dict)  #: why nothing is entered now, by what says so

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
        """Whether the session is so near its end that what is intraday is being closed."""
        return self.day is not None and self.now >= self.day.close - self.terms.limits.square_off

    @property
    def leave_now(self) -> ExitReason | None:
        """Before the session's end what is intraday is closed, and on the last day everything if that is asked for."""
        if not self.late:
            return None
        if self.terms.product is Product.MIS:
            return ExitReason.SQUARE_OFF
        return ExitReason.FLATTEN if self.final and self.terms.flatten_at_end else None

    def price_of(self, symbol: str, otherwise: Decimal) -> Decimal:
        return self.prices.last.get(symbol, otherwise)

    def alarm(self, sentence: str) -> None:
        """Tell a person, once for each sentence."""
        if sentence in self.alarms:
            return
        LOG.warning("alarm", what=sentence)
        self.alarms.append(sentence)
        del self.alarms[:-MOST_ALARMS]

    def hold_back(self, what: str, why: str | None) -> None:
        """Enter nothing while `why` is told; None lifts it. Each change is an alarm or a line in the log."""
        before = self.held_back.get(what)
        if why is None:
            if self.held_back.pop(what, None) is not None:
                LOG.info("entries go on", cause=what)
            return
        self.held_back[what] = why
        if before is None:
            self.alarm(f"nothing is entered: {why}")
