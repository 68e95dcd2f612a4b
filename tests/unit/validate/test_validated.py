"""Each rule sets its rows aside with the reason; too many of them, or too little left, stop the run."""

import json

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import VALIDATED_COLUMNS, Interval
from pipelines.domain.errors import DataRejected, TooFewBars
from pipelines.ingest.rejects import rejected_rows
from pipelines.validate.bars import Validated, validated
from pipelines.validate.stage import by_instrument
from tests.unit.validate.builders import a_raw_market, a_split, after_a_split, some_bars, validation

DAY = Interval.DAY


def judged(*bars: pd.DataFrame, interval: Interval = DAY, **overrides: float) -> Validated:
    return validated(a_raw_market(*bars), interval, validation(**overrides))


def test_sound_bars_pass_wholly():
    bars = some_bars()

    found = judged(bars)

    assert found.quarantine.empty
    pd.testing.assert_frame_equal(
        found.bars["ABC"], bars.assign(adjustment=1.0)[list(VALIDATED_COLUMNS)], check_dtype=False
    )
    assert found.completeness["ABC"].share == 1.0
    assert found.notes == ()


@pytest.mark.parametrize(
    ("column", "value", "rule", "reason"),
    [
        ("low", -1.0, "not_positive", "low -1 is not above zero"),
        ("close", 0.0, "not_positive", "close 0 is not above zero"),
        ("volume", -5, "not_positive", "volume -5 is below zero"),
        ("open", np.nan, "missing_value", "open is missing"),
        ("high", 50.0, "high_below_low", "high 50 is below low"),
        ("close", 103.0, "price_outside_range", "close 103 is outside low"),
        ("high", 1000.0, "price_outlier", "a price is 8"),
    ],
)
def test_a_faulty_value_is_set_aside_with_its_reason_and_place(column, value, rule, reason):
    bars = some_bars()
    bars.loc[50, column] = value

    found = judged(bars)

    row = found.quarantine.iloc[0]
    assert len(found.quarantine) == 1
    assert (row["rule"], row["source"], row["source_row"]) == (rule, "ABC.csv", 52)
    assert row["reason"].startswith(reason)
    assert json.loads(row["row"])["open_time"].endswith("+05:30")
    assert len(found.bars["ABC"]) == len(bars) - 1


def test_of_identical_rows_the_first_stays():
    bars = some_bars()
    bars = pd.concat([bars.iloc[:51], bars.iloc[50:]], ignore_index=True)

    found = judged(bars)

    assert found.quarantine["rule"].tolist() == ["duplicate"]
    assert len(found.bars["ABC"]) == len(bars) - 1


def test_rows_that_contradict_each_other_all_go():
    bars = some_bars()
    other = bars.iloc[[50]].assign(volume=7)
    bars = pd.concat([bars.iloc[:51], other, bars.iloc[51:]], ignore_index=True)

    found = judged(bars)

    assert found.quarantine["rule"].tolist() == ["conflicting_rows"] * 2
    assert bars["open_time"][50] not in set(found.bars["ABC"]["open_time"])


def test_one_row_out_of_place_is_set_aside_alone():
    bars = some_bars()
    order = [*range(20), 60, *range(20, 60), *range(61, len(bars))]

    found = judged(bars.iloc[order].reset_index(drop=True))

    assert found.quarantine["rule"].tolist() == ["out_of_order"]
    assert found.bars["ABC"]["open_time"].is_monotonic_increasing


def test_a_shuffled_file_is_refused():
    shuffled = some_bars().sample(frac=1, random_state=3).reset_index(drop=True)

    with pytest.raises(DataRejected, match=r"ABC: .* out_of_order .*sort the file by time"):
        judged(shuffled)


