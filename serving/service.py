"""The policy service: loads the policy that stands at an alias, answers `decide`, swaps it when the ladder moves it.

What stands there is what the journal recorded; MLflow is not asked. Its files count by the hash of the registration.

Every request works on the policy that was there when it came; a swap replaces one reference, so no request is dropped
or sees two policies. Requests need the bearer token `credential("policy_token")`; health and metrics do not.
Configured by the environment: TRADESAGE_ALIAS, TRADESAGE_MODEL (by default those of `params.yaml`),
TRADESAGE_POLL_SECONDS.
"""

import gc
import json
import logging
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a single row gains nothing from threads, the neighbours lose

import bentoml
import uvicorn.config
from starlette.responses import JSONResponse

from pipelines.credentials import credential
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, FeatureMismatch, TradeSageError
from pipelines.domain.signals import FeatureRow
from pipelines.policy.bundle import Bundle
from pipelines.policy.decide import decide
from pipelines.promotion.registration import UNREGISTERED, Registration
from pipelines.promotion.signatures import Signature, signatures
from serving.guard import Guard
from serving.guard import refused as _refusal
from serving.known_hosts import KnownHosts
from serving.wire import decision_to_wire, money_in, row_from_wire

ROOT = Path(__file__).resolve().parents[1]  #: the checkout
RETRY_S = 30.0
WARM_UP_ROWS = 64
#: Seconds a thread may keep the interpreter while another waits: Python's own 5 ms, spent on a look at the registry,
#: would be most of what a request may take
SWITCH_S = 0.0005
log = logging.getLogger("bentoml.tradesage")

DECISIONS = bentoml.metrics.Counter(
    name="tradesage_decisions_total", documentation="Decisions by action", labelnames=["action"]
)
DECIDE_SECONDS = bentoml.metrics.Histogram(
    name="tradesage_decide_seconds",
    documentation="From the parsed request to the decisions of all its rows",
    buckets=(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0),
)
SWAPS = bentoml.metrics.Counter(name="tradesage_policy_swaps_total", documentation="Policies loaded since the start")


@dataclass(frozen=True)
class Served:
    """A loaded policy."""

    bundle: Bundle
    registry_version: str
    content: str = ""  #: hash of its files
    source: str = ""  #: of the bars it was made on, as the journal recorded it: simulated | files | lake


