"""The report's charts: plotly figures from the evaluation's tables, in colours that colour-blind readers tell apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

#: Okabe and Ito (2008), Color Universal Design.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY, INK = "#56B4E9", "#CC79A7", "#F0E442", "#8A8F98", "#1F2933"
#: Of the flags beside a regime: the mark and its colour; a breakout downwards points down
FLAG_MARKS = {
    "breakout": ("triangle-up", YELLOW),
    "news_driven": ("circle", BLUE),
    "crash_anomaly": ("x", INK),
}
SHOWN_CLOSES = 1500
REGIME_COLOURS = {"bull": GREEN, "bear": VERMILION, "range": SKY, "high_volatility": PURPLE}


def equity_chart(equity: pd.DataFrame) -> Any:
    """Equity of the policy, of holding everything, and of its decisions on other days, 5 to 95 %; drawdown below."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.06)
    days = _days(equity["day"])
    if equity["turned_low"].notna().any():
        figure.add_scatter(
            x=days + days[::-1],
            y=[*_lakh(equity["turned_high"]), *_lakh(equity["turned_low"])[::-1]],
            fill="toself",
            fillcolor="rgba(138,143,152,0.20)",
            line={"width": 0},
            name="the same decisions on other days, 5 to 95 %",
            hoverinfo="skip",
        )
    for column, name, colour, dash, width in (
        ("buy_and_hold", "buy and hold, equal weights", ORANGE, "dash", 1.8),
        ("equity", "policy, walk-forward", BLUE, "solid", 2.4),
    ):
        line = {"color": colour, "dash": dash, "width": width}
        figure.add_scatter(x=days, y=_lakh(equity[column]), name=name, line=line, mode="lines")
    figure.add_scatter(
        x=days,
        y=(-100 * equity["drawdown"]).round(4).tolist(),
        name="drawdown",
        fill="tozeroy",
        line={"color": VERMILION, "width": 1.2},
        fillcolor="rgba(213,94,0,0.18)",
        showlegend=False,
    )
    figure.data[-1].update(yaxis="y2", xaxis="x2")
    figure.update_yaxes(title_text="equity, Rs lakh", row=1, col=1)
    figure.update_yaxes(title_text="drawdown, %", row=2, col=1, rangemode="tozero")
    return _styled(figure, 470)


