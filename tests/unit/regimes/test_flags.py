import math
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.params import FlagParams
from pipelines.regimes.figures import BREAKOUT_BARS, BURST_BARS, LEAST_BARS, Figures, MarketFigures
from pipelines.regimes.flags import flags_of, reasons
from pipelines.regimes.pulse import RANGE_BARS, MarketPulse, Pulse, observed_instruments
from tests.conftest import params_content
from tests.unit.regimes.markets import bars_at, bars_of, closes_of, known_market, news_of, no_news

PARAMS = FlagParams.model_validate(params_content({})["regimes"]["flags"])
CALM = Figures(
    level=100.0,
    trend=0.0,
    activity=-7.0,
    move_z=0.5,
    burst_move_z=0.5,
    volatility_z=0.0,
    volume_surprise=0.0,
    range_break=0.0,
    up=0.0,
    down=0.0,
    news_z=0.0,
    sentiment_z=0.0,
)
LOUD = math.log(2.0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (0.0, 0.0, 0.0)),
        ({"range_break": 1.0}, (0.0, 0.0, 0.0)),  # without volume it is none
        ({"range_break": 1.0, "volume_surprise": LOUD}, (1.0, 0.0, 0.0)),
        ({"range_break": -1.0, "volume_surprise": LOUD}, (-1.0, 0.0, 0.0)),
        ({"up": 0.5, "down": 0.1}, (1.0, 0.0, 0.0)),
        ({"up": 0.1, "down": 0.5}, (-1.0, 0.0, 0.0)),
        ({"up": 0.5, "down": 0.5}, (0.0, 0.0, 0.0)),
        ({"volume_surprise": math.nan, "range_break": 1.0}, (math.nan, 0.0, 0.0)),
        ({"news_z": 4.0}, (0.0, 0.0, 0.0)),  # a burst that moves nothing
        ({"news_z": 4.0, "burst_move_z": -2.5}, (0.0, 1.0, 0.0)),
        ({"sentiment_z": -4.0, "burst_move_z": -2.5}, (0.0, 1.0, 0.0)),
        ({"burst_move_z": -2.5}, (0.0, 0.0, 0.0)),
        ({"news_z": math.nan, "sentiment_z": math.nan}, (0.0, math.nan, 0.0)),
        ({"move_z": -7.0}, (0.0, 0.0, 1.0)),
        ({"move_z": 7.0}, (0.0, 0.0, 1.0)),
        ({"burst_move_z": -7.0}, (0.0, 0.0, 1.0)),  # a slide over several bars
        ({"burst_move_z": 7.0}, (0.0, 0.0, 0.0)),
        ({"volatility_z": 6.0}, (0.0, 0.0, 1.0)),
        ({"volatility_z": math.nan, "move_z": -7.0}, (0.0, 0.0, 1.0)),
        ({"move_z": math.nan, "burst_move_z": math.nan}, (0.0, math.nan, math.nan)),
    ],
)
def test_each_flag_has_its_cause_and_is_unknown_without_its_figures(changes, expected):
    flags = flags_of(replace(CALM, **changes), PARAMS)

    assert [flags.breakout, flags.news_driven, flags.crash_anomaly] == pytest.approx(expected, nan_ok=True)


def test_every_raised_flag_has_a_reason_with_its_figures_and_limits():
    figures = replace(CALM, range_break=-1.0, volume_surprise=LOUD, news_z=4.0, burst_move_z=-7.0, move_z=-9.0)

    said = reasons(figures, PARAMS)

    assert [line.split(":")[0] for line in said] == ["breakout", "news driven", "crash anomaly"]
    assert "2.0 times usual, limit 1.5" in said[0]
    assert "items +4.0" in said[1]
    assert "move -9.0" in said[2]
    assert "limit 6" in said[2]
    assert reasons(CALM, PARAMS) == ()


def a_pulse(number, moved=0.0005, items=0, sentiment=0.0, surprise=0.0):
    """A pulse of daily closes, so that no time of day stands out."""
    time = datetime(2024, 1, 1, 15, 30, tzinfo=IST) + timedelta(days=number)
    return Pulse(time, moved, abs(moved) + 0.002, surprise, 0.0, 0.0, items, sentiment)


def figures_after(pulses):
    market = MarketFigures()
    return [market.update(pulse) for pulse in pulses]


def noisy(count, seed=1):
    return np.random.default_rng(seed).normal(0, 0.01, count).tolist()


def test_a_move_is_measured_by_robust_deviations_of_the_bars_before_it_alone():
    moves = noisy(400)
    crash = figures_after([a_pulse(i, moved) for i, moved in enumerate([*moves, -0.12])])[-1]

    scale = 1.4826 * np.median(np.abs(moves))

    assert crash.move_z == pytest.approx(-0.12 / scale, rel=0.1)  # but for what is usual at that time of day
    assert flags_of(crash, PARAMS).crash_anomaly == 1.0


