"""A spread unlike the reference is told."""

import pandas as pd
import pytest

from pipelines.domain.data_rules import Severity
from pipelines.domain.errors import BadInput, DataRejected
from pipelines.tables import write_json
from pipelines.validate.drift import drift
from tests.unit.validate.test_neighbours import a_market


def sound(seed: int = 5, wider: float = 1.0) -> pd.DataFrame:
    bars = a_market(seed=seed)
    middle = bars.groupby("symbol")["close"].transform("mean")
    late = bars["open_time"] > bars["open_time"].median()
    for name in ("open", "high", "low", "close"):
        bars[name] = bars[name].where(~late, middle + (bars[name] - middle) * wider)
    return bars.assign(adjustment=1.0)


def test_a_steady_history_is_like_its_own_beginning():
    found = drift(sound(), None, {})

    assert found.notes == ()
    assert set(found.profile) == {"return", "range", "volume_change"}
    assert all(sum(one["shares"]) == pytest.approx(1) for one in found.profile.values())


def test_a_market_that_became_wilder_is_told():
    found = drift(sound(wider=6.0), None, {})

    assert found.findings[0].rule == "drift"
    assert any(note.startswith("return is spread unlike the first half of the history") for note in found.notes)
    with pytest.raises(DataRejected, match="is spread unlike"):
        drift(sound(wider=6.0), None, {"drift": Severity.STOP})


def test_an_earlier_run_serves_as_reference(tmp_path):
    write_json(drift(sound(), None, {}).profile, tmp_path / "profile.json")

    assert drift(sound(seed=6), tmp_path / "profile.json", {}).notes == ()
    wild = drift(sound(seed=6, wider=8.0), tmp_path / "profile.json", {})
    assert any("profile.json (population stability index" in note for note in wild.notes)


@pytest.mark.parametrize("content", ["[]", "{}x", '{"return": {"edges": [1], "shares": [1]}}'])
def test_a_reference_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "profile.json").write_text(content)

    with pytest.raises(BadInput, match="profile"):
        drift(sound(), tmp_path / "profile.json", {})
    with pytest.raises(BadInput, match="is not there"):
        drift(sound(), tmp_path / "other.json", {})


def test_too_short_a_history_is_compared_with_nothing():
    assert drift(sound().head(300), None, {}).verdict is None
