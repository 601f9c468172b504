"""Small notebooks for the tests of the book and of README's tables."""

import base64
import io
import json
from pathlib import Path

from PIL import Image

FIGURE = "application/vnd.ltm-edu.figure+json"
ROOT = Path(__file__).resolve().parent.parent


def png(width: int = 40, height: int = 30) -> str:
    """Return a grey picture as a notebook stores it."""
    stream = io.BytesIO()
    Image.new("L", (width, height), 200).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def text(source: str) -> dict:
    """Return a text cell."""
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source: str = "1", **data: object) -> dict:
    """Return a code cell with its outputs: png=..., html=..., widget=..., printed=...

    figure=... is a widget that a page without Python can draw, from its state.
    """
    kinds = {
        "png": "image/png",
        "html": "text/html",
        "widget": "application/vnd.jupyter.widget-view+json",
    }
    outputs = []
    for kind, content in data.items():
        if kind == "printed":
            outputs.append({"output_type": "stream", "name": "stdout", "text": content})
        elif kind == "figure":
            formats = {kinds["widget"]: {"model_id": "1"}, FIGURE: content, "text/plain": "()"}
            outputs.append({"output_type": "display_data", "data": formats, "metadata": {}})
        else:
            formats = {kinds[kind]: content, "text/plain": "VBox(children=(Dropdown(), HBox()))"}
            outputs.append({"output_type": "display_data", "data": formats, "metadata": {}})
    return {
        "cell_type": "code",
        "metadata": {},
        "execution_count": 1,
        "source": source,
        "outputs": outputs,
    }


def notebook(*cells: dict) -> str:
    """Return the text of a notebook file."""
    content = {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(content)


def write(checkout: Path, name: str, *cells: dict, raw: str = "") -> Path:
    """Write a notebook into the folder notebooks/ of a checkout."""
    path = checkout / "notebooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(raw or notebook(*cells), encoding="utf-8")
    return path
