"""The first minutes of a day as Kite's packets tell them, some numbers of them wild, played through a session."""

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from pipelines.domain.bars import Bar, Interval
from pipelines.domain.orders import Product
from pipelines.journal.memory import MemoryJournal
from serving.exchange import packets
from serving.exchange.packets import Level, Mode, Snapshot
from serving.executor.bar_builder import BarBuilder, ClosedBars, session_grid
from serving.executor.feed import in_order
from serving.executor.packet_reader import CLOCK_TOKEN, PacketReader
from serving.executor.policy_client import Answer
from serving.executor.session import Session, Terms
from serving.packet_time import PacketTime
from tests.unit.domain.test_risk import LIMITS
from tests.unit.executor.memory_broker import MemoryBroker, instrument_named
from tests.unit.executor.test_session import CASH, OPEN
from tests.unit.executor.test_without_frames import TRIGGERS
from tests.unit.journal.records import a_decision

BANK = 260105
STOCKS = {0x101: "TCS", 0x201: "INFY", 0x301: "ITC", 0x401: "SBIN"}
INDICES = {CLOCK_TOKEN: "NIFTY 50", BANK: "NIFTY BANK"}
SYMBOLS = STOCKS | INDICES
CLOSES = {"TCS": 10_000, "INFY": 150_000, "ITC": 40_000, "SBIN": 80_000, "NIFTY 50": 2_400_000, "NIFTY BANK": 5_000_000}
BEGIN = OPEN - timedelta(seconds=20)  #: in the pre-open session, when the auction is over
EXTREMES = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)

Message = tuple[datetime, dict[int, bytes]]  #: this machine's time, and packets by token


@dataclass(frozen=True)
class Wild:
    """So many messages in a row in which some packets have wild numbers."""

    first: int  #: message
    count: int
    tokens: frozenset[int]
    words: Mapping[int, int]  #: what is written, by its place in the packet; places beyond its end are left out
    relative: Mapping[int, float] = field(default_factory=dict)  #: the true number times so much, by its place


def a_day(seed: int, seconds: int = 1000) -> list[Message]:
    """A message a second; every stock trades in most of them, and both indices are in each."""
    rng = random.Random(seed)
    price, volume, traded = dict(CLOSES), dict.fromkeys(STOCKS, 0), dict.fromkeys(STOCKS, BEGIN)
    opens = {symbol: close + 5 * rng.randrange(-20, 20) for symbol, close in CLOSES.items()}
    price.update(opens)
    day = []
    for second in range(seconds):
        at, told = BEGIN + timedelta(seconds=second), {}
        for token, symbol in SYMBOLS.items():
            trades = second == 0 or (at >= OPEN and (token in INDICES or rng.random() < 0.9))
            if trades:
                price[symbol] += 5 * rng.randrange(-3, 4) * (second > 0)
            if trades and token in STOCKS:
                volume[token] += rng.randrange(1, 400) * (20 if second == 0 else 1)
                traded[token] = at
            told[token] = _packet(token, at, price[symbol], opens[symbol], volume.get(token, 0), traded.get(token))
        day.append((at, told))
    return day


def _packet(token: int, at: datetime, paise: int, opened: int, volume: int, traded: datetime | None) -> bytes:
    price, first, close = (Decimal(number).scaleb(-2) for number in (paise, opened, CLOSES[SYMBOLS[token]]))
    depth = (Level(price, 5, 1),) * packets.DEPTH_LEVELS
    snapshot = Snapshot(
        token, price, first, max(price, first), min(price, first), close, at, 7, price, volume, 900, 800, traded,
        depth, depth, 10, 11, 9,
    )  # fmt: skip
    return packets.stock_packet(snapshot, Mode.FULL) if token in STOCKS else packets.index_packet(snapshot, Mode.FULL)


def spoilt(day: Sequence[Message], wilds: Sequence[Wild]) -> list[Message]:
    """The day with wild numbers in it."""
    messages = [(at, dict(told)) for at, told in day]
    for wild in wilds:
        for _, told in messages[wild.first : wild.first + wild.count]:
            for token in wild.tokens:
                told[token] = _written(told[token], wild)
    return messages


def _written(packet: bytes, wild: Wild) -> bytes:
    body = bytearray(packet)
    places = [place for place in {*wild.words, *wild.relative} if place + 4 <= len(body)]
    for place in places:
        true = struct.unpack_from(">I", body, place)[0]
        number = wild.words.get(place, int(true * wild.relative.get(place, 1.0)))
        struct.pack_into(">I", body, place, min(max(number, 0), 2**32 - 1))
    return bytes(body)


@dataclass
class Played:
    """What a session made of a day."""

    bars: dict[tuple[datetime, str], Bar] = field(default_factory=dict)
    doubtful: set[tuple[datetime, str]] = field(default_factory=set)
    closes: list[datetime] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)  #: of the session, after each message
    prices: list[dict[str, Decimal]] = field(default_factory=list)  #: believed ones, after each message
    left_at: datetime | None = None  #: when the position was left
    halted: str = ""
    session: Session | None = None

    def update(self, closed: ClosedBars) -> list:
        """As features would take bars in."""
        self.closes.append(closed.close_time)
        self.bars |= {(closed.close_time, symbol): bar for symbol, bar in closed.bars.items()}
        self.doubtful |= {(closed.close_time, symbol) for symbol in closed.doubtful}
        return []


def play(day: Sequence[Message], *, start: datetime = BEGIN, target: str = "104.00") -> Played:
    """Plays a day; ten TCS are held from its first seconds on, with a stop at 98 and a target.

    Parameters
    ----------
    start : the daemon's; the messages before are not heard
    """
    played, clock = Played(), [start]
    beat = lambda: clock[0].timestamp()  # noqa: E731
    reader = PacketReader(SYMBOLS, PacketTime(start, wall=lambda: clock[0], beat=beat))
    broker = MemoryBroker(CASH, start)
    terms = Terms(
        "T1", {symbol: instrument_named(symbol) for symbol in STOCKS.values()}, Product.MIS, LIMITS,
        flatten_at_end=True, triggers=TRIGGERS, market_is_now=True,
    )  # fmt: skip
    builder = BarBuilder(session_grid(Interval.MIN_5))
    session = Session(
        terms, broker, MemoryJournal(), builder, played, lambda rows, equity: Answer((), "p", 1.0), lambda day: True
    )
    session.risk._wall = lambda: clock[0]
    for symbol, close in CLOSES.items():
        session.known_prices.tell(symbol, close / 100)
    session.start(start)
    decision = a_decision(
        symbol="TCS", reference_price=Decimal("100.00"), close_time=start, quantity=10, target=Decimal(target)
    )
    done: datetime | None = None
    for at, told in day:
        if at < start:
            continue
        clock[0] = at
        if at == max(start, OPEN) + timedelta(seconds=10):
            session.pending.append((session.desk.journal.record_decision("T1", decision, 1.0), decision))
        if at == max(start, OPEN) + timedelta(seconds=15):
            broker.trade("TCS", Decimal("100.00"), at)
            session.books.stale = True
        event = reader.read(packets.frame(told.values()))
        frame = in_order(event, done) if event is not None else None
        if frame is not None:
            done = frame.at
            session.on_frame(frame)
        played.times.append(done or start)
        played.prices.append(dict(session.desk.prices.last))
        trade = session.trades.get("TCS")
        if played.left_at is None and trade is not None and trade.position and trade.position.exit_reason:
            played.left_at = at
    played.halted = session.desk.trading.state.reason
    played.session = session
    return played
