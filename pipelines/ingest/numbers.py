"""Prices and volumes as text: what a comma means, units, signs of money.

A comma either groups thousands (`1,46,250.50`, `146,250`) or begins the decimals (`146,25`, `1.234,56`). All prices of
a file are read in one way; where nothing says which, the file is refused: the two differ by a hundred or a thousand.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.domain.errors import BadInput
from pipelines.ingest.spellings import PRICES

Mark = Literal[".", ","]
_MISSING = {"", "-", "--", "na", "n/a", "#n/a", "nan", "null", "none"}
_GROUPED = r"-?\d{1,3}(,\d{2})*,\d{3}(\.\d*)?|-?\d{1,3}(,\d{3})+(\.\d*)?"
_DECIMAL = r"-?(\d+|\d{1,3}(\.\d{3})+),\d+"
_EUROPEAN = r"-?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?"
_FEW = 0.05  #: share of cells that may contradict the others as slips
#: Money and blanks that spreadsheets put beside and between digits
_ORNAMENTS = r"₹|\bRs\.?|\bINR\b|[\u00a0\u202f\u2009']|(?<=\d) (?=\d)"
_UNITS = {"k": 1e3, "t": 1e3, "l": 1e5, "lac": 1e5, "lakh": 1e5, "m": 1e6, "mn": 1e6, "cr": 1e7, "b": 1e9, "bn": 1e9}
_WITH_UNIT = r"^(-?[\d.,]+) ?(k|t|lakh|lac|l|mn|m|cr|bn|b)$"
_WHOLE_VOLUMES = 0.95  #: share of volumes that are whole shares, above which a fraction is a fault


@dataclass(frozen=True)
class Numbers:
    values: pd.DataFrame  #: open, high, low, close (missing NaN) and volume, float64
    problem: pd.Series  #: for each row what is no number, empty if all is
    notes: tuple[str, ...] = ()  #: what a person should know of how they were read


def read_numbers(columns: pd.DataFrame, file: str, volume_unit: float = 1.0) -> Numbers:
    """Prices and volume of a sheet.

    Parameters
    ----------
    columns : open, high, low, close and, if there is one, volume: text or numbers
    volume_unit : shares that one of volume means

    Raises
    ------
    BadInput : if prices hold commas of which nobody can say what they mean.
    """
    columns = _typed(columns)
    texts = {name: _text(columns[name]) for name in (*PRICES, "volume") if name in columns and _worded(columns[name])}
    prices = [texts[name] for name in PRICES if name in texts]
    mark = decimal_mark(pd.concat(prices), file) if prices else "."
    values, problem = {}, pd.Series("", index=columns.index)
    for name in (*PRICES, "volume"):
        if name not in columns:
            values[name] = pd.Series(0.0, index=columns.index)
            continue
        if name in texts:
            text = texts[name]
            missing = text.str.lower().isin(_MISSING)
            found = _parsed(text.where(~missing, ""), mark)
        else:
            text = columns[name]
            missing, found = text.isna(), text.astype("float64")
        bad = (found.isna() & ~missing) | np.isinf(found)
        if name == "volume":
            found = found * volume_unit
            whole = found.isna() | (found.round(3) % 1 == 0)
            if whole.mean() > _WHOLE_VOLUMES:  # where a source adjusted its volumes, most are fractions
                bad |= ~whole
            bad |= missing & ~missing.all()
            found = found.fillna(0.0)
        new = bad & (problem == "")
        if new.any():
            problem[new] = f"{name} is no number: " + text[new].astype("str")
        values[name] = found.where(~np.isinf(found))
    notes = [f"{file}: prices are read with decimal commas"] if mark == "," else []
    if "volume" in texts and texts["volume"].str.contains(r"^\d(?:[.,]\d+)?[eE]\+?\d", regex=True).any():
        notes.append(f"{file}: volumes such as {texts['volume'].iloc[0]} are rounded, as spreadsheets show them")
    return Numbers(pd.DataFrame(values), problem, tuple(notes))


def _typed(columns: pd.DataFrame) -> pd.DataFrame:
    """The columns as numbers where every cell of all of them is a plain one, as in most files; else as they are."""
    names = [name for name in (*PRICES, "volume") if name in columns and _worded(columns[name])]
    plain = {name: pd.to_numeric(columns[name], errors="coerce") for name in names}
    rounded = "volume" in names and columns["volume"].astype("str").str.contains("e", case=False, regex=False).any()
    return columns if rounded or any(found.isna().any() for found in plain.values()) else columns.assign(**plain)


def decimal_mark(prices: pd.Series, file: str) -> Mark:
    """What begins the decimals in these texts.

    Raises
    ------
    BadInput : if both readings fit, or each fits a good part of the cells.
    """
    told = prices[prices.str.contains(",", regex=False)]
    if not len(told):
        return "."
    grouped, decimal = told.str.fullmatch(_GROUPED), told.str.fullmatch(_DECIMAL)
    only_grouped, only_decimal = int((grouped & ~decimal).sum()), int((decimal & ~grouped).sum())
    if only_grouped or only_decimal:
        fewer, more = sorted((only_grouped, only_decimal))
        if fewer > _FEW * more:
            some = [told[mask].iloc[0] for mask in (grouped & ~decimal, decimal & ~grouped)]
            raise BadInput(
                f"{file}: commas group thousands in some prices ({some[0]}) and begin the decimals in others "
                f"({some[1]}); write all prices in one way, such as 1234.56"
            )
        return "." if only_grouped > only_decimal else ","
    both = told[grouped & decimal]
    plain = pd.to_numeric(prices[~prices.str.contains(",", regex=False)], errors="coerce").dropna().abs()
    if not len(both):
        return "."
    if not len(plain):
        raise BadInput(
            f"{file}: {both.iloc[0]} may be thousands or decimals, and no price says which; write prices as 1234.56"
        )
    as_thousands = float(pd.to_numeric(both.str.replace(",", "")).abs().median())
    times = as_thousands / plain.median() if plain.median() > 0 else 1.0
    return "." if times * times < 1000 else ","  # nearer to once than to a thousand times the plain ones


def _worded(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column)


def _text(column: pd.Series) -> pd.Series:
    return column.astype("str").str.replace(_ORNAMENTS, "", regex=True).str.strip()


def _parsed(text: pd.Series, mark: Mark) -> pd.Series:
    """Numbers in one way of writing, NaN where the text is none."""
    unit = pd.Series(1.0, index=text.index)
    with_unit = text.str.contains(r"\d ?[A-Za-z]+$", regex=True)
    if with_unit.any():
        pieces = text[with_unit].str.lower().str.extract(_WITH_UNIT)
        known = pieces[pieces[1].notna()]
        if len(known):
            text, unit = text.copy(), unit.copy()
            text.loc[known.index] = known[0]
            unit.loc[known.index] = known[1].map(_UNITS).astype("float64")
    if mark == ",":
        text = text.where(text.str.fullmatch(_EUROPEAN), "x").str.replace(".", "", regex=False)
        text = text.str.replace(",", ".", regex=False)
    else:
        commas = text.str.contains(",", regex=False)
        if commas.any():
            text = text.where(~commas | text.str.fullmatch(_GROUPED), "x").str.replace(",", "", regex=False)
    return pd.to_numeric(text.where(text != "", None), errors="coerce").astype("float64") * unit
