"""What a finished run was made from, proved: its files against `dvc.lock`, `dvc.lock` against the commit.

A clean checkout proves nothing about the tables beside it: a run with other numbers may have left them there, and
`git checkout` put `params.yaml` and `dvc.lock` back. So every file that is registered must have the hash that
`dvc.lock` holds; and where the commit holds that very `dvc.lock`, the commit's parameters, stages and sources must be
those it was written with. Hashes are computed anew, DVC's memory of sizes and times is not believed.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.domain.errors import TradeSageError
from pipelines.params import Params, load_params
from pipelines.paths import Paths

DATA = "data/"  #: no commit holds what is in it
AGAIN = "run `dvc repro`, commit params.yaml and dvc.lock, and register again"


class NotOfThisRun(TradeSageError):
    """What is to be registered is not what the run's `dvc.lock`, or its commit, makes."""


@dataclass(frozen=True)
class Provenance:
    """What a finished run was made from."""

    params: Params
    commit: str | None  #: makes this very run; None outside git, or where it does not hold params.yaml and dvc.lock
    locked: Mapping[Path, str] | None  #: outputs whose content is proved, with their hashes; None without dvc.lock

    def proves(self, path: Path) -> bool:
        """Whether a file or folder is what the stages wrote; without `dvc.lock` that is taken on trust."""
        return self.locked is None or _is_made(path, list(self.locked))

    def prove_again(self, *paths: Path) -> None:
        """Raises NotOfThisRun if one of these changed since, as by a run that goes on meanwhile."""
        hashes = _Hashes()
        for out, locked in (self.locked or {}).items():
            if any(_is_made(path, [out]) for path in paths) and hashes.of(out) != locked:
                raise NotOfThisRun(f"{out} changed while it was registered; let the run end, and register again")


def provenance_of(paths: Paths) -> Provenance:
    """What the run in a workspace was made from.

    Raises
    ------
    NotOfThisRun : names the stage and what differs.
    NotFound, BadParams : if there is no params.yaml, or it is wrong.
    """
    params = load_params(paths.root / "params.yaml")
    if not (paths.root / "dvc.lock").exists() or not (paths.root / ".dvc").exists():
        return Provenance(params, None, None)
    commit = commit_of(paths.root)
    if commit is not None and not all(_as_committed(paths.root, commit, name) for name in ("params.yaml", "dvc.lock")):
        commit = None
    with _stages(paths.root, commit) as stages:
        where = f"the dvc.lock of commit {commit[:12]}" if commit else "dvc.lock"
        hashes = _Hashes()
        for stage in stages:
            _compare_recipe(stage, where)
        outs = [out for stage in stages for out in _outs(paths.root, stage)]
        for stage in stages:
            _compare_outs(paths.root, stage, where, hashes)
        for stage in stages:
            _compare_made(paths.root, stage, outs, where, hashes)
            if commit is not None:
                _compare_sources(paths.root, stage, outs, where, data=str(params.ingest.folder))
        known = {paths.root / out.def_path: str(out.hash_info.value) for stage in stages for out in stage.outs}
    locked = Provenance(params, commit, known)
    for path in (paths.bundle, paths.reports / "evaluation.json", paths.verdicts, paths.snapshot):
        if not locked.proves(path):
            raise NotOfThisRun(f"{path} is no output of a stage in {where}; {AGAIN}")
    return locked


def commit_of(root: Path) -> str | None:
    """The git commit of a workspace; None outside git."""
    found = _git(root, "rev-parse", "--verify", "HEAD^{commit}")
    return found.decode().strip() if found is not None else None


