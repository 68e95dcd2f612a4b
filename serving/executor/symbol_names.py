"""One share under two symbols: ours, by which journal, features and policy know it, and the broker's of today."""

from collections.abc import Mapping
from typing import Any


class SymbolNames:
    """Parameters
    ----------
    theirs : the broker's symbol by ours, where they differ
    """

    def __init__(self, theirs: Mapping[str, str] | None = None):
        self._theirs = dict(theirs or {})
        self._ours = {name: symbol for symbol, name in self._theirs.items()}

    def theirs(self, symbol: str) -> str:
        return self._theirs.get(symbol, symbol)

    def ours(self, symbol: str) -> str:
        return self._ours.get(symbol, symbol)

    def as_ours(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row of the broker's books under our symbol; the same one where nothing differs."""
        symbol = row.get("tradingsymbol") if self._ours else None
        return {**row, "tradingsymbol": self._ours[symbol]} if symbol in self._ours else row
