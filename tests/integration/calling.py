"""`tradesage <arguments>` in a test's own process, without the seconds a new one takes to import."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving import commands


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., Ended]


def command_in(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command as it runs in the checkout at `root`."""
    monkeypatch.setattr(commands, "ROOT", root)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["tradesage", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            commands.main()
        told = capsys.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return run
