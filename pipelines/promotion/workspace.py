"""A run's own place: a git worktree of one commit with the run's parameters, sharing the checkout's DVC cache.

Runs do not see each other's tables, nor an edit made in the checkout while they last. At the end a run is a commit that
holds `params.yaml` and `dvc.lock`: on it `dvc repro` says up to date, and anybody can compute it again.

A workspace is whole or none: its record (`.tradesage/run.json`: the commit and what was asked) is written last and
removed first. What has no record, since its maker was killed, is made anew.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pipelines.domain.errors import BadInput, BadParams, NotFound
from pipelines.ingest.lake import Lake
from pipelines.params import params_from
from pipelines.paths import Paths, state_folder
from pipelines.tables import read_json, write_json

#: What may name a folder and a branch alike
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
#: In a workspace, where git does not look
RECORD = Path(".tradesage", "run.json")
#: What a run may change of its commit
OF_THE_RUN = ("params.yaml", "dvc.lock")
#: Author of a run's commit where git knows none, as on a fresh machine
FALLBACK_AUTHOR = {"NAME": "TradeSage", "EMAIL": "tradesage@localhost"}


class Asked(NamedTuple):
    """What a run was asked to be."""

    commit: str  #: that its stages and parameters come from, 40 hex digits
    overrides: Mapping[str, Any]  #: of the commit's parameters, by dotted key
    as_of: str | None  #: time up to which its lake is read, found when the workspace was made; None: as the others say


class RunWorkspace:
    """Makes, finishes and removes the workspaces of one checkout; they lie in `<state>/runs/<run name>`."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo.resolve()

    def path(self, run_name: str) -> Path:
        """Where the workspace of that name lies, whether it exists or not."""
        if not RUN_NAME.fullmatch(run_name):
            raise BadParams(
                f"run name {run_name!r}: at most 80 letters, digits, '_' and '-' were expected, a letter or digit first"
            )
        return state_folder() / "runs" / run_name

    def create(self, run_name: str, overrides: Mapping[str, Any]) -> Path:
        """Make a workspace of the checkout's last commit, with some parameters changed.

        Parameters
        ----------
        run_name : str
            New name, of the folder and later of the branch `runs/<run name>`. What a maker that was killed has left
            under it is removed.
        overrides : mapping
            Values by dotted key (`"ingest.simulated.days": 40`) or as nested mappings; empty changes nothing.

        Returns
        -------
        Path of the workspace: the `root` of its `Paths`.

        Raises
        ------
        BadParams : a key is unknown or a value impossible; nothing has been written then.
        BadInput : the name is taken, the checkout is no git repository, or the run reads a lake that is empty.
        """
        path = self.path(run_name)
        if self.asked(path) is not None:
            raise BadInput(f"{path} is there already; remove that run or choose another name than {run_name!r}")
        commit = self._git("rev-parse", "HEAD").strip()
        committed = self.file_at(commit, "params.yaml")
        as_of = self._pin(with_overrides(committed, overrides))
        record = Asked(commit, _plain(overrides), as_of)
        text = self._text_of(record)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.remove(run_name)
        try:
            self._git("worktree", "add", "--quiet", "--detach", str(path), commit)
            if text != committed:
                (path / "params.yaml").write_text(text, encoding="utf-8")
            self._share_cache(path)
            self._share_compiled(path)
            if (path / "dvc.lock").exists():  # what the commit has computed already need not be computed again
                _dvc(path, "checkout", "--quiet", "--allow-missing")
            write_json(record._asdict(), path / RECORD)
        except BaseException:
            self.remove(run_name)
            raise
        return path

    def prepare(self, run_name: str, overrides: Mapping[str, Any]) -> Path:
        """The whole workspace of that name, as a run that is begun again wants it.

        One that was made for the same overrides stays, with what has been computed in it and the commit that it is of;
        any other is made anew.
        """
        path = self.path(run_name)
        asked = self.asked(path)
        if asked is not None and asked.overrides == _plain(overrides):
            with suppress(BadInput):  # of a workspace that was changed since, or that git has lost
                self.check(path)
                return path
        self.remove(run_name)
        return self.create(run_name, overrides)

    def asked(self, path: Path) -> Asked | None:
        """What a workspace was made for; None if it is not whole."""
        try:
            content = read_json(path / RECORD)
            asked = Asked(str(content["commit"]), dict(content["overrides"]), content["as_of"])
            return asked if (path / ".git").is_file() else None  # without, git would take the checkout around it
        except (NotFound, BadInput, OSError, KeyError, TypeError, ValueError):
            return None

    def check(self, path: Path, overrides: Mapping[str, Any] | None = None) -> None:
        """Hold what was asked against what was run: commit, stages, sources and parameters.

        Parameters
        ----------
        path : of the workspace
        overrides : as they were asked; None takes those that the workspace was made for

        Raises
        ------
        BadInput : in one line, with the first differences; nothing of such a run may be registered.
        """
        asked = self.asked(path)
        if asked is None:
            raise BadInput(f"{path} was not made whole, so it is not the run that was asked for; clear prepare")
        if overrides is not None:
            asked = asked._replace(overrides=_plain(overrides))
        strange = self._strange(path, asked)
        if strange:
            shown = "; ".join(strange[:3]) + (f" and {len(strange) - 3} more" if len(strange) > 3 else "")
            raise BadInput(f"{path} is not the run that was asked for ({shown}); clear prepare, it makes it anew")

    def _strange(self, path: Path, asked: Asked) -> list[str]:
        """In what the files of a workspace differ from a commit with overrides."""
        changed = _git(path, "diff", "--name-only", asked.commit).split()
        strange = [f"{name} is not the commit's" for name in changed if name not in OF_THE_RUN]
        ran = _parameters(path / "params.yaml")
        wanted = yaml.safe_load(self._text_of(asked))
        ours, theirs = dict(_flat(ran)), dict(_flat(wanted))
        missing = "missing"
        return strange + [
            f"{key} is {ours.get(key, missing)!r}, asked was {theirs.get(key, missing)!r}"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key, missing) != theirs.get(key, missing)
        ]

    def complete(self, path: Path, environment: Mapping[str, str]) -> None:
        """Run the stages of the run's own commit that are not up to date; a moment where all of them are.

        Whoever ran them one by one may have known the stages of another commit.

        Raises
        ------
        BadInput : a stage fails; carries its last words.
        """
        command = [sys.executable, "-m", "dvc", "repro", "--quiet"]
        done = subprocess.run(command, cwd=path, env=dict(environment), capture_output=True, text=True, check=False)
        if done.returncode:
            raise BadInput(f"dvc repro failed in {path} ({' '.join(done.stderr.split())[-500:]}); see its log there")

    def finish(self, path: Path, message: str) -> str:
        """Commit `params.yaml` and `dvc.lock` of a workspace whose stages all ran, on the branch `runs/<its name>`.

        Called again without a change it returns the same commit. A branch that holds another run of that name is kept,
        the new one gets a number.

        Returns
        -------
        The commit's id, 40 hex digits.

        Raises
        ------
        NotFound : stages have not run, so there is nothing to stand by.
        BadInput : what was run is not what was asked, see `check`.
        """
        self.check(path)
        missing = sorted(_stages(path / "dvc.yaml") - _stages(path / "dvc.lock"))
        if missing:
            raise NotFound(f"{path} has no result of {', '.join(missing)}; run dvc repro there first")
        _git(path, "add", *OF_THE_RUN)
        if _git(path, "diff", "--cached", "--name-only"):
            _git(path, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message, env=_author(path))
        commit = _git(path, "rev-parse", "HEAD").strip()
        if not _git(path, "branch", "--list", "runs/*", "--points-at", commit).strip():
            _git(path, "branch", self._free_branch(path.name), commit)
        return commit

    def remove(self, run_name: str) -> None:
        """Remove the workspace if there is one; its branch and what the cache holds stay."""
        path = self.path(run_name)
        (path / RECORD).unlink(missing_ok=True)  # first: from now on it is not whole
        if path.exists():
            shutil.rmtree(path)
        self._forget(path)

    def all(self) -> tuple[Path, ...]:
        """Every workspace there is, whole or not."""
        return tuple(sorted(path for path in (state_folder() / "runs").glob("*") if path.is_dir()))

    def keep_latest(self, count: int, prefix: str) -> tuple[str, ...]:
        """Remove all but the `count` newest workspaces whose name begins with `prefix`, and tell which went."""
        folder = state_folder() / "runs"
        runs = [path for path in folder.glob(f"{prefix}*") if path.is_dir()]
        old = sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True)[count:]
        for path in old:
            self.remove(path.name)
        return tuple(path.name for path in old)

    def _forget(self, path: Path) -> None:
        """Let git forget a workspace whose folder is gone; one that was killed while git made it is locked."""
        listed = self._git("worktree", "list", "--porcelain").split("\n\n")
        for entry in listed:
            lines = entry.splitlines()
            if f"worktree {path}" in lines and any(line.partition(" ")[0] == "locked" for line in lines):
                self._git("worktree", "unlock", str(path))
        self._git("worktree", "prune")

    def notes(self) -> tuple[str, ...]:
        """Sentences a person should read before a run is made from the last commit: what it will not contain."""
        changed = [line[3:] for line in self._git("status", "--porcelain").splitlines()]
        if not changed:
            return ()
        named = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        return (f"not committed, so not part of the run: {named}",)

    def file_at(self, commit: str, path: str) -> str:
        """The text of a file as a commit holds it; `BadInput` if the commit or the file is not in this checkout."""
        return self._git("show", f"{commit}:{path}")

    def _pin(self, text: str) -> str | None:
        """Until when the lake is read, where the parameters leave it open: a run has the same data ever after."""
        ingest = yaml.safe_load(text)["ingest"]
        if ingest.get("source") != "lake" or ingest.get("as_of") is not None:
            return None
        return Lake(Paths(self.repo).lake).pin().learnt_until.isoformat()

    def _text_of(self, asked: Asked) -> str:
        """The parameters that a run was asked to have."""
        text = with_overrides(self.file_at(asked.commit, "params.yaml"), asked.overrides)
        return text if asked.as_of is None else with_overrides(text, {"ingest.as_of": asked.as_of})

    def _share_cache(self, path: Path) -> None:
        from configobj import ConfigObj

        ours, theirs = self.repo / ".dvc", path / ".dvc" / "config.local"
        if (ours / "config.local").exists():  # a cache or a remote that this machine chose
            shutil.copyfile(ours / "config.local", theirs)
        config = ConfigObj(str(theirs), encoding="utf-8")
        cache = config.setdefault("cache", {})
        cache["dir"] = str((ours / cache.get("dir", "cache")).resolve())  # a relative one counts from its `.dvc`
        config.write()

    def _share_compiled(self, path: Path) -> None:
        """Let the workspace's processes find, and keep, machine code where the checkout does."""
        from pipelines.domain.compiled import FOLDER, kept_code  # numba takes half a second to import

        kept, link = kept_code(self.repo).resolve(), path / FOLDER
        kept.mkdir(parents=True, exist_ok=True)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(kept, target_is_directory=True)

    def _free_branch(self, run_name: str) -> str:
        taken = set(self._git("branch", "--list", "runs/*", "--format", "%(refname:short)").split())
        names = (f"runs/{run_name}{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 10_000))))
        return next(name for name in names if name not in taken)

    def _git(self, *arguments: str) -> str:
        return _git(self.repo, *arguments)


def with_overrides(text: str, overrides: Mapping[str, Any]) -> str:
    """The text of a parameter file with some values changed; its comments, order and the other lines stay.

    Raises
    ------
    BadParams : a key is unknown or a value impossible.
    """
    from ruamel.yaml import YAML

    changes = dict(_flat(overrides))
    if not changes:
        params_from(yaml.safe_load(text), "params.yaml")
        return text
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    editor.representer.add_representer(type(None), lambda to, _: to.represent_scalar("tag:yaml.org,2002:null", "null"))
    tree = editor.load(text)
    for key, value in changes.items():
        *sections, name = key.split(".")
        section: Any = tree
        for part in sections:
            section = section.get(part) if isinstance(section, Mapping) else None
        known = isinstance(section, Mapping) and name in section
        if not known:
            raise BadParams(f"overrides: {key} is not a known key; params.yaml names them all")
        section[name] = value
    written = io.StringIO()
    editor.dump(tree, written)
    params_from(yaml.safe_load(written.getvalue()), "overrides")
    return written.getvalue()


def _flat(overrides: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _plain(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Overrides by dotted key, as they are read back from a record."""
    flat: dict[str, Any] = json.loads(json.dumps(dict(_flat(overrides)), default=str))
    return flat


def _parameters(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        content = None
    return content if isinstance(content, dict) else {}


def _stages(path: Path) -> set[str]:
    return set(yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]) if path.exists() else set()


def _author(path: Path) -> dict[str, str]:
    known = subprocess.run(["git", "config", "user.email"], cwd=path, capture_output=True, check=False).returncode == 0
    if known:
        return {}
    return {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in FALLBACK_AUTHOR.items()}


def _git(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    return _call("git", ["git", *arguments], folder, env or {})


def _dvc(folder: Path, *arguments: str) -> str:
    return _call("dvc", [sys.executable, "-m", "dvc", *arguments], folder, {})


def _call(program: str, command: list[str], folder: Path, env: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join((done.stderr or done.stdout).split())[:500]
        raise BadInput(f"{program} failed in {folder} ({reason}); a run needs a git clone with one commit or more")
    return done.stdout
