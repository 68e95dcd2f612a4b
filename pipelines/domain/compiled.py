"""Machine code that numba keeps: found again by the text it was made from, in every workspace of a checkout.

Numba looks at the file of the outermost function alone, and keeps the code beside it: an edit of a function that is
called from another file goes unseen, and each new workspace compiles anew, for a minute. So a kept version carries a
stamp of all modules that its own imports, directly or not, and lies in `.tradesage/compiled` of the checkout, to which
a run's workspace has a link.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core.caching import _CacheLocator, _SourceFileBackedLocatorMixin

PACKAGE = Path(__file__).resolve().parents[1]
#: Below the checkout, where `NUMBA_CACHE_DIR` names no other place
FOLDER = Path(".tradesage", "compiled")
#: Versions of a module that are kept, those used last; one takes up to 3 MB
KEPT_VERSIONS = 8
_IMPORT = re.compile(r"^\s*from (pipelines[\w.]*) import (\([^)]*\)|[^\n]*)|^\s*import (pipelines[\w.]*)", re.MULTILINE)


def kept_code(root: Path) -> Path:
    """Where the machine code of a checkout's, or a workspace's, processes is kept."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    return Path(elsewhere) if elsewhere else root / FOLDER


class KeptCode(_SourceFileBackedLocatorMixin, _CacheLocator):  # type: ignore[misc]
    """Where numba keeps the code of this package's functions; others are left to numba's own places."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        del py_func
        self._module = Path(py_file).resolve()
        self._versions = kept_code(PACKAGE.parent) / ".".join(self._module.relative_to(PACKAGE).with_suffix("").parts)
        self._path = self._versions / stamp(self._module)[:16]

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "KeptCode | None":
        if not Path(py_file).resolve().is_relative_to(PACKAGE):
            return None
        located: KeptCode | None = super().from_function(py_func, py_file)
        return located

    def ensure_cache_path(self) -> None:
        if not self._path.exists():
            super().ensure_cache_path()
            keep_latest(self._versions, KEPT_VERSIONS)
        (self._path / ".used").touch()  # of the versions that are kept this is the newest

    def get_cache_path(self) -> str:
        return str(self._path)

    def get_source_stamp(self) -> str:
        return stamp(self._module)

    def get_disambiguator(self) -> str:
        return "all"  # a version of a module has each name once


def keep_latest(versions: Path, count: int) -> None:
    """Remove all but the `count` folders that were used last."""

    def used(folder: Path) -> float:
        mark = folder / ".used"
        return mark.stat().st_mtime if mark.exists() else folder.stat().st_mtime

    for old in sorted((each for each in versions.iterdir() if each.is_dir()), key=used, reverse=True)[count:]:
        shutil.rmtree(old, ignore_errors=True)


@cache
def stamp(module: Path) -> str:
    """A digest of a module's text and of all modules of this package that it imports, directly or not."""
    digest, seen, waiting = hashlib.sha256(), {module}, [module]
    while waiting:
        text, found = _text_and_imports(waiting.pop())
        digest.update(text)
        fresh = sorted(found - seen)
        seen |= found
        waiting += fresh
    return digest.hexdigest()


@cache
def _text_and_imports(module: Path) -> tuple[bytes, frozenset[Path]]:
    text = module.read_bytes()
    found: set[Path] = set()
    for source, names, whole in _IMPORT.findall(text.decode()):
        parts = (source or whole).split(".")[1:]
        found.add(PACKAGE.joinpath(*parts).with_suffix(".py") if parts else PACKAGE / "__init__.py")
        found |= {PACKAGE.joinpath(*parts, f"{name}.py") for name in re.findall(r"\w+", names)}
    return text, frozenset(each for each in found if each.is_file())


_LOCATORS = f"{__name__}.{KeptCode.__name__},InTreeCacheLocator,UserWideCacheLocator"
_settings: Any = numba.config  # its names are made when it is imported


def kept(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's `njit` for a function whose machine code is kept between processes; options as of `njit`."""
    _settings.CACHE_LOCATOR_CLASSES = _LOCATORS  # numba reads it when a function asks to be kept
    decorate: Callable[[Callable[..., Any]], Any] = njit(cache=True, **options)
    return decorate
