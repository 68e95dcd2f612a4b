"""What the DVC cache may lose: all that no commit, no workspace and no running stage needs.

`dvc gc` asks for the working tree of one checkout and for branches; runs in other worktrees, and versions registered
from a commit that is no longer the last of a branch, would lose their tables. Here the `dvc.lock` of every commit
counts, and of every workspace, and what was written within the last days.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: What a stage has just written is in no `dvc.lock` yet; what a failed run has made may be wanted by its second try
GRACE_DAYS = 7.0
_DIGEST = re.compile(r"\bmd5: ([0-9a-f]{32})(\.dir)?\s*$", re.MULTILINE)
_DAY_S = 86_400.0


@dataclass(frozen=True)
class Cleaned:
    files: int
    bytes: int


def clean_cache(repo: Path, workspaces: Iterable[Path], grace_days: float = GRACE_DAYS) -> Cleaned:
    """Remove from a checkout's own cache what nothing needs; a cache that the machine chose elsewhere is left alone.

    Afterwards it holds what the commits of all branches, tags and experiments name, what lies in `workspaces` and in
    the checkout, and what is younger than `grace_days`.

    Parameters
    ----------
    repo : the checkout
    workspaces : roots of the runs that share its cache
    """
    objects = repo / ".dvc" / "cache" / "files" / "md5"
    config = repo / ".dvc" / "config.local"
    if not objects.is_dir() or (config.exists() and re.search(r"^\s*dir\s*=", config.read_text("utf-8"), re.MULTILINE)):
        return Cleaned(0, 0)
    locks = [path.read_text("utf-8") for root in (repo, *workspaces) if (path := root / "dvc.lock").exists()]
    needed = _needed("\n".join([*locks, *_committed_locks(repo)]), objects)
    before, files, size = time.time() - grace_days * _DAY_S, 0, 0
    for path in objects.glob("??/*"):
        if path.parent.name + path.name in needed:
            continue
        status = path.stat()
        if status.st_mtime < before:
            path.unlink()
            files, size = files + 1, size + status.st_size
    return Cleaned(files, size)


def _needed(locks: str, objects: Path) -> set[str]:
    """Names of the objects that locks speak of; a folder's object names those of its files."""
    needed: set[str] = set()
    for digest, folder in set(_DIGEST.findall(locks)):
        needed.add(digest + folder)
        content = objects / digest[:2] / (digest[2:] + folder)
        if folder and content.exists():
            needed |= {each["md5"] for each in json.loads(content.read_text("utf-8"))}
    return needed


def _committed_locks(repo: Path) -> list[str]:
    """Every text that `dvc.lock` has had in any commit."""
    listed = _git(repo, "rev-list", "--all", "--objects", "--", "dvc.lock").splitlines()
    blobs = [line.split()[0] for line in listed if line.endswith(" dvc.lock")]
    return [_git(repo, "cat-file", "--batch", given="\n".join(blobs) + "\n")] if blobs else []


def _git(folder: Path, *arguments: str, given: str | None = None) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, check=True).stdout
