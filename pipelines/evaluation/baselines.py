"""What the policy must beat: holding everything."""

from datetime import date
from decimal import Decimal

import numpy as np
import pandas as pd

from pipelines.domain.charges import order_charges
from pipelines.domain.corporate_actions import adjusted
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.policy.labels import session_days
from pipelines.policy.panel import Panel


def buy_and_hold(panel: Panel, first_us: int, last_us: int, opening_inr: float) -> pd.DataFrame:
    """Equal rupees in every instrument, bought at its first open of the period and sold at its last close.

    Delivery charges are paid on both; a part that no instrument is bought for stays cash.

    Returns
    -------
    DataFrame : day, equity (rupees)
    """
    table = adjusted(panel.table)
    inside = (panel.closes >= first_us) & (panel.closes <= last_us)
    days = session_days(panel)
    unique = np.unique(days[inside])
    purse = opening_inr / len(panel.symbol_slices)
    total = np.zeros(len(unique))
    for rows in panel.symbol_slices.values():
        kept = np.arange(rows.start, rows.stop)[inside[rows]]
        if not len(kept):
            total += purse
            continue
        opening, closes = table["open"].iloc[kept[0]], table["close"].to_numpy()[kept]
        bought, sold = (_as_date(days[kept[i]]) for i in (0, -1))
        value = purse / (1 + _rate(Side.BUY, purse, bought))
        last_of_day = np.r_[days[kept][1:] != days[kept][:-1], True]
        held = pd.Series(value * closes[last_of_day] / opening, index=days[kept][last_of_day])
        path = held.reindex(unique).ffill().to_numpy().copy()
        path[: int(np.searchsorted(unique, days[kept[0]]))] = purse
        end = int(np.searchsorted(unique, days[kept[-1]]))
        path[end:] = held.iloc[-1] * (1 - _rate(Side.SELL, float(held.iloc[-1]), sold))
        total += path
    return pd.DataFrame({"day": [_as_date(d) for d in unique], "equity": total})


def _rate(side: Side, value_inr: float, day: date) -> float:
    value = Decimal(str(round(max(value_inr, 1.0), 2)))
    charges = order_charges(product=Product.CNC, side=side, value=value, day=day, first_delivery_sale=True)
    return float(charges.total / value)


def _as_date(number: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(number))