def holds_commit(root: Path, commit: str) -> bool:
    """Whether a commit is in the repository of a workspace."""
    return _git(root, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def _as_committed(root: Path, commit: str, name: str) -> bool:
    """Whether a file is byte for byte what the commit holds; git's own word can be told to overlook changes."""
    return _git(root, "show", f"{commit}:./{name}") == (root / name).read_bytes()


def _git(root: Path, *arguments: str) -> bytes | None:
    done = subprocess.run(("git", "--no-replace-objects", *arguments), cwd=root, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


@contextmanager
def _stages(root: Path, commit: str | None) -> Iterator[list[Any]]:
    """DVC's stages of the commit, or of the folder as it is; inside the block their sources are those of the commit."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(str(root)) as repo, repo.switch(commit or "workspace"):
            yield list(repo.index.stages)
    except (DvcException, SCMError) as error:
        reason = " ".join(str(error).split())[:300]
        raise NotOfThisRun(f"DVC cannot read the stages in {root} ({reason}); {AGAIN}") from error


def _compare_recipe(stage: Any, where: str) -> None:
    """The stage's command and parameters as the commit has them against those that it ran with."""
    if stage.cmd_changed:
        raise NotOfThisRun(f"{stage.name}: its command in dvc.yaml is not that of {where}; {AGAIN}")
    for dependency in stage.deps:
        if not _is_params(dependency):
            continue
        changed = {name: state for by_file in dependency.status().values() for name, state in _by_name(by_file)}
        if changed:
            named = ", ".join(f"{name} ({state})" for name, state in sorted(changed.items()))
            raise NotOfThisRun(f"{stage.name}: the parameters {named} are not those of {where}; {AGAIN}")


def _by_name(state: Any) -> list[tuple[str, str]]:
    return (
        [(str(name), str(word)) for name, word in state.items()] if isinstance(state, dict) else [("all", str(state))]
    )


def _compare_outs(root: Path, stage: Any, where: str, hashes: "_Hashes") -> None:
    """The files that a stage left against the hashes it left; what is not there is not registered either."""
    for out in stage.outs:
        path = root / out.def_path
        if not out.hash_info:
            raise NotOfThisRun(f"{stage.name}: {where} has no result of it; {AGAIN}")
        if path.exists():
            _compare(stage.name, out.def_path, hashes.of(path), out.hash_info.value, where)


def _compare_made(root: Path, stage: Any, outs: list[Path], where: str, hashes: "_Hashes") -> None:
    """What a stage read of other stages against what they left."""
    for dependency in stage.deps:
        path = root / dependency.def_path
        if not _is_params(dependency) and _is_made(path, outs) and path.exists():
            found, locked = hashes.of(path), dependency.hash_info.value
            _compare(stage.name, f"its input {dependency.def_path}", found, locked, where)


def _compare_sources(root: Path, stage: Any, outs: list[Path], where: str, data: str) -> None:
    """What a stage read of the sources against what the commit holds."""
    for dependency in stage.deps:
        name = dependency.def_path
        if _is_params(dependency) or _is_made(root / name, outs) or _is_data(name, data):
            continue
        found = dependency.get_hash().value if dependency.exists else None
        _compare(stage.name, f"its source {name} as committed", found, dependency.hash_info.value, where)


def _is_params(dependency: Any) -> bool:
    from dvc.dependency.param import ParamsDependency

    return isinstance(dependency, ParamsDependency)


def _is_made(path: Path, outs: list[Path]) -> bool:
    return any(path == out or out in path.parents for out in outs)


def _is_data(path: str, folder: str) -> bool:
    """Whether a dependency is data: what `ingest` read of it is among the outputs, which are compared."""
    return path == folder or path.startswith(DATA) or Path(path).is_absolute() or path.startswith("..")


def _outs(root: Path, stage: Any) -> list[Path]:
    return [root / out.def_path for out in stage.outs]


def _compare(stage: str, what: str, found: str | None, locked: str | None, where: str) -> None:
    if found != locked:
        raise NotOfThisRun(
            f"{stage}: {what} is not what {where} holds (md5 {_short(found)}, locked {_short(locked)}); {AGAIN}"
        )


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "none"


class _Hashes:
    """DVC's hashes of files and folders, each computed once."""

    def __init__(self) -> None:
        from dvc.fs import LocalFileSystem
        from dvc_data.hashfile.db import HashFileDB

        self._files = LocalFileSystem()
        self._nowhere = HashFileDB(self._files, "/")  # nothing is stored in it
        self._known: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        from dvc_data.hashfile.build import build

        if path not in self._known:
            content = build(self._nowhere, str(path), self._files, "md5", dry_run=True)[2]
            self._known[path] = str(content.hash_info.value)
        return self._known[path]
