"""Gets an account flat when no daemon runs: the same session takes up what is open, enters nothing and leaves all."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BrokerSilent, ServiceUnavailable
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import Product
from pipelines.ingest.newest_actions import newest_actions
from pipelines.journal.memory import AnyJournal
from pipelines.params import Params
from pipelines.paths import Paths
from serving.executor.bar_builder import BarBuilder, ClosedBars, session_grid
from serving.executor.broker import EXCHANGE, KiteBroker
from serving.executor.desk import Frame
from serving.executor.feed import Feed, OrderUpdate
from serving.executor.kite_client import ticker_root
from serving.executor.limits import exits_from, limits_from
from serving.executor.listing import Listing, listing_of
from serving.executor.marketplace import MarketPlace, time_of_packets
from serving.executor.session import Session, Terms
from serving.executor.standing import Standing, standing_at
from serving.executor.symbol_names import SymbolNames
from serving.executor.trading_state import halt_file

LOOK_S = 1.0


class _NoFeatures:
    """Nothing is decided, so nothing is reckoned."""

    def update(self, closed: ClosedBars) -> list[Any]:
        return []


def _no_decision(*asked: Any) -> Any:
    raise ServiceUnavailable("nothing is decided while an account is made flat")


@dataclass
class Flattener:
    """One attempt to leave everything, under the account's writer lock."""

    account: str
    params: Params
    paths: Paths
    instruments: list[Instrument]
    broker: KiteBroker
    journal: AnyJournal
    place: MarketPlace
    api_key: str
    access_token: str

    def run(self, patience_s: float, show: Callable[[Standing], None]) -> Standing:
        """Leave every position and take back every order of ours; what stands at the broker in the end.

        What an ex-date has overtaken is left to a person, see `overnight.py`.

        Raises
        ------
        AlreadyRunning : if an executor trades for the account.
        BooksDiffer : if nothing of ours is open and the books are unequal: then a person has to look.
        """
        with self.journal.writer_lock(self.account):
            session = self._session()
            session.start(self.place.now())
            standing = self._standing(session)
            if standing.flat:
                return standing
            feed = Feed(
                ticker_root(self.place.root),
                self.api_key,
                self._symbols(session),
                time_of_packets=time_of_packets(self.place),
            )
            try:
                self._connect(session, feed)
                return self._leave(session, feed, patience_s, show)
            finally:
                feed.close()

    def _session(self) -> Session:
        positions = self.journal.open_positions(self.account)
        product = positions[0].product if positions else Product.MIS
        listing = self._listing({position.symbol for position in positions}, product)
        self.broker.names = SymbolNames(listing.names)
        executor = self.params.executor
        symbols = [instrument.symbol for instrument in listing.instruments]
        terms = Terms(
            account=self.account,
            instruments={instrument.symbol: instrument for instrument in listing.instruments},
            out_of_reach=listing.out_of_reach,
            product=product,
            limits=limits_from(executor),
            flatten_at_end=True,
            exits=exits_from(executor.exit),
            cash_is_a_ledger=self.place.cash_is_a_ledger,
            actions=lambda at: newest_actions(self.params.ingest, self.paths, symbols, at),
            halt_file=halt_file(),
            order_state=self.broker.order,
            untold=lambda: self.broker.untold,
        )
        grid = BarBuilder(session_grid(Interval.MIN_1))
        return Session(terms, self.broker, self.journal, grid, _NoFeatures(), _no_decision, lambda day: True)

    def _listing(self, held: set[str], product: Product) -> Listing:
        """What the broker lists; while it does not say, the run's instruments as they are, and what is held."""
        try:
            rows = self.broker.instruments(EXCHANGE)
        except BrokerSilent:
            rows = []
        if not rows:
            rows = [_row_of(instrument) for instrument in self.instruments]
        return listing_of(self.instruments, rows, self.place.now().date(), held, product)

    def _connect(self, session: Session, feed: Feed) -> None:
        """Without a ticker positions are left all the same, at the market and by the clock."""
        try:
            feed.start(self.access_token)
        except ServiceUnavailable as error:
            if self.place.lockstep:
                raise
            session.desk.alarm(str(error))

    def _leave(self, session: Session, feed: Feed, patience_s: float, show: Callable[[Standing], None]) -> Standing:
        deadline, looked = time.monotonic() + patience_s, 0.0
        self._go_on()
        while True:
            match event := feed.next(LOOK_S):
                case Frame():
                    session.on_frame(event)
                    self._go_on()
                case OrderUpdate():
                    session.on_order_update(event.content)
                    session.on_books_changed()
                case _:
                    session.on_connection_lost()
                    self._follow_the_clock(session)
                    session.on_books_changed()
                    self._go_on()
            if time.monotonic() - looked >= LOOK_S or not session.trades:
                looked, standing = time.monotonic(), self._standing(session)
                show(standing)
                if standing.flat or looked > deadline:
                    session.reconcile()
                    return standing

    def _follow_the_clock(self, session: Session) -> None:
        """No frame comes: what waits for its time is tried on by the place's own clock."""
        try:
            session.on_clock(self.place.now())
        except (BrokerSilent, ServiceUnavailable) as error:
            session.desk.alarm(str(error))

    def _go_on(self) -> None:
        if self.place.lockstep:
            self.place.go_on()

    def _standing(self, session: Session) -> Standing:
        """By the session's own books: a journal that hangs keeps nobody from leaving."""
        return standing_at(self.broker, session.books.intents, session.trades)

    def _symbols(self, session: Session) -> dict[int, str]:
        instruments = session.terms.instruments.values()
        return {item.token: item.symbol for item in instruments if item.tradable and item.token}


def _row_of(instrument: Instrument) -> dict[str, Any]:
    """An instrument as a broker's dump would list it."""
    return {
        "exchange": instrument.exchange,
        "tradingsymbol": instrument.symbol,
        "instrument_token": instrument.token,
        "tick_size": instrument.tick_size,
        "lot_size": instrument.lot_size,
    }
