"""What the stand-ins for C++ widgets of CTK and Slicer are made with.

A stand-in offers what PythonQt offers of the real class: its Qt properties, signals, slots and
invokable methods, under their names, and nothing else that is public (by names.py).
"""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable

from PySide6 import QtCore

from .names import unknown
from .pythonqt import cpp_classes

#: name -> class of every stand-in; those that begin with "ctk" belong to the module ctk, the others
#: to slicer.
stand_ins: dict[str, type] = {}

_numbers = itertools.count()


def stand_in(cls: type) -> type:
    """Decorator: the class stands for the C++ class of the same name, whose methods take no keyword arguments."""
    for name, function in vars(cls).items():
        if isinstance(function, types.FunctionType) and not name.startswith("_"):
            function.__code__ = function.__code__.replace(
                co_posonlyargcount=function.__code__.co_argcount
            )
    offered = [
        name
        for base in cls.__mro__
        if base.__module__.startswith(__package__)
        for name in vars(base)
    ]
    inherited = dir(next(base for base in cls.__mro__ if base.__module__.startswith("PySide6")))
    wrong = unknown(cls, set(offered).difference(inherited))
    assert not wrong, f"{cls.__name__} has no {wrong}"
    stand_ins[cls.__name__] = cls
    cpp_classes.add(cls)
    return cls


def stored(kind, default=None, apply: Callable | None = None) -> QtCore.Property:
    """A Qt property that keeps its value; `apply(widget, value)` shows it.

    Lists read as tuples, as in PythonQt.
    """
    key = f"_stored_{next(_numbers)}"

    def read(self):
        return self.__dict__.get(key, default)

    def write(self, value):
        value = _converted(kind, value)
        if read(self) != value:
            self.__dict__[key] = value
            if apply:
                apply(self, value)

    return QtCore.Property(kind, read, write)


def _converted(kind, value):
    if kind == "QStringList":
        if isinstance(value, str):
            raise TypeError(f"a list of strings is needed, not the string {value!r}")
        return tuple(map(str, value))
    if kind in (int, float, str, bool):
        if value is None or (kind in (int, float) and isinstance(value, str)):
            raise TypeError(f"{kind.__name__} is needed, not {value!r}")
        return kind(value)
    return value
