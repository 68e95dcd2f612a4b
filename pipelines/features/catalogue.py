"""Which features there are: the families in order, and the hash that names the set. The order is that of the columns.

Adding a feature is a line in its family's `FEATURES` and one assignment in the family's `write`; adding a family is a
file (see `definition`) and its name here. When a feature's meaning changes, its `version` goes up: then the catalogue's
hash changes, and policies trained on the old meaning refuse the new rows.
"""

import hashlib
import json
from dataclasses import asdict
from types import ModuleType

from pipelines.domain.bars import Interval
from pipelines.features import (
    breadth,
    breakouts,
    calendar,
    candles,
    cross_section,
    dates,
    events,
    indices,
    levels,
    market,
    momentum,
    news,
    newsflow,
    outcomes,
    peers,
    relative,
    sentiment,
    statistics,
    timeframes,
    trend,
    volatility,
    volume,
)
from pipelines.features.definition import Feature

#: What a decision row carries of the regimes beside the features; it is part of the hash. Flags, the number of the
#: stated regime and the probabilities are written by the stage regimes; see docs/regimes.md.
REGIME_COLUMNS = (
    *("flag_breakout", "flag_news_driven", "flag_crash_anomaly"),
    "regime_stated",
    *("regime_bull", "regime_bear", "regime_range", "regime_high_volatility"),
)

#: What the compiled step writes of an instrument, in order
FAMILIES: tuple[ModuleType, ...] = (
    trend,
    momentum,
    volatility,
    volume,
    candles,
    breakouts,
    levels,
    statistics,
    timeframes,
    relative,
    peers,
    calendar,
    news,
    sentiment,
)
#: What the closes tell of the market: the same for all instruments; see `closes`
CLOSE_FAMILIES: tuple[ModuleType, ...] = (market, breadth, indices, newsflow)
#: What is told beside the compiled steps: of an instrument, of a close, of an instrument among the others
OTHER_FAMILIES: tuple[ModuleType, ...] = (events, outcomes, dates, cross_section)

STEP: tuple[Feature, ...] = tuple(feature for family in FAMILIES for feature in family.FEATURES)
OWN: tuple[Feature, ...] = (*events.FEATURES, *outcomes.FEATURES)
MARKET: tuple[Feature, ...] = (
    *(feature for family in CLOSE_FAMILIES for feature in family.FEATURES),
    *dates.FEATURES,
    *outcomes.PATTERN_FEATURES,
)
COMPARED: tuple[Feature, ...] = cross_section.FEATURES

CATALOGUE: tuple[Feature, ...] = STEP + OWN + MARKET + COMPARED
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in CATALOGUE)
MARKET_NAMES: tuple[str, ...] = tuple(feature.name for feature in MARKET)


def catalogue_hash(interval: Interval) -> str:
    """First 16 hex digits over features, regime columns and interval: rows and policies carry it."""
    said = json.dumps([[_defined(feature) for feature in CATALOGUE], REGIME_COLUMNS, Interval(interval).value])
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def catalogue_content(interval: Interval) -> dict:
    """What `catalogue.json` holds."""
    return {
        "hash": catalogue_hash(interval),
        "interval": Interval(interval).value,
        "features": [_defined(feature) for feature in CATALOGUE],
    }


def _defined(feature: Feature) -> dict:
    return {key: value for key, value in asdict(feature).items() if key != "meaning"}
