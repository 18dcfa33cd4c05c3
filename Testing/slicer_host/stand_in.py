"""What the stand-ins for C++ widgets of CTK and Slicer are made with.

A stand-in offers what PythonQt offers of the real class: its Qt properties, signals, slots and
invokable methods, under their names, and nothing else that is public (by names.py).
"""

from __future__ import annotations

import itertools

from PySide6 import QtCore

from .names import unknown
from .pythonqt import cpp_classes

#: name -> class of every stand-in; those that begin with "ctk" belong to the module ctk, the others
#: to slicer.
stand_ins: dict[str, type] = {}

_numbers = itertools.count()


def stand_in(cls: type) -> type:
    """Decorator: the class stands for the C++ class of the same name."""
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


def stored(kind, default=None) -> QtCore.Property:
    """A Qt property that keeps its value.

    Lists read as tuples, as in PythonQt.
    """
    key = f"_stored_{next(_numbers)}"

    def read(self):
        return self.__dict__.get(key, default)

    def write(self, value):
        self.__dict__[key] = _converted(kind, value)

    return QtCore.Property(kind, read, write)


def _converted(kind, value):
    if kind == "QStringList":
        return tuple(map(str, value))
    return kind(value) if kind in (int, str, bool) else value
