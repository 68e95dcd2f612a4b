"""Functions of one's own: as exact as the C library's, and nothing in the pipeline goes round them."""

import ast
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from pipelines.domain import portable_math
from pipelines.domain.portable_math import exps, halving, logs, normal_cdf, normal_quantile, tanhs, whiteners
from tests.conftest import ROOT

RANDOM = np.random.default_rng(11)
NORMAL = NormalDist()
#: What BLAS, LAPACK, numpy's vector units or the C library compute, each processor in its own way
ELSEWHERE = {
    *("exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp", "power", "float_power", "pow", "cbrt"),
    *("sin", "cos", "tan", "arctan", "arctan2", "atan", "atan2", "sinh", "cosh", "tanh", "hypot", "erf", "erfc"),
    *("gamma", "lgamma", "dot", "matmul", "einsum", "inner", "vdot", "tensordot", "cov", "corrcoef", "polyfit"),
    *("convolve", "correlate", "linalg", "cdf", "inv_cdf", "corr"),
}
LIBRARIES = {"np", "math", "scipy", "special", "stats", "linalg"}
#: Places where it changes nothing, with the reason
ALLOWED = {
    ("features/selection.py", "@"): "sums of whole numbers below 2^53 are exact in any order",
    ("regimes/fit.py", "linalg"): "the name of an error",
}


def last_places(found: np.ndarray, right: np.ndarray) -> float:
    return float(np.max(np.abs(found - right) / np.spacing(np.abs(right))))


@pytest.mark.parametrize(
    ("ours", "theirs", "values"),
    [
        (logs, np.log, np.r_[RANDOM.uniform(1e-3, 3, 20_000), 10 ** RANDOM.uniform(-300, 300, 20_000), 5e-324, 1e-310]),
        (exps, np.exp, np.r_[RANDOM.uniform(-708, 709, 20_000), RANDOM.uniform(-1, 1, 20_000), 0.0]),
        (tanhs, np.tanh, np.r_[RANDOM.uniform(-30, 30, 20_000), RANDOM.uniform(-1, 1, 20_000), 1e-20, 0.625]),
        (np.vectorize(portable_math.sin), np.sin, RANDOM.uniform(0.1, 3.0, 5_000)),
        (np.vectorize(portable_math.cos), np.cos, RANDOM.uniform(-1.5, 1.5, 5_000)),
    ],
    ids=["log", "exp", "tanh", "sin", "cos"],
)
def test_values_are_within_two_units_in_the_last_place(ours, theirs, values):
    assert last_places(ours(values), theirs(values)) <= 2.0


def test_edges_are_those_of_the_c_library():
    edges = np.array([0.0, -1.0, math.nan, math.inf, 1.0])

    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(logs(edges), np.log(edges))
    np.testing.assert_array_equal(exps([800.0, -800.0, math.nan, 0.0, -math.inf]), [math.inf, 0.0, math.nan, 1.0, 0.0])
    np.testing.assert_array_equal(tanhs([math.nan, 0.0, 100.0, -math.inf]), [math.nan, 0.0, 1.0, -1.0])


def test_a_plain_number_gives_a_plain_number_and_a_table_its_shape():
    assert isinstance(logs(2.0), float)
    assert exps(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("half_life", [0.5, 1.0, 36.0, 10_000.0])
def test_a_half_is_left_after_the_half_life(half_life):
    assert halving(half_life) ** half_life == pytest.approx(0.5, rel=1e-12)


@pytest.mark.parametrize("value", [-12.0, -4.5, -4.0, -1.96, 0.0, 0.3, 3.99, 4.01, 8.0])
def test_the_normal_distribution_is_that_of_the_tables(value):
    tail = math.erfc(-value / math.sqrt(2.0)) / 2.0

    assert normal_cdf(value) == pytest.approx(tail, rel=1e-12)


@pytest.mark.parametrize("probability", [1e-9, 0.01, 0.5, 0.95, 1 - 1 / 20, 1 - 1e-6])
def test_the_quantile_is_the_inverse_of_the_distribution(probability):
    assert normal_quantile(probability) == pytest.approx(NORMAL.inv_cdf(probability), abs=1e-9)


def test_whiteners_invert_the_factor_of_a_covariance():
    drawn = RANDOM.standard_normal((5, 3, 40))
    covariances = np.stack([each @ each.T / 40 for each in drawn])

    factors, logarithms = whiteners(covariances)

    for covariance, factor, logarithm in zip(covariances, factors, logarithms, strict=True):
        np.testing.assert_allclose(factor @ covariance @ factor.T, np.eye(3), atol=1e-12)
        assert logarithm == pytest.approx(-0.5 * np.linalg.slogdet(covariance)[1])


def test_a_covariance_that_is_none_has_no_whitener():
    _, logarithms = whiteners(np.array([[[1.0, 2.0], [2.0, 1.0]]]))

    assert math.isnan(logarithms[0])


@pytest.mark.parametrize("compiled", ["_logs", "_exps", "_tanhs", "whiteners", "normal_cdf"])
def test_machine_code_fuses_no_multiplication_and_calls_no_library(compiled):
    from numba import njit

    function = njit(error_model="numpy")(getattr(portable_math, compiled).py_func)  # anew: kept code cannot be read
    function(*ARGUMENTS[compiled])

    (text,) = function.inspect_asm().values()
    assert "vfm" not in text
    assert "vfnm" not in text
    assert not any(f"${name}," in text for name in ("exp", "log", "pow", "tanh"))


ARGUMENTS = {
    "_logs": (np.ones(3), np.ones(3)),
    "_exps": (np.ones(3), np.ones(3)),
    "_tanhs": (np.ones(3), np.ones(3)),
    "whiteners": (np.eye(2)[None],),
    "normal_cdf": (0.3,),
}


def test_nothing_in_the_pipeline_goes_round_them():
    folder = ROOT / "pipelines"
    found = [
        (str(path.relative_to(folder)), what, line)
        for path in sorted(folder.rglob("*.py"))
        for what, line in strange_mathematics(path)
    ]

    assert [each for each in found if each[:2] not in ALLOWED] == []


def strange_mathematics(path: Path) -> list[tuple[str, int]]:
    """Calls of `ELSEWHERE`, matrix products, and powers: the C library's square is no product."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ELSEWHERE and _library(node):
            found.append((node.attr, node.lineno))
        if isinstance(node, ast.ImportFrom) and node.module in ("math", "numpy"):
            found += [(each.name, node.lineno) for each in node.names if each.name in ELSEWHERE]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.append(("@", node.lineno))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and not _plain(node):
            found.append(("**", node.lineno))
    return found


def _library(node: ast.Attribute) -> bool:
    base = node.value
    while isinstance(base, ast.Attribute):
        base = base.value
    return isinstance(base, ast.Name) and (base.id in LIBRARIES or node.attr in ("corr", "cdf", "inv_cdf"))


def _plain(node: ast.BinOp) -> bool:
    return isinstance(node.left, ast.Constant) and node.left.value in (2, 2.0, 10)  # exact, or of whole numbers
