"""Whose bars a policy was made on, from what `ingest` pinned: real or simulated, and in words for a reviewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIMULATED = "simulated"
#: `ingest.source` of bars that a market made, not a generator: what may be traded with money
REAL_SOURCES = frozenset({"files", "lake"})
#: Sources of the lake whose bars a market made, and what a reviewer calls them
MARKET_BARS = {"kite": "Kite's history", "bhavcopy": "NSE's bhavcopy", "files": "files", "ticks": "files of ticks"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bars of a run came from."""

    source: str  #: simulated | files | lake
    bars: str  #: in words
    planted_edge: str | None  #: of a simulated market; "none" if it has none


def origin_of(snapshot: Mapping[str, Any]) -> Origin:
    """The origin that `data/01_raw/snapshot.json` tells.

    A lake that holds bars of anything but a market, as those of a paper exchange, or that does not say whose bars it
    holds, is no better than a simulated market.
    """
    source = str(snapshot.get("source"))
    if source == "files":
        return Origin(source, f"real bars from {snapshot.get('folder') or 'files'}", None)
    if source == "lake":
        pinned = snapshot.get("lake") or {}
        names = tuple(str(name) for name in pinned.get("bars_of") or ())
        until = str(pinned.get("learnt_until", ""))[:16].replace("T", " ")
        if not names or any(_kind(name) not in MARKET_BARS for name in names):
            told = ", ".join(names) or "unknown sources"
            return Origin(SIMULATED, f"bars of {told} from the lake, which no market made", None)
        told = " and ".join(_called(name) for name in names)
        return Origin(source, f"real bars of {told} from the lake, as it was on {until}", None)
    simulated = snapshot.get("simulated") or {}
    edge = str(simulated.get("edge", "unknown"))
    if edge == "none" or simulated.get("edge_strength") == 0:
        return Origin(SIMULATED, "simulated market without an edge", "none")
    strength = f" of strength {simulated['edge_strength']:g}" if "edge_strength" in simulated else ""
    return Origin(SIMULATED, f"simulated market with a planted {edge} edge{strength}", edge)


def _kind(name: str) -> str:
    return name.partition(":")[0]


def _called(name: str) -> str:
    kind, _, rest = name.partition(":")
    return f"{MARKET_BARS[kind]} ({rest})" if rest else MARKET_BARS[kind]
