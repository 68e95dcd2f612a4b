"""Shares under the symbols they ever had: one series each, called as its latest bar is told."""

from collections.abc import Iterable, Mapping

import pandas as pd

from pipelines.domain.listings import current_symbol


def called(told: Iterable[tuple[str, pd.Timestamp]]) -> dict[str, str]:
    """What the series of each share is called.

    Parameters
    ----------
    told : symbols that sources use, each with the time of the last bar told under it

    Returns
    -------
    dict from the share (`current_symbol` of any of its symbols) to the symbol of its latest bar; of two that end
    together to the one that it bears now. So a name is never one that no source had used by then.
    """
    latest: dict[str, tuple[pd.Timestamp, bool, str]] = {}
    for symbol, last in told:
        share = current_symbol(symbol)
        latest[share] = max(latest.get(share, (last, False, symbol)), (last, symbol == share, symbol))
    return {share: symbol for share, (_, _, symbol) in latest.items()}


def name_of(symbol: str, names: Mapping[str, str]) -> str:
    """What `called` says of a share under any of its symbols; the symbol itself if it says nothing of it."""
    return names.get(current_symbol(symbol), symbol)


def renamed(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """A table told of shares under any symbol they ever had, under the names of their series."""
    own = {symbol: name_of(symbol, names) for symbol in table["symbol"].unique()}
    if all(symbol == name for symbol, name in own.items()):
        return table
    return table.assign(symbol=table["symbol"].map(own).astype(table["symbol"].dtype))
