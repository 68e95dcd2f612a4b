import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.errors import BadInput, FeatureMismatch
from pipelines.features.catalogue import FEATURE_NAMES
from pipelines.heads import RULE_HEADS, head_from_dict, head_to_dict, heads_from
from pipelines.params import load_params
from tests.conftest import ROOT

HEADS = heads_from(load_params(ROOT / "params.yaml").heads)
BY_NAME = {head.name: head for head in HEADS}
#: Values that say "buy" to each head, and the sign in which each pushes its score
BULLISH = {
    "trend": {"ema_gap_20_50": 2.0, "slope_24": 0.3, "di_spread_14": 0.3, "adx_14": 35.0},
    "reversion": {"z_score_20": -2.8, "rsi_14": 18.0, "efficiency_24": 0.2},
    "momentum": {"return_12": 1.5, "return_24": 2.0, "return_48": 1.0, "relative_strength_48": 1.0},
    "breakout": {"donchian_20": 1.6, "donchian_55": 1.2, "range_atr": 1.8},
    "volume": {"obv_20": 0.6, "mfi_14": 85.0, "relative_volume_20": 1.8},
}
DRIVERS = {
    "trend": {"ema_gap_20_50": 1, "slope_24": 1, "di_spread_14": 1},
    "reversion": {"z_score_20": -1, "rsi_14": -1},
    "momentum": {"return_12": 1, "return_24": 1, "return_48": 1, "relative_strength_48": 1},
    "breakout": {"donchian_20": 1, "donchian_55": 1},
    "volume": {"obv_20": 1, "mfi_14": 1},
}
CONVICTION = {"trend": ("adx_14", 1), "reversion": ("efficiency_24", -1), "breakout": ("range_atr", 1)}
every_head = pytest.mark.parametrize("head", HEADS, ids=lambda head: head.name)


def view(head, values):
    row = head.views(pd.DataFrame([values])).iloc[0]
    return float(row["direction"]), float(row["confidence"])


def mirrored(head, values):
    """The same circumstances upside down."""
    centre = {"rsi_14": 50.0, "mfi_14": 50.0}
    return {
        name: 2 * centre.get(name, 0.0) - value if name in DRIVERS[head.name] else value
        for name, value in values.items()
    }


def random_table(head, rows=500, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame({name: random.normal(0, 3, rows) for name in head.uses}, index=np.arange(rows) * 2)


def test_the_heads_are_those_of_the_parameters():
    assert tuple(BY_NAME) == ("trend", "reversion", "momentum", "breakout", "volume")


@every_head
def test_a_head_uses_features_of_the_catalogue(head):
    assert set(head.uses) <= set(FEATURE_NAMES)


@every_head
def test_a_head_is_long_when_its_features_say_so_and_short_when_they_are_mirrored(head):
    long_direction, long_confidence = view(head, BULLISH[head.name])
    short_direction, short_confidence = view(head, mirrored(head, BULLISH[head.name]))

    assert 0 < long_direction <= 1
    assert 0 < long_confidence <= 1
    assert short_direction == pytest.approx(-long_direction)
    assert short_confidence == pytest.approx(long_confidence)


@every_head
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_views_stay_in_their_bounds(head, data):
    number = st.floats(-1e6, 1e6) | st.just(np.nan)
    rows = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(head.uses, number)), min_size=1, max_size=8))

    views = head.views(pd.DataFrame(rows))

    assert views["direction"].between(-1, 1).all()
    assert views["confidence"].between(0, 1).all()
    assert (views.loc[views["direction"] == 0, "confidence"] == 0).all()


@every_head
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_direction_never_falls_when_a_driver_speaks_for_it_more(head, data):
    values = dict(BULLISH[head.name])
    name = data.draw(st.sampled_from(sorted(DRIVERS[head.name])))
    low, high = sorted(data.draw(st.lists(st.floats(-120, 120), min_size=2, max_size=2)))

    less = view(head, values | {name: low})[0]
    more = view(head, values | {name: high})[0]

    assert (more - less) * DRIVERS[head.name][name] >= 0


