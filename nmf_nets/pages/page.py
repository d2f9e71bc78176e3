"""From a template to a page: one HTML file, with all that it shows and does in it."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nmf_nets.pages.numbers import count

HERE = Path(__file__).parent


def rendered(template: Path, *needs: str, **facts: Any) -> str:
    """HTML; what is foreign among the facts is escaped.

    A template extends `skeleton.html` and may take from `parts.html`. Its own style and script lie beside it under its
    name, and come after those that all pages share and those that it needs: `plot` for charts of lines.
    """
    jinja = Environment(
        loader=FileSystemLoader([template.parent, HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.filters["breakable"] = lambda name: escape(name).replace("_", Markup("_<wbr>"))
    jinja.globals["count"] = count
    parts = [HERE / name for name in ("shared", *needs)] + [template]
    style, script = (
        Markup("\n".join(part.with_suffix(suffix).read_text("utf-8") for part in parts)) for suffix in (".css", ".js")
    )
    return jinja.get_template(template.name).render(style=style, script=script, **facts)