def test_bars_of_closed_days_outside_hours_and_off_the_grid_are_set_aside():
    bars = some_bars(interval=Interval.MIN_5, count=750)
    hour = pd.Timedelta(hours=1)
    stray = bars.iloc[[0, 74, 5]].reset_index(drop=True)
    stray["open_time"] += pd.Series([-hour, hour, pd.Timedelta(minutes=1)])
    sunday = bars.iloc[[0]].assign(open_time=pd.Timestamp("2023-01-08 09:15", tz="Asia/Kolkata"))
    together = pd.concat([bars, stray, sunday]).sort_values("open_time", kind="stable", ignore_index=True)

    found = judged(together, interval=Interval.MIN_5)

    rules = found.quarantine["rule"].value_counts().to_dict()
    assert rules == {"outside_session": 2, "off_grid": 1, "not_a_session": 1}


def test_the_session_after_an_unexplained_night_is_set_aside_and_counts_as_no_fault():
    bars = some_bars()
    bars.loc[100:, ["open", "high", "low", "close"]] /= 2

    found = judged(bars)

    assert found.quarantine["rule"].tolist() == ["unexplained_gap"]
    assert "moved by 50% without a known corporate action" in found.quarantine["reason"].iloc[0]
    assert bars["open_time"][100] not in set(found.bars["ABC"]["open_time"])
    assert len(found.bars["ABC"]) == len(bars) - 1


def test_an_index_may_jump_overnight():
    index = some_bars("INDIA VIX")
    index.loc[100:, ["open", "high", "low", "close"]] /= 2

    found = judged(index, some_bars())

    assert len(found.bars["INDIA VIX"]) == len(index)


def test_too_many_faults_name_instrument_rule_count_and_first_example():
    bars = some_bars()
    bars.loc[10:40, "low"] = -1.0

    with pytest.raises(DataRejected, match=r"ABC: 12\.\d% .*not_positive 31; first: ABC\.csv row 12: low -1 is not"):
        judged(bars)


def test_unreadable_rows_count_as_faults_and_lie_in_the_quarantine():
    bars = some_bars()
    texts = pd.DataFrame({"date": ["soon", "later"]})
    rejected = rejected_rows(texts, "ABC", "unreadable_time", ["date is no time"] * 2, ["ABC.csv"] * 2, [7, 8])

    found = validated(a_raw_market(bars, rejected=rejected.assign(rows_read=len(bars) + 2)), DAY, validation())

    assert found.quarantine["source_row"].tolist() == [7, 8]
    with pytest.raises(DataRejected, match=r"unreadable_time 2; first: ABC\.csv row 7"):
        validated(a_raw_market(bars, rejected=rejected.assign(rows_read=20)), DAY, validation())


def test_a_short_instrument_is_dropped_and_told():
    found = judged(some_bars(), some_bars("NEW", count=50))

    assert list(found.bars) == ["ABC"]
    assert found.instruments["symbol"].tolist() == ["ABC"]
    assert "NEW is dropped: 50 sound bars, 100 are needed" in found.notes


def test_no_stock_with_enough_bars_stops_the_run():
    with pytest.raises(TooFewBars, match="needs 100 sound bars of a stock, ABC has most, received 50"):
        judged(some_bars(count=50), some_bars("NIFTY 50"))


def test_a_folder_of_indices_only_is_refused():
    with pytest.raises(DataRejected, match=r"only indices found \(NIFTY 50\), and indices are not traded"):
        judged(some_bars("NIFTY 50"))


def test_thin_and_missing_sessions_are_told():
    bars = some_bars(interval=Interval.MIN_5, count=750).drop(index=[*range(75, 150), *range(160, 200)])

    found = judged(bars, interval=Interval.MIN_5)

    assert by_instrument(found)["ABC"]["missing_sessions"] == 1
    assert any("1 sessions hold less than 80%" in note for note in found.notes)
    assert found.completeness["ABC"].share == pytest.approx(635 / 750)


