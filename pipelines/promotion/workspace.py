"""A run's own place: a git worktree of one commit with the run's parameters, sharing the checkout's DVC cache.

Runs do not see each other's tables, nor an edit made in the checkout while they last. At the end a run is a commit that
holds `params.yaml` and `dvc.lock`: on it `dvc repro` says up to date, and anybody can compute it again.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.domain.errors import BadInput, BadParams, NotFound
from pipelines.ingest.lake import Lake
from pipelines.params import params_from
from pipelines.paths import Paths, state_folder

#: What may name a folder and a branch alike
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
#: A compiled file that was written longer ago than this is complete
SETTLED_S = 5.0
#: Author of a run's commit where git knows none, as on a fresh machine
FALLBACK_AUTHOR = {"NAME": "TradeSage", "EMAIL": "tradesage@localhost"}


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
            New name, of the folder and later of the branch `runs/<run name>`.
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
        if path.exists():
            raise BadInput(f"{path} is there already; remove that run or choose another name than {run_name!r}")
        committed = self._git("show", "HEAD:params.yaml")
        text = self._pinned(with_overrides(committed, overrides))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._git("worktree", "prune")
        self._git("worktree", "add", "--quiet", "--detach", str(path), "HEAD")
        try:
            if text != committed:
                (path / "params.yaml").write_text(text, encoding="utf-8")
            self._share_cache(path)
            self._carry_compiled(path)
            if (path / "dvc.lock").exists():  # what the commit has computed already need not be computed again
                _dvc(path, "checkout", "--quiet", "--allow-missing")
        except BaseException:
            self.remove(run_name)
            raise
        return path

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
        """
        missing = sorted(_stages(path / "dvc.yaml") - _stages(path / "dvc.lock"))
        if missing:
            raise NotFound(f"{path} has no result of {', '.join(missing)}; run dvc repro there first")
        _git(path, "add", "params.yaml", "dvc.lock")
        if _git(path, "diff", "--cached", "--name-only"):
            _git(path, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message, env=_author(path))
        commit = _git(path, "rev-parse", "HEAD").strip()
        if not _git(path, "branch", "--list", "runs/*", "--points-at", commit).strip():
            _git(path, "branch", self._free_branch(path.name), commit)
        return commit

    def remove(self, run_name: str) -> None:
        """Remove the workspace if there is one; its branch and what the cache holds stay."""
        path = self.path(run_name)
        if path.exists():
            shutil.rmtree(path)
        self._git("worktree", "prune")

    def keep_latest(self, count: int, prefix: str) -> tuple[str, ...]:
        """Remove all but the `count` newest workspaces whose name begins with `prefix`, and tell which went."""
        folder = state_folder() / "runs"
        runs = [path for path in folder.glob(f"{prefix}*") if path.is_dir()]
        old = sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True)[count:]
        for path in old:
            self.remove(path.name)
        return tuple(path.name for path in old)

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

    def _pinned(self, text: str) -> str:
        """The parameters with the time up to which the lake is read, so that the run gives the same data ever after."""
        ingest = yaml.safe_load(text)["ingest"]
        if ingest.get("source") != "lake" or ingest.get("as_of") is not None:
            return text
        learnt_until = Lake(Paths(self.repo).lake).pin().learnt_until
        return with_overrides(text, {"ingest.as_of": learnt_until.isoformat()})

    def _share_cache(self, path: Path) -> None:
        from configobj import ConfigObj

        ours, theirs = self.repo / ".dvc", path / ".dvc" / "config.local"
        if (ours / "config.local").exists():  # a cache or a remote that this machine chose
            shutil.copyfile(ours / "config.local", theirs)
        config = ConfigObj(str(theirs), encoding="utf-8")
        cache = config.setdefault("cache", {})
        cache["dir"] = str((ours / cache.get("dir", "cache")).resolve())  # a relative one counts from its `.dvc`
        config.write()

    def _carry_compiled(self, path: Path) -> None:
        """Take along what numba compiled in the checkout from the same source: compiling outlasts most stages.

        Numba knows a source by its content, and a function's files by their number in its index. Files that are being
        written are left alone: with another index it would load other code.
        """
        for index in self.repo.glob("pipelines/**/__pycache__/*.nbi"):
            source = index.parent.parent / f"{index.name.partition('.')[0]}.py"
            copy = path / source.relative_to(self.repo)
            if not (source.exists() and copy.exists() and source.read_bytes() == copy.read_bytes()):
                continue
            before, code = index.read_bytes(), sorted(index.parent.glob(f"{index.stem}.*.nbc"))
            if any(time.time() - each.stat().st_mtime < SETTLED_S for each in (index, *code)):
                continue
            folder = copy.parent / "__pycache__"
            folder.mkdir(exist_ok=True)
            for each in code:
                shutil.copyfile(each, folder / each.name)
            if index.read_bytes() == before:
                (folder / index.name).write_bytes(before)

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
