"""Names that the big sources give their files, and what they say."""

import pytest

from pipelines.domain.errors import BadInput
from pipelines.ingest.file_names import named_by, symbol_for, symbol_of_file

NAMES = {
    "CIPLA": [
        "CIPLA.csv",
        "cipla.csv",
        "CIPLA (1).csv",
        "CIPLA(2).csv",
        "CIPLA - Copy.csv",
        "CIPLA - Copy (2).csv",
        "CIPLA copy.csv",
        "CIPLA copy 2.csv",
        "Copy of CIPLA.csv",
        "CIPLA-EQ.csv",
        "CIPLA_EQ.csv",
        "NSE:CIPLA.csv",
        "CIPLA.NS.csv",
        "CIPLA.NS (1).csv",
        "NSE_CIPLA, 1D.csv",
        "NSE_DLY_CIPLA, 1D.csv",
        "NSE_CIPLA, 5_a1b2c.csv",
        "NSE_CIPLA, 60.csv.gz",
        "Quote-Equity-CIPLA-EQ-01-01-2023-to-31-12-2023.csv",
        "Quote-Equity-CIPLA-EQ-01-01-2023-31-12-2023 (1).csv",
        "01-01-2019-TO-31-12-2019CIPLAALLN.csv",
        "01-01-2019-TO-31-12-2019CIPLAEQN.csv",
        "CIPLA__EQ__NSE__NSE__MINUTE.csv",
        "CIPLA Historical Data.csv",
        "CIPLA Share Price.csv",
        "CIPLA_2023.csv",
        "CIPLA_5minute.csv",
        "CIPLA-day.csv",
        "CIPLA-2023.csv",
        "CIPLA 2023-01-01 2023-12-31.csv",
        "daily_CIPLA.csv",
        "symbol=CIPLA/part-0.parquet",
        "symbol=CIPLA/year=2023/part-0001.snappy.parquet",
        "exchange=NSE/ticker=CIPLA/data.parquet",
        "CIPLA/2023.csv",
        "2023/CIPLA.csv",
        "CIPLA/2023/01.csv",
        "CIPLA/daily.csv",
        "CIPLA.xlsx/Sheet1",
        "book.xlsx/CIPLA",
        "prices.zip/CIPLA.csv",
        "CIPLA.csv.zip/CIPLA.csv",
    ],
    "HDFCBANK": ["HDFC Bank.csv", "HDFC Bank Historical Data.csv"],
    "M&M": [
        "M&M.csv",
        "M_M.csv",
        "MM.csv",
        "M%26M.csv",
        "NSE_M_M, 1D.csv",
        "symbol=M%26M/0.parquet",
        "M&M.NS.csv",
        "Quote-Equity-M&M-EQ-01-01-2023-to-31-12-2023.csv",
        "01-01-2019-TO-31-12-2019M&MEQN.csv",
    ],
    "BAJAJ-AUTO": [
        "BAJAJ-AUTO.csv",
        "BAJAJ_AUTO.csv",
        "BAJAJ-AUTO_2023.csv",
        "NSE_BAJAJ_AUTO, 60.csv",
        "BAJAJ-AUTO.NS.csv",
        "Quote-Equity-BAJAJ-AUTO-EQ-01-01-2023-to-31-12-2023.csv",
    ],
    "NIFTY 50": [
        "NIFTY 50.csv",
        "NIFTY50.csv",
        "Nifty_50.csv",
        "^NSEI.csv",
        "NIFTY 50_Historical_PR_01012023to31122023.csv",
        "NIFTY 50-01-01-2023-to-31-12-2023.csv",
        "Nifty 50 Historical Data.csv",
        "NIFTY_2021_JAN_headerless.csv",
    ],
    "NIFTY BANK": ["BANKNIFTY_day.csv", "NIFTY BANK daily.csv", "NSE_BANKNIFTY, 15.csv", "^NSEBANK.csv"],
    "INDIA VIX": ["hist_india_vix_-29-12-2022-to-29-12-2023.csv", "INDIAVIX.csv"],
    "NIFTY FIN SERVICE": ["FINNIFTY.csv", "Nifty Financial Services.csv"],
    "360ONE": ["360ONE.csv"],
}


@pytest.mark.parametrize(("symbol", "file"), [(symbol, file) for symbol, files in NAMES.items() for file in files])
def test_a_name_that_a_source_gives_is_understood(symbol, file):
    assert symbol_of_file(file) == symbol


@pytest.mark.parametrize(
    "file",
    [
        "data.csv",
        "RELIANCE INDUSTRIES.csv",
        "cm28NOV2025bhav.csv",
        "INE059A01026.csv",
        "2023.csv",
        "year=2023/part-0.parquet",
        "my data set.csv",
        "Sheet1",
        "all.csv",
        "sec_bhavdata_full_16122025.csv",
        "b c d/daily.csv",
        "symbol=..%2F..%2FPWN/0.csv",
    ],
)
def test_a_name_that_says_nothing_is_told(file):
    with pytest.raises(BadInput, match="which instrument it is of"):
        symbol_for(file)


@pytest.mark.parametrize(
    ("file", "sure"), [("CIPLA.csv", True), ("POLYCAB.csv", True), ("x.csv", False), ("ABC_a.csv", False)]
)
def test_a_name_is_meant_if_known_or_in_capitals(file, sure):
    assert named_by(file).sure is sure