@pytest.mark.parametrize("name", CONVICTION)
def test_confidence_grows_with_the_circumstances(name):
    head, (feature, sign) = BY_NAME[name], CONVICTION[name]
    base = BULLISH[name]

    _, less = view(head, base | {feature: base[feature] * (1 - 0.3 * sign)})
    _, more = view(head, base)

    assert less < more


def test_momentum_is_surer_when_its_horizons_agree():
    agreeing = BULLISH["momentum"]

    assert view(BY_NAME["momentum"], agreeing)[1] == 1.0
    assert view(BY_NAME["momentum"], agreeing | {"return_48": -0.5})[1] == pytest.approx(1 / 3)


@every_head
def test_one_unknown_feature_is_no_view(head):
    for name in head.uses:
        assert view(head, BULLISH[head.name] | {name: np.nan}) == (0.0, 0.0)


@every_head
def test_a_score_within_the_threshold_is_no_view(head):
    deaf = head_from_dict({"head": head.name, "threshold": 1e6, "slope": 1.0})

    assert view(deaf, BULLISH[head.name]) == (0.0, 0.0)


@every_head
def test_a_steeper_head_is_more_decided(head):
    gentle, steep = (head_from_dict({"head": head.name, "threshold": 0.1, "slope": slope}) for slope in (0.2, 0.9))

    assert view(gentle, BULLISH[head.name])[0] < view(steep, BULLISH[head.name])[0]


@every_head
def test_many_rows_get_the_views_that_each_gets_alone(head):
    table = random_table(head)

    together = head.views(table)

    alone = pd.concat([head.views(table.iloc[[i]]) for i in range(0, 500, 7)])
    pd.testing.assert_frame_equal(together.loc[alone.index], alone, check_exact=True)
    assert list(together.index) == list(table.index)


@every_head
def test_reasons_name_figures(head):
    reasons = head.reasons(BULLISH[head.name], view(head, BULLISH[head.name])[0])

    assert len(reasons) >= 2
    assert sum(any(letter.isdigit() for letter in reason) for reason in reasons) >= 2
    assert not any("no view" in reason for reason in reasons)


@every_head
def test_no_view_has_a_reason_too(head):
    unknown = head.reasons(BULLISH[head.name] | {head.uses[0]: np.nan}, 0.0)
    quiet = head_from_dict({"head": head.name, "threshold": 1e6, "slope": 1.0}).reasons(BULLISH[head.name], 0.0)

    assert unknown == (f"no view: {head.uses[0]} not known yet",)
    assert "threshold of 1e+06" in quiet[0]


@every_head
def test_a_missing_column_is_told(head):
    table = random_table(head).drop(columns=head.uses[0])

    with pytest.raises(FeatureMismatch, match=head.uses[0]):
        head.views(table)


@every_head
def test_a_head_survives_the_way_to_plain_data_and_back(head):
    assert head_from_dict(head_to_dict(head)) == head


@pytest.mark.parametrize(
    "content",
    [
        {"head": "oracle", "threshold": 0.1, "slope": 1.0},
        {"threshold": 0.1, "slope": 1.0},
        {"head": "trend", "threshold": 0.1},
        {"head": "trend", "threshold": 0.1, "slope": 1.0, "luck": 7},
        {"head": "trend", "threshold": -0.1, "slope": 1.0},
        {"head": "trend", "threshold": 0.1, "slope": 0.0},
        {"head": "trend", "threshold": float("nan"), "slope": 1.0},
        {"head": "trend", "threshold": "much", "slope": 1.0},
    ],
)
def test_impossible_genes_are_refused(content):
    with pytest.raises(BadInput, match="head"):
        head_from_dict(content)


def test_every_rule_head_has_a_section_in_the_parameters():
    assert set(RULE_HEADS) == set(load_params(ROOT / "params.yaml").heads.model_dump())
