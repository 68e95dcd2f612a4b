"""What the rules are asked with: the limits, an entry that is proposed, and what is at stake already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from pipelines.domain.affordability import Need
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.domain.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The `executor` section of `params.yaml` as the rules see it; shares are of equity."""

    max_positions: int
    max_position: float
    risk_per_trade: float
    max_gross: float
    max_net: float  #: long less short, either way
    max_sector: float
    max_unclassified: float  #: of all instruments whose sector is not known, together
    max_correlated: float  #: of what moves with an entry, itself included, each by its correlation
    min_correlation: float  #: below it two instruments count as apart
    min_share_of_decision: float  #: an entry that the sizes above cut to less of what was asked for is not sent
    max_daily_loss: float
    max_drawdown: float  #: from the highest equity, over days
    max_price_deviation: float
    max_orders_per_second: int
    max_orders_per_minute: int
    max_orders_per_day: int
    reserved_for_exits: float  #: share of each rate that entries leave free
    intraday_margin: float  #: rupees blocked for a rupee of an intraday position
    margin_buffer: float  #: share of equity that entries leave unblocked
    stale_after: timedelta  #: market time without a trade before an instrument is not traded
    silent_after: timedelta  #: market time without a trade in any instrument before nothing is entered
    square_off: timedelta  #: before the session's close nothing new is begun


@dataclass(frozen=True, slots=True)
class Proposal:
    """An entry that a policy asks for, with the market it would meet."""

    symbol: str
    side: Side
    quantity: int  #: shares the policy asks for
    lot_size: int
    product: Product
    reference_price: Decimal  #: the price it was decided at
    stop: Decimal | None
    last_price: Decimal | None  #: of the last trade; None if there was none in this session
    last_trade_at: datetime | None
    now: datetime  #: market time
    session_open: datetime
    session_close: datetime
    sector: str = ""  #: empty where unknown
    market_trade_at: datetime | None = None  #: of the last trade in any instrument of this session
    market_halt_until: datetime | None = None  #: the index has stopped the whole market until then
    index_move: float | None = None  #: against its previous close; None where there is no index
    restricted: str | None = None  #: why it may not be entered
    ex_date: str | None = None  #: what takes effect since the decision or before the next session
    others: int = 0  #: shares of it that others hold in the account, below zero when short
    others_owe: bool = False  #: whether others sold shares of an ended trade of ours that they may buy back
    need: Need | None = None  #: what its shares block at the broker; None: by the price alone

    @property
    def price(self) -> Decimal:
        """What a share is reckoned at: the last trade, else where it was decided."""
        return self.last_price or self.reference_price


@dataclass(frozen=True, slots=True)
class Held:
    """A position, or an entry on its way, of another instrument."""

    value: Decimal  #: rupees at the last price, above zero for either side
    side: Side
    sector: str = ""
    correlation: float | None = None  #: with what is proposed; None if unknown, which counts as moving together


@dataclass(frozen=True, slots=True)
class Orders:
    """Order calls so far, placing, modifying and cancelling: what the broker counts."""

    last_second: int = 0
    last_minute: int = 0
    today: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is at stake already."""

    equity: Decimal  #: cash plus positions at the last price, rupees
    day_opening_equity: Decimal  #: at the session's start, rupees
    peak_equity: Decimal  #: highest so far, over days, rupees
    held: Mapping[str, Held] = field(default_factory=dict)  #: by symbol
    orders: Orders = Orders()
    margin_available: Decimal | None = None  #: as the broker told it, less what was sent since; None if it was not read

    @property
    def gross(self) -> Decimal:
        return sum((held.value for held in self.held.values()), Decimal(0))

    @property
    def net(self) -> Decimal:
        return sum((held.value * held.side.sign for held in self.held.values()), Decimal(0))


@dataclass(frozen=True, slots=True)
class Review:
    """What the rules make of a proposal."""

    quantity: int  #: shares that may be ordered, 0 when refused
    verdicts: tuple[Verdict, ...]  #: of every rule, also those that passed

    @property
    def refusals(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)
