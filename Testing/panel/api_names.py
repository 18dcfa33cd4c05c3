"""What a module of Slicer may call, read, write and connect, from the tables in api/ (made by api/make_api.py)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

TABLES = Path(__file__).with_name("api")
#: What PythonQt adds to every QObject.
_PYTHONQT = {"name": "property", "className": "call", "delete": "call", "help": "call"}


@cache
def api() -> Api:
    return Api(
        {name: json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8")) for name in ("qt", "ctk", "slicer")}
    )


class Api:
    """Names of the classes of Qt, CTK and Slicer. A name is a "property", a "readonly" property, "signal", "call" or "enum"."""

    def __init__(self, tables: dict[str, dict[str, dict[str, str]]]):
        self.modules = {module: set(table) for module, table in tables.items()}
        self._classes = {name: entry for table in tables.values() for name, entry in table.items()}

    def __contains__(self, cls: str) -> bool:
        return cls in self._classes

    def ancestry(self, cls: str) -> list[str]:
        """The class and its bases, as far as they are in the tables."""
        found = [cls]
        for name in found:
            found += [
                base
                for base in self._classes[name].get("bases", "").split()
                if base in self._classes and base not in found
            ]
        return found

    def is_complete(self, cls: str) -> bool:
        """Are all bases in the tables, or of no interest?"""
        return all(
            base in self._classes
            for name in self.ancestry(cls)
            for base in self._classes[name].get("bases", "").split()
        )

    def kind(self, cls: str, name: str) -> str | None:
        """What a name is in a class; a property hides a method of its name, as it does in PythonQt. None: there is no such name."""
        found = {kind for ancestor in self.ancestry(cls) for kind in self._kinds(ancestor, name)}
        found |= {_PYTHONQT[name]} if name in _PYTHONQT and "QObject" in self.ancestry(cls) else set()
        return next((kind for kind in ("property", "readonly", "signal", "call", "enum") if kind in found), None)

    def _kinds(self, cls: str, name: str) -> set[str]:
        entry = self._classes[cls]
        plain = name.removesuffix("_")  # exec_ is exec
        kinds = {
            kind
            for key, kind in (("properties", "property"), ("readonly", "readonly"), ("enums", "enum"))
            if name in entry.get(key, "").split()
        }
        kinds |= (
            {"call"} if {name, plain} & {call.partition(">")[0] for call in entry.get("calls", "").split()} else set()
        )
        return kinds | (
            {"signal"} if any(s.startswith(f"{name}(") for s in entry.get("signals", "").split()) else set()
        )

    def returned(self, cls: str, name: str) -> str | None:
        """The class of what a method returns, where the tables know it."""
        for ancestor in self.ancestry(cls):
            for call in self._classes[ancestor].get("calls", "").split():
                plain, _, returned = call.partition(">")
                if plain == name:
                    return returned or None
        return None

    def has_signal(self, cls: str, signature: str) -> bool:
        wanted = signature.replace(" ", "").replace("const", "").replace("&", "")
        return any(wanted in self._classes[ancestor].get("signals", "").split() for ancestor in self.ancestry(cls))
