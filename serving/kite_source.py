"""Kite as a source of history: with the application's keys, the day's token and the broker's limits."""

from collections.abc import Callable, Sequence
from datetime import date, datetime

from pipelines.domain.bars import IST
from pipelines.domain.errors import LoggedOut
from pipelines.ingest.source import Known
from pipelines.ingest.sources.kite_history import KiteHistory
from pipelines.pacing import ReadPacer
from serving.executor.access import PaperLogin, TokenFile, TokenSource, keys_for, token_file
from serving.executor.kite_client import KITE, client


def kite_history(
    symbols: Sequence[str],
    interval: str,
    start: date,
    known: Known | None = None,
    root: str = KITE,
    now: Callable[[], datetime] = lambda: datetime.now(IST),
) -> KiteHistory:
    """The source `kite`, logged in.

    Parameters
    ----------
    symbols, interval, start, known, now : see `KiteHistory`
    root : Kite, or a paper exchange on this machine, which gives a token by itself

    Raises
    ------
    NotFound, BadParams : the application's keys are not there, or others may read their files.
    LoggedOut : there is no token of today.
    """
    keys = keys_for(root)
    source: TokenSource = TokenFile(token_file(root)) if root == KITE else PaperLogin(root, keys)
    token = source.token()
    if token is None:
        raise LoggedOut(f"there is no token of today for {root}; run: tradesage login")
    kite = client(keys.api_key, root)
    kite.set_access_token(token.access_token)
    name = "kite" if root == KITE else "paper_exchange"  # whose bars they are decides whether they may judge for money
    return KiteHistory(kite, symbols, interval, start, known, ReadPacer(), now, name=name)
