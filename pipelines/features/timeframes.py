"""Longer times: figures on bars of 15 minutes, of an hour and of a session, joined from the bars seen so far.

A longer bar counts when it is over: when a bar of the run closes on its end, or when a later one begins. The one that
is still forming is used by the features that say so. Where the run's own bars are as long, each is a longer one itself.
"""

import math

import numpy as np

from pipelines.domain.portable_math import log
from pipelines.features.definition import KAUFMAN, OWN, WILDER, Feature, family
from pipelines.features.windows import STILL_RANGE, compiled, exponential, place_in, wilder

SPANS = {"quarter": 14, "hour": 14, "day": 5}  #: bars of RSI and ATR; the means take a half and the whole
KEPT = 16  #: finished bars a longer time remembers


def _features(time: str, finished: str, forming: bool) -> tuple[Feature, ...]:
    span, unit = SPANS[time], f"ATR of the {time}s"
    rows = [
        (f"{time}_rsi_{span}", 0, "percent", WILDER, f"share of rises in the smoothed moves of {time}s"),
        (f"{time}_close_ema_{span}", 0, unit, KAUFMAN, f"close over the EMA of {span} {time}s"),
        (f"{time}_ema_gap_{span // 2}_{span}", 0, unit, KAUFMAN, f"EMA of {span // 2} {time}s over that of {span}"),
        (f"{time}_return_4", 0, "log return", OWN, f"close over that of 4 finished {time}s ago"),
        (f"{time}_range_place", 0, "half widths of the range", OWN, f"close in the range of the {time} before"),
        (f"{time}_volatility_{span}", 0, f"log return per {time}", OWN, f"size of the returns of {span} {time}s"),
        (f"{time}_forming_body", 0, unit, OWN, f"close over the open of the {time} that is forming"),
    ]
    return family("timeframes", rows if forming else rows[:-1], **{finished: span + 1})


FEATURES = (
    *_features("quarter", "quarters", forming=True),
    *_features("hour", "hours", forming=True),
    *_features("day", "sessions", forming=False),  # `session_return` tells of the forming one
)
_TOLD = np.dtype(
    [(name, np.float64) for name in ("rsi", "close_mean", "mean_gap", "return_4", "range_place", "volatility")]
)
#: The places of `FEATURES`, a group for each time
ROW = np.dtype(
    [
        *(("quarter", _TOLD), ("quarter_forming_body", np.float64)),
        *(("hour", _TOLD), ("hour_forming_body", np.float64)),
        ("day", _TOLD),
    ]
)

_LONGER = np.dtype(
    [
        ("count", np.int64),  # finished
        ("forming", np.int64),  # is there one that is not over?
        *((name, np.float64) for name in ("began", "open", "high", "low", "close")),
        *((name, np.float64) for name in ("last_high", "last_low", "atr", "per_atr", "gain", "loss", "fast", "slow")),
        ("square", np.float64),
        ("closes", np.float64, (KEPT,)),
    ],
    align=True,
)
STATE = (("quarter", _LONGER), ("hour", _LONGER), ("day", _LONGER))

OPENING = 9 * 60 + 15  #: minute at which the session's first longer bar begins


@compiled
def write(s, bar, out):
    minute = int(bar.minute) - OPENING
    _grow(s.quarter, bar, minute, 15, 14)
    _grow(s.hour, bar, minute, 60, 14)
    _grow(s.day, bar, 0, 0, 5)
    s.quarters, s.hours = s.quarter.count, s.hour.count
    log_close = s.log_close[s.end - 1]
    _tell(s.quarter, bar.close, log_close, out.quarter)
    _tell(s.hour, bar.close, log_close, out.hour)
    _tell(s.day, bar.close, log_close, out.day)
    out.quarter_forming_body = (bar.close - s.quarter.open) * s.quarter.per_atr
    out.hour_forming_body = (bar.close - s.hour.open) * s.hour.per_atr


@compiled
def _grow(longer, bar, minute, width, span):
    """Join the bar to the longer one it belongs to; `width` 0 is the session, which is over when the next begins."""
    began = bar.session * 1440.0 + (float((minute - 1) // width) if width > 0 else 0.0)
    if longer.forming and began != longer.began:
        _finish(longer, span)
    if not longer.forming:
        longer.forming = 1
        longer.began = began
        longer.open, longer.high, longer.low = bar.open, bar.high, bar.low
    longer.high = max(longer.high, bar.high)
    longer.low = min(longer.low, bar.low)
    longer.close = bar.close
    if width > 0 and minute % width == 0:
        _finish(longer, span)


@compiled
def _finish(longer, span):
    """The longer bar is over: its figures move on."""
    longer.forming = 0
    longer.count += 1
    count, close = longer.count, longer.close
    before = longer.closes[(count - 2) % KEPT] if count > 1 else close
    longer.closes[(count - 1) % KEPT] = close
    longer.last_high, longer.last_low = longer.high, longer.low
    longer.fast = exponential(longer.fast, close, span // 2, count)
    longer.slow = exponential(longer.slow, close, span, count)
    if count > 1:
        changes, own = count - 1, log(close / before)
        longer.gain = wilder(longer.gain, max(close - before, 0.0), span, changes)
        longer.loss = wilder(longer.loss, max(before - close, 0.0), span, changes)
        longer.atr = wilder(longer.atr, max(longer.high, before) - min(longer.low, before), span, changes)
        longer.square = wilder(longer.square, own * own, span, changes)
    longer.per_atr = 1.0 / longer.atr if longer.atr > STILL_RANGE * close else math.nan


@compiled
def _tell(longer, close, log_close, out):
    """One longer time's part of the row, in the order of its features."""
    moves = longer.gain + longer.loss
    out.rsi = 100.0 * longer.gain / moves if moves > 0.0 else 50.0
    out.close_mean = (close - longer.slow) * longer.per_atr
    out.mean_gap = (longer.fast - longer.slow) * longer.per_atr
    out.return_4 = log_close - log(longer.closes[(longer.count - 5) % KEPT])
    out.range_place = place_in(close, longer.last_high, longer.last_low)
    out.volatility = math.sqrt(longer.square)
