"""Folders as people keep them, and what becomes of each."""

import gzip
import io
import json
import zipfile
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from tests.workbook import workbook

DAYS = pd.bdate_range("2022-01-03", periods=200)


def table(seed: int, rows: slice = slice(None), level: float = 500.0, **more: object) -> pd.DataFrame:
    """A drawn walk; the same seed is the same share."""
    closes = level * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(DAYS))))
    opens = np.concatenate([[level], closes[:-1]])
    frame = pd.DataFrame(
        {
            "date": DAYS.strftime("%Y-%m-%d"),
            "open": opens,
            "high": np.maximum(opens, closes) * 1.004,
            "low": np.minimum(opens, closes) * 0.996,
            "close": closes,
        }
    )
    return frame.round(2).assign(volume=500_000 + 13 * np.arange(len(DAYS)), **more).iloc[rows]


def text(*given: object, **more: object) -> bytes:
    return table(*given, **more).to_csv(index=False).encode()


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def both(*tables: pd.DataFrame) -> bytes:
    return pd.concat(tables).to_csv(index=False).encode()


def minutes(seed: int, step: int, days: int = 6) -> bytes:
    stamps = [day + pd.Timedelta(minutes=555 + step * n) for day in DAYS[:days] for n in range(375 // step)]
    closes = 500 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.001, len(stamps))))
    frame = pd.DataFrame(
        {"date": stamps, "open": closes, "high": closes * 1.001, "low": closes * 0.999, "close": closes}
    )
    frame = frame.assign(volume=np.arange(len(stamps)) % 97 + 1_000)
    return frame.to_csv(index=False, float_format="%.2f").encode()


DUMP = (
    b"instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,"
    b"segment,exchange\n177665,694,CIPLA,CIPLA,0,,0,0.05,1,EQ,NSE,NSE\n"
)


@dataclass(frozen=True)
class Folder:
    """Files by name, and what becomes of them."""

    files: dict[str, bytes]
    bars: dict[str, int] = field(default_factory=dict)  #: by symbol
    told: tuple[str, ...] = ()
    refused: str = ""  #: words of the one line
    links: dict[str, str] = field(default_factory=dict)


