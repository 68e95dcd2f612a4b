"""A run on processors of other makes: BLAS kernels, numpy's and the C library's vector units, numbers of threads.

One machine shows them all: each library can be told to take the code that it has for another processor.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.stages import STAGES

#: Code of libm for processors without fused multiplication
OLD_LIBM = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F"}
PROCESSORS = {
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
    "Sandybridge": {"OPENBLAS_CORETYPE": "Sandybridge", **OLD_LIBM},
    "Prescott": {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1", **OLD_LIBM},
}
#: Vector units that numpy is told to do without
NUMPY_WITHOUT = {"Haswell": ("AVX512",), "Sandybridge": ("AVX512", "AVX2")}
#: All stages run on the most unlike of them, those that fit on all
STAGES_OF = {"Sandybridge": STAGES}
FITS = STAGES[STAGES.index("regimes") :]
RUN = "import sys; from pipelines.__main__ import main; sys.exit(max(main([stage]) for stage in sys.argv[1:]))"


def numpy_features(families: tuple[str, ...]) -> str:
    """Names of numpy's own that stand for the families, whatever the release calls them."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    of_family = {"AVX512": ("AVX512", "X86_V4"), "AVX2": ("AVX2", "FMA3", "X86_V3")}
    names = tuple(name for family in families for name in of_family[family])
    return " ".join(each for each in __cpu_dispatch__ if each.startswith(names) and __cpu_features__.get(each))


def tables_of(root: Path) -> dict[str, bytes]:
    """The bytes of every table, model and figure of a run; not the pages for people."""
    folders = (root / "data", root / "reports")
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in KINDS)
    return {str(path.relative_to(root)): path.read_bytes() for path in files if "data_docs" not in path.parts}


KINDS = {".parquet", ".json", ".csv", ".txt"}


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_table_model_and_figure_is_the_same(small_run, tmp_path, processor):
    (made, _), there, stages = small_run, tmp_path / "there", STAGES_OF.get(processor, FITS)
    there.mkdir()
    shutil.copyfile(made.root / "params.yaml", there / "params.yaml")
    if stages is FITS:
        for folder in ("00_world", "01_raw", "02_validated", "03_features"):
            shutil.copytree(made.data / folder, there / "data" / folder)
        shutil.copytree(made.reports, there / "reports")

    environment = os.environ | PROCESSORS[processor]
    environment |= {"NPY_DISABLE_CPU_FEATURES": numpy_features(NUMPY_WITHOUT.get(processor, ()))}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *stages], cwd=there, env=environment, capture_output=True, text=True, timeout=280
    )

    assert done.returncode == 0, done.stderr[-2000:]
    expected, found = tables_of(made.root), tables_of(there)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_each_processor_has_a_kernel_of_its_own():
    say = "import numpy, threadpoolctl; print(threadpoolctl.threadpool_info()[0]['architecture'])"

    used = {
        name: subprocess.run(
            [sys.executable, "-c", say], env=os.environ | PROCESSORS[name], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in PROCESSORS
    }

    assert used["Haswell"] == "Haswell"
    assert used["Sandybridge"] == "Sandybridge"
    assert used["Prescott"] not in ("Haswell", "Sandybridge")  # OpenBLAS tells the oldest kernels by other names
