"""Markets with all that is known beside bars: indices, sectors, news, actions, outcomes; as history and as it comes."""

from dataclasses import replace

import numpy as np

from pipelines.domain.bars import Interval
from pipelines.features.batch import build_features
from pipelines.features.online import OnlineFeatures, OnlineRows
from pipelines.features.outcomes import ended_in
from tests.unit.features.bars import (
    closes_in_order,
    instrument_table,
    instruments,
    news_items,
    random_actions,
    random_indices,
    random_market,
    random_news,
    random_outcomes,
)

SYMBOLS = ("HDFCBANK", "ICICIBANK", "INFY", "RELIANCE", "SBIN", "TCS")
SECTORS = {"HDFCBANK": "Financials", "ICICIBANK": "Financials", "SBIN": "Financials", "INFY": "IT", "TCS": "IT"}


class Known:
    """A market with everything, and what of it was known at a time; `how` as in `random_bars`."""

    def __init__(
        self,
        seed: int,
        bars: int,
        interval: Interval = Interval.MIN_5,
        missing: float = 0.1,
        symbols: tuple[str, ...] = SYMBOLS,
        **how,
    ):
        self.interval = interval
        of_all = {"interval": interval, "missing": missing}
        self.of = instruments(symbols)
        self.stocks = random_market(bars, seed, symbols, **of_all, **how)
        self.bars = self.stocks | random_indices(bars, seed + 1, **of_all)
        self.bars["INDIA VIX"] = self.bars["INDIA VIX"].iloc[7:-60]  # begins later, and ends long before the others
        self.news = random_news(self.stocks, 60, seed)
        self.news.loc[::5, "sentiment"] = np.nan
        self.actions = random_actions(self.stocks, 12, seed)
        self.outcomes = random_outcomes(self.stocks, 50, seed)

    def table(self):
        frame = instrument_table(self.of)
        frame["sector"] = frame["symbol"].map(SECTORS).fillna("")
        return frame

    def instruments(self):
        return [replace(item, sector=SECTORS.get(item.symbol, "")) for item in self.of]

    def until(self, cut) -> "Known":
        then = object.__new__(Known)
        then.__dict__.update(self.__dict__)
        then.bars = {s: frame[frame["close_time"] <= cut].reset_index(drop=True) for s, frame in self.bars.items()}
        then.stocks = {symbol: then.bars[symbol] for symbol in self.stocks}
        then.news = self.news[self.news["time"] <= cut]
        known_at = self.actions["known_at"].fillna(self.actions["ex_date"])
        then.actions = self.actions[known_at <= cut]
        then.outcomes = self.outcomes[self.outcomes["exited_at"] <= cut]
        return then

    def build(self):
        tables = build_features(
            self.bars, self.news, self.table(), self.interval, self.actions, ended_in(self.outcomes)
        )
        return tables.market, dict(tables.rows)

    def play(self, online: OnlineFeatures | None = None, after=None) -> list[OnlineRows]:
        """All closes later than `after`; what is learnt is handed over at the first close at or after its time."""
        online = online or OnlineFeatures(self.instruments(), self.interval, self.actions)
        news = sorted(news_items(self.news), key=lambda item: item.time)
        ended = ended_in(self.outcomes)
        exits = dict(zip(ended, sorted(self.outcomes["exited_at"]), strict=True))
        found = []
        for close_time, bars in closes_in_order(self.bars):
            due, news = [n for n in news if n.time <= close_time], [n for n in news if n.time > close_time]
            out, ended = [e for e in ended if exits[e] <= close_time], [e for e in ended if exits[e] > close_time]
            if after is None or close_time > after:
                found.append(online.update(close_time, bars, due, out))
        return found