A, B, C = 1, 2, 3  #: seeds of three shares
ALL = 200
FOLDERS: dict[str, Folder] = {
    # copies and twins
    "a copy by Windows": Folder(
        {"CIPLA.csv": text(A), "CIPLA - Copy.csv": text(A)}, {"CIPLA": ALL}, ("repeats 200 bars",)
    ),
    "two downloads": Folder({"CIPLA.csv": text(A), "CIPLA (1).csv": text(A)}, {"CIPLA": ALL}, ("it adds nothing",)),
    "a later download": Folder(
        {"CIPLA.csv": text(A, slice(0, 150)), "CIPLA (1).csv": text(A)}, {"CIPLA": ALL}, ("repeats 150",)
    ),
    "a copy elsewhere": Folder({"CIPLA.csv": text(A), "old/CIPLA.csv": text(A)}, {"CIPLA": ALL}, ("is left out for",)),
    "a packed copy": Folder(
        {"CIPLA.csv": text(A), "CIPLA.csv.gz": gzip.compress(text(A))}, {"CIPLA": ALL}, ("repeats 200",)
    ),
    "a copy of another container": Folder(
        {"CIPLA.csv": text(A), "CIPLA.parquet": parquet(table(A))}, {"CIPLA": ALL}, ("repeats",)
    ),
    "a workbook beside its CSV": Folder(
        {"CIPLA.csv": text(A), "CIPLA.xlsx": workbook({"Sheet1": text(A).decode()})},
        {"CIPLA": ALL},
        ("is left out for CIPLA.csv",),
    ),
    "one share under two names": Folder(
        {"CIPLA.csv": text(A), "CIPLAX.csv": text(A)}, {"CIPLA": ALL}, ("same bars as CIPLA",)
    ),
    "one share under three names": Folder(
        {"CIPLA.csv": text(A), "AAX.csv": text(A), "BBX.csv": text(A)},
        {"CIPLA": ALL},
        ("AAX tells the same bars", "BBX tells the same bars"),
    ),
    "a twin with some rows mended": Folder(
        {"CIPLA.csv": text(A), "CIPLAX.csv": text(A).replace(b",500013\n", b",500014\n")},
        {"CIPLA": ALL},
        ("same bars as CIPLA",),
    ),
    "twins in one long table": Folder(
        {"all.csv": both(table(A, symbol="CIPLA"), table(A, symbol="CIPLA2"))}, {"CIPLA": ALL}, ("same bars",)
    ),
    "an exchange's name before and a plain one": Folder(
        {"NSE_CIPLA, 1D.csv": text(A), "CIPLA.csv": text(A)}, {"CIPLA": ALL}
    ),
    # names
    "every site's name": Folder(
        {
            "NSE_CIPLA, 1D.csv": text(A),
            "INFY.NS.csv": text(B),
            "Quote-Equity-TCS-EQ-03-01-2022-to-07-10-2022.csv": text(C),
        },
        {"CIPLA": ALL, "INFY": ALL, "TCS": ALL},
    ),
    "signs that names cannot hold": Folder(
        {"M_M.csv": text(A), "BAJAJ_AUTO.csv": text(B)}, {"M&M": ALL, "BAJAJ-AUTO": ALL}
    ),
    "signs in two spellings": Folder({"M_M.csv": text(A), "M&M.csv": text(A)}, {"M&M": ALL}, ("repeats",)),
    "small letters": Folder({"cipla.csv": text(A), "infy.csv": text(B)}, {"CIPLA": ALL, "INFY": ALL}),
    "a name of words": Folder(
        {"my best shares.csv": text(A), "CIPLA.csv": text(B)}, {"CIPLA": ALL}, ("names no instrument",)
    ),
    "only names of words": Folder({"my best shares.csv": text(A)}, refused="names no instrument"),
    "a folder for each share": Folder(
        {"CIPLA/daily.csv": text(A), "INFY/daily.csv": text(B)}, {"CIPLA": ALL, "INFY": ALL}
    ),
    "a folder for each year": Folder(
        {"2022/CIPLA.csv": text(A, slice(0, 90)), "2023/CIPLA.csv": text(A, slice(90, None))}, {"CIPLA": ALL}
    ),
    "a folder for each share and year": Folder(
        {f"CIPLA/{n}.csv": text(A, slice(50 * n, 50 * n + 50)) for n in range(4)}, {"CIPLA": ALL}
    ),
    "hive by symbol": Folder(
        {"symbol=CIPLA/part-0.parquet": parquet(table(A)), "symbol=INFY/part-0.parquet": parquet(table(B))},
        {"CIPLA": ALL, "INFY": ALL},
    ),
    "hive by symbol and year": Folder(
        {f"symbol=CIPLA/year={n}/p.parquet": parquet(table(A, slice(100 * n, 100 * n + 100))) for n in range(2)},
        {"CIPLA": ALL},
    ),
    "hive by year, symbols in rows": Folder(
        {
            f"year={n}/p.parquet": parquet(
                pd.concat(
                    [
                        table(seed, slice(100 * n, 100 * n + 100), symbol=name)
                        for seed, name in ((A, "CIPLA"), (B, "INFY"))
                    ]
                )
            )
            for n in range(2)
        },
        {"CIPLA": ALL, "INFY": ALL},
    ),
    "hive with signs": Folder({"symbol=M%26M/p.parquet": parquet(table(A))}, {"M&M": ALL}),
    "hive of a way out": Folder({"symbol=..%2F..%2FPWN/p.parquet": parquet(table(A))}, refused="names no instrument"),
    "partitions with Spark's marks": Folder(
        {"symbol=CIPLA/p.parquet": parquet(table(A)), "_SUCCESS": b"", "_metadata": b"x"},
        {"CIPLA": ALL},
        ("without a suffix 2",),
    ),
    # contradictions
    "an index under another's name": Folder(
        {"NIFTY50.csv": text(A, symbol="BANKNIFTY"), "BANKNIFTY.csv": text(B), "INFY.csv": text(C)},
        refused="its name says NIFTY 50, its rows are of NIFTY BANK",
    ),
    "a share under another's name": Folder({"CIPLA.csv": text(A, symbol="SUNPHARMA")}, refused="its name says CIPLA"),
    "a partition against its rows": Folder(
        {"symbol=CIPLA/p.csv": text(A, symbol="INFY")}, refused="its name says CIPLA"
    ),
    "a sheet against its rows": Folder(
        {"b.xlsx": workbook({"CIPLA": text(A, symbol="INFY").decode()})}, refused="its name says CIPLA"
    ),
    "two companies after each other": Folder(
        {"INFY.csv": both(table(A, slice(0, 90), symbol="WIPRO"), table(B, slice(90, None), symbol="INFY"))},
        refused="its name says INFY",
    ),
    "two companies after each other in a list": Folder(
        {"all.csv": both(table(A, slice(0, 90), symbol="WIPRO"), table(B, slice(90, None), symbol="INFY"))},
        {"INFY": 110, "WIPRO": 90},
        ("nothing says they are one share",),
    ),
    "a share that was renamed": Folder(
        {"INFY.csv": both(table(A, slice(0, 90), symbol="INFOSYSTCH"), table(A, slice(90, None), symbol="INFY"))},
        {"INFY": ALL},
    ),
    "a share in a file for each name": Folder(
        {"INFOSYSTCH.csv": text(A, slice(0, 90)), "INFY.csv": text(A, slice(90, None))}, {"INFY": ALL}
    ),
    "rows without a symbol": Folder(
        {"all.csv": both(table(A, slice(0, 90), symbol="INFY"), table(A, slice(90, None), symbol=""))},
        {"INFY": 90},
        ("110 rows name no symbol",),
    ),
    "a symbol that is a path": Folder({"all.csv": text(A, symbol="../../../PWN")}, refused="is no symbol"),
    "a symbol of three hundred letters": Folder({"all.csv": text(A, symbol="A" * 300)}, refused="is no symbol"),
    "a company's name for a symbol": Folder({"all.csv": text(A, symbol="Cipla Ltd.")}, refused="is no symbol"),
    # several files of one share
    "a short clean and a long soiled file": Folder(
        {"a/CIPLA.csv": text(A).replace(b"2022-02-01,", b"2022-02-01,-"), "b/CIPLA.csv": text(A, slice(40, 60))},
        {"CIPLA": ALL},
    ),
    "a gap and who fills it": Folder(
        {
            "a/CIPLA.csv": both(table(A, slice(0, 90)), table(A, slice(110, None))),
            "b/CIPLA.csv": text(A, slice(80, 130)),
        },
        {"CIPLA": ALL},
        ("fills 20 gaps",),
    ),
    "a gap and another price level": Folder(
        {
            "a/CIPLA.csv": both(table(A, slice(0, 90)), table(A, slice(110, None))),
            "b/CIPLA.csv": text(A, slice(80, 130), 1000.0),
        },
        {"CIPLA": 180},
        ("another price level",),
    ),
    "adjusted beside unadjusted": Folder(
        {"adjusted/CIPLA.csv": text(A, level=250.0), "traded/CIPLA.csv": text(A, slice(0, 150))},
        {"CIPLA": ALL},
        ("another price level",),
    ),
    # containers and what lies about
    "a zip of shares": Folder(
        {"prices.zip": zipped(CIPLA__csv=text(A), INFY__csv=text(B))}, {"CIPLA": ALL, "INFY": ALL}
    ),
    "a zip with a read me": Folder(
        {"prices.zip": zipped(CIPLA__csv=text(A), README__md=b"x")}, {"CIPLA": ALL}, ("README.md",)
    ),
    "a zip in a zip": Folder(
        {"p.zip": zipped(inner__zip=zipped(CIPLA__csv=text(A))), "INFY.csv": text(B)},
        {"INFY": ALL},
        ("an archive in an archive",),
    ),
    "a workbook of shares": Folder(
        {"book.xlsx": workbook({"CIPLA": text(A).decode(), "INFY": text(B).decode()})}, {"CIPLA": ALL, "INFY": ALL}
    ),
    "a workbook's lock": Folder(
        {"CIPLA.csv": text(A), "~$CIPLA.xlsx": b"x"}, {"CIPLA": ALL}, ("the lock of an open file",)
    ),
    "a read me": Folder(
        {"CIPLA.csv": text(A), "README.txt": b"Prices.\nFrom NSE, daily, unadjusted, as traded\n"},
        {"CIPLA": ALL},
        ("README.txt",),
    ),
    "a licence and a script": Folder(
        {"CIPLA.csv": text(A), "LICENSE": b"MIT", "get.py": b"import x"}, {"CIPLA": ALL}, (".py 1",)
    ),
    "pictures of a Mac": Folder({"CIPLA.csv": text(A), ".DS_Store": b"x", "__MACOSX/CIPLA.csv": b"x"}, {"CIPLA": ALL}),
    "a hidden file": Folder({"CIPLA.csv": text(A), ".INFY.csv": text(B)}, {"CIPLA": ALL}, (".INFY.csv is hidden",)),
    "an old workbook": Folder(
        {"CIPLA.csv": text(A), "INFY.xls": b"\xd0\xcf\x11\xe0" + bytes(64)}, {"CIPLA": ALL}, ("old Excel",)
    ),
    "a page called workbook": Folder(
        {"CIPLA.csv": text(A), "INFY.xls": b"<html><table>"}, {"CIPLA": ALL}, ("a page or a document",)
    ),
    "a table called workbook": Folder({"CIPLA.xls": text(A).replace(b",", b"\t")}, {"CIPLA": ALL}),
    "orders and holdings": Folder(
        {"CIPLA.csv": text(A), "orders.json": json.dumps({"data": [{"order_id": 1}]}).encode()},
        {"CIPLA": ALL},
        ("orders.json",),
    ),
    "ticks among bars": Folder(
        {"CIPLA.csv": text(A), "t.csv": b"timestamp,ltp,volume\n2022-01-03 09:15:01,5,1\n"},
        {"CIPLA": ALL},
        ("holds no prices",),
    ),
    "holidays among bars": Folder(
        {"CIPLA.csv": text(A), "holidays.csv": b"date,name\n2022-01-26,Republic Day\n"},
        {"CIPLA": ALL},
        ("holidays.csv",),
    ),
    "an empty file": Folder({"CIPLA.csv": text(A), "INFY.csv": b""}, refused="INFY.csv is empty"),
    "nothing but pictures": Folder({"chart.png": b"\x89PNG"}, refused=".png 1"),
    "a link to nothing": Folder(
        {"CIPLA.csv": text(A)}, {"CIPLA": ALL}, ("INFY.csv cannot be reached",), links={"INFY.csv": "nowhere"}
    ),
    "a link to itself": Folder(
        {"CIPLA.csv": text(A)}, {"CIPLA": ALL}, ("INFY.csv cannot be reached",), links={"INFY.csv": "INFY.csv"}
    ),
    "a linked folder": Folder({"CIPLA.csv": text(A)}, {"CIPLA": ALL}, ("a link to a folder",), links={"more": "."}),
    # lists, intervals, times
    "a list that knows one": Folder(
        {"CIPLA.csv": text(A), "CIPLLA.csv": text(B), "instruments.csv": DUMP},
        {"CIPLA": ALL, "CIPLLA": ALL},
        ("not in the list of instruments",),
    ),
    "minutes beside five minutes": Folder(
        {"CIPLA.csv": minutes(A, 1), "INFY.csv": minutes(B, 5)}, {"CIPLA": 450, "INFY": 450}
    ),
    "days beside minutes": Folder({"CIPLA.csv": text(A), "INFY.csv": minutes(B, 5)}, {"CIPLA": ALL, "INFY": 6}),
    "weeks": Folder({"CIPLA.csv": table(A).iloc[::5].to_csv(index=False).encode()}, refused="holds bars of about"),
    "one share in US dates": Folder(
        {
            "CIPLA.csv": text(A),
            "INFY.csv": table(B).assign(date=DAYS.strftime("%m/%d/%Y")).to_csv(index=False).encode(),
        },
        {"CIPLA": ALL, "INFY": ALL},
        ("month first",),
    ),
    "one share with decimal commas": Folder(
        {"CIPLA.csv": text(A), "INFY.csv": table(B).to_csv(index=False, sep=";", decimal=",").encode()},
        {"CIPLA": ALL, "INFY": ALL},
        ("decimal commas",),
    ),
    "members named after their index": Folder(
        {
            "NIFTY50_all.csv": both(
                *(table(seed, symbol=name) for seed, name in ((A, "CIPLA"), (B, "INFY"), (C, "TCS")))
            )
        },
        {"CIPLA": ALL, "INFY": ALL, "TCS": ALL},
    ),
}
