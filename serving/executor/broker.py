"""The broker: thin over the official `kiteconnect` client, whose root is Kite or the paper exchange.

Kite has no idempotency key. After an unclear answer the order book is read by our tag; nothing is sent again blindly.
A broker that does not answer is asked again after growing pauses; in between every call is refused at once, so that
frames are worked off while it is silent.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from pipelines.domain.errors import BrokerSilent, LoggedOut
from pipelines.domain.orders import BookedOrder, Fill, Intent, OrderType, Product, Purpose
from serving.executor.alarms import Alarms
from serving.executor.kite_rows import (
    booked,
    is_known,
    is_ours_to_read,
    plain,
    read_rows,
    require,
    shares_of,
    text_of,
    traded,
)
from serving.executor.pacing import OrderPacer
from serving.executor.symbol_names import SymbolNames

EXCHANGE = "NSE"
VARIETY = "regular"
AUTO_PROTECTION = -1  #: the broker chooses the band of a marketable order; without protection it is refused
LOOKS = 3  #: times the order book is read after an unclear answer
FIND_PAUSE_S = 0.05  #: between looks for one order; shares may be bare meanwhile
FIND_WITHIN_S = 0.3  #: no further look is begun after that
PAUSE_S = 0.3
#: Before the second and the third try of a read: what it is to tell may be the fill of shares that are bare
READ_PAUSES_S = (0.05, PAUSE_S)
#: Tries of a read that is answered with 429. The broker counts by the second, so the last is more than that later.
TOO_MANY_TRIES = 6
#: Before the second try, doubled before each further one: 1.1 s in all, and a quarter of a second if three are refused.
#: What is read may be the fill of shares that are bare.
TOO_MANY_S = 0.035
ORDER_TRIES = 5  #: of one order call that is answered with 429
ENTRY_TRIES = 2  #: of an entry: while it waits, stops of other shares do
#: Between them: a second in all. What is waited for may be the stop of shares that are held already.
ORDER_PAUSE_S = 0.2
RENEW_S = 1.0  #: between two looks for a new token
LONGEST_PAUSE_S = 15.0  #: between two tries at a silent broker
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker said no, or never got it: the order is not in its book."""

    message: str
    unclear: bool = False  #: there was no answer; the book was read and did not show it


@dataclass(frozen=True, slots=True)
class OrderCall:
    """One call that places, modifies or cancels, for the metrics."""

    call: str  #: place | modify | cancel
    answer: str  #: taken | refused | unclear | too many requests | logged out | held back
    urgent: bool  #: whether it protects or closes a position
    sent_at: float  #: `time.perf_counter` when its request was first sent


class Broker(Protocol):
    """What the session asks of a broker; `tests` have a small honest one in memory.

    What is read raises BrokerSilent while there is no answer; what is ordered never raises.
    """

    def place(self, intent: Intent) -> str | Refused: ...

    def leave(self, order_id: str, quantity: int, limit_price: Decimal | None) -> Refused | None: ...

    def resize(self, order_id: str, quantity: int) -> Refused | None: ...

    def restore(self, order_id: str, quantity: int, trigger_price: Decimal | None) -> Refused | None: ...

    def cancel(self, order_id: str) -> Refused | None: ...

    def orders(self) -> list[BookedOrder]: ...

    def fills(self) -> list[Fill]: ...

    def shares(self) -> dict[str, int]: ...

    def cash(self) -> Decimal: ...

    def margin(self) -> Decimal: ...


