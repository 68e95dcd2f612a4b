"""Ways in which real files go bad: small cuts of them, and seeded mutations that know which rows they touch."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from tests.conftest import SHARED_DATA

#: Cuts of real files, by name: path below the shared data and the lines of the header
CUTS = {
    "INFY.csv": ("daily/nse_unadjusted/INFY.csv", 1),
    "MARUTI.csv": ("daily/bhavcopy_long/MARUTI.csv", 1),
    "RELIANCE.csv": ("daily/yahoo_shape/RELIANCE.csv", 3),
    "SBIN.parquet": ("daily/broker_adjusted/SBIN.parquet", 0),
    "ITC.parquet": ("daily/broker_adjusted/ITC.parquet", 0),
    "TCS_1min.csv": ("intraday/1min/TCS_2024JanFeb.csv", 1),
    "RELIANCE_5min.csv": ("intraday/5min/RELIANCE_yahoo_shape_2026.csv", 3),
    "RELIANCE_15min.parquet": ("intraday/15min/RELIANCE_2011_2020.parquet", 0),
}
ROWS = 260


def interval_of(name: str) -> str:
    """The interval of a cut's bars, as its name ends."""
    return Path(name).stem.partition("_")[2] or "day"


@dataclass(frozen=True)
class Mutation:
    """A corrupt file, and what may have become of its rows.

    `touched` are rows of the body, from 0 and of the clean file; None if any of them may be. A `subtle` mutation may
    leave numbers that are wrong and yet possible, or take rows off the end, which nobody can tell: then rows must at
    least be sound in themselves.
    """

    content: bytes
    touched: frozenset[int] | None
    subtle: bool = False


@cache
def cut_of(name: str) -> bytes:
    """The header and the last ROWS rows of a real file, as it was published."""
    place, header = CUTS[name]
    path = SHARED_DATA / Path(place)
    if name.endswith(".parquet"):
        return to_parquet(pd.read_parquet(path).tail(ROWS).reset_index(drop=True))
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join([*lines[:header], *lines[-ROWS:]])


def to_parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def body(name: str) -> tuple[list[bytes], list[bytes]]:
    lines = cut_of(name).splitlines(keepends=True)
    header = CUTS[name][1]
    return lines[:header], lines[header:]


def fields(name: str) -> dict[str, int]:
    """Place of each field of a bar in a CSV cut's rows."""
    names = [cell.strip().strip('"').lower() for cell in body(name)[0][0].decode().split(",")]
    if names[0] == "price":  # yfinance: the first column is named in the third line
        names[0] = "date"
    return {field: names.index(field) for field in ("date", "open", "high", "low", "close", "volume")}


def rewritten(name: str, rows: list[int], change: Callable[[dict[str, str], random.Random], None], seed: int) -> bytes:
    """The cut with some fields of some rows changed; `change` gets and alters one row by field."""
    head, lines = body(name)
    places, chance = fields(name), random.Random(seed)
    for row in rows:
        end = lines[row][len(lines[row].rstrip(b"\r\n")) :]
        cells = lines[row].decode().rstrip("\r\n").split(",")
        values = {field: cells[place] for field, place in places.items()}
        change(values, chance)
        for field, place in places.items():
            cells[place] = values[field]
        lines[row] = ",".join(cells).encode() + end
    return b"".join([*head, *lines])


# Fields of single rows ------------------------------------------------------------------------------------------------


def _set(field: str, text: str) -> Callable[[dict[str, str], random.Random], None]:
    def change(values: dict[str, str], _: random.Random) -> None:
        values[field] = text

    return change


def _swap(one: str, other: str) -> Callable[[dict[str, str], random.Random], None]:
    def change(values: dict[str, str], _: random.Random) -> None:
        values[one], values[other] = values[other], values[one]

    return change


def _times(field: str, factor: float) -> Callable[[dict[str, str], random.Random], None]:
    def change(values: dict[str, str], _: random.Random) -> None:
        values[field] = repr(float(values[field]) * factor)

    return change


def _negative(field: str) -> Callable[[dict[str, str], random.Random], None]:
    def change(values: dict[str, str], _: random.Random) -> None:
        values[field] = "-" + values[field]

    return change


