"""The stages of the ladder, and what each asks for."""

from enum import StrEnum


class Stage(StrEnum):
    CANDIDATE = "candidate"
    SHADOW = "shadow"
    PAPER = "paper"
    CANARY = "canary"
    CHAMPION = "champion"
    RETIRED = "retired"
    PREVIOUS = "previous"  #: the champion before the present one, kept warm


#: What a version must have been before it may enter; an empty set asks for nothing
COMES_FROM: dict[Stage, frozenset[Stage]] = {
    Stage.CANDIDATE: frozenset(),
    Stage.SHADOW: frozenset(),
    Stage.PAPER: frozenset(),
    Stage.CANARY: frozenset({Stage.PAPER}),  # shadow trades nothing, so it says nothing
    Stage.CHAMPION: frozenset({Stage.CANARY}),
    Stage.RETIRED: frozenset(),
}
GATED = frozenset({Stage.SHADOW, Stage.PAPER, Stage.CANARY, Stage.CHAMPION})
NEEDS_APPROVAL = frozenset({Stage.CANARY, Stage.CHAMPION})
