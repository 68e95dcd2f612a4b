"""Every rule that data is judged by: what a row that breaks it means for the run, and what a person does about it.

`expectations/` says how each rule is judged; this table says how much it weighs. A person may choose another weight
in `params.yaml` (`validate.severity`) as far as `choices` allow: what later stages take for granted is never a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    WARN = "warn"  #: told in the report, the rows stay
    QUARANTINE = "quarantine"  #: the rows (of a rule on instruments: the instrument) are set aside
    STOP = "stop"  #: the run ends with one line, and nothing is written


_W, _Q, _S = Severity.WARN, Severity.QUARANTINE, Severity.STOP


@dataclass(frozen=True, slots=True)
class DataRule:
    name: str
    severity: Severity  #: unless `validate.severity` says otherwise
    choices: tuple[Severity, ...]
    broken_when: str
    remedy: str  #: what a person does about it

    @property
    def releasable(self) -> bool:
        """Whether a person may let a row pass: where neighbours or facts speak against it, not its own values."""
        doubted = Severity.WARN in self.choices or self.name in ("conflicting_rows", "out_of_order", "unexplained_gap")
        return doubted and Severity.QUARANTINE in self.choices


_FIRM = (_Q, _S)  # later stages take it for granted
_FREE = (_W, _Q, _S)
_TOLD = (_W, _S)  # there is nothing to set aside

_ALL = (
    DataRule("columns", _S, (_S,), "a column is missing or there is one too many", "run the stage before it again"),
    DataRule("type", _S, (_S,), "a column is of another type", "run the stage before it again"),
    DataRule("unreadable_time", _Q, _FIRM, "the source's stamp is no time", "mend the stamp in the source"),
    DataRule("unreadable_number", _Q, _FIRM, "the source's price or volume is no number", "mend the source"),
    DataRule("missing_value", _Q, _FIRM, "a time, price or other needed value is missing", "mend the source"),
    DataRule("not_finite", _Q, _FIRM, "a number is infinite or beyond any price", "mend the source"),
    DataRule("not_positive", _Q, _FIRM, "a price is zero or below, a volume below zero", "mend the source"),
    DataRule("duplicate", _Q, _FIRM, "the same row stands above it", "nothing: the first of them stays"),
    DataRule("conflicting_rows", _Q, _FIRM, "rows of one time differ", "release the true one, or leave one source out"),
    DataRule("out_of_order", _Q, _FIRM, "an older row stands below it in the source", "sort the file by time"),
    DataRule("high_below_low", _Q, _FIRM, "the high is below the low", "look it up elsewhere and mend the source"),
    DataRule("price_outside_range", _Q, _FIRM, "open or close is outside low and high", "look it up, mend the source"),
    DataRule("not_a_session", _Q, _FIRM, "the market was closed on that day", "correct the stamp, or the calendar"),
    DataRule("outside_session", _Q, _FIRM, "the time lies outside that day's session", "correct stamp or calendar"),
    DataRule("shifted_stamps", _Q, _FIRM, "a day's rows lie off its session, as those of another zone do",
             "tell the zone: ingest.columns, or mend the source"),
    DataRule("off_grid", _Q, _FIRM, "the time is no start of a bar", "choose the interval that the file has"),
    DataRule("close_before_open", _S, (_S,), "a bar ends before it begins", "run ingest again"),
    DataRule("not_listed", _Q, _FREE, "the instrument was not listed that day", "correct dated facts or symbol"),
    DataRule("price_outlier", _Q, _FREE, "a price is further from the closes before than any market moves",
             "look it up; release the row if the market did it"),
    DataRule("unexplained_gap", _Q, _FIRM, "a night moved further than validate.max_overnight_gap without an action",
             "add the corporate action, or release the night if it was traded like that"),
    DataRule("price_jump", _W, _FREE, "a bar moved many times what is usual for the instrument",
             "look at news and at another source"),
    DataRule("volume_outlier", _W, _FREE, "the volume is many times, or a small part of, what is usual",
             "look whether the source changed its unit"),
    DataRule("tick_size", _W, _FREE, "a price is off the tick then in force", "expected of adjusted prices; else look"),
    DataRule("stale_run", _W, _FREE, "bars repeat each other to the share", "the feed stood still: fetch it anew"),
    DataRule("price_stands", _W, _FREE, "the price stands while the market moves", "look whether trading was halted"),
    DataRule("sources_disagree", _W, _FREE, "another source says otherwise", "find out who is right"),
    DataRule("incomplete", _W, _FREE, "an instrument holds less of its sessions than validate.min_completeness",
             "collect what is missing, or leave the instrument out"),
    DataRule("missing_sessions", _W, _FREE, "sessions of an instrument have no bar at all", "collect these days"),
    DataRule("thin_sessions", _W, _FREE, "sessions of an instrument lack many of their bars", "collect these days"),
    DataRule("drift", _W, _TOLD, "a column is spread unlike the reference", "compare source and adjustment"),
    DataRule("before_exchange", _Q, _FIRM, "the stamp lies before the exchange's first session", "mend the recorder"),
    DataRule("stub_day", _Q, _FREE, "a day with next to none of the ticks of the day before", "record that day wholly"),
    DataRule("total_steps_back", _Q, _FREE, "the day's total is below that of the row above", "nothing: a late row"),
    DataRule("two_a_stamp", _W, _FREE, "different ticks bear one stamp", "nothing: stamps have whole seconds"),
    DataRule("unknown_symbol", _Q, _FIRM, "the symbol is none of the run's instruments", "correct the symbol"),
    DataRule("from_the_future", _Q, _FIRM, "it was known only after the moment the run looks from", "correct its time"),
    DataRule("not_a_sentiment", _Q, _FIRM, "the sentiment lies outside -1 to 1", "mend the source"),
    DataRule("money_does_not_add_up", _Q, _FIRM, "net is not gross less charges", "mend the journal's export"),
    DataRule("exit_before_entry", _Q, _FIRM, "the trade was left before it was entered", "mend the journal's export"),
    DataRule("wrong_excursion", _Q, _FIRM, "the best gain is below zero, or the worst loss above", "mend the export"),
    DataRule("infinite", _S, (_S,), "a feature is infinite", "a bug in the feature's definition: mend it"),
    DataRule("not_scale_free", _S, (_S,), "a feature bears rupees or shares", "a bug in the feature's definition"),
)  # fmt: skip

RULES: Mapping[str, DataRule] = {rule.name: rule for rule in _ALL}


def severity_of(rule: str, chosen: Mapping[str, Severity]) -> Severity:
    """What breaking `rule` means, where `chosen` holds a person's own choices."""
    return chosen.get(rule, RULES[rule].severity)


def check_choices(chosen: Mapping[str, Severity]) -> Mapping[str, Severity]:
    """The choices, if every rule is known and may weigh that much.

    Raises
    ------
    ValueError : with what was wanted; `params.py` turns it into its own error.
    """
    for name, severity in chosen.items():
        if name not in RULES:
            raise ValueError(f"no rule is called {name}; the rules are {', '.join(sorted(RULES))}")
        allowed = RULES[name].choices
        if severity not in allowed:
            raise ValueError(f"{name} cannot be {severity}, only {' or '.join(allowed)}: later stages rely on it")
    return chosen