#: By name: none of these rows may pass
WRONG_FIELDS = {
    **{f"{field} is {text!r}": _set(field, text) for field in ("open", "high", "low", "close")
       for text in ("0", "", "nan", "inf", "-inf", "1e308", "abc", "12..5", "\x00", "٣٤٥x")},
    **{f"volume is {text!r}": _set("volume", text) for text in ("-5", "abc", "1e300", "inf", "12.5")},
    **{f"{field} is negative": _negative(field) for field in ("open", "high", "low", "close")},
    **{f"date is {text!r}": _set("date", text) for text in ("", "garbage", "2023-02-30", "31/31/2023", "0000-00-00",
       "99999-01-01", "2099-01-05", "2023-13-01", "1e9", "NaT", "-1")},
    "date is a Sunday": _set("date", "2015-06-14"),
    "date is 1970": _set("date", "1970-01-01"),
    "high and low are swapped": _swap("high", "low"),
    "open and volume are swapped": _swap("open", "volume"),
    "high is a hundredth": _times("high", 0.01),
    "low is a hundredfold": _times("low", 100.0),
    "close is a tenfold": _times("close", 10.0),
}  # fmt: skip


def wrong_fields(name: str, kind: str, seed: int) -> Mutation:
    rows = sorted(random.Random(seed).sample(range(5, ROWS - 30), 3))
    return Mutation(rewritten(name, rows, WRONG_FIELDS[kind], seed), frozenset(rows))


# Whole rows -----------------------------------------------------------------------------------------------------------


def repeated(name: str, seed: int) -> Mutation:
    """A row stands twice, with other figures the second time."""
    head, lines = body(name)
    row = random.Random(seed).randrange(5, ROWS - 30)
    other = rewritten(name, [row], _times("close", 1.001), seed).splitlines(keepends=True)[len(head) + row]
    return Mutation(b"".join([*head, *lines[: row + 1], other, *lines[row + 1 :]]), frozenset({row}))


def repeated_exactly(name: str, seed: int) -> Mutation:
    head, lines = body(name)
    row = random.Random(seed).randrange(5, ROWS - 30)
    return Mutation(b"".join([*head, *lines[: row + 1], lines[row], *lines[row + 1 :]]), frozenset({row}))


def reordered(name: str, seed: int) -> Mutation:
    head, lines = body(name)
    random.Random(seed).shuffle(lines)
    return Mutation(b"".join([*head, *lines]), frozenset())


def backwards(name: str, _: int) -> Mutation:
    head, lines = body(name)
    return Mutation(b"".join([*head, *reversed(lines)]), frozenset())


def missing(name: str, seed: int) -> Mutation:
    head, lines = body(name)
    rows = set(random.Random(seed).sample(range(5, ROWS - 30), 4))
    return Mutation(b"".join([*head, *[line for i, line in enumerate(lines) if i not in rows]]), frozenset(rows))


def short_row(name: str, seed: int) -> Mutation:
    head, lines = body(name)
    row = random.Random(seed).randrange(5, ROWS - 30)
    lines[row] = b",".join(lines[row].split(b",")[:3]) + b"\n"
    return Mutation(b"".join([*head, *lines]), frozenset({row}))


def long_row(name: str, seed: int) -> Mutation:
    head, lines = body(name)
    row = random.Random(seed).randrange(5, ROWS - 30)
    lines[row] = lines[row].rstrip(b"\r\n") + b",7,8,9\n"
    return Mutation(b"".join([*head, *lines]), frozenset({row}))


def open_quote(name: str, seed: int) -> Mutation:
    head, lines = body(name)
    row = random.Random(seed).randrange(5, ROWS - 30)
    lines[row] = b'"' + lines[row]
    return Mutation(b"".join([*head, *lines]), None)


# The whole file -------------------------------------------------------------------------------------------------------


def flipped(name: str, seed: int) -> Mutation:
    """A few bits of the body flip."""
    chance, head = random.Random(seed), b"".join(body(name)[0])
    content = bytearray(cut_of(name))
    for _ in range(3):
        content[chance.randrange(len(head), len(content))] ^= 1 << chance.randrange(8)
    return Mutation(bytes(content), None, subtle=True)


