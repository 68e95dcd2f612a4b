"""What commas, units and signs of money mean in prices and volumes."""

import pytest

from pipelines.domain.errors import BadInput
from tests.unit.ingest.test_files import read

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def file_of(folder, prices, volume="1000", sep=";", header="date;open;high;low;close;volume"):
    cells = [(day, *[f'"{price}"'] * 4, f'"{volume}"') for day, price in zip(DAYS, prices, strict=True)]
    rows = "".join(sep.join(row) + "\n" for row in cells)
    (folder / "CIPLA.csv").write_text(header.replace(";", sep) + "\n" + rows, encoding="utf-8")


@pytest.mark.parametrize(
    ("prices", "read_as"),
    [
        (("146,25", "147,00", "1.146,5"), [146.25, 147.0, 1146.5]),
        (("146,250", "147", "148,5"), [146.25, 147.0, 148.5]),
        (("146,250", "147", "148"), [146.25, 147.0, 148.0]),
        (("1,46,250.50", "146,250.50", "999"), [146250.5, 146250.5, 999.0]),
        (("1,000", "1,001", "999"), [1000.0, 1001.0, 999.0]),
        (("₹1,146.25", "Rs. 147.5", "Rs 148"), [1146.25, 147.5, 148.0]),
        (("1 146,25", "1'147,25", "148,25"), [1146.25, 1147.25, 148.25]),
    ],
)
@pytest.mark.parametrize("sep", [";", ","])
def test_commas_are_read_as_the_file_means_them(tmp_path, prices, read_as, sep):
    file_of(tmp_path, prices, sep=sep)

    assert read(tmp_path).bars["CIPLA"]["close"].tolist() == read_as


def test_decimal_commas_are_told(tmp_path):
    file_of(tmp_path, ("146,25", "147,00", "148,5"))

    assert "CIPLA.csv: prices are read with decimal commas" in read(tmp_path).left_out


@pytest.mark.parametrize(
    ("prices", "told"),
    [(("146,250", "147,250", "148,250"), "thousands or decimals"), (("146,25", "1,147.25", "148,5"), "in one way")],
)
def test_commas_that_may_mean_both_are_refused(tmp_path, prices, told):
    file_of(tmp_path, prices)

    with pytest.raises(BadInput, match=told) as error:
        read(tmp_path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("header", "volume", "shares"),
    [
        ("Volume", "12,34,567", 1_234_567),
        ("Vol.", "12.34M", 12_340_000),
        ("Vol.", "950.5K", 950_500),
        ("Volume (Lakhs)", "12.34", 1_234_000),
        ("Volume (in lacs)", "12.34", 1_234_000),
        ("Volume ('000)", "1234", 1_234_000),
        ("Shares Traded", "1,234", 1_234),
    ],
)
def test_a_volume_is_read_in_shares(tmp_path, header, volume, shares):
    file_of(tmp_path, ("146.25", "147.00", "148.5"), volume, header=f"date;open;high;low;close;{header}")

    assert set(read(tmp_path).bars["CIPLA"]["volume"]) == {shares}


def test_volumes_with_decimal_commas_have_dots_for_thousands(tmp_path):
    file_of(tmp_path, ("146,25", "147,00", "148,5"), "1.234.567")

    assert set(read(tmp_path).bars["CIPLA"]["volume"]) == {1_234_567}
