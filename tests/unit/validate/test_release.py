"""What a person lets out passes one rule, with one content; everything else is judged as before."""

import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.validate.bars import validated
from pipelines.validate.release import COLUMNS, Released, read_released, releases_of, write_released
from tests.unit.validate.builders import a_raw_market, after_a_split, some_bars, validation

DAY = Interval.DAY


def judged(bars, released=None):
    return validated(a_raw_market(bars), DAY, validation(), released)


def a_wild_bar(high: float = 300.0):
    bars = some_bars()
    bars.loc[50, "high"] = high
    return bars


def released_from(found) -> Released:
    return Released(tuple(releases_of(found.quarantine, "a tester", "2026-11-01T10:00:00+05:30", "the market did it")))


def test_a_released_row_is_in_the_validated_bars_again():
    held = judged(a_wild_bar())

    found = judged(a_wild_bar(), released_from(held))

    assert held.quarantine["rule"].tolist() == ["price_outlier"]
    assert found.quarantine.empty
    assert found.bars["ABC"]["high"][50] == 300.0
    assert "released by hand: 1 rows" in found.notes


def test_a_row_that_changed_since_is_judged_anew():
    released = released_from(judged(a_wild_bar()))

    found = judged(a_wild_bar(high=301.0), released)

    assert found.quarantine["rule"].tolist() == ["price_outlier"]


def test_a_released_row_passes_no_other_rule():
    bars = a_wild_bar()
    released = released_from(judged(bars))
    twice = pd.concat([bars.iloc[:51], bars.iloc[50:]], ignore_index=True)

    found = judged(twice, released)

    assert found.quarantine["rule"].tolist() == ["duplicate"]


def test_a_released_night_is_traded_as_it_was():
    bars = after_a_split(some_bars(), 2, "2023-07-03")

    found = judged(bars, released_from(judged(bars)))

    table = found.bars["ABC"]
    assert found.quarantine.empty
    assert set(table["adjustment"]) == {1.0}
    assert len(table) == len(bars)


def test_releases_are_written_and_read_again(tmp_path):
    released = released_from(judged(a_wild_bar()))

    write_released(released.releases, tmp_path / "released.csv")

    assert read_released(tmp_path / "released.csv") == released
    assert (tmp_path / "released.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert read_released(tmp_path / "absent.csv") == Released()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("symbol,rule\nABC,duplicate\n", "wanted the columns symbol, time"),
        (",".join(COLUMNS) + "\nABC,x,nonsense,,,,,\n", "no rule is called nonsense"),
        (",".join(COLUMNS) + "\nABC,x,unreadable_time,,,,,\n", "nothing can be released from unreadable_time"),
        (",".join(COLUMNS) + "\nABC,x,not_positive,,,,,\n", "nothing can be released from not_positive"),
        (",".join(COLUMNS) + "\nABC,x\n", "wanted the columns"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, content, words):
    (tmp_path / "released.csv").write_text(content)

    with pytest.raises(BadInput, match=words):
        read_released(tmp_path / "released.csv")
