"""The answer of a gate or a risk rule: expected, so a value and not an error, with the figures it rests on."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    gate: str  #: in words a reviewer reads, e.g. "maximum drawdown"
    passed: bool
    measured: float | None
    limit: float | None
    evidence: str = ""  #: where the figure comes from, in one sentence
    protects: tuple[str, ...] = ()  #: stages of the ladder that may not be entered while this fails

    def as_dict(self) -> dict:
        return asdict(self) | {"protects": list(self.protects)}
