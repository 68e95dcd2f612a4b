"""The bundle: a policy as one folder of plain text, trained, registered, served and rolled back as one."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput, NotFound
from pipelines.domain.orders import Product
from pipelines.policy.consensus import Consensus
from pipelines.policy.labels import ATR
from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS, STATED_REGIME
from pipelines.policy.trade_model import TARGETS, TradeModel
from pipelines.tables import fresh_folder

FORMAT = 2  #: of the folder; a reader refuses others
AGAIN = "fetch or train the policy again"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a signal becomes a trade, and how large."""

    min_signal: float
    min_probability: float
    min_expected_return: float
    reduce_below: float
    risk_per_trade: float
    max_position: float


@dataclass(frozen=True, slots=True)
class Barriers:
    """How a trade ends."""

    stop_atr: float
    target_atr: float
    hold_bars: int  #: bars after entry
    square_off_minutes: int  #: before the session's end, intraday


@dataclass(frozen=True)
class Bundle:
    """Everything that is needed to decide, and nothing else."""

    interval: Interval
    product: Product
    catalogue: Mapping[str, Any]  #: as in catalogue.json
    heads: tuple[Any, ...]  #: of pipelines.heads
    consensus: Consensus
    trade_model: TradeModel
    regime_model: Mapping[str, Any]
    thresholds: Thresholds
    barriers: Barriers

    @property
    def catalogue_hash(self) -> str:
        return self.catalogue["hash"]

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Every feature of the catalogue it was trained on, asked for or not."""
        return tuple(feature["name"] for feature in self.catalogue["features"])

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of what a row must know, in the order in which it is judged.

        The features that the heads, the trade model or the barriers ask for, in the catalogue's order; then the
        regimes.
        """
        asked = {ATR, *self.trade_model.features, *(name for head in self.heads for name in head.uses)}
        return (*(name for name in self.feature_names if name in asked), *FLAG_COLUMNS, STATED_REGIME, *REGIME_COLUMNS)

    @property
    def hold_bars(self) -> int:
        return self.barriers.hold_bars

    @property
    def long_only(self) -> bool:
        return self.product is Product.CNC

    @cached_property
    def version(self) -> str:
        """First 12 hexadecimal digits of the content's SHA-256: the same policy has the same version anywhere."""
        digest = hashlib.sha256()
        for name, text in sorted(self._texts().items()):
            digest.update(f"{name}\n{len(text)}\n{text}".encode())
        return digest.hexdigest()[:12]

    def save(self, folder: Path) -> None:
        """Write the folder; an old one is replaced only when all is written."""
        texts = self._texts()
        texts["manifest.json"] = _json(json.loads(texts["manifest.json"]) | {"version": self.version})
        with fresh_folder(folder) as temporary:
            for name, text in texts.items():
                (temporary / name).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Bundle":
        """Read what `save` wrote; a folder whose content is not the one of its version is refused.

        Raises
        ------
        NotFound : if a file is missing. BadInput : if the content was altered, lacks something, or has another format.
        """
        try:
            return cls._read(folder)
        except KeyError as error:
            raise BadInput(f"{folder} lacks {error}; {AGAIN}") from None
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            raise BadInput(f"{folder} holds no policy ({' '.join(str(error).split())[:200]}); {AGAIN}") from None

    @classmethod
    def _read(cls, folder: Path) -> "Bundle":
        from pipelines.heads import head_from_dict

        manifest, consensus = _read(folder, "manifest.json"), _read(folder, "consensus.json")
        if manifest.get("format") != FORMAT:
            raise BadInput(
                f"{folder}: format {manifest.get('format')!r}, this release reads {FORMAT}; retrain the policy"
            )
        heads = tuple(head_from_dict(head) for head in consensus["heads"])
        forests = {name: _text(folder, f"trade_model_{name}.txt") for name in manifest["forests"]}
        bundle = cls(
            interval=Interval(manifest["interval"]),
            product=Product(manifest["product"]),
            catalogue=_read(folder, "catalogue.json"),
            heads=heads,
            consensus=Consensus.from_dict(consensus["weights"], [head.name for head in heads]),
            trade_model=TradeModel.from_dict(manifest["trade_model"], forests),
            regime_model=_read(folder, "regimes.json"),
            thresholds=Thresholds(**{f.name: manifest["thresholds"][f.name] for f in fields(Thresholds)}),
            barriers=Barriers(**{f.name: manifest["barriers"][f.name] for f in fields(Barriers)}),
        )
        if bundle.version != manifest["version"]:
            raise BadInput(f"{folder}: says version {manifest['version']}, its content is {bundle.version}; {AGAIN}")
        return bundle

    def _texts(self) -> dict[str, str]:
        from pipelines.heads import head_to_dict

        manifest = {
            "format": FORMAT,
            "interval": self.interval.value,
            "product": self.product.value,
            "catalogue_hash": self.catalogue_hash,
            "thresholds": asdict(self.thresholds),
            "barriers": asdict(self.barriers),
            "forests": sorted(self.trade_model.forests, key=TARGETS.index),
            "trade_model": self.trade_model.as_dict(),
        }
        heads = [head_to_dict(head) for head in self.heads]
        return {
            "manifest.json": _json(manifest),
            "consensus.json": _json({"heads": heads, "weights": self.consensus.as_dict()}),
            "regimes.json": _json(self.regime_model),
            "catalogue.json": _json(self.catalogue),
            **{f"trade_model_{name}.txt": text for name, text in self.trade_model.forests.items()},
        }


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"


def _text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.exists():
        raise NotFound(f"{path} is not there; the folder is no policy, or only part of one")
    return path.read_text(encoding="utf-8")


def _read(folder: Path, name: str) -> Any:
    try:
        return json.loads(_text(folder, name))
    except ValueError as error:
        raise BadInput(f"{folder / name} is not JSON ({error}); {AGAIN}") from None
