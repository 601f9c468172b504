"""A widget of equation 11: what the lambdas do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import figures

if TYPE_CHECKING:
    import ipywidgets


def lambda_sliders(
    terms: Mapping[str, float],
    pulls: Mapping[str, Mapping[str, float]],
    entries: int,
) -> ipywidgets.VBox:
    """Set the lambdas; see each weighted loss's share of L, and of the pull on each module.

    Nothing is computed but shares: values and gradients come in ready.

    Args:
        terms: "L_m", "L_a" and "L_r" (its mean) to their values.
        pulls: module to loss to the norm of that loss's gradient there.
        entries: how many entries of R the mean of L_r runs over: the factor of its sum.
    """
    import ipywidgets as ipw

    sliders = [
        ipw.FloatSlider(value=1, max=10, step=0.1, description=f"λ of {loss}") for loss in terms
    ]
    reduction = ipw.ToggleButtons(options=["mean", "sum"], description="L_r as a")
    bars = ipw.HTML()

    def draw(_: object = None) -> None:
        factor = {"L_r": entries if reduction.value == "sum" else 1}
        lambdas = [s.value * factor.get(loss, 1) for s, loss in zip(sliders, terms, strict=True)]
        bars.value = "".join(
            _row(row, parts) for row, parts in figures.shares(terms, pulls, lambdas).items()
        )

    for control in (*sliders, reduction):
        control.observe(draw, "value")
    draw()
    wrap = ipw.Layout(flex_flow="row wrap")
    return ipw.VBox([ipw.HBox(sliders, layout=wrap), reduction, bars])


def _row(name: str, parts: Mapping[str, float]) -> str:
    """One stacked bar; a share too narrow for its label goes without."""
    pieces = "".join(
        f'<div style="width:{100 * share:.2f}%;background:{figures.LOSS_COLOURS[loss]};color:black;'
        'overflow:hidden;white-space:nowrap;text-align:center">'
        f"{f'{loss} {share:.0%}' if share > 0.08 else ''}</div>"
        for loss, share in parts.items()
    )
    label = name if name.startswith("value") else f"pull on {name}"
    nothing = "" if any(parts.values()) else "nothing pulls"
    return (
        '<div style="display:flex;width:620px;line-height:24px;margin:3px 0">'
        f'<div style="width:120px">{label}</div>'
        f'<div style="display:flex;width:500px;background:#eee">{pieces}{nothing}</div></div>'
    )
