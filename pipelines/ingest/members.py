"""A run on the shares that an index held: each stock counts from the day it joined to the day it left, no longer."""

from dataclasses import replace

from pipelines.domain.errors import BadInput
from pipelines.domain.index_membership import member_rows
from pipelines.domain.instruments import Kind
from pipelines.ingest.names import canonical
from pipelines.ingest.world import World


def members_only(world: World, index_name: str) -> World:
    """The world with the bars of stocks on the days on which they were in the index; all of it if none is named.

    Indices stay as they are. What follows a day is not looked at, so a stock that leaves later is in until then.

    Raises
    ------
    BadInput : if the source tells no members of the index, or has bars of none of them.
    """
    if not index_name:
        return world
    name = canonical(index_name)
    told = world.membership[world.membership["index_name"] == name]
    if not len(told):
        others = ", ".join(sorted(set(world.membership["index_name"]))) or "none"
        raise BadInput(
            f"ingest.members_of: {index_name}, but the source tells no members of it (of: {others}); put a CSV with "
            "index_name, symbol, effective_from, effective_to beside the bars or leave members_of empty"
        )
    kinds = world.instruments.set_index("symbol")["kind"]
    bars, left = {}, 0
    for symbol, own in world.bars.items():
        if kinds[symbol] != Kind.STOCK.value:
            bars[symbol] = own
            continue
        inside = member_rows(told, name, symbol, own["open_time"])
        left += int(len(own) - inside.sum())
        if inside.any():
            bars[symbol] = own[inside].reset_index(drop=True)
    stocks = [symbol for symbol in bars if kinds[symbol] == Kind.STOCK.value]
    if not stocks:
        raise BadInput(f"ingest.members_of: the source has no bar of a member of {name} on its days in the index")
    note = f"members of {name} only: {len(stocks)} stocks, {left:,} bars of days outside the index are left out"
    return replace(
        world,
        bars=bars,
        instruments=world.instruments[world.instruments["symbol"].isin(bars)].reset_index(drop=True),
        left_out=(*world.left_out, note),
    )
