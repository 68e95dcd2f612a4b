"""Which rows of a panel the rule about delivery and ex-dates speaks of, for the engine's trades and the labels."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from pipelines.domain.ex_dates import ExDates, next_session_by
from pipelines.domain.orders import Product
from pipelines.policy.panel import Panel


@dataclass(frozen=True)
class ExDateRows:
    """What `domain/ex_dates.py` says of each row, bool, shape (n_rows,); all False where nothing stays overnight."""

    left: np.ndarray  #: what is held is left at this row's close
    refused: np.ndarray  #: what was decided on the row before is not entered at this row's open
    foreseen: np.ndarray  #: at this row's close it is known that what is decided on it will be refused


def ex_date_rows(panel: Panel) -> ExDateRows:
    """Look at the rows around each ex-date of the panel's actions, with what was known at their own times."""
    found = ExDateRows(*(np.zeros(len(panel.table), dtype=bool) for _ in range(3)))
    if panel.product is not Product.CNC or not len(panel.actions):
        return found
    ex_dates = ExDates(panel.actions)
    opens, closes = panel.table["open_time"], panel.table["close_time"]
    days = opens.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    for symbol, rows in panel.symbol_slices.items():
        for ex_date in ex_dates.of(symbol):
            after = rows.start + int(np.searchsorted(days[rows], np.datetime64(ex_date.day)))
            for row in range(max(after - 2, rows.start), min(after + 1, rows.stop)):
                opened, closed = opens.iloc[row].to_pydatetime(), closes.iloc[row].to_pydatetime()
                day: date = days[row].item()
                ahead = ex_dates.ahead(symbol, day, opened)
                foreseen = ex_dates.against_entry(symbol, day, next_session_by(day), closed)
                found.left[row] |= ahead is not None
                found.foreseen[row] |= foreseen is not None
                if row > rows.start:
                    refused = ex_dates.against_entry(symbol, days[row - 1].item(), day, opened)
                    found.refused[row] |= refused is not None
    return found
