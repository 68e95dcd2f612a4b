"""How columns of bars are spelt: by NSE, Kite, Yahoo, TradingView, Excel users and public data sets."""

import re

PRICES = ("open", "high", "low", "close")

#: How columns are spelt, lower case, `_` read as a blank; for the stamp the first that is there counts.
STAMPS = ("datetime", "timestamp", "date", "time", "date time")
_SPELLINGS = {
    "o": "open",
    "open price": "open",
    "opening price": "open",
    "ch opening price": "open",
    "h": "high",
    "high price": "high",
    "ch trade high price": "high",
    "l": "low",
    "low price": "low",
    "ch trade low price": "low",
    "c": "close",
    "close price": "close",
    "closing price": "close",
    "ch closing price": "close",
    "close*": "close",
    "v": "volume",
    "tickvol": "volume",
    "vol": "volume",
    "qty": "volume",
    "quantity": "volume",
    "traded quantity": "volume",
    "traded qty": "volume",
    "shares traded": "volume",
    "no of shares": "volume",
    "no.of shares": "volume",
    "no. of shares": "volume",
    "total traded quantity": "volume",
    "total traded qty": "volume",
    "ch tot traded qty": "volume",
    "ttl trd qnty": "volume",
    "tottrdqty": "volume",
    "index name": "symbol",
    "tradingsymbol": "symbol",
    "trading symbol": "symbol",
    "ticker": "symbol",
    "scrip": "symbol",
    "stock symbol": "symbol",
    "ch symbol": "symbol",
    "ch series": "series",
    "ch timestamp": "date",
    "trade date": "date",
    "traddt": "date",
    "tckrsymb": "symbol",
    "sctysrs": "series",
    "opnpric": "open",
    "hghpric": "high",
    "lwpric": "low",
    "clspric": "close",
    "ttltradgvol": "volume",
    "trading date": "date",
    "historical date": "date",
}
#: Units behind the header of a volume
_SIZES = {
    ("000", "000s", "'000", "'000s", "thousand", "thousands", "k"): 1e3,
    ("lakh", "lakhs", "lac", "lacs"): 1e5,
    ("million", "millions", "mn"): 1e6,
    ("crore", "crores", "cr", "crs"): 1e7,
}
_UNIT = re.compile(
    r"(?<=[a-z.]) ?[-,]?[(\[ ](in |shares in )?(?P<unit>"
    + "|".join(sorted((word for words in _SIZES for word in words), key=len, reverse=True))
    + r")( shares)?[)\]]?$"
)


def field_of(header: str) -> str:
    """What a column holds, under our name where it is known."""
    name = re.sub(r"[\s_]+", " ", str(header)).strip(" <>'\"").lower()
    name = re.sub(r" ?[(\[]?(in )?(₹|rs\.?|inr|rupees)[)\]]?$", "", name) if name not in _SPELLINGS else name
    name = _UNIT.sub("", name).strip(" .:")
    return _SPELLINGS.get(name, name)


def unit_of(header: str) -> float:
    """Shares that one of a column of volumes means, by its header; 1 if that says nothing."""
    told = _UNIT.search(re.sub(r"[\s_]+", " ", str(header)).strip().lower())
    return next(size for words, size in _SIZES.items() if told["unit"] in words) if told else 1.0
