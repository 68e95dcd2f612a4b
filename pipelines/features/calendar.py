"""Calendar: minute of the day, day of the week and month as points of a circle, so that neighbours stay near."""

import math

from pipelines.features.definition import family, places
from pipelines.features.state import IN
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
AT = places(FEATURES)
STATE = ()

MINUTES_PER_DAY = 1440.0


@compiled
def write(s, bar, market, out):
    minute = 2.0 * math.pi * bar[IN.minute] / MINUTES_PER_DAY
    weekday = 2.0 * math.pi * bar[IN.weekday] / 7.0
    month = 2.0 * math.pi * (bar[IN.month] - 1.0) / 12.0
    out[AT.minute_sine] = math.sin(minute)
    out[AT.minute_cosine] = math.cos(minute)
    out[AT.weekday_sine] = math.sin(weekday)
    out[AT.weekday_cosine] = math.cos(weekday)
    out[AT.month_sine] = math.sin(month)
    out[AT.month_cosine] = math.cos(month)
