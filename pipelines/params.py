"""`params.yaml`, read once into frozen models that refuse unknown words and impossible values."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipelines.domain.api_order_rules import below_threshold
from pipelines.domain.bars import IST, Interval
from pipelines.domain.data_rules import Severity, check_choices
from pipelines.domain.errors import BadParams

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Port = Annotated[int, Field(ge=1024, le=65535)]


def _known_zone(name: str) -> str:
    if name and name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write UTC or a name such as Asia/Kolkata, or leave it empty")
    return name


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Edge(StrEnum):
    NONE = "none"
    MOMENTUM = "momentum"
    REVERSION = "reversion"
    NEWS = "news"


class SimulatedParams(Section):
    seed: Seed
    end: date
    days: Annotated[int, Field(ge=5, le=5000)]
    instruments: Annotated[int, Field(ge=1, le=500)]
    edge: Edge
    edge_strength: Annotated[float, Field(ge=0, le=10)]
    actions: Annotated[int, Field(ge=0, le=500)]


class ColumnParams(Section):
    """How bar files of a shape of their own are read."""

    names: dict[Literal["date", "time", "open", "high", "low", "close", "volume", "symbol", "series"], str]
    zone: Annotated[str, AfterValidator(_known_zone)]
    date_format: str
    stamp: Literal["auto", "start", "end"]

    @model_validator(mode="after")
    def _mean_one_thing_each(self) -> Self:
        if len(set(self.names.values())) < len(self.names):
            raise ValueError("names one column twice; each of ours has a column of its own")
        return self


def _in_ist(moment: datetime) -> datetime:
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)


class IngestParams(Section):
    source: Literal["simulated", "files", "lake"]
    folder: Path
    as_of: Annotated[datetime, AfterValidator(_in_ist)] | None
    priority: tuple[str, ...]
    price_tolerance: Share
    volume_tolerance: Share
    interval: Literal["auto"] | Interval
    symbols: tuple[str, ...]
    members_of: str
    session_days: Literal["auto"] | Annotated[int, Field(ge=0, le=250)]
    columns: ColumnParams
    simulated: SimulatedParams


class KiteCollect(Section):
    source: Literal["kite"]
    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    interval: str
    start: date


class BhavcopyCollect(Section):
    source: Literal["bhavcopy"]
    start: date
    folder: Path | None = None
    symbols: tuple[str, ...] = ()
    actions: bool = True


class TicksCollect(Section):
    source: Literal["ticks"]
    folder: Path
    symbols: tuple[str, ...] = ()


class NewsCollect(Section):
    source: Literal["news"]
    file: Path
    columns: dict[str, str]
    entities: Path | None = None
    dated: bool = False
    zone: str | None = None
    date_format: str | None = None


class FeedCollect(Section):
    source: Literal["feed"]
    url: str
    entities: Path


class BarFilesCollect(Section):
    source: Literal["files"]
    folder: Path


class OutcomesCollect(Section):
    source: Literal["outcomes"]
    accounts: Annotated[tuple[str, ...], Field(min_length=1)]


SourceParams = (
    KiteCollect | BhavcopyCollect | TicksCollect | BarFilesCollect | NewsCollect | FeedCollect | OutcomesCollect
)


class CollectParams(Section):
    """What `tradesage collect` asks; a source may stand several times, for several folders or feeds."""

    sources: tuple[Annotated[SourceParams, Field(discriminator="source")], ...]


class ValidateParams(Section):
    max_quarantined: Annotated[float, Field(ge=0, le=1)]
    min_completeness: Annotated[float, Field(ge=0, le=1)]
    max_overnight_gap: Share
    min_bars: Count
    severity: Annotated[dict[str, Severity], AfterValidator(check_choices)]
    reference: Path | None


class FeatureParams(Section):
    """Empty as yet: look-backs are part of the features' definitions, named by the catalogue's hash."""


class FlagParams(Section):
    breakout_volume: Annotated[float, Field(gt=1)]
    breakout_share: Share
    news_z: Annotated[float, Field(gt=0)]
    news_move_z: Annotated[float, Field(gt=0)]
    crash_z: Annotated[float, Field(gt=0)]
    crash_volatility_z: Annotated[float, Field(gt=0)]


class RegimeParams(Section):
    states: Literal[4]
    min_bars: Annotated[int, Field(ge=50)]
    window_bars: Annotated[int, Field(ge=100)]
    window_days: Annotated[int, Field(ge=100)]
    refits: Count
    min_stay_bars: Count
    min_confidence: Annotated[float, Field(ge=0.25, lt=1)]
    flags: FlagParams


class RuleParams(Section):
    threshold: Annotated[float, Field(ge=0)]
    slope: Annotated[float, Field(gt=0)]


class HeadsParams(Section):
    trend: RuleParams
    reversion: RuleParams
    momentum: RuleParams
    breakout: RuleParams
    volume: RuleParams


class LabelParams(Section):
    stop_atr: Annotated[float, Field(gt=0)]
    target_atr: Annotated[float, Field(gt=0)]
    hold_bars: Count
    hold_days: Count
    square_off_minutes: Annotated[int, Field(ge=1, le=300)]


class SelectionParams(Section):
    enabled: bool
    keep: Count
    shadows: Annotated[int, Field(ge=5, le=200)]
    above_shadows: Share
    max_correlation: Share
    min_stability: Share
    max_rows: Annotated[int, Field(ge=200)]
    seed: Seed
    never: tuple[str, ...]


class PolicyParams(Section):
    seed: Seed
    label: LabelParams
    selection: SelectionParams
    folds: Annotated[int, Field(ge=2)]
    embargo_bars: Annotated[int, Field(ge=0)]
    trees: Count
    leaves: Annotated[int, Field(ge=2)]
    min_leaf: Count
    learning_rate: Share
    max_rows: Annotated[int, Field(ge=500)]
    min_signal: Annotated[float, Field(ge=0, lt=1)]
    min_probability: Annotated[float, Field(ge=0, lt=1)]
    min_expected_return: float
    reduce_below: float
    risk_per_trade: Share
    max_position: Share


class EvaluationParams(Section):
    opening_equity_inr: Annotated[Decimal, Field(gt=0)]
    folds: Count
    min_train_share: Share
    slippage_bps: Annotated[float, Field(ge=0)]
    impact_bps: Annotated[float, Field(ge=0)]
    participation: Share
    max_gross: Annotated[float, Field(gt=0)]
    turns: Annotated[int, Field(ge=20)]
    bootstraps: Count
    block_days: Count
    prior_trials: Count
    seed: Seed


class GateParams(Section):
    min_trades: Count
    min_sharpe: float
    min_sharpe_lower: float
    min_deflated_sharpe: Share
    max_drawdown: Share
    min_profit_factor: Annotated[float, Field(ge=0)]
    min_timing_percentile: Annotated[float, Field(ge=0, le=1)]
    max_turnover_per_day: Annotated[float, Field(gt=0)]
    max_position_share: Annotated[float, Field(gt=0)]


class PromotionParams(Section):
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]
    min_sharpe_gain: Annotated[float, Field(ge=0)]
    min_days: Count
    min_trades: Annotated[int, Field(ge=2)]
    max_slippage_ratio: Annotated[float, Field(ge=1)]
    max_shortfall: Annotated[float, Field(gt=0)]


class ServingParams(Section):
    host: str
    mlflow_port: Port
    airflow_port: Port
    policy_port: Port
    exchange_port: Port
    executor_port: Port
    alias: Literal["shadow", "paper", "canary", "champion", "previous"]
    deadline_ms: Count


class ExchangeParams(Section):
    opening_cash_inr: Annotated[Decimal, Field(gt=0)]
    latency_ms: Annotated[int, Field(ge=0, le=60_000)]
    hours: Literal["recorded", "calendar"]
    stocks_without_derivatives: tuple[str, ...]
    circuits: dict[str, Annotated[Decimal, Field(gt=0, lt=1)]]
    pace: Literal["lockstep", "max"] | Annotated[float, Field(gt=0)]
    ticks_per_bar: Annotated[int, Field(ge=4, le=400)]
    auction_gap_bps: Annotated[float, Field(ge=0, le=2000)]
    seed: Seed
    token_expiry: Literal["auto"] | bool
    rate_limits: Literal["auto"] | bool
    postback_url: Annotated[str, Field(pattern=r"^https?://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/\S*)?$")] | None


class ExitParams(Section):
    first_offset_bps: Annotated[float, Field(ge=0, le=500)]
    step_bps: Annotated[float, Field(ge=0, le=500)]
    limit_tries: Annotated[int, Field(ge=0, le=8)]
    wait_seconds: Count
    hurried_wait_seconds: Count


class RestrictedParams(Section):
    symbol: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    effective_from: date | None = None
    effective_to: date | None = None


class HaltParams(Section):
    losses_in_a_row: Count
    slow_decision_ms: Annotated[float, Field(gt=0)]
    slow_decisions: Count
    feed_silence_seconds: Annotated[float, Field(gt=0)]
    clock_skew_seconds: Annotated[float, Field(gt=0)]
    skewed_frames: Count
    calm_seconds: Annotated[float, Field(ge=0)]


def _below_threshold(orders_per_second: int) -> int:
    verdict = below_threshold(orders_per_second, date.max)
    if not verdict.passed:
        raise ValueError(f"must be below {verdict.limit:.0f}, the rate from which an algo must be registered")
    return orders_per_second


class ExecutorParams(Section):
    live: bool
    max_positions: Count
    max_position: Share
    risk_per_trade: Share
    max_gross: Annotated[float, Field(gt=0)]
    max_net: Annotated[float, Field(gt=0)]
    max_sector: Annotated[float, Field(gt=0)]
    max_unclassified: Annotated[float, Field(gt=0)]
    max_correlated: Annotated[float, Field(gt=0)]
    min_correlation: Share
    correlation_window: Annotated[int, Field(ge=20, le=5000)]
    min_share_of_decision: Share
    max_daily_loss: Share
    max_drawdown: Share
    max_price_deviation: Share
    max_orders_per_second: Annotated[int, Field(ge=1), AfterValidator(_below_threshold)]
    max_orders_per_minute: Annotated[int, Field(ge=4, le=400)]
    max_orders_per_day: Annotated[int, Field(ge=4, le=5000)]
    mute_after_seconds: Annotated[float, Field(ge=2, le=300)]
    ticks_stop_after_seconds: Annotated[float, Field(ge=2, le=300)]
    stale_after_seconds: Count
    market_silent_seconds: Count
    intraday_margin: Share
    margin_buffer: Annotated[float, Field(ge=0, lt=1)]
    restricted: tuple[RestrictedParams, ...]
    restricted_file: Path | None
    square_off_minutes: Annotated[int, Field(ge=1, le=300)]
    reconcile_seconds: Count
    lost_after_seconds: Count
    late_tick_seconds: Count
    max_tick_jump: Share
    exit: ExitParams
    halt: HaltParams


class Params(Section):
    collect: CollectParams
    ingest: IngestParams
    validate_: ValidateParams = Field(alias="validate")
    features: FeatureParams
    regimes: RegimeParams
    heads: HeadsParams
    policy: PolicyParams
    evaluation: EvaluationParams
    gates: GateParams
    promotion: PromotionParams
    serving: ServingParams
    exchange: ExchangeParams
    executor: ExecutorParams


def load_params(path: Path) -> Params:
    """Read and check a parameter file; the first wrong key is named with its place and what was expected."""
    if not path.exists():
        raise BadParams(f"{path} is not there; run the command in a TradeSage checkout")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadParams(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise BadParams(f"{path} cannot be read ({error.strerror}); mend its rights or its disk") from None
    if not isinstance(content, dict):
        raise BadParams(f"{path} holds {type(content).__name__}, a mapping of sections was expected")
    return params_from(content, str(path))


def params_from(content: dict, where: str) -> Params:
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise BadParams(f"{where}: {'; '.join(_in_words(e) for e in error.errors())}") from None


def _in_words(error: Mapping[str, Any]) -> str:
    noise = ("literal", "function", "constrained")  # pydantic's names for the branches of a union
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith(noise))
    if error["type"] == "extra_forbidden":
        return f"{key} is not a known key; remove it or correct its spelling"
    if error["type"] == "missing":
        return f"{key} is missing; see the params.yaml of the release"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key} = {error.get('input')!r}: {message[0].lower()}{message[1:]}"