def test_a_split_that_is_known_keeps_its_history_and_is_told():
    bars = after_a_split(some_bars(), 10, "2023-07-03")

    found = validated(a_raw_market(bars, actions=a_split(10, "2023-07-03")), DAY, validation())

    assert found.quarantine.empty
    table = found.bars["ABC"]
    assert table["close"].tolist() == bars["close"].tolist()
    assert table.groupby("adjustment")["open_time"].min()[10.0].date().isoformat() == "2023-07-03"
    assert "adjusted for corporate actions: ABC 2023-07-03 (10)" in found.notes


def test_a_split_that_nobody_knows_sets_its_session_aside_and_the_adjustment_takes_up_the_step():
    bars = after_a_split(some_bars(), 2, "2023-07-03")

    found = validated(a_raw_market(bars), DAY, validation())

    table = found.bars["ABC"]
    compared = table["close"] * table["adjustment"]
    assert found.quarantine["time"].tolist() == ["2023-07-03T09:15:00+05:30"]
    assert (compared / compared.shift() - 1).abs().max() < 0.05
    assert set(table.loc[table["open_time"] < "2023-07-03", "adjustment"]) == {1.0}
    assert any("sessions after a night that no corporate action explains" in note for note in found.notes)


def test_a_wild_session_between_sound_ones_leaves_the_adjustment_as_it_was():
    bars = some_bars()
    bars.loc[100, ["open", "high", "low", "close"]] *= 1.4

    found = judged(bars)

    assert found.quarantine["rule"].tolist() == ["unexplained_gap"]
    assert set(found.bars["ABC"]["adjustment"]) == {1.0}


def test_an_action_of_another_size_does_not_explain_a_night():
    bars = after_a_split(some_bars(), 10, "2023-07-03")

    found = validated(a_raw_market(bars, actions=a_split(2, "2023-07-03")), DAY, validation())

    assert "unexplained_gap" in set(found.quarantine["rule"])


def test_prices_that_carry_the_split_already_stay_as_they_are():
    found = validated(a_raw_market(some_bars(), actions=a_split(10, "2023-07-03")), DAY, validation())

    assert set(found.bars["ABC"]["adjustment"]) == {1.0}
    assert found.notes == ("prices carry these actions already, not applied again: ABC 2023-07-03 (10)",)


def test_rows_before_an_ex_date_are_the_same_bytes_whether_or_not_the_action_is_known():
    day = pd.Timestamp("2023-07-03", tz="Asia/Kolkata")
    bars = after_a_split(some_bars(), 10, "2023-07-03")

    whole = validated(a_raw_market(bars, actions=a_split(10, "2023-07-03")), DAY, validation()).bars["ABC"]
    early = validated(a_raw_market(bars[bars["open_time"] < day]), DAY, validation()).bars["ABC"]

    pd.testing.assert_frame_equal(whole[whole["open_time"] < day], early, check_exact=True)


def test_wild_bars_in_a_row_are_set_aside_together():
    bars = some_bars(interval=Interval.MIN_5, count=750)
    bars.loc[300:301, ["open", "high", "low", "close"]] *= 3

    found = judged(bars, interval=Interval.MIN_5)

    assert found.quarantine["rule"].tolist() == ["price_outlier"] * 2
    assert [(one.rule, one.rows) for one in found.findings if one.severity == "quarantine"] == [("price_outlier", 2)]


def test_a_wild_price_after_a_missing_one_is_seen():
    bars = some_bars()
    bars.loc[50, "close"] = np.nan
    bars.loc[51, "high"] *= 3

    found = judged(bars)

    assert found.quarantine["rule"].tolist() == ["missing_value", "price_outlier"]


def test_a_split_of_ten_that_nobody_knows_is_a_night_and_no_outlier():
    bars = after_a_split(some_bars(), 10, "2023-07-03")

    found = judged(bars)

    assert found.quarantine[["rule", "time"]].values.tolist() == [["unexplained_gap", "2023-07-03T09:15:00+05:30"]]
