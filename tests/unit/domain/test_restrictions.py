from datetime import date

import pytest

from pipelines.domain.errors import BadInput
from pipelines.domain.restrictions import Restriction, read_restrictions, restriction_of

HEADER = "symbol,reason,effective_from,effective_to"
DAY = date(2026, 10, 30)


def test_a_list_is_read_with_its_dates():
    found = read_restrictions([HEADER, "IDEA,ASM stage 4,2026-10-01,", "YESBANK,T2T,,2026-12-31"], "list.csv")

    assert found == (
        Restriction("IDEA", "ASM stage 4", date(2026, 10, 1)),
        Restriction("YESBANK", "T2T", None, date(2026, 12, 31)),
    )


@pytest.mark.parametrize(
    ("first", "last", "holds"),
    [
        (None, None, True),
        (DAY, DAY, True),
        (date(2026, 10, 31), None, False),
        (None, date(2026, 10, 29), False),
    ],
)
def test_a_restriction_holds_from_its_first_to_its_last_day(first, last, holds):
    restriction = Restriction("IDEA", "ASM", first, last)

    assert (restriction_of("IDEA", DAY, [restriction]) is restriction) == holds
    assert restriction_of("TCS", DAY, [restriction]) is None


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["symbol,reason", "IDEA,ASM"], "effective_from"),
        ([HEADER, ",ASM,,"], "row 2"),
        ([HEADER, "IDEA,ASM,,", "IDEA,ASM,30.10.2026,"], "row 3"),
        ([], "needs the columns"),
    ],
)
def test_a_list_that_cannot_be_understood_is_refused_whole(lines, told):
    with pytest.raises(BadInput, match=told):
        read_restrictions(lines, "list.csv")
