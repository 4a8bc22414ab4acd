"""Renders the HTML files that raygenre writes, from one base template with one style.

A page is a single file with its images embedded as data URLs. It makes no requests and, by default, contains no
scripts; its content security policy forbids both. A template may allow scripts, which a search's figures need.
Jinja escapes all values because file names and genre names come from the data.
"""

import io
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml"}


def render_page(template: Path, values: Mapping[str, object]) -> str:
    """Render a template that extends `page.html.jinja`.

    Args:
        values: the template's variables; a missing variable raises jinja2.UndefinedError.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([template.parent, Path(__file__).parent])
    environment = Environment(autoescape=True, undefined=StrictUndefined, loader=loader)
    return environment.get_template(template.name).render(values)


def data_url(image: bytes, kind: Literal["png", "svg"]) -> str:
    """Return an encoded image as a `data:` URL."""
    return f"data:{_MEDIA_TYPES[kind]};base64,{b64encode(image).decode()}"


def figure_url(figure: "Figure", kind: Literal["png", "svg"]) -> str:
    """Return a matplotlib figure as a `data:` URL."""
    metadata = {"Date": None} if kind == "svg" else {}  # without a date, equal figures yield equal URLs
    figure.savefig(buffer := io.BytesIO(), format=kind, metadata=metadata)
    return data_url(buffer.getvalue(), kind)
