"""The names of Qt 5.15, CTK and Slicer that Slicer's Python knows; the stand-in has no others.

The tables in api/ come from the headers, by the rules by which PythonQt shows them to Python: of every
class properties, signals, public slots, Q_INVOKABLE methods and values of enumerations; of Qt's own
classes all public methods besides; of the classes of CTK and Slicer what their headers
*PythonQtDecorators.h add. "protected": what Qt itself looks for in an
object. A class that is missing is added from its header by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

TABLES = [json.loads(path.read_text()) for path in Path(__file__).with_name("api").glob("*.json")]
CLASSES: dict[str, dict[str, str]] = {name: table[name] for table in TABLES for name in table}
#: What PySide6 itself needs.
KEPT = {"staticMetaObject", "emit"}


@cache
def names_of(cls: str, *kinds: str) -> frozenset[str]:
    """What an object of a class in the tables offers, of these kinds or all."""
    entry = CLASSES[cls]
    bases = [base for base in entry.get("bases", "").split() if base in CLASSES]
    listed = [entry[kind] for kind in entry if kind in kinds or (not kinds and kind != "bases")]
    own = re.findall(r"(?:^|\s)(\w+)", " ".join(listed))
    return frozenset(own).union(*(names_of(base, *kinds) for base in bases))


def unknown(cls: type, offered: Iterable[str], *kinds: str) -> list[str]:
    """Which of the public names that a class offers Slicer's class of its name lacks, where the tables have that."""
    if cls.__name__ not in CLASSES:
        return []
    known = names_of(cls.__name__, *kinds) | KEPT
    mine = [name for name in offered if name[0] != "_" and not name.endswith("Event")]
    return [name for name in mine if name.removesuffix("_") not in known]
