"""A widget of equation 11: the effect of the lambdas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .. import figures
from .base import draw_on_change, in_rows

if TYPE_CHECKING:
    import ipywidgets


def lambda_sliders(
    terms: Mapping[str, float],
    pulls: Mapping[str, Mapping[str, float]],
    entries: int,
) -> ipywidgets.VBox:
    """Set the lambdas; see the share of each weighted loss in L, and in the pull on each module.

    The widget computes only shares: the caller has computed the values and the gradients.

    Args:
        terms: "L_m", "L_a" and "L_r" (as a mean) to their values.
        pulls: module to loss to the norm of that loss's gradient there.
        entries: number of entries of R. The sum form of L_r is its mean times this number.
    """
    import ipywidgets as ipw

    sliders = {
        loss: ipw.FloatSlider(value=1, max=10, step=0.1, description=f"λ of {loss}")
        for loss in terms
    }
    reduction = ipw.ToggleButtons(options=["mean", "sum"], description="L_r as a")
    bars = ipw.HTML()

    def draw() -> None:
        lambdas = {loss: slider.value for loss, slider in sliders.items()}
        if reduction.value == "sum":
            lambdas["L_r"] *= entries
        shares = figures.shares(terms, pulls, list(lambdas.values()))
        bars.value = "".join(_bar(name, parts) for name, parts in shares.items())

    draw_on_change(draw, *sliders.values(), reduction)
    return ipw.VBox([in_rows(*sliders.values()), reduction, bars])


def _bar(name: str, parts: Mapping[str, float]) -> str:
    """Write one stacked bar as HTML; a narrow share has no label."""
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
