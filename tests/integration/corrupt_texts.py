"""Ways in which text files go bad, whatever their columns: seeded, and the same in every run."""

import random
from collections.abc import Callable

#: Changes a file; the chance is seeded
Change = Callable[[bytes, random.Random], bytes]


def flipped(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(3):
        broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    return bytes(broken)


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(1, len(content) - 1)]


def with_nulls(content: bytes, chance: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(3):
        broken[chance.randrange(len(broken))] = 0
    return bytes(broken)


def a_row(change: Callable[[bytes], bytes]) -> Change:
    """One row of the body, without its end, changed."""

    def changed(content: bytes, chance: random.Random) -> bytes:
        lines = content.splitlines(keepends=True)
        row = chance.randrange(1, len(lines))
        text = lines[row].rstrip(b"\r\n")
        lines[row] = change(text) + lines[row][len(text) :]
        return b"".join(lines)

    return changed


def cell(place: int, text: str) -> Change:
    """A cell of one row takes another text; rows with quotes are left alone."""

    def changed(row: bytes) -> bytes:
        cells = row.split(b",")
        cells[place] = text.encode()
        return b",".join(cells)

    return a_row(changed)


def shuffled(content: bytes, chance: random.Random) -> bytes:
    head, *rows = content.splitlines(keepends=True)
    chance.shuffle(rows)
    return b"".join([head, *rows])


def column_renamed(place: int) -> Change:
    def changed(content: bytes, _: random.Random) -> bytes:
        head, _, body = content.partition(b"\n")
        cells = head.split(b",")
        cells[place] = b"quux"
        return b",".join(cells) + b"\n" + body

    return changed


ANY_TEXT: dict[str, Change] = {
    **{f"bits flipped {i}": flipped for i in range(15)},
    **{f"truncated {i}": truncated for i in range(8)},
    **{f"nulls {i}": with_nulls for i in range(4)},
    **{f"encoded as {name}": lambda content, _, name=name: content.decode().encode(name)
       for name in ("utf-16", "utf-8-sig", "utf-32", "cp037")},
    "empty": lambda *_: b"",
    "blank": lambda *_: b"\n\n \n",
    "binary": lambda *_: bytes(range(256)) * 20,
    "HTML": lambda *_: b"<html><body>503 Service Unavailable</body></html>\n" * 20,
    "one word": lambda *_: b"error",
}  # fmt: skip
CSV_TEXT: dict[str, Change] = ANY_TEXT | {
    "headless": lambda content, _: content.partition(b"\n")[2],
    "header alone": lambda content, _: content.partition(b"\n")[0] + b"\n",
    "header twice": lambda content, _: content.partition(b"\n")[0] + b"\n" + content,
    "a row repeated": a_row(lambda row: row + b"\n" + row),
    "a row cut short": a_row(lambda row: row.rpartition(b",")[0]),
    "a row of one cell": a_row(lambda row: row.partition(b",")[0]),
    "a row too long": a_row(lambda row: row + b",7,8,9"),
    "a comma in a row": a_row(lambda row: row.replace(b" ", b", ", 1) if b" " in row else row + b","),
    "a quote left open": a_row(lambda row: b'"' + row),
    "a quote opened within": a_row(lambda row: row.replace(b",", b',"', 1)),
    "rows shuffled": shuffled,
    **{f"delimited by {by!r}": lambda content, _, by=by: content.replace(b",", by) for by in (b";", b"\t", b"|")},
    **{f"lines ended by {by!r}": lambda content, _, by=by: content.replace(b"\r\n", b"\n").replace(b"\n", by)
       for by in (b"\r\n", b"\r", b"\n\n")},
}  # fmt: skip