def test_figures_are_unknown_until_their_past_is_long_enough():
    rows = figures_after([a_pulse(i, moved) for i, moved in enumerate(noisy(LEAST_BARS + 5))])

    assert math.isnan(rows[LEAST_BARS - 1].move_z)
    assert math.isfinite(rows[LEAST_BARS].move_z)
    assert math.isnan(rows[BREAKOUT_BARS - 1].range_break)
    assert math.isfinite(rows[BREAKOUT_BARS].range_break)


def test_the_market_breaks_out_when_it_closes_beyond_all_closes_of_its_range():
    pulses = [a_pulse(i, 0.01 if i % 2 else -0.01) for i in range(120)]

    inside, above = (figures_after([*pulses, a_pulse(120, moved)])[-1] for moved in (0.0, 0.03))

    assert (inside.range_break, above.range_break) == (0.0, 1.0)


def test_what_is_usual_at_a_time_of_day_is_no_volatility():
    opening = {0: 4.0}
    times = closes_of(75 * 30)
    random = np.random.default_rng(2)
    pulses = [
        Pulse(
            time.to_pydatetime(),
            0.0,
            0.001 * opening.get(i % 75, 1.0) * math.exp(random.normal(0, 0.1)),
            *[0.0] * 3,
            0,
            0.0,
        )
        for i, time in enumerate(times)
    ]

    rows = figures_after(pulses)

    late = pd.Series([row.activity for row in rows][75 * 20 :])
    assert late.std() < 0.1
    assert late.groupby(late.index % 75).mean().abs().sub(late.mean()).abs().max() > 0
    by_time = late.groupby(late.index % 75).mean()
    assert by_time.max() - by_time.min() < 0.2  # raw, the opening is log(4) = 1.4 above


def test_a_burst_of_news_is_measured_against_its_own_past_and_unknown_without_any():
    quiet = [a_pulse(i, moved, items=int(i % 10 == 0)) for i, moved in enumerate(noisy(400))]
    burst = [a_pulse(400 + i, 0.01, items=3, sentiment=1.5) for i in range(BURST_BARS)]

    told = figures_after([*quiet, *burst])
    without = figures_after([replace(pulse, items=0, sentiment=0.0) for pulse in (*quiet, *burst)])

    assert abs(told[399].news_z) < 2
    assert told[-1].news_z > 5
    assert told[-1].sentiment_z > 5
    assert all(math.isnan(row.news_z) for row in without)


def test_a_pulse_is_the_mean_over_the_stocks_that_trade():
    times = closes_of(3)
    random = np.random.default_rng(1)
    market = {
        "AAA": bars_of("AAA", times, np.array([100.0, 110.0, 110.0]), random),
        "BBB": bars_of("BBB", times, np.array([50.0, 50.0, 55.0]), random)[:2],
    }

    pulses = MarketPulse({"AAA": True, "BBB": True}, 1.5).history(market, no_news())

    assert math.isnan(pulses[0].moved)
    assert pulses[1].moved == pytest.approx(math.log(1.1) / 2)
    assert pulses[2].moved == 0.0
    assert pulses[1].true_range > pulses[1].moved


def test_stocks_that_leave_their_range_with_volume_are_counted_in_shares():
    times = closes_of(RANGE_BARS + 40)
    random = np.random.default_rng(1)
    flat = 100.0 + 0.1 * random.random(len(times))
    market = {name: bars_of(name, times, flat, random) for name in ("AAA", "BBB")}
    out = market["AAA"].index[-1]
    market["AAA"].loc[out, ["high", "close"]] = 102.0
    market["AAA"].loc[out, "volume"] = 40_000
    market["BBB"].loc[out, ["high", "close"]] = 102.0

    last = MarketPulse({"AAA": True, "BBB": True}, 1.5).history(market, no_news())[-1]

    assert (last.up, last.down) == (0.5, 0.0)  # BBB has no more volume than usual


def test_news_count_from_the_first_close_at_or_after_them_live_as_in_the_batch():
    market, truth = known_market(bars=10, seed=1)
    times = truth["close_time"]
    late = times[4] + timedelta(seconds=1)
    news = news_of([("AAA", times[4], 0.5), ("BBB", late, -0.25), ("ZZZ", times[4], 1.0), ("CCC", times[4], math.nan)])
    volumes = dict.fromkeys(market, True)

    pulses = MarketPulse(volumes, 1.5).history(market, news)
    live = MarketPulse(volumes, 1.5)
    live.history({symbol: frame[:4] for symbol, frame in market.items()}, news)
    fifth = live.update(times[4].to_pydatetime(), bars_at(market, times[4]))

    assert [(pulse.items, pulse.sentiment) for pulse in pulses[4:6]] == [(2, 0.5), (1, -0.25)]
    assert fifth == pulses[4]


def test_indices_are_looked_at_only_where_there_is_no_stock():
    index = {"symbol": "NIFTY 50", "kind": "index", "has_volume": False}
    stock = {"symbol": "TCS", "kind": "stock", "has_volume": True}

    assert observed_instruments([index, stock]) == {"TCS": True}
    assert observed_instruments([index]) == {"NIFTY 50": False}
