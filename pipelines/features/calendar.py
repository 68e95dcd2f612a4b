"""Calendar: minute of the day, day of the week and month as points of a circle, so that neighbours stay near."""

import math

import numpy as np

from pipelines.domain.portable_math import cos, sin
from pipelines.features.definition import family, row_of
from pipelines.features.windows import compiled

FEATURES = family(
    "calendar",
    [
        ("minute_sine", 0, "of the day's circle", "at the bar's close", "minute of the day"),
        ("minute_cosine", 0, "of the day's circle", "at the bar's close", "minute of the day"),
        (
            "weekday_sine",
            0,
            "of the week's circle",
            "French (1980), Journal of Financial Economics 8(1)",
            "day of the week",
        ),
        (
            "weekday_cosine",
            0,
            "of the week's circle",
            "French (1980), Journal of Financial Economics 8(1)",
            "day of the week",
        ),
        (
            "month_sine",
            0,
            "of the year's circle",
            "Rozeff and Kinney (1976), Journal of Financial Economics 3(4)",
            "month of the year",
        ),
        (
            "month_cosine",
            0,
            "of the year's circle",
            "Rozeff and Kinney (1976), Journal of Financial Economics 3(4)",
            "month of the year",
        ),
    ],
)
ROW = row_of(FEATURES)
STATE = ()


def _circle(points: int) -> np.ndarray:
    """Sine and cosine of every point of a circle, shape (points, 2)."""
    angles = [2.0 * math.pi * point / points for point in range(points)]
    return np.array([(sin(angle), cos(angle)) for angle in angles])


MINUTES, WEEKDAYS, MONTHS = _circle(24 * 60), _circle(7), _circle(12)


@compiled
def write(s, bar, out):
    minute, weekday, month = int(bar.minute), int(bar.weekday), int(bar.month) - 1
    out.minute_sine, out.minute_cosine = MINUTES[minute, 0], MINUTES[minute, 1]
    out.weekday_sine, out.weekday_cosine = WEEKDAYS[weekday, 0], WEEKDAYS[weekday, 1]
    out.month_sine, out.month_cosine = MONTHS[month, 0], MONTHS[month, 1]
