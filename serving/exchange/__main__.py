"""`python -m serving.exchange`: play a workspace's session to the clients of a paper broker."""

import argparse
import logging
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipelines.credentials import credential
from pipelines.domain.errors import BadParams, PortTaken, TradeSageError
from pipelines.params import load_params
from pipelines.paths import Paths
from serving.exchange.faults import FaultPlan, Faults

if TYPE_CHECKING:
    from serving.exchange.conductor import Pace
    from serving.exchange.live_source import Live
    from serving.exchange.recording import Recording
    from serving.exchange.replay import Replay

LOG = logging.getLogger("tradesage.exchange")


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        _serve(given)
    except TradeSageError as error:
        print(f"exchange: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.exchange", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="workspace: holds params.yaml and data/")
    parser.add_argument("--host", help="address to listen at; serving.host of params.yaml if not given")
    parser.add_argument("--port", type=int, help="serving.exchange_port of params.yaml if not given")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--bars", type=Path, metavar="PATH", help="play recorded bars: a CSV or Parquet file, a folder")
    source.add_argument(
        "--ticks", type=Path, metavar="PATH", help="play recorded ticks: a CSV or Parquet file, a folder"
    )
    source.add_argument("--market", choices=("recorded", "live"), default="recorded", help="live: mirror a real feed")
    parser.add_argument("--source", default="https://api.kite.trade", help="of --market live: whose feed is mirrored")
    parser.add_argument(
        "--days", default="", help="of files or a live market: 2021-05-17,2021-05-19 or 2021-05-17:2021-05-21"
    )
    parser.add_argument("--symbols", default="", help="of files or a live market, by comma")
    parser.add_argument("--instruments", type=Path, help="Kite's dump of NSE as CSV: tokens and tick sizes for files")
    parser.add_argument(
        "--pace",
        help="lockstep, max (as fast as it goes) or how many times faster than real time; exchange.pace if not given",
    )
    parser.add_argument(
        "--start",
        choices=("now", "asked"),
        default="asked",
        help="whether the market starts with the server, which needs a numeric pace, or on the first /paper/continue",
    )
    parser.add_argument(
        "--rate-limits",
        choices=("auto", "on", "off"),
        help="Kite's limits of calls; auto: none in lockstep, where time stands; exchange.rate_limits if not given",
    )
    parser.add_argument("--orders-per-second", type=int, help="of order calls in place of Kite's 10, in lockstep too")
    parser.add_argument("--postback-url", help="where order updates are posted; exchange.postback_url if not given")
    parser.add_argument(
        "--faults", metavar="SEED[:RATE]", help="faults by a seeded schedule, see docs/paper_exchange.md"
    )
    parser.add_argument("--patience", type=float, default=30.0, help="seconds a lockstep step may take")
    return parser


def _serve(given: argparse.Namespace) -> None:
    params = load_params(given.root / "params.yaml")
    host, port = given.host or params.serving.host, given.port or params.serving.exchange_port
    pace: Pace = _pace(given.pace) if given.pace is not None else params.exchange.pace
    if given.market == "live":
        pace = "live"
    if given.start == "now" and pace == "lockstep":
        raise BadParams("--start now: in lockstep nobody beats the time; give a --pace such as 1")
    plan = FaultPlan.from_text(given.faults) if given.faults else None
    listener = _listener(host, port)

    import uvicorn  # late, as what imports it: a wrong argument is answered at once

    from serving.exchange.app import Keys, create_app
    from serving.exchange.conductor import Conductor
    from serving.exchange.connections import OpenConnection
    from serving.exchange.postbacks import Postbacks
    from serving.exchange.rate_limits import kite_limits
    from serving.exchange.recording import rules_from

    recording = _recording(given)
    keys = Keys(credential("kite_api_key"), credential("kite_api_secret"), credential("exchange_admin_token"))
    url = given.postback_url or params.exchange.postback_url
    told = params.exchange
    venue = recording.venue(rules_from(params), told.ticks_per_bar, told.seed, told.auction_gap_bps)
    venue.faults = Faults(plan)
    conductor = Conductor(
        venue,
        pace,
        given.patience,
        postbacks=Postbacks(url, keys.api_secret) if url else None,
        start_now=given.start == "now" or pace == "live",
    )
    limits = kite_limits() if _switch(given.rate_limits or params.exchange.rate_limits, pace) else {}
    if given.orders_per_second:
        limits["orders"] = limits.get("orders", {}) | {"second": given.orders_per_second}
    app = create_app(
        conductor,
        recording.candles(),
        keys,
        limits=limits,
        token_expiry=_switch(params.exchange.token_expiry, pace),
    )
    days = recording.days
    LOG.info(
        "http://%s:%d plays %s to %s (%d days, %s bars) of %d instruments, pace %s",
        host, port, days[0].day, days[-1].day, len(days), recording.interval, len(recording.instruments), pace,
    )  # fmt: skip
    config = uvicorn.Config(
        app, http=OpenConnection, log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    uvicorn.Server(config).run(sockets=[listener])


def _recording(given: argparse.Namespace) -> "Recording | Replay | Live":
    """What is played: a live feed or files if they are asked for, otherwise the workspace's session."""
    from serving.exchange.recording import read_instruments, read_recording
    from serving.exchange.replay import Choice, days_asked, replay_bars, replay_ticks, symbols_asked

    path = given.bars or given.ticks
    if given.market == "live":
        from pipelines.domain.market_calendar import session_on, why_no_session
        from serving.exchange.live_market import as_played
        from serving.exchange.live_source import live_source

        known = frozenset() if given.symbols else {i.symbol for i in read_instruments(Paths(given.root)) if i.tradable}
        asked = sorted(days_asked(given.days)) if given.days else []
        days = [as_played(session) for day in asked if (session := session_on(day)) is not None]
        for day in asked:
            if session_on(day) is None:
                LOG.info("%s: it is not played", why_no_session(day))
        live = live_source(given.source, frozenset(known) or symbols_asked(given.symbols), days)
        live.start()
        return live
    if path is None:
        if given.days or given.symbols or given.instruments:
            raise BadParams("--days, --symbols and --instruments choose from files; name them by --bars or --ticks")
        return read_recording(Paths(given.root))
    choice = Choice(days_asked(given.days) if given.days else frozenset(), symbols_asked(given.symbols))
    replay = (replay_bars if given.bars else replay_ticks)(path, choice, given.instruments)
    for sentence in replay.told:
        LOG.info("%s", sentence)
    return replay


def _switch(word: str | bool, pace: float | Literal["lockstep", "max", "live"]) -> bool:
    """`auto` is on where time goes as fast as a number says."""
    return pace not in ("lockstep", "max") if word == "auto" else word in (True, "on")


def _pace(text: str) -> float | Literal["lockstep", "max"]:
    if text == "lockstep":
        return "lockstep"
    if text == "max":
        return "max"
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0 < pace < float("inf"):
        raise BadParams(
            f"--pace {text}: lockstep, max or a number above zero (60 plays an hour in a minute) was expected"
        )
    return pace


def _listener(host: str, port: int) -> socket.socket:
    """Bind at once, so that nobody can take the port between the check and its use."""
    # named as TCP, since asyncio leaves Nagle's algorithm on otherwise: 40 ms an answer
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"cannot listen at {host}:{port} ({error.strerror}); end the process that does, or choose another --port"
        ) from None
    return listener


if __name__ == "__main__":
    sys.exit(main())