def regime_chart(regimes: pd.DataFrame) -> Any:
    """The market's level coloured by the stated regime, with the flags; the filtered probabilities stacked below.

    Time runs by closes, so nights leave no holes. A long history is drawn in equal parts of up to SHOWN_CLOSES: the
    last close of each speaks for it, and a flag raised at any of its closes is shown.
    """
    from plotly.subplots import make_subplots

    part = -(-len(regimes) // SHOWN_CLOSES) or 1
    groups = regimes.groupby(np.arange(len(regimes)) // part)
    shown = groups.last().assign(**{flag: groups[flag].agg(_largest) for flag in FLAG_MARKS})
    stamps = shown["close_time"].dt.strftime("%d %b %Y %H:%M").tolist()
    places = list(range(len(shown)))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.04)
    levels = shown["level"].round(3)
    for name, colour in {**REGIME_COLOURS, "unknown": GREY}.items():
        here = shown["regime"] == name
        line = {"color": colour, "width": 2}
        joined = levels.where(here | here.shift(fill_value=False))  # up to where the next colour begins
        figure.add_scatter(
            x=places, y=_or_none(joined), name=name.replace("_", " "), mode="lines", line=line, text=stamps,
            hovertemplate="%{text}: %{y:.1f}", legendgroup=name, showlegend=bool(here.any()), connectgaps=False,
        )  # fmt: skip
    for flag, (symbol, colour) in FLAG_MARKS.items():
        for side, mark in ((1.0, symbol), (-1.0, "triangle-down")):
            raised = shown[flag] == side
            if raised.any():
                label = flag.replace("_", " ") + (", down" if side < 0 else "")
                figure.add_scatter(
                    x=[place for place, there in zip(places, raised, strict=True) if there],
                    y=_or_none(levels[raised]), name=label, mode="markers", hovertemplate="%{text}",
                    text=[stamp for stamp, there in zip(stamps, raised, strict=True) if there],
                    marker={"symbol": mark, "size": 8, "color": colour, "line": {"width": 1, "color": INK}},
                )  # fmt: skip
    for name, colour in REGIME_COLOURS.items():
        figure.add_scatter(
            x=places, y=_or_none(shown[name].round(3)), name=name, stackgroup="one", line={"width": 0, "color": colour},
            fillcolor=colour, hovertemplate="%{y:.0%}", legendgroup=name, showlegend=False, row=2, col=1,
        )  # fmt: skip
    ticks = places[:: max(1, len(places) // 8)]
    figure.update_xaxes(tickvals=ticks, ticktext=[f"{shown['close_time'].iloc[i]:%d %b %Y}" for i in ticks])
    figure.update_yaxes(title_text="market, 100 at first", row=1, col=1)
    if levels.max() > 3.0 * levels.min():
        rungs = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
        figure.update_yaxes(type="log", tickvals=rungs, ticktext=[f"{rung:,}" for rung in rungs], row=1, col=1)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", title_text="probability", row=2, col=1)
    return _styled(figure, 470)


def _largest(values: pd.Series) -> float:
    """The value furthest from zero, NaN if none is known."""
    known = values.dropna()
    return float(known.loc[known.abs().idxmax()]) if len(known) else float("nan")


def _or_none(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]


def views_chart(views: pd.DataFrame) -> Any:
    """Mean view of each head, day by day: blue is up, vermilion down."""
    import plotly.graph_objects as go

    table = views.pivot(index="head", columns="day", values="direction")
    limit = max(float(table.abs().max().max()), 1e-6)
    figure = go.Figure(
        go.Heatmap(
            z=table.round(4).to_numpy().tolist(),
            x=_days(table.columns),
            y=list(table.index),
            zmid=0,
            zmin=-limit,
            zmax=limit,
            colorscale=[[0, VERMILION], [0.5, "#F7F7F7"], [1, BLUE]],
            colorbar={"title": {"text": "mean view"}, "thickness": 12, "len": 0.9},
            hovertemplate="%{y}, %{x}: %{z:+.3f}<extra></extra>",
        )
    )
    return _styled(figure, 260)


def heads_chart(heads: Sequence[Mapping[str, Any]]) -> Any:
    """What each head's view earned on the test windows before charges, beside its share of the vote."""
    from plotly.subplots import make_subplots

    titles = ("earned per<br>unit of view, bp", "share of<br>vote, %")
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=titles)
    figure.update_annotations(font_size=12)
    names = [head["head"] for head in heads]
    earned = [None if head["edge"] is None else round(1e4 * head["edge"], 2) for head in heads]
    colours = [VERMILION if value is not None and value < 0 else BLUE for value in earned]
    figure.add_bar(x=earned, y=names, orientation="h", marker={"color": colours}, row=1, col=1)
    weights = [round(100 * head["weight"], 1) for head in heads]
    figure.add_bar(x=weights, y=names, orientation="h", marker={"color": GREY}, row=1, col=2)
    figure.update_layout(showlegend=False)
    return _styled(figure, 260)


def importance_heat_map(lead: np.ndarray, chosen: np.ndarray, names: Sequence[str], until: Sequence[Any]) -> Any:
    """How far features rank above the noise, fit by fit, the best on top; a dot where a fit selected them.

    `lead` and `chosen` have the shape (n_features, n_fits); `until` says when each fit's training ended.
    """
    import plotly.graph_objects as go

    limit = max(float(np.abs(lead).max()), 1e-6)
    figure = go.Figure(
        go.Heatmap(
            z=lead.round(4).tolist(),
            x=[f"{time:%d %b %y}" for time in until],
            y=list(names),
            text=np.where(chosen, "●", "").tolist(),
            texttemplate="%{text}",
            textfont={"size": 9},
            zmin=-limit,
            zmax=limit,
            xgap=2,
            ygap=1,
            colorscale=[[0, VERMILION], [0.5, "#F7F7F7"], [1, BLUE]],
            colorbar={"title": {"text": "rank above<br>the noise"}, "thickness": 12, "len": 0.6},
            hovertemplate="%{y}, trained until %{x}: %{z:+.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", title_text="trained until", showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 11}, dtick=1)
    return _styled(figure, 150 + 18 * len(names))


def permutation_chart(cost: pd.DataFrame) -> Any:
    """What shuffling a feature adds to the squared error on held-out rows, in per cent of the variance.

    `cost` has one row a fit, by the end of its training, and one column a feature.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for i, (name, colour) in enumerate(zip(cost.columns, (BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE), strict=False)):
        figure.add_scatter(
            x=[f"{time:%d %b %y}" for time in cost.index],
            y=cost[name].round(4).tolist(),
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": ("solid", "dash")[i % 2]},
        )
    figure.update_xaxes(type="category", title_text="trained until")
    figure.update_yaxes(title_text="squared error added, % of variance")
    return _styled(figure, 420)


def monthly_chart(equity: pd.DataFrame, opening: float) -> Any:
    """Return of each calendar month of the test."""
    import plotly.graph_objects as go

    months = pd.to_datetime(equity["day"]).dt.strftime("%b %Y")
    last = equity["equity"].groupby(months, sort=False).last()
    returns = (100 * (last / last.shift(fill_value=opening) - 1)).round(3)
    colours = [BLUE if value >= 0 else VERMILION for value in returns]
    labels = [f"{value:+.1f}" for value in returns]
    figure = go.Figure(
        go.Bar(
            x=list(returns.index), y=returns.tolist(), marker={"color": colours}, text=labels, textposition="outside"
        )
    )
    figure.update_yaxes(title_text="return, %")
    figure.update_xaxes(type="category")
    return _styled(figure, 260)


def charges_chart(charges: Mapping[str, float]) -> Any:
    """Where the charges went, in rupees."""
    import plotly.graph_objects as go

    words = {"stt": "STT", "sebi": "SEBI fee", "gst": "GST", "dp": "DP", "stamp": "stamp duty", "exchange": "NSE"}
    items = sorted(((words.get(k, k), v) for k, v in charges.items() if v > 0), key=lambda item: item[1])
    figure = go.Figure(
        go.Bar(
            x=[v for _, v in items],
            y=[k for k, _ in items],
            orientation="h",
            marker={"color": GREY},
            text=[f"{v:,.0f}" for _, v in items],
            textposition="auto",
        )
    )
    figure.update_xaxes(title_text="rupees")
    return _styled(figure, 260)


def as_html(figure: Any, name: str) -> str:
    """A figure's HTML without plotly's script; the same figure gives the same text."""
    import plotly.io

    options = {"displayModeBar": False, "responsive": True}
    return plotly.io.to_html(figure, include_plotlyjs=False, full_html=False, div_id=name, config=options)


def _styled(figure: Any, height: int) -> Any:
    figure.update_layout(
        height=height,
        margin={"l": 70, "r": 20, "t": 36, "b": 36},
        font={"family": "system-ui, Segoe UI, Helvetica, Arial, sans-serif", "size": 12, "color": INK},
        plot_bgcolor="white",
        paper_bgcolor="white",
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(gridcolor="#E6E9ED", zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor="#E6E9ED", zerolinecolor="#C3C9D1", automargin=True)
    return figure


def _lakh(values: pd.Series) -> list[float | None]:
    return [None if pd.isna(v) else round(float(v) / 1e5, 5) for v in values]


def _days(values: Any) -> list[str]:
    return [str(value) for value in values]