def flipped_header(name: str, seed: int) -> Mutation:
    chance, head = random.Random(seed), b"".join(body(name)[0])
    content = bytearray(cut_of(name))
    content[chance.randrange(len(head))] ^= 1 << chance.randrange(7)
    return Mutation(bytes(content), None, subtle=True)


def truncated(name: str, seed: int) -> Mutation:
    content = cut_of(name)
    keep = random.Random(seed).randrange(len(content) // 3, len(content) - 1)
    return Mutation(content[:keep], None, subtle=True)


def delimited(by: bytes) -> Callable[[str, int], Mutation]:
    return lambda name, _: Mutation(cut_of(name).replace(b",", by), frozenset())


def encoded(encoding: str) -> Callable[[str, int], Mutation]:
    return lambda name, _: Mutation(cut_of(name).decode().encode(encoding), frozenset())


def ended(by: bytes) -> Callable[[str, int], Mutation]:
    def mutate(name: str, seed: int) -> Mutation:
        head, lines = body(name)
        chance = random.Random(seed)
        lines = [line.rstrip(b"\r\n") + (by if chance.random() < 0.5 else b"\n") for line in lines]
        return Mutation(b"".join([*head, *lines]), frozenset())

    return mutate


def dropped(field: str) -> Callable[[str, int], Mutation]:
    def mutate(name: str, _: int) -> Mutation:
        place = fields(name)[field]
        kept = [[cell for i, cell in enumerate(line.split(b",")) if i != place] for line in cut_of(name).splitlines()]
        return Mutation(b"\n".join(b",".join(cells) for cells in kept) + b"\n", None)

    return mutate


def renamed(field: str) -> Callable[[str, int], Mutation]:
    def mutate(name: str, _: int) -> Mutation:
        head, lines = body(name)
        cells = head[0].rstrip(b"\r\n").split(b",")
        cells[fields(name)[field]] = b"quux"
        return Mutation(b"".join([b",".join(cells) + b"\n", *head[1:], *lines]), None)

    return mutate


def headers_swapped(one: str, other: str) -> Callable[[str, int], Mutation]:
    def mutate(name: str, _: int) -> Mutation:
        head, lines = body(name)
        cells = head[0].rstrip(b"\r\n").split(b",")
        a, b = fields(name)[one], fields(name)[other]
        cells[a], cells[b] = cells[b], cells[a]
        return Mutation(b"".join([b",".join(cells) + b"\n", *head[1:], *lines]), frozenset(range(ROWS)))

    return mutate


def nothing(content: bytes) -> Callable[[str, int], Mutation]:
    return lambda name, _: Mutation(content, None)


def with_nulls(name: str, seed: int) -> Mutation:
    chance, content = random.Random(seed), bytearray(cut_of(name))
    for _ in range(4):
        content[chance.randrange(len(content))] = 0
    return Mutation(bytes(content), None, subtle=True)


def headless(name: str, _: int) -> Mutation:
    return Mutation(b"".join(body(name)[1]), None)


WHOLE_FILES: dict[str, Callable[[str, int], Mutation]] = {
    "a row repeated otherwise": repeated,
    "a row repeated": repeated_exactly,
    "rows shuffled": reordered,
    "rows backwards": backwards,
    "rows missing": missing,
    "a row cut short": short_row,
    "a row too long": long_row,
    "a quote left open": open_quote,
    "headless": headless,
    **{f"bits flipped {i}": flipped for i in range(12)},
    **{f"a bit of the header flipped {i}": flipped_header for i in range(4)},
    **{f"truncated {i}": truncated for i in range(5)},
    **{f"nulls {i}": with_nulls for i in range(3)},
    **{f"delimited by {by!r}": delimited(by) for by in (b";", b"\t", b"|", b"#")},
    **{f"encoded as {name}": encoded(name) for name in ("utf-16", "utf-8-sig", "utf-32", "cp037")},
    **{f"lines ended by {by!r}": ended(by) for by in (b"\r\n", b"\r", b"\n\n")},
    **{f"without {field}": dropped(field) for field in ("date", "open", "high", "low", "close")},
    **{f"{field} renamed": renamed(field) for field in ("open", "high", "low", "close")},
    "high and low swapped in the header": headers_swapped("high", "low"),
    "volume and close swapped in the header": headers_swapped("volume", "close"),
    "empty": nothing(b""),
    "blank": nothing(b"\n\n \n"),
    "binary": nothing(bytes(range(256)) * 20),
    "HTML": nothing(b"<html><body>503 Service Unavailable</body></html>\n" * 20),
    "one word": nothing(b"error"),
    "open and close swapped in the header": headers_swapped("open", "close"),
}


# Parquet --------------------------------------------------------------------------------------------------------------


def parquet_bytes(name: str, seed: int) -> Mutation:
    chance, content = random.Random(seed), bytearray(cut_of(name))
    for _ in range(8):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return Mutation(bytes(content), None, subtle=True)


def parquet_truncated(name: str, seed: int) -> Mutation:
    content = cut_of(name)
    return Mutation(content[: random.Random(seed).randrange(1, len(content))], None)


def parquet_overlong(name: str, seed: int) -> Mutation:
    return Mutation(cut_of(name) + random.Random(seed).randbytes(64), frozenset())


def of_table(change: Callable[[pd.DataFrame, list[int]], pd.DataFrame | None]) -> Callable[[str, int], Mutation]:
    """A change of the table itself; it alters rows in place and returns None, or gives another table."""

    def mutate(name: str, seed: int) -> Mutation:
        table = pd.read_parquet(io.BytesIO(cut_of(name)))
        rows = sorted(random.Random(seed).sample(range(5, ROWS - 30), 3))
        other = change(table, rows)
        touched = frozenset(rows) if other is None else None
        return Mutation(to_parquet(table if other is None else other), touched)

    return mutate


def _cells(column: str, value: float) -> Callable[[pd.DataFrame, list[int]], None]:
    def change(table: pd.DataFrame, rows: list[int]) -> None:
        table[column] = table.get(column, pd.Series(0, table.index)).astype("float64")
        table.loc[rows, column] = value

    return change


def _prices_swapped(table: pd.DataFrame, rows: list[int]) -> None:
    table.loc[rows, ["high", "low"]] = table.loc[rows, ["low", "high"]].to_numpy()


def stamp_of(table: pd.DataFrame) -> str:
    return next(str(name) for name in table if pd.api.types.is_datetime64_any_dtype(table[name]))


def _stamps_moved(by: str) -> Callable[[pd.DataFrame, list[int]], None]:
    def change(table: pd.DataFrame, rows: list[int]) -> None:
        table.loc[rows, stamp_of(table)] += pd.Timedelta(by)

    return change


PARQUET: dict[str, Callable[[str, int], Mutation]] = {
    **{f"bits flipped {i}": parquet_bytes for i in range(12)},
    **{f"truncated {i}": parquet_truncated for i in range(5)},
    "overlong": parquet_overlong,
    **{f"{column} is {value}": of_table(_cells(column, value)) for column in ("open", "high", "low", "close")
       for value in (0.0, -1.0, float("nan"), float("inf"), 1e300)},
    **{f"volume is {value}": of_table(_cells("volume", value)) for value in (-1.0, float("inf"), 0.5)},
    "high and low swapped": of_table(_prices_swapped),
    **{f"stamps moved by {by}": of_table(_stamps_moved(by)) for by in ("36500 days", "-20000 days")},
    "without stamps": of_table(lambda table, _: table.drop(columns=stamp_of(table))),
    **{f"without {column}": of_table(lambda table, _, column=column: table.drop(columns=column))
       for column in ("open", "close")},
    **{f"{column} as text": of_table(lambda table, _, column=column: table.assign(**{column: "abc"}))
       for column in ("timestamp", "open", "volume")},
    "without rows": of_table(lambda table, _: table.head(0)),
    "prices as lists": of_table(lambda table, _: table.assign(open=[[1.0]] * len(table))),
    "prices as truth values": of_table(lambda table, _: table.assign(open=True)),
}  # fmt: skip
