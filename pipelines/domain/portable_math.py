"""Logarithm, exponential and their kin with the same bits on every processor.

They are made of additions, multiplications, divisions and square roots alone, one after another: IEEE 754 rounds each
of these alike everywhere. The C library's and numpy's own take another way where a processor has wider registers or
fused multiplications, and differ in the last bit. What is stored, fitted or judged is computed with these.

Compiled code calls the scalar functions; `logs`, `exps`, `tanhs` take arrays. Errors stay within two units in the last
place.

References
----------
Sun Microsystems (1993), fdlibm: the reductions and minimax polynomials of `log`, `exp`, `sin` and `cos`. Moshier
(1989), Methods and Programs for Mathematical Functions: the rational function of `tanh`. Marsaglia (2004), Evaluating
the Normal Distribution, Journal of Statistical Software 11(4)..
"""

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pipelines.domain.compiled import kept

LN_2 = 0.6931471805599453
_LN_2_HIGH, _LN_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_HALF_PI_HIGH, _HALF_PI_LOW = 1.57079632673412561417e00, 6.07710050650619224932e-11  # the first has 33 bits
_ROOT_2 = 1.4142135623730951
_LARGEST, _LEAST = 709.782712893384, -745.1332191019411  #: beyond them e^x is infinite, or zero
_MANTISSA, _ONE = 0x000FFFFFFFFFFFFF, 0x3FF0000000000000


@intrinsic
def _bits(typingctx, value):  # type: ignore[no-untyped-def]
    """The 64 bits of a float as an integer."""
    return types.int64(types.float64), lambda _, builder, __, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def _from_bits(typingctx, value):  # type: ignore[no-untyped-def]
    return types.float64(types.int64), lambda _, builder, __, args: builder.bitcast(args[0], ir.DoubleType())


@kept(error_model="numpy")
def log(value):
    """Natural logarithm; -inf at 0, NaN below."""
    if not value > 0.0:
        return -math.inf if value == 0.0 else math.nan
    if value == math.inf:
        return value
    power = 0
    if value < 2.2250738585072014e-308:  # a number with fewer bits than the others
        value, power = value * 18014398509481984.0, -54
    bits: int = _bits(value)  # type: ignore[call-arg]
    power += (bits >> 52) - 1023
    part: float = _from_bits((bits & _MANTISSA) | _ONE)  # type: ignore[call-arg]
    if part > _ROOT_2:
        part, power = part * 0.5, power + 1
    f = part - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    half = 0.5 * f * f
    return power * _LN_2_HIGH - ((half - (s * (half + even + odd) + power * _LN_2_LOW)) - f)


@kept(error_model="numpy")
def _power_of_two(power):
    return _from_bits((power + 1023) << 52)  # type: ignore[call-arg]


@kept(error_model="numpy")
def exp(value):
    """e to the power of a value."""
    if value != value:
        return value
    if value > _LARGEST:
        return math.inf
    if value < _LEAST:
        return 0.0
    power = int(1.4426950408889634 * value + (0.5 if value >= 0.0 else -0.5))
    high, low = value - power * _LN_2_HIGH, power * _LN_2_LOW
    r = high - low
    t = r * r
    c = r - t * (
        1.66666666666666019037e-01
        + t
        * (
            -2.77777777770155933842e-03
            + t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))
        )
    )
    near_one = 1.0 - ((low - r * c / (2.0 - c)) - high)
    half = power >> 1  # in two steps, since 2^1024 and 2^-1074 are no normal numbers
    return near_one * _power_of_two(half) * _power_of_two(power - half)


@kept(error_model="numpy")
def tanh(value):
    """Hyperbolic tangent."""
    size = abs(value)
    if size > 22.0:
        return 1.0 if value > 0.0 else -1.0
    if size >= 0.625:
        far = 1.0 - 2.0 / (exp(2.0 * size) + 1.0)
        return far if value > 0.0 else -far
    z = value * value
    above = (-9.64399179425052238628e-1 * z - 9.92877231001918586564e1) * z - 1.61468768441708447952e3
    below = ((z + 1.12811678491632931402e2) * z + 2.23548839060100448583e3) * z + 4.84406305325125486048e3
    return value + value * z * (above / below)