class AliasWatch:
    """Keeps the policy that stands at an alias; asks the journal again every few seconds in a thread of its own.

    While the journal does not answer, or the files of what stands there are not those that were registered, the loaded
    policy stays and nothing new is loaded. When the ladder takes the policy away, there is none.
    """

    def __init__(self, alias: str, model: str, every_s: float):
        self.alias, self._model, self._every_s = alias, model, every_s
        self.served: Served | None = None
        self._journal: Any = None
        self._standing: Any = None  #: the journal's signature of the alias
        self._newest = -1  #: number of the move up to which that was read
        self._told = ""
        self._away: str | None = None  #: why the journal does not say what stands there
        self._wrong: str | None = None  #: why what stands there is not loaded
        self._broken, self._retry_at = "", 0.0  # what cannot be loaded is not fetched again at every look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alias-watch", daemon=True)

    def start(self) -> None:
        self.look()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5.0)

    @property
    def trouble(self) -> str | None:
        """Why what stands at the alias may not be what is served, in one line; None if it is."""
        return self._away or self._wrong

    def look(self) -> None:
        """Load the policy that stands at the alias now, if it is not the loaded one."""
        try:
            signature = self._ask()
        except Exception as error:  # the watch must outlive whatever a broken journal throws
            self._away = f"the journal does not say what stands at the alias {self.alias!r}: {_named(error)}"
            self._tell(f"keeps {self._present()}: {_named(error)}")
            return
        self._away = None
        if signature is None:
            self.served, self._wrong = None, None
            self._tell(f"{self.absence()}; waiting for one")
        elif self.served is not None and (self.served.registry_version, self.served.content) == _policy(signature):
            self._wrong = None
            self._tell(self._serves(signature.version))
        elif signature.registration is None:
            self._wrong = f"version {signature.version} stands at the alias {self.alias!r}, but {UNREGISTERED}"
            self._tell(f"keeps {self._present()}: {self._wrong}")
        elif signature.content != self._broken or time.monotonic() >= self._retry_at:
            self._swap(signature)

    def absence(self) -> str:
        """Why nothing is served, and what to do."""
        return self.trouble or f"no policy stands at the alias {self.alias!r} of {self._model}"

    def _swap(self, signature: Any) -> None:
        version = signature.version
        try:
            self.served = self._load(signature.registration)
        except Exception as error:  # a policy that cannot be loaded must not end the one that is served
            self._broken, self._retry_at = signature.content, time.monotonic() + RETRY_S
            self._wrong = f"version {version} at the alias {self.alias!r} was not loaded: {_named(error)}"
            self._tell(f"keeps {self._present()}: {self._wrong}")
        else:
            self._broken, self._wrong = "", None
            SWAPS.inc()
            self._tell(self._serves(version))

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            self.look()

    def _ask(self) -> Any:
        """What the journal says stands at the alias, None if nothing does; its moves are read if there is a new one."""
        if self._journal is None:
            from pipelines.journal import journal_at
            from pipelines.journal.postgres import database_url

            self._journal = journal_at(database_url("journal"))
        newest = self._journal.newest_policy_event(self._model)
        if newest != self._newest:
            self._standing = signatures(self._journal.policy_events(self._model)).get(self.alias)
            self._newest = newest
        return self._standing

    def _load(self, registration: Registration) -> Served:
        from pipelines.promotion.registry import fetch

        with tempfile.TemporaryDirectory() as folder:
            bundle = Bundle.load(fetch(registration.artifact, registration.content, Path(folder) / "bundle"))
        warm_up(bundle)
        return Served(bundle, registration.version, registration.content, registration.source)

    def _serves(self, version: str) -> str:
        return f"serves {self._model} version {version} at the alias {self.alias!r}"

    def _present(self) -> str:
        return f"version {self.served.registry_version}" if self.served else "no policy"

    def _tell(self, line: str) -> None:
        if line != self._told:  # once, not every few seconds
            log.info(line)
            self._told = line


def _policy(signature: Signature) -> tuple[str, str | None]:
    return signature.version, signature.content


def warm_up(bundle: Bundle) -> None:
    """Decide on made-up rows, so that the first real request does not pay for imports and first calls."""
    generator = random.Random(0)
    names = bundle.inputs
    rows = [
        FeatureRow(
            symbol=f"WARM{number}",
            close_time=datetime(2000, 1, 3, 10, 0, tzinfo=IST),
            close=100.0,
            tick_size=Decimal("0.05"),
            lot_size=1,
            catalogue_hash=bundle.catalogue_hash,
            values={name: abs(generator.gauss(0.0, 1.0)) for name in names},
        )
        for number in range(WARM_UP_ROWS)
    ]
    decide(bundle, rows, Decimal(1_000_000))
    for row in rows[:8]:
        decide(bundle, [row], Decimal(1_000_000))


