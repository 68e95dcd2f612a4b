"""What a session needs before it can begin: the policy, today's instruments, features with their history.

Where any of it is missing while something is open, the session begins without it: what is open is managed, nothing is
entered, and it is tried again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import structlog

from pipelines.domain.bars import Interval
from pipelines.domain.errors import (
    BrokerSilent,
    FeatureMismatch,
    JournalAway,
    NotFound,
    ServiceUnavailable,
    TradeSageError,
)
from pipelines.domain.instruments import Instrument
from pipelines.domain.listings import current_symbol
from pipelines.domain.orders import Product
from pipelines.ingest.kinds import known_until
from pipelines.ingest.newest_actions import KnownActions, newest_actions
from pipelines.ingest.shares import renamed
from pipelines.journal.memory import AnyJournal
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.tables import read_json
from serving.executor.adjusting import with_adjustment
from serving.executor.broker import EXCHANGE, KiteBroker
from serving.executor.kite_client import KITE
from serving.executor.listing import Listing, listing_of, must_list_some
from serving.executor.live_features import LiveFeatures, fetch_history, known_outcomes
from serving.executor.marketplace import MarketPlace, refuse_money
from serving.executor.policy_client import PolicyClient, Served
from serving.executor.policy_desk import ASK_EVERY_S, Away, NoFeatures, PolicyDesk
from serving.executor.session import Session
from serving.executor.signed_policy import refuse_unsigned
from serving.executor.symbol_names import SymbolNames
from serving.executor.under_way import UnderWay, under_way
from serving.executor.workspace import read_instruments, read_news, read_outcomes

LOG = structlog.get_logger("executor")
Answer = TypeVar("Answer")
PATIENCE_S = 30.0  #: with a paper exchange, or with a journal at the start, that does not answer
HELD_S = 10.0  #: that features may wait for the broker's history while something is open
AGAIN_S = 1.0  #: between two tries at a broker that does not answer
LONGEST_TRY_S = 300.0  #: between two tries to begin with a policy while something is open


@dataclass(frozen=True)
class Basis:
    """What a session trades by."""

    served: Served | None  #: None: there is no policy, and what is open is managed
    interval: Interval
    product: Product
    listing: Listing
    features: LiveFeatures | NoFeatures
    rows: list[Any] = field(default_factory=list)  #: of the last close
    history: Mapping[str, pd.DataFrame] = field(default_factory=dict)  #: of closed bars, by symbol
    lacking: str = ""  #: why nothing is entered; empty if there is a policy


class Preparation:
    """Prepares the sessions of one account.

    Parameters
    ----------
    account, params, paths, place, broker, journal, policy : of the daemon
    tell : says what is waited for
    """

    def __init__(
        self,
        account: str,
        params: Params,
        paths: Paths,
        place: MarketPlace,
        broker: KiteBroker,
        journal: AnyJournal,
        policy: PolicyClient,
        tell: Callable[[str], None],
    ):
        self._account, self._params, self._paths, self._place = account, params, paths, place
        self._broker, self._journal, self._tell = broker, journal, tell
        events = partial(journal.policy_events, params.promotion.model)
        self.policies = PolicyDesk(
            policy,
            (
                lambda served: refuse_money(place.root, served, params.executor.live),
                lambda served: refuse_unsigned(place.root, served, events),
                self._check_interval,
            ),
        )
        self._policy = policy
        self._product: Product | None = None  # of the session before
        self._may_try_at = 0.0  # monotonic seconds: not before it with a policy again
        self._try_s = ASK_EVERY_S  # until then, when the next try fails

    def basis(self, now: datetime) -> Basis | None:
        """What the session trades by. Without a policy what is open is managed; with nothing open one is waited for.

        A session that has begun goes on without a policy.

        None if the session is over before there is one.

        Raises
        ------
        TradeSageError : if nothing is open or was begun, and what is served may not be traded by, or the run's files
            are not there.
        """
        while True:
            held = under_way(self._journal, self._account)
            try:
                return self._with_policy(held, now)
            except (JournalAway, BrokerSilent):
                raise
            except Exception as error:
                if held or self._product is not None:  # else nothing was begun
                    return self._without_policy(held, now, error)
                if not isinstance(error, ServiceUnavailable):
                    raise
                self._tell(f"waiting for a policy: {error}")
            time.sleep(ASK_EVERY_S)
            if self._place.is_over(None, quiet=True):
                return None
            now = self._place.now()

    def to_protect(self, now: datetime) -> Basis | None:
        """Enough to protect what is open before anything else is prepared; None if nothing is.

        Features may take many seconds, and shares may be bare since a death.
        """
        held = under_way(self._journal, self._account)
        if not held:
            return None
        return self._to_manage(held, sorted(held.products)[0], now, "features are being prepared")

    def away_without(self, basis: Basis) -> Away | None:
        """The time until a policy is back, if there is none now."""
        return Away(self.policies, self._policy.describe, self._may_try_at) if basis.lacking else None

    def _with_policy(self, held: UnderWay, now: datetime) -> Basis:
        served = self.policies.ask(held.products)
        instruments = read_instruments(self._paths)
        listing = self.patiently(lambda: self._listing(instruments, served.product, held, now))
        self._broker.names = SymbolNames(listing.names)
        try:
            features, rows, history = self.patiently(
                lambda: self.warm_up(served, list(listing.traded), now), patience_s=HELD_S if held else PATIENCE_S
            )
        except BrokerSilent as error:
            if not held:
                raise
            raise NotFound(f"features lack the broker's history: {error}") from None
        self._try_s, self._product = ASK_EVERY_S, served.product
        return Basis(served, served.interval, served.product, listing, features, rows, history)

    def _without_policy(self, held: UnderWay, now: datetime, error: Exception) -> Basis:
        """Enough to manage what is open, whatever is missing."""
        if not isinstance(error, TradeSageError):
            LOG.error("nothing is entered", exc_info=error)
        self._may_try_at, self._try_s = time.monotonic() + self._try_s, min(self._try_s * 2, LONGEST_TRY_S)
        product = sorted(held.products)[0] if held else self._product
        assert product is not None
        self._product = product
        return self._to_manage(held, product, now, f"{type(error).__name__}: {error}")

    def _to_manage(self, held: UnderWay, product: Product, now: datetime, why: str) -> Basis:
        listing = self.patiently(lambda: self._listing(_readable(self._paths), product, held, now))
        self._broker.names = SymbolNames(listing.names)
        return Basis(None, self._interval(), product, listing, NoFeatures(), lacking=why)

    def _check_interval(self, served: Served) -> None:
        interval = Interval(read_json(self._paths.snapshot)["interval"])
        if interval is not served.interval:
            raise FeatureMismatch(
                f"the policy decides on {served.interval} bars, the market in {self._paths.root} has {interval}; "
                "promote a policy that was trained on this interval"
            )

    def _interval(self) -> Interval:
        """Of the market in the workspace; where its files are gone, of its parameters."""
        try:
            return Interval(read_json(self._paths.snapshot)["interval"])
        except (TradeSageError, OSError, ValueError, LookupError, TypeError):
            named = self._params.ingest.interval
            return named if isinstance(named, Interval) else Interval.MIN_5

    def _listing(self, instruments: Sequence[Instrument], product: Product, held: UnderWay, now: datetime) -> Listing:
        """What can be traded today, and what is held besides.

        Raises
        ------
        BrokerSilent : if the broker lists nothing at all. NotFound : if it lists nothing of ours, and nothing is held.
        """
        exchanges = sorted({instrument.exchange for instrument in instruments} or {EXCHANGE})
        dumps = {name: self._broker.instruments(name) for name in exchanges}
        empty_ones = [name for name, rows in dumps.items() if not rows]
        if empty_ones:
            raise BrokerSilent(f"the broker lists no instrument of {', '.join(empty_ones)}; it is asked again")
        rows = [row for dump in dumps.values() for row in dump]
        listing = listing_of(instruments, rows, now.date(), held.symbols, product)
        must_list_some(listing)
        return listing

    def warm_up(
        self, served: Served, instruments: list[Instrument], now: datetime
    ) -> tuple[LiveFeatures, list[Any], Mapping[str, pd.DataFrame]]:
        began = time.monotonic()
        interval = served.interval
        actions = self.actions(instruments, None).table
        known = known_until(actions, "actions", pd.Timestamp(now))
        history = with_adjustment(fetch_history(self._broker.history, instruments, interval, now), known)
        features = LiveFeatures(
            instruments,
            interval,
            served.regime_model,
            served.catalogue_hash,
            renamed(read_news(self._paths), {current_symbol(i.symbol): i.symbol for i in instruments}),
            self._broker.history,
            now,
            actions,
            known_outcomes(read_outcomes(self._paths), self._journal.outcomes(self._account)),
        )
        rows = features.warm_up(history)
        bars = sum(len(frame) for frame in history.values())
        LOG.info("warm", bars=bars, last_close=str(features.last_close), seconds=round(time.monotonic() - began, 1))
        return features, rows, history

    def actions(self, instruments: Sequence[Instrument], at: datetime | None) -> KnownActions:
        """Announced by then: to the run, and to collectors since; None: also in the days that are played."""
        return newest_actions(self._params.ingest, self._paths, [instrument.symbol for instrument in instruments], at)

    def patiently(
        self, act: Callable[[], Answer], session: Session | None = None, patience_s: float = PATIENCE_S
    ) -> Answer:
        """Do what needs the broker's answer: at Kite for as long as it takes, at a paper exchange for a while."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return act()
            except BrokerSilent as error:
                waits_on = self._place.root == KITE and patience_s >= PATIENCE_S
                if not waits_on and time.monotonic() > deadline:
                    raise
                if session is not None:
                    session.desk.alarm(str(error))
                LOG.warning("waiting for the broker", why=str(error))
                time.sleep(AGAIN_S)


def _readable(paths: Paths) -> list[Instrument]:
    """The run's instruments, none if they cannot be read."""
    try:
        return read_instruments(paths)
    except (TradeSageError, OSError, ValueError, LookupError, TypeError, ArithmeticError):
        return []
