import math

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE
from pipelines.evaluation.charts import REGIME_COLOURS, SHOWN_CLOSES, regime_chart


def a_table(closes, **changes):
    times = pd.date_range("2026-01-05 09:20", periods=closes, freq="5min", tz="Asia/Kolkata").astype(TIME_DTYPE)
    table = pd.DataFrame({"close_time": times, "level": 100.0 + np.arange(closes), "regime": "bull"})
    table[list(REGIME_COLOURS)] = [0.7, 0.1, 0.1, 0.1]
    table[["breakout", "news_driven", "crash_anomaly"]] = 0.0
    return table.assign(**changes)


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.yaxis in (None, "y") and len(trace.x)}


def test_the_level_is_coloured_by_the_regime_and_the_line_is_whole():
    table = a_table(10, regime=["unknown"] * 2 + ["bull"] * 4 + ["high_volatility"] * 4)

    drawn = traces(regime_chart(table))

    assert [y is not None for y in drawn["bull"].y] == [False] * 2 + [True] * 5 + [False] * 3
    together = [any(trace.y[i] is not None for trace in drawn.values()) for i in range(10)]
    assert all(together)


def test_flags_stand_at_their_closes_and_a_breakout_downwards_points_down():
    table = a_table(6, breakout=[0.0, 1.0, math.nan, -1.0, 0.0, 0.0], crash_anomaly=[0.0] * 5 + [1.0])

    drawn = traces(regime_chart(table))

    assert (drawn["breakout"].x, drawn["breakout"].marker.symbol) == ((1,), "triangle-up")
    assert (drawn["breakout, down"].x, drawn["breakout, down"].marker.symbol) == ((3,), "triangle-down")
    assert drawn["crash anomaly"].y == (105.0,)
    assert "news driven" not in drawn


def test_a_long_history_is_drawn_in_parts_and_loses_no_flag():
    closes = 3 * SHOWN_CLOSES
    raised = np.zeros(closes)
    raised[1000] = 1.0

    drawn = traces(regime_chart(a_table(closes, crash_anomaly=raised)))

    assert len(drawn["bull"].x) == SHOWN_CLOSES
    assert drawn["crash anomaly"].x == (1000 // 3,)


def test_a_history_without_closes_gives_an_empty_chart():
    assert not traces(regime_chart(a_table(0)))