@bentoml.service(
    name="policy",
    workers=1,  # one worker swaps for all; more replicas are more processes
    traffic={"timeout": 10},
    logging={"access": {"enabled": False}},  # one line a request; the metrics count them
    tracing={"excluded_urls": ".*"},  # three spans a request that nobody collects
)
class PolicyService:
    """Decisions of the policy that an alias names."""

    def __init__(self) -> None:
        alias, model = _configured()
        self._watch = AliasWatch(alias, model, float(os.environ.get("TRADESAGE_POLL_SECONDS", "2")))
        self._watch.start()
        sys.setswitchinterval(SWITCH_S)
        gc.collect()
        gc.freeze()  # what is loaded by now stays; looking through all of it again would hold up requests

    @bentoml.on_shutdown
    def close(self) -> None:
        self._watch.stop()

    async def __is_ready__(self) -> bool:
        return self._watch.served is not None

    @bentoml.api(route="/decide")
    async def decide(self, rows: Any = None, equity_inr: Any = None) -> Any:
        """Decide for instruments at a bar's close.

        `rows`: a list of feature rows; `equity_inr`: rupees as text, for the size of positions. Answers with
        `decisions` in the order of the rows, `policy_version` and `latency_ms`.
        """
        began = time.perf_counter()  # nothing here waits: a way through another thread costs more than one decision
        served = self._watch.served
        if served is None:
            return self._no_policy()
        try:
            read = _rows(rows)
            decisions = decide(served.bundle, read, _equity(equity_inr))
        except BadInput as error:
            return _refusal(400, f"BadInput: {error}")
        except FeatureMismatch as error:
            return _refusal(409, f"FeatureMismatch: {error}")
        except TradeSageError as error:
            return _refusal(400, f"{type(error).__name__}: {error}")
        seconds = time.perf_counter() - began
        DECIDE_SECONDS.observe(seconds)
        for action, count in Counter(decision.action.value for decision in decisions).items():
            DECISIONS.labels(action=action).inc(count)
        return JSONResponse(
            {
                "decisions": [decision_to_wire(decision) for decision in decisions],
                "policy_version": served.bundle.version,
                "latency_ms": round(seconds * 1000, 3),
            }
        )

    @bentoml.api(route="/describe")
    def describe(self) -> Any:
        """What is served: versions, its catalogue's features, those it asks a row for, and how its trades end."""
        served = self._watch.served
        if served is None:
            return self._no_policy()
        bundle = served.bundle
        return JSONResponse(
            {
                "policy_version": bundle.version,
                "registry_version": served.registry_version,
                "alias": self._watch.alias,
                "source": served.source,
                "trouble": self._watch.trouble,
                "catalogue_hash": bundle.catalogue_hash,
                "interval": bundle.interval.value,
                "feature_names": list(bundle.feature_names),
                "inputs": list(bundle.inputs),
                "regime_model": _finite(bundle.regime_model),
                "product": bundle.product.value,
                "hold_bars": bundle.hold_bars,
            }
        )

    def _no_policy(self) -> JSONResponse:
        todo = "" if self._watch.trouble else "; register one and promote it to there"
        return _refusal(503, f"NotFound: {self._watch.absence()}{todo}")


PolicyService.add_asgi_middleware(Guard, token=credential("policy_token"))  # type: ignore[attr-defined]
PolicyService.add_asgi_middleware(KnownHosts)  # type: ignore[attr-defined]
#: BentoML starts uvicorn itself, by this name
uvicorn.config.HTTP_PROTOCOLS["auto"] = "serving.bounded_connections:BoundedConnection"


def _configured() -> tuple[str, str]:
    """Alias and model: from the environment, else from `params.yaml`."""
    alias, model = os.environ.get("TRADESAGE_ALIAS"), os.environ.get("TRADESAGE_MODEL")
    if not alias or not model:
        from pipelines.params import load_params

        params = load_params(ROOT / "params.yaml")
        alias, model = alias or params.serving.alias, model or params.promotion.model
    return alias, model


def _rows(wire: Any) -> list[FeatureRow]:
    if not isinstance(wire, list):
        raise BadInput(f"rows is {type(wire).__name__}, a list of feature rows was expected")
    rows = [row_from_wire(row, f"row {number}") for number, row in enumerate(wire)]
    if len({row.symbol for row in rows}) < len(rows):
        twice = Counter(row.symbol for row in rows).most_common(1)[0][0]
        raise BadInput(f"rows has {twice} twice; one row an instrument was expected")
    return rows


def _equity(wire: Any) -> Decimal:
    equity = money_in(wire, "equity_inr")
    if equity <= 0:
        raise BadInput(f"equity_inr = {wire:.80}, an amount above zero was expected")
    return equity


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def _finite(content: Any) -> Any:
    """The same with null for NaN and the infinities, which JSON does not know."""
    return json.loads(json.dumps(content, default=dict), parse_constant=lambda _: None)
