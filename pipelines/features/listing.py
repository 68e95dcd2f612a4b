"""`docs/features.md`, written from the catalogue: `make listing`. A test holds the file against it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipelines.features.catalogue import CATALOGUE, CLOSE_FAMILIES, FAMILIES, OTHER_FAMILIES, REGIME_COLUMNS
from pipelines.features.definition import Feature

LISTING = Path(__file__).parents[2] / "docs" / "features.md"

_HEAD = """# Features

Written from the catalogue by `make listing`; do not edit.

A feature is a number known at a bar's close, from what was known then. One definition serves training and live (see
[0001](decisions/0001-one-step-per-bar.md)). It knows no price level: prices and volumes of another scale leave it as
it is. It is unknown (NaN) until its **look-back** is over: so many earlier bars of the instrument and, where it says
so, so many finished quarters of an hour (q), hours (h) or sessions (s). Prices are adjusted for splits and bonuses.
**ATR** is Wilder's average true range of 14 bars; a volatility is the spread of 24 log returns."""

_TABLE = "| feature | look-back | unit | meaning | source |\n|---|---|---|---|---|"


def listing() -> str:
    """The whole page, families in the catalogue's order."""
    return "\n".join([*_parts(), ""])


def _parts() -> Iterator[str]:
    yield _HEAD
    for family in dict.fromkeys(feature.family for feature in CATALOGUE):
        features = [feature for feature in CATALOGUE if feature.family == family]
        yield f"\n## {family.replace('_', ' ').capitalize()}: {len(features)}\n"
        yield _about(family)
        yield _TABLE
        yield from _rows(features)
    yield f"\n## Regime: {len(REGIME_COLUMNS)}\n"
    yield "Written by the stage `regimes` ([regimes.md](regimes.md)), part of every decision row and of the hash.\n"
    yield _TABLE
    for name in REGIME_COLUMNS:
        yield f"| `{name}` | | {_of_regimes(name)} |"
    yield f"\n{len(CATALOGUE) + len(REGIME_COLUMNS)} in all."


def _of_regimes(name: str) -> str:
    """Unit, meaning and source of what a row carries of the regimes."""
    what = name.removeprefix("regime_").removeprefix("flag_").replace("_", " ")
    if name.startswith("flag_"):
        return f"flag | {what}: 1 raised, 0 not, unknown where it cannot be judged; a breakout downwards is -1 | own"
    if what == "stated":
        return "number | the stated regime: 0 bull, 1 bear, 2 range, 3 high volatility | own"
    return f"probability | probability of the regime {what} | Hamilton (1989), Econometrica 57(2)"


def _about(family: str) -> str:
    """What the family's file says of itself."""
    modules = (*FAMILIES, *CLOSE_FAMILIES, *OTHER_FAMILIES)
    module = next(module for module in modules if module.FEATURES and module.FEATURES[0].family == family)
    return f"{(module.__doc__ or '').strip()}\n"


def _rows(features: Iterable[Feature]) -> Iterator[str]:
    for feature in features:
        yield (f"| `{feature.name}` | {_look_back(feature)} | {feature.unit} | {feature.meaning} | {feature.source} |")


def _look_back(feature: Feature) -> str:
    longer = ((feature.quarters, "q"), (feature.hours, "h"), (feature.sessions, "s"))
    told = [str(feature.look_back)] if feature.look_back or not any(count for count, _ in longer) else []
    return " + ".join(told + [f"{count}{letter}" for count, letter in longer if count])


if __name__ == "__main__":
    LISTING.write_text(listing(), encoding="utf-8")
    print(f"{LISTING}: {len(CATALOGUE) + len(REGIME_COLUMNS)} features")
