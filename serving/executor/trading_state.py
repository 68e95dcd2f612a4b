"""Whether the session may enter: the journal's words about trading, and a file that stops it without a journal.

The journal's events are the truth, whoever said them; they are read anew with every frame. What the executor itself
says while the journal does not answer holds at once and is written down when it is back.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

import structlog

from pipelines.domain.errors import ServiceUnavailable
from pipelines.domain.halts import Cause, HaltEvent, Mode, TradingState, Word, state_after
from pipelines.domain.verdicts import Verdict
from pipelines.journal.memory import AnyJournal
from pipelines.paths import state_folder

LOG = structlog.get_logger("executor")
EXECUTOR = "executor"  #: the actor of what nobody said by hand


def halt_file() -> Path:
    """Stops every executor of this state folder while it is there; a person may make it with `touch`."""
    return state_folder() / "halt"


class Trading:
    """The trading state of one account.

    Parameters
    ----------
    account : str
    journal : AnyJournal
    file : Path or None
        Where a halt may stand without a journal; None: nowhere
    asked : function
        What a person has said at the executor's own door since the last call
    """

    def __init__(
        self,
        account: str,
        journal: AnyJournal,
        file: Path | None = None,
        asked: Callable[[], Iterable[HaltEvent]] = tuple,
    ):
        self._account, self._journal, self._file, self._asked = account, journal, file, asked
        self._noted: list[HaltEvent] = []  # as the journal has them
        self._unsaved: list[HaltEvent] = []  # said while the journal did not answer
        self._news: list[HaltEvent] = []  # of those, what `poll` has not told yet
        self._seen = 0  # number of the last event that was read
        self._readable = True
        self.state = TradingState()

    @property
    def mode(self) -> Mode:
        return self.state.mode

    @property
    def must_flatten(self) -> bool:
        """Whether every position is to be left now."""
        return self.mode is Mode.FLATTENING

    def may_enter(self) -> Verdict:
        """Whether a new risk may be taken, and if not, why."""
        if not self._readable:
            return Verdict("trading halted", False, None, None, "the journal does not answer: nobody could stop us")
        halted = self.mode is not Mode.TRADING
        return Verdict("trading halted", not halted, float(halted), 0.0, self.state.reason)

    def poll(self, now: datetime) -> list[HaltEvent]:
        """Read what was said since the last look, at the door, in the journal and by the file; returns what is new."""
        for event in self._asked():  # first, and it holds at once: it needs no neighbour
            self._hold(event)
        self._read()
        asked = self._asked_by_file(now)
        if asked is not None:
            self._say(asked)
        news, self._news = self._news, []
        return news

    def halt(self, cause: Cause, reason: str, now: datetime, *, flatten: bool = False) -> bool:
        """Stop entering for `cause`; False if it stands already. It is noted in the journal."""
        if cause in self.state.standing:
            return False
        self._say(HaltEvent(Word.FLATTEN if flatten else Word.HALT, cause, reason, EXECUTOR, now))
        return True

    def lift(self, cause: Cause, reason: str, now: datetime) -> bool:
        """The cause is gone; other causes may still stand. False if it did not stand."""
        if cause not in self.state.standing:
            return False
        self._say(HaltEvent(Word.RESUME, cause, reason, EXECUTOR, now))
        return True

    def _say(self, event: HaltEvent) -> None:
        self._hold(event)
        self._read()

    def _hold(self, event: HaltEvent) -> None:
        LOG.warning(f"trading: {event.word}", cause=event.cause.value, reason=event.reason, actor=event.actor)
        self._unsaved.append(event)
        self._refold()

    def _read(self) -> None:
        """Write down what could not be, then read what is new."""
        try:
            self._take_new()
            told = bool(self._unsaved)
            while self._unsaved:
                if self._unsaved[0] not in self._noted:  # who said it at the door may have written it down
                    self._journal.record_halt(self._account, self._unsaved[0])
                self._unsaved.pop(0)
            if told:
                self._take_new()
        except ServiceUnavailable as error:
            if self._readable:
                LOG.error("halts cannot be read; nothing is entered", error=str(error))
            self._readable = False
            return
        self._readable = True

    def _take_new(self) -> None:
        found = self._journal.halt_events(self._account, after=self._seen)
        if found:
            self._seen = found[-1][0]
            self._news += [event for _, event in found]
            self._noted += [event for _, event in found]
            self._refold()

    def _refold(self) -> None:
        self.state = state_after([*self._noted, *self._unsaved])

    def _asked_by_file(self, now: datetime) -> HaltEvent | None:
        if self._file is None or not self._file.exists():
            return None
        asked = read_halt_file(self._file, now)
        standing = self.state.standing.get(Cause.BY_HAND)
        known = standing is not None and (asked.word is Word.HALT or self.must_flatten)
        return None if known else asked


def write_halt_file(path: Path, event: HaltEvent) -> None:
    """Leave a word for executors whose journal cannot be written to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(
        json.dumps({"word": event.word, "reason": event.reason, "actor": event.actor}), encoding="utf-8"
    )
    temporary.replace(path)


def read_halt_file(path: Path, now: datetime) -> HaltEvent:
    """What the file asks for; one that cannot be understood is a halt, too."""
    told: dict[str, str] = {}
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
        told = content if isinstance(content, dict) else {}
    except (OSError, ValueError):
        pass
    word = Word.FLATTEN if told.get("word") == Word.FLATTEN else Word.HALT
    reason = str(told.get("reason") or f"the file {path} is there")
    return HaltEvent(word, Cause.BY_HAND, reason, str(told.get("actor") or "halt file"), now)
