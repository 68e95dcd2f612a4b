"""The broker that the last executor traded at, for a command that looks or acts without that executor."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.credentials import credential
from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.memory import AnyJournal
from pipelines.params import Params
from pipelines.paths import Paths
from serving.executor.whereabouts import Whereabouts


@dataclass
class Ours:
    """What the journal knows to be ours."""

    tags: set[str]  #: of all our intents
    held: set[str]  #: symbols of open positions


@dataclass
class BrokerDesk:
    """The broker that the last executor traded at, with a token of our own."""

    where: Whereabouts
    kite: Any
    broker: Any
    place: Any
    access_token: str

    def standing(self, ours: Ours | None) -> Any:
        """What stands there; all of it counts as ours where it is not known what is (None)."""
        from serving.executor.standing import standing_at

        if ours is None:
            ours = Ours({order.tag for order in self.broker.orders()}, set(self.broker.shares()))
        return standing_at(self.broker, ours.tags, ours.held)

    def flattener(self, account: str, params: Params, journal: AnyJournal) -> Any:
        from serving.executor.flatten import Flattener
        from serving.executor.workspace import read_instruments

        paths = Paths(Path(self.where.workspace))
        return Flattener(
            account,
            params,
            paths,
            read_instruments(paths),
            self.broker,
            journal,
            self.place,
            self.kite.api_key,
            self.access_token,
        )


@contextmanager
def broker_of(where: Whereabouts) -> Iterator[BrokerDesk]:
    """Log in at that broker.

    Raises
    ------
    ServiceUnavailable : it gives no token.
    """
    from serving.executor.access import Access, PaperLogin, TokenFile, keys_for, token_file
    from serving.executor.broker import KiteBroker
    from serving.executor.feed import stop_reactor
    from serving.executor.kite_client import KITE, client
    from serving.executor.marketplace import KitePlace, PaperPlace, exchange_clock, machine_clock
    from serving.executor.paper import PaperMarket

    keys = keys_for(where.broker)
    kite = client(keys.api_key, where.broker)
    source = TokenFile(token_file(where.broker)) if where.broker == KITE else PaperLogin(where.broker, keys)
    access = Access(kite, source)
    if not access.renew() or access.token is None:
        raise ServiceUnavailable(f"{where.broker} gives no token; start the exchange, or run: tradesage login")
    broker = KiteBroker(kite, renew=access.renew)
    paper = None
    try:
        if where.paper:
            paper = PaperMarket(where.broker, credential("exchange_admin_token"))
            place: Any = PaperPlace(where.broker, paper)
        else:
            live = where.broker == KITE
            place = KitePlace(where.broker, machine_clock if live else exchange_clock(broker.quote), not live)
        yield BrokerDesk(where, kite, broker, place, access.token.access_token)
    finally:
        stop_reactor()
        if paper is not None:
            paper.close()
