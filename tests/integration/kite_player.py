"""Plays a paper exchange to its end with the official ticker, trades by a fixed plan, writes down what it saw.

A process of its own, since the ticker's Twisted reactor can run only once in a process:
`python -m tests.integration.kite_player URL API_KEY ACCESS_TOKEN ADMIN_TOKEN TOKENS OUT`.
"""

import json
import sys
from pathlib import Path

import httpx
from kiteconnect import KiteConnect, KiteTicker

CLOCK = 256265
LAST_TRADING_BAR = 70  #: later the broker squares off


class Player:
    """Buys at some bars, protects by a stop, leaves by making the stop a market order."""

    def __init__(self, url: str, api_key: str, access_token: str, admin_token: str, tokens: list[int], out: Path):
        self.kite = KiteConnect(api_key, access_token, root=url)
        self.ticker = KiteTicker(api_key, access_token, root=url.replace("http", "ws"), reconnect=False)
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {admin_token}"})
        self.tokens, self.out = tokens, out
        self.frames: list[list[dict]] = []
        self.updates: list[dict] = []
        self.boundaries, self.finished, self.stop = 0, False, None

    def run(self) -> None:
        self.ticker.on_connect = self.subscribe
        self.ticker.on_ticks = self.frame
        self.ticker.on_order_update = lambda _, data: self.updates.append(data | {"frames_before": len(self.frames)})
        self.ticker.on_close = lambda *_: self.ticker.stop()
        self.ticker.connect()
        fills = [
            (t["tradingsymbol"], t["transaction_type"], t["quantity"], t["average_price"]) for t in self.kite.trades()
        ]
        status = self.http.get("/paper/status").json()
        content = {"frames": self.frames, "updates": self.updates, "fills": fills, "status": status}
        self.out.write_text(json.dumps(content | {"margins": self.kite.margins("equity")}))

    def subscribe(self, ticker: KiteTicker, _: object) -> None:
        tokens = [*self.tokens, CLOCK]
        ticker.subscribe(tokens)
        ticker.set_mode(ticker.MODE_FULL, tokens)
        ticker.ws.factory.reactor.callLater(0.05, self.go_on)  # first the reactor has to send the above

    def frame(self, ticker: KiteTicker, ticks: list[dict]) -> None:
        self.frames.append([self.noted(tick) for tick in ticks])
        if self.finished:
            ticker.close()
            return
        if all(not tick["tradable"] for tick in ticks):
            self.boundaries += 1
            if self.boundaries < LAST_TRADING_BAR:
                self.trade()
        self.go_on()

    def go_on(self) -> None:
        self.finished = self.http.post("/paper/continue").json()["finished"]

    def trade(self) -> None:
        if self.boundaries % 10 == 3:
            self.order("BUY", "MARKET", tag=f"entry{self.boundaries}")
        elif self.boundaries % 10 == 5:
            price = self.kite.ltp("NSE:ALPHA")["NSE:ALPHA"]["last_price"]
            self.stop = self.order("SELL", "SL-M", trigger_price=round(price * 0.9))
        elif self.boundaries % 10 == 8 and self.stop:
            self.kite.modify_order("regular", self.stop, order_type="MARKET", market_protection=-1)

    def order(self, side: str, order_type: str, **terms: object) -> str:
        return self.kite.place_order(
            "regular", "NSE", "ALPHA", side, 25, "MIS", order_type, market_protection=-1, **terms
        )

    @staticmethod
    def noted(tick: dict) -> dict:
        kept = {key: tick[key] for key in ("instrument_token", "last_price") if key in tick}
        return kept | {"volume": tick.get("volume_traded", 0), "epoch": tick["exchange_timestamp"].timestamp()}


if __name__ == "__main__":
    url, api_key, access_token, admin_token, tokens, out = sys.argv[1:]
    Player(url, api_key, access_token, admin_token, [int(token) for token in tokens.split(",")], Path(out)).run()
