"""Calendar: minute of the day, day of the week and month as points of a circle, so that neighbours stay near."""

import math

from pipelines.features.catalogue import AT
from pipelines.features.state import IN
from pipelines.features.windows import compiled

MINUTES_PER_DAY = 1440.0


@compiled
def write(bar, out):
    minute = 2.0 * math.pi * bar[IN.minute] / MINUTES_PER_DAY
    weekday = 2.0 * math.pi * bar[IN.weekday] / 7.0
    month = 2.0 * math.pi * (bar[IN.month] - 1.0) / 12.0
    out[AT.minute_sine] = math.sin(minute)
    out[AT.minute_cosine] = math.cos(minute)
    out[AT.weekday_sine] = math.sin(weekday)
    out[AT.weekday_cosine] = math.cos(weekday)
    out[AT.month_sine] = math.sin(month)
    out[AT.month_cosine] = math.cos(month)