@kept(error_model="numpy")
def _sin_cos(angle):
    quarter = int(angle * 0.6366197723675814 + (0.5 if angle >= 0.0 else -0.5))
    r = (angle - quarter * _HALF_PI_HIGH) - quarter * _HALF_PI_LOW
    z = r * r
    sine = r + r * z * (
        -1.66666666666666324348e-01
        + z
        * (
            8.33333333332248946124e-03
            + z
            * (
                -1.98412698298579493134e-04
                + z * (2.75573137070700676789e-06 + z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10))
            )
        )
    )
    tail = (
        z
        * z
        * (
            4.16666666666666019037e-02
            + z
            * (
                -1.38888888888741095749e-03
                + z
                * (
                    2.48015872894767294178e-05
                    + z
                    * (-2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 - z * 1.13596475577881948265e-11))
                )
            )
        )
    )
    cosine = 1.0 - (0.5 * z - tail)
    turned = quarter & 3
    if turned == 0:
        return sine, cosine
    if turned == 1:
        return cosine, -sine
    return (-sine, -cosine) if turned == 2 else (-cosine, sine)


@kept(error_model="numpy")
def sin(angle):
    """Sine of an angle in radians, within some hundred turns."""
    return _sin_cos(angle)[0]


@kept(error_model="numpy")
def cos(angle):
    """Cosine of an angle in radians, within some hundred turns."""
    return _sin_cos(angle)[1]


def halving(half_life: float) -> float:
    """What is left after one step of what halves in `half_life` steps."""
    return exp(-LN_2 / half_life)


@kept(error_model="numpy")
def normal_cdf(value):
    """Probability that a standard normal variable is below a value: the error is under 1e-15."""
    if value != value:
        return value
    if abs(value) > 38.0:
        return 1.0 if value > 0.0 else 0.0
    density = 0.3989422804014327 * exp(-0.5 * value * value)
    size = abs(value)
    if size < 4.0:
        term, total, odd = size, size, 1.0
        while total + term != total:
            odd += 2.0
            term *= size * size / odd
            total += term
        half = density * total
        return 0.5 + half if value > 0.0 else 0.5 - half
    fraction = size  # the tail as a continued fraction, from its end
    for k in range(120, 0, -1):
        fraction = size + k / fraction
    tail = density / fraction
    return 1.0 - tail if value > 0.0 else tail


def normal_quantile(probability: float) -> float:
    """The value below which a standard normal variable is with a probability inside of (0, 1), by bisection."""
    low, high = -39.0, 39.0
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        low, high = (middle, high) if normal_cdf(middle) < probability else (low, middle)


def logs(values):  # type: ignore[no-untyped-def]
    """`log` of each value of an array, whatever its shape; a plain number gives a plain number."""
    return _each(_logs, values)


def exps(values):  # type: ignore[no-untyped-def]
    """`exp` of each value of an array."""
    return _each(_exps, values)


def tanhs(values):  # type: ignore[no-untyped-def]
    """`tanh` of each value of an array."""
    return _each(_tanhs, values)


def _each(loop: Callable[[np.ndarray, np.ndarray], None], values):  # type: ignore[no-untyped-def]
    given = np.ascontiguousarray(values, dtype=np.float64)
    out = np.empty(np.shape(values))
    loop(given.reshape(-1), out.reshape(-1))
    return out if out.ndim else float(out)


@kept(error_model="numpy")
def _logs(values, out):
    for i in range(len(values)):
        out[i] = log(values[i])


@kept(error_model="numpy")
def _exps(values, out):
    for i in range(len(values)):
        out[i] = exp(values[i])


@kept(error_model="numpy")
def _tanhs(values, out):
    for i in range(len(values)):
        out[i] = tanh(values[i])


@kept(error_model="numpy")
def whiteners(covariances):
    """The inverse of each covariance's Cholesky factor, and the logarithm of that inverse's determinant.

    Parameters
    ----------
    covariances : array of shape (n, d, d), symmetric

    Returns
    -------
    lower triangles of shape (n, d, d), logarithms of shape (n,); NaN where a covariance is not positive definite
    """
    count, d = covariances.shape[0], covariances.shape[1]
    inverses, logarithms = np.zeros((count, d, d)), np.zeros(count)
    factor = np.zeros((d, d))
    for n in range(count):
        for i in range(d):
            for j in range(i + 1):
                left = covariances[n, i, j]
                for k in range(j):
                    left -= factor[i, k] * factor[j, k]
                factor[i, j] = math.sqrt(left) if i == j else left / factor[j, j]
        for i in range(d):
            inverses[n, i, i] = 1.0 / factor[i, i]
            logarithms[n] -= log(factor[i, i])
            for j in range(i):
                summed = 0.0
                for k in range(j, i):
                    summed += factor[i, k] * inverses[n, k, j]
                inverses[n, i, j] = -summed * inverses[n, i, i]
    return inverses, logarithms
