"""Charts to inline SVG and PNG, without a browser and without the network."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rankwise.report.figures.theme import config

FONTS = Path(__file__).parent / "fonts"
SVG = "http://www.w3.org/2000/svg"
REFERENCE = re.compile(r"url\(#([^)]+)\)")
NOISE = ("aria-roledescription", "role", "aria-hidden", "pointer-events", "version", "class")


def draw(chart: Any) -> str:
    """One altair chart as a complete SVG document in the house style."""
    vl_convert = _converter()
    spec = chart.to_dict() | {"config": config()}
    return str(vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def png(svg: str, scale: float = 2.0) -> bytes:
    """The same picture as PNG bytes, ``scale`` pixels per unit."""
    return bytes(_converter().svg_to_png(svg, scale=scale, ppi=72))


@cache
def _converter() -> Any:
    """vl-convert, which knows our font besides its own and the machine's."""
    import vl_convert

    vl_convert.register_font_directory(str(FONTS))
    return vl_convert


def inline(svg: str, *, prefix: str, label: str) -> str:
    """Rewrite an SVG for use inside a page.

    Ids get ``prefix`` and a running number (Vega's counters are global to the process and would clash and change
    between runs); our own descriptions become ``<title>``, which browsers show as a tooltip; ``label`` names the
    picture for screen readers; attributes that only helped Vega's script go away.
    """
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(svg)
    ids: dict[str, str] = {}
    for element in root.iter():
        if "id" in element.attrib:
            ids[element.attrib["id"]] = f"{prefix}-{len(ids)}"
    for element in list(root.iter()):
        note = element.attrib.pop("aria-label", None)
        if note is not None and element.attrib.get("aria-roledescription") == "point":
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = note
            element.insert(0, title)
        for attribute in NOISE:
            element.attrib.pop(attribute, None)
        for key, value in element.attrib.items():
            element.attrib[key] = REFERENCE.sub(lambda match: f"url(#{ids[match[1]]})", value)
        if "id" in element.attrib:
            element.attrib["id"] = ids[element.attrib["id"]]
    root.attrib |= {"role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
