"""Regimes and flags live, from the plain numbers of `model.json`; the batch is this, looped over the history."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from pydantic import ValidationError

from pipelines.domain.bars import Bar
from pipelines.domain.errors import BadInput
from pipelines.domain.news import News
from pipelines.params import FlagParams
from pipelines.regimes.figures import Figures, MarketFigures
from pipelines.regimes.filter import OBSERVATIONS, REGIMES, UNKNOWN, Fit, RegimeFilter, StatedRegime, observe
from pipelines.regimes.flags import FLAGS, Flags, flags_of
from pipelines.regimes.flags import reasons as flag_reasons
from pipelines.regimes.pulse import MarketPulse, Pulse

#: Figures that stand in the table beside regime and flags
FIGURES = ("level", "move_z", "volatility_z", "volume_surprise", "news_z")
#: Columns of a close, in the order of `regimes.parquet`
COLUMNS = (*REGIMES, "regime", *FLAGS, *FIGURES)


@dataclass(frozen=True, slots=True)
class Close:
    """What the regimes say at one close."""

    probabilities: Mapping[str, float]  #: by regime, summing to 1; NaN while unknown
    regime: str  #: the stated one, see `StatedRegime`
    flags: Flags
    figures: Figures | None  #: None at a close without bars
    reasons: tuple[str, ...]  #: of the flags that are raised

    def row(self) -> dict[str, Any]:
        """By COLUMNS."""
        figures = {name: getattr(self.figures, name) if self.figures else math.nan for name in FIGURES}
        return dict(self.probabilities) | {"regime": self.regime} | asdict(self.flags) | figures

    def values(self) -> dict[str, float]:
        """What a decision row carries: `regime_<name>` a probability, the stated regime's number, the flags."""
        stated = float(REGIMES.index(self.regime)) if self.regime != UNKNOWN else math.nan
        named = {f"regime_{name}": value for name, value in self.probabilities.items()}
        flags = {f"flag_{name}": value for name, value in asdict(self.flags).items()}
        return named | {"regime_stated": stated} | flags


_NOTHING = Close(dict.fromkeys(REGIMES, math.nan), UNKNOWN, Flags(math.nan, math.nan, math.nan), None, ())


class RegimeSteps:
    """Figures of a close to regime and flags: the filter, the stated regime and the flags, one step a close."""

    def __init__(self, fits: Sequence[Fit], min_confidence: float, min_stay_bars: int, flags: FlagParams):
        self._filter = RegimeFilter(fits)
        self._stated = StatedRegime(min_confidence, min_stay_bars)
        self._flags = flags

    def update(self, close_time: datetime, figures: Figures) -> Close:
        found = self._filter.update(close_time, observe(figures))
        probabilities = dict(zip(REGIMES, found.tolist(), strict=True))
        flags = flags_of(figures, self._flags)
        return Close(probabilities, self._stated.update(found), flags, figures, flag_reasons(figures, self._flags))


class OnlineRegimes:
    """Regimes close by close. `replay` takes a history in one stroke; given the whole of it, all is as in the batch.

    Parameters
    ----------
    model : content of `model.json`
    volumes : whose bars are looked at, and whether they have volume: `pulse.observed_instruments`

    Raises
    ------
    BadInput : if the model is damaged or was made by another release.
    """

    def __init__(self, model: Mapping[str, Any], volumes: Mapping[str, bool]):
        if tuple(model.get("regimes", ())) != REGIMES or tuple(model.get("observations", ())) != OBSERVATIONS:
            raise BadInput(
                f"the regime model has regimes {model.get('regimes')} seen by {model.get('observations')}, "
                f"this release knows {REGIMES} by {OBSERVATIONS}; run the stage regimes again"
            )
        try:
            flags = FlagParams.model_validate(model["flags"])
            self._steps = RegimeSteps(
                [Fit.from_dict(fit) for fit in model["fits"]],
                float(model["min_confidence"]),
                int(model["min_stay_bars"]),
                flags,
            )
        except (KeyError, TypeError, ValueError, ValidationError) as error:
            raise BadInput(f"the regime model is damaged ({error!r:.200}); run the stage regimes again") from None
        self._pulse = MarketPulse(volumes, flags.breakout_volume)
        self._figures = MarketFigures()

    def replay(self, bars: Mapping[str, pd.DataFrame], news: pd.DataFrame) -> list[tuple[datetime, Close]]:
        """Take in a history, before the first update; what was said at each of its closes."""
        return [(pulse.close_time, self._close(pulse)) for pulse in self._pulse.history(bars, news)]

    def update(self, close_time: datetime, bars: Mapping[str, Bar], news: Sequence[News] = ()) -> Close:
        """Regime and flags at this close; a close without bars is unknown and leaves all as it was.

        Parameters
        ----------
        bars : that close now, as traded; others than the observed ones are passed over
        news : learnt since the close before
        """
        pulse = self._pulse.update(close_time, bars, news)
        return _NOTHING if pulse is None else self._close(pulse)

    def _close(self, pulse: Pulse) -> Close:
        return self._steps.update(pulse.close_time, self._figures.update(pulse))
