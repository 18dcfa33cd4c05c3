"""HTML as a tree of elements, so that every text is escaped because there is no way not to."""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET

Content = ET.Element | str | int | None


def tag(name: str, /, *contents: Content, **attributes: object) -> ET.Element:
    """An element with its contents in order; None is left out.

    As attributes, `class_` gives class, `aria_label` aria-label, True a bare attribute, None and False none.
    """
    element = ET.Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            element.set(key.rstrip("_").replace("_", "-"), key if value is True else _clean(value))
    last = None
    for content in contents:
        if content is None:
            continue
        if isinstance(content, ET.Element):
            element.append(content)
            last = content
        elif last is None:
            element.text = (element.text or "") + _clean(content)
        else:
            last.tail = (last.tail or "") + _clean(content)
    return element


def document(root: ET.Element) -> str:
    """The HTML file of an <html> element."""
    return "<!DOCTYPE html>\n" + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _clean(value: object) -> str:
    """Text that UTF-8 and HTML can hold: file names may carry broken bytes and control characters."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    control = {c for c in set(text) if c not in "\n\t" and unicodedata.category(c)[0] == "C"}
    return text.translate({ord(c): "\N{REPLACEMENT CHARACTER}" for c in control})