class KiteBroker:
    """Zerodha, or whatever speaks its protocol.

    Parameters
    ----------
    kite : kiteconnect.KiteConnect with an access token
    pacer : OrderPacer or None
        None where the market waits for us: its time stands still while we order.
    product : Product or None
        Of the shares that are counted; those of other products belong to somebody else. None counts all.
    renew : function that takes up a new token where there is one, and tells whether there was
    on_call : function of each order call, for the metrics
    """

    def __init__(
        self,
        kite: Any,
        pacer: OrderPacer | None = None,
        product: Product | None = None,
        renew: Callable[[], bool] = lambda: False,
        on_call: Callable[[OrderCall], None] = lambda call: None,
    ):
        self._kite, self._pacer, self.product = kite, pacer, product
        self._renew, self._on_call = renew, on_call
        self._read: dict[str, tuple[Mapping[str, Any], BookedOrder]] = {}  # rows of the order book as last read, by id
        self.names = SymbolNames()  #: what the broker calls our symbols today
        self.alarms = Alarms()  #: rows and words that could not be understood
        self.untold = ""  #: what others trade in the account that we do not read, and that moves its cash
        self.logged_out = False  #: whether the token was refused since the last log-in
        self.silent_since: float | None = None  #: monotonic seconds; None while it answers
        self._asked_again_at, self._pause = 0.0, PAUSE_S

    def place(self, intent: Intent) -> str | Refused:
        """Send an order; its id once it is in the broker's book."""
        price = {"price": float(intent.limit_price)} if intent.limit_price is not None else {}
        trigger = {"trigger_price": float(intent.trigger_price)} if intent.trigger_price is not None else {}
        protection = {"market_protection": AUTO_PROTECTION} if _takes(intent.order_type) else {}

        def send() -> str:
            return self._kite.place_order(
                variety=VARIETY,
                exchange=EXCHANGE,
                tradingsymbol=self.names.theirs(intent.symbol),
                transaction_type=intent.side.value,
                quantity=intent.quantity,
                product=intent.product.value,
                order_type=intent.order_type.value,
                validity="DAY",
                tag=intent.tag,
                **price,
                **trigger,
                **protection,
            )

        answer = self._ordering("place", send, urgent=intent.purpose is not Purpose.ENTRY)
        if isinstance(answer, Refused):
            # also after a clear refusal: some refused orders stay in the book, and a book beats a message
            found = self._find(intent.tag, looks=LOOKS if answer.unclear else 1)
            return found if found is not None else answer
        return str(answer)

    def leave(self, order_id: str, quantity: int, limit_price: Decimal | None) -> Refused | None:
        """Change a resting order into an exit of `quantity` shares, filled ones included.

        With a price it becomes a limit, without one a protected market order.
        """
        if limit_price is None:
            terms = {"order_type": OrderType.MARKET.value, "market_protection": AUTO_PROTECTION}
        else:
            terms = {"order_type": OrderType.LIMIT.value, "price": float(limit_price)}
        return self._changing(
            lambda: self._kite.modify_order(
                variety=VARIETY, order_id=order_id, quantity=quantity, validity="DAY", **terms
            )
        )

    def resize(self, order_id: str, quantity: int) -> Refused | None:
        return self._changing(
            lambda: self._kite.modify_order(
                variety=VARIETY, order_id=order_id, quantity=quantity, market_protection=AUTO_PROTECTION
            )
        )

    def restore(self, order_id: str, quantity: int, trigger_price: Decimal | None) -> Refused | None:
        """Make an order of ours the protected stop of `quantity` shares, filled ones included, that it was."""
        return self._changing(
            lambda: self._kite.modify_order(
                variety=VARIETY,
                order_id=order_id,
                quantity=quantity,
                order_type=OrderType.SL_M.value,
                trigger_price=float(trigger_price or 0),
                validity="DAY",
                market_protection=AUTO_PROTECTION,
            )
        )

    def takes_entry(self, owed: int) -> bool:
        """Whether an entry may be sent now, so that its stop and `owed` others have room behind it."""
        return self._pacer is None or self._pacer.has_room(owed)

    def cancel(self, order_id: str) -> Refused | None:
        return self._changing(lambda: self._kite.cancel_order(variety=VARIETY, order_id=order_id), "cancel")

    def orders(self) -> list[BookedOrder]:
        """The order book of the day, as far as it is of our exchange and products."""
        rows = self._known(self._reading(self._kite.orders), "filled_quantity")
        found, faults = read_rows(rows, self._booked, "order book")
        for fault in faults:
            self._alarm(fault)
        return found

    def order(self, order_id: str) -> BookedOrder | None:
        """One order by its id, where the order book does not show it; None if that is not told either. Never raises.

        It may be a stop that has ended meanwhile, so a call that fails is tried again at once.
        """
        told = self._at_once(lambda: booked(self.names.as_ours(self._kite.order_history(order_id)[-1])), LOOKS)
        return told if told is not None and told.order_id == order_id else None

    def fills(self) -> list[Fill]:
        """The trade book of the day."""
        rows = [self.names.as_ours(row) for row in self._reading(self._kite.trades) if is_ours_to_read(row, EXCHANGE)]
        found, faults = read_rows(rows, traded, "trade book")
        for fault in faults:
            self._alarm(fault)
        return found

    def shares(self) -> dict[str, int]:
        """Shares held by symbol, below zero when short: what was held at the day's start and what the day changed.

        Raises
        ------
        BrokerSilent : also if a row cannot be read; a position that is left out would look closed.
        """
        held: dict[str, int] = {}
        counts_delivery = self.product in (None, Product.CNC)
        kept, faults = read_rows(
            self._reading(self._kite.holdings) if counts_delivery else (),
            lambda row: (self.names.ours(text_of(row, "tradingsymbol")), shares_of(row, "opening_quantity")),
            "holdings",
        )
        positions = self._known(self._reading(self._kite.positions)["net"], "quantity")
        moved, more_faults = read_rows(
            (row for row in positions if self._counts(row)),
            lambda row: (text_of(row, "tradingsymbol"), shares_of(row, "quantity")),
            "positions",
        )
        require(faults + more_faults)
        for symbol, quantity in (*kept, *moved):
            held[symbol] = held.get(symbol, 0) + quantity
        return {symbol: quantity for symbol, quantity in held.items() if quantity}

    def cash(self) -> Decimal:
        """The cash ledger, in rupees."""
        return Decimal(str(self._reading(self._kite.margins)["equity"]["available"]["cash"])).quantize(Decimal("0.01"))

    def margin(self) -> Decimal:
        """Rupees that new orders may block."""
        return Decimal(str(self._reading(self._kite.margins)["equity"]["net"])).quantize(Decimal("0.01"))

    def user_id(self) -> str:
        """The broker's name of the account."""
        return str(self._reading(self._kite.profile)["user_id"])

    def history(self, token: int, first: datetime, last: datetime, interval: str) -> list[dict[str, Any]]:
        """Candles of an instrument in Kite's words."""
        return self._reading(lambda: self._kite.historical_data(token, first, last, interval), "historical")

    def instruments(self, exchange: str) -> list[dict[str, Any]]:
        """The broker's dump of what it lists today."""
        return self._reading(lambda: self._kite.instruments(exchange), "instruments")

    def quotes_of(self, symbols: Sequence[str]) -> dict[str, Any]:
        """Quotes by our symbols; what the broker does not know is missing."""
        keys = {f"{EXCHANGE}:{self.names.theirs(symbol)}": symbol for symbol in symbols}
        return {keys[key]: quote for key, quote in self.quote(*keys).items() if key in keys}

    def quote(self, *keys: str) -> dict[str, Any]:
        """Quotes by key, of those that are asked for; Kite leaves out what it does not list.

        Raises
        ------
        BrokerSilent : also if there is a quote of none of them.
        """
        told = self._reading(lambda: self._kite.quote(*keys), "quote")
        found = {key: told[key] for key in keys if key in told}
        if keys and not found:
            raise self._silent("quote", f"no quote of {keys[0]}")
        return found

    def _known(self, rows: Iterable[Mapping[str, Any]], traded: str) -> list[Mapping[str, Any]]:
        """Rows of our exchange and products under our symbols; of the others it is kept that they trade something."""
        known = []
        for row in rows:
            if not isinstance(row, Mapping):
                known.append(row)  # it is named by who reads it
            elif is_ours_to_read(row, EXCHANGE):
                known.append(self.names.as_ours(row))
            elif row.get(traded):
                where = f"{row.get('exchange')}, {row.get('product')}"
                self.untold = f"others trade {row.get('tradingsymbol')} ({where}), which we do not read"
        return known

    def _counts(self, row: Mapping[str, Any]) -> bool:
        if not isinstance(row, Mapping):
            return True  # it is named by who reads it
        return is_ours_to_read(row, EXCHANGE) and (self.product is None or row.get("product") == self.product)

    def _booked(self, row: Mapping[str, Any]) -> BookedOrder:
        """Most rows of a book are as they were at the last look; one that became unreadable stays as it was."""
        order_id = text_of(row, "order_id")
        before, order = self._read.get(order_id, (None, None))
        if order is not None and before == row:
            return order
        if not is_known(str(row.get("status"))):
            self._alarm(
                f"order {order_id} has the status {plain(row.get('status'))!r}, which we do not know; it may yet fill"
            )
        found, faults = read_rows((row,), booked, "order book")
        if not found and order is None:
            return booked(row)  # raises: it is named by who reads the book
        for fault in faults:
            self._alarm(f"{fault}; it counts as it was read before")
        if found:
            self._read[order_id] = (row, found[0])
        return found[0] if found else self._read[order_id][1]

    def _find(self, tag: str, looks: int) -> str | None:
        """The order of a tag, by the rows themselves: whether it can be read does not matter here.

        A look without an answer is not insisted on: shares may be bare meanwhile, and the book is read in any case
        before anything else is sent.
        """

        def look() -> str | None:
            rows = [row for row in self._kite.orders() if isinstance(row, Mapping)]
            found = (str(row["order_id"]) for row in rows if row.get("tag") == tag and row.get("order_id"))
            return next(found, None)

        return self._at_once(look, looks)

    def _at_once(self, look: Callable[[], Answer | None], looks: int) -> Answer | None:
        """What a look tells, tried a few times within a moment; None if nothing, or while the broker is silent."""
        began = time.monotonic()
        for number in range(looks):
            now = time.monotonic()
            if now < self._asked_again_at or now - began > FIND_WITHIN_S:
                break
            if number:
                time.sleep(FIND_PAUSE_S)
            with suppress(Exception):  # whatever it is, the book is read again in a moment
                told = look()
                if told is not None:
                    return told
        return None

    def _changing(self, send: Callable[[], Any], asked: str = "modify") -> Refused | None:
        answer = self._ordering(asked, send, urgent=True)
        return answer if isinstance(answer, Refused) else None

    def _ordering(self, asked: str, send: Callable[[], Answer], *, urgent: bool) -> Answer | Refused:
        """Send one order call; only what was surely not carried out (429, a dead token) is sent once more."""
        held_back = self._pacer.admit(urgent=urgent) if self._pacer else None
        began = time.perf_counter()
        answer, kind = (Refused(held_back), "held back") if held_back else self._sent(send, urgent)
        self._on_call(OrderCall(asked, kind, urgent, began))
        return answer

    def _sent(self, send: Callable[[], Answer], urgent: bool) -> tuple[Answer | Refused, str]:
        from kiteconnect.exceptions import KiteException, TokenException

        tries = ORDER_TRIES if urgent else ENTRY_TRIES
        for attempt in range(tries):
            try:
                return send(), "taken"
            except TokenException as error:
                if attempt == 0 and self._renew():
                    continue
                self.logged_out = True
                return Refused(plain(f"the log-in is over: {error}")), "logged out"
            except KiteException as error:
                code = int(getattr(error, "code", 500) or 500)
                if code == 429 and attempt < tries - 1:
                    time.sleep(ORDER_PAUSE_S)
                    continue
                kind = "too many requests" if code == 429 else "unclear" if code >= 500 else "refused"
                return Refused(plain(str(error)), unclear=code >= 500), kind
            except Exception as error:  # no answer, or one that the client cannot read, e.g. a gateway's page
                return Refused(f"no answer: {type(error).__name__}", unclear=True), "unclear"
        raise AssertionError("the loop returns")

    def _reading(self, read: Callable[[], Answer], name: str = "") -> Answer:
        """A call without effect, tried again a few times.

        Raises
        ------
        LoggedOut : if the token is refused. BrokerSilent : if there is no answer, or there was none a moment ago.
        """
        from kiteconnect.exceptions import KiteException, TokenException

        name = name or getattr(read, "__name__", "read")
        if time.monotonic() < self._asked_again_at:
            raise BrokerSilent(f"the broker at {self._kite.root} did not answer; it is asked again in a moment")
        tries, too_many = LOOKS, 0
        while tries:
            try:
                answer = read()
            except TokenException as error:
                tries -= 1
                if not self._renew():
                    raise self._dead(plain(str(error))) from None
            except Exception as error:  # also an answer that the client cannot read, e.g. a gateway's page
                code = int(getattr(error, "code", 0) or 0) if isinstance(error, KiteException) else 0
                reason = plain(f"{type(error).__name__}: {error}") if code else type(error).__name__
                if code == 429:
                    pause, too_many = TOO_MANY_S * 2**too_many, too_many + 1
                    if too_many == TOO_MANY_TRIES:  # it answers: nothing else has to wait for it
                        raise BrokerSilent(f"the broker at {self._kite.root} takes no more {name} now") from None
                    time.sleep(pause)
                    continue
                tries -= 1
                if tries == 0 or self.silent_since is not None:
                    raise self._silent(name, reason) from None
                time.sleep(READ_PAUSES_S[LOOKS - 1 - tries])
            else:
                self._answers()
                return answer
        raise self._dead("also the new one")

    def _dead(self, reason: str) -> LoggedOut:
        self.logged_out = True
        self._asked_again_at = time.monotonic() + RENEW_S
        return LoggedOut(f"the broker at {self._kite.root} refuses our token ({reason}): run tradesage login")

    def _silent(self, name: str, reason: str) -> BrokerSilent:
        now = time.monotonic()
        self.silent_since = now if self.silent_since is None else self.silent_since
        self._asked_again_at = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
        return BrokerSilent(
            f"the broker at {self._kite.root} does not answer {name} ({reason}); check that it runs and is reachable"
        )

    def _answers(self) -> None:
        self.silent_since, self._asked_again_at, self._pause = None, 0.0, PAUSE_S
        self.logged_out = False

    def _alarm(self, sentence: str) -> None:
        self.alarms.tell(sentence)


def _takes(order_type: OrderType) -> bool:
    return order_type in (OrderType.MARKET, OrderType.SL_M)
