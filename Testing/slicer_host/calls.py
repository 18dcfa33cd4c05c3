"""Calls, truth and the end of Qt's objects, as PythonQt has them (PythonQtSlot.cpp, PythonQtInstanceWrapper.cpp, its generator)."""

from __future__ import annotations

import types
from collections.abc import Callable

import shiboken6
from PySide6 import QtCore


class Method:
    """A method of Qt's own, bound to an object.

    No keyword arguments, not after the object's end, tuples for lists.
    """

    __slots__ = ("_call", "_cls")

    def __init__(self, call: Callable, cls: str):
        self._call, self._cls = call, cls

    def __call__(self, *arguments, **keywords):
        if keywords:
            raise ValueError(
                f"Called {self.__name__}() with keyword arguments, but called slot does not "
                "support kwargs."
            )
        if self._call.__self__ is not None and not shiboken6.isValid(self._call.__self__):
            raise ValueError(f"Trying to call {self.__name__!r} on a destroyed {self._cls} object")
        result = self._call(*arguments)
        return tuple(result) if isinstance(result, list) else result

    def __getattr__(self, name):  # __name__, __self__, __doc__
        return getattr(self._call, name)

    def __eq__(self, other):
        return self._call == (other._call if isinstance(other, Method) else other)

    def __hash__(self):
        return hash(self._call)


def of_qt(value) -> bool:
    return isinstance(value, types.BuiltinMethodType) and isinstance(value.__self__, QtCore.QObject)


def destroyed(obj: QtCore.QObject) -> bool:
    """Was it made, and is it gone?"""
    return not shiboken6.isValid(obj)


def refuse_keywords(cls: type) -> None:
    """Let a class of Qt be made without keyword arguments only."""
    make = cls.__init__

    def init(self, *arguments, **keywords):
        if keywords:
            raise ValueError(
                f"Called {cls.__name__}() with keyword arguments, but called slot does not support "
                "kwargs."
            )
        make(self, *arguments)

    cls.__init__ = init


def give_truth(cls: type) -> None:
    """What PythonQt's generator asks for the truth of an object is the first of these that the class has; QObjects that are gone are
    false."""
    name = next((name for name in ("isEmpty", "isValid", "isNull") if hasattr(cls, name)), None)
    lives = shiboken6.isValid if issubclass(cls, QtCore.QObject) else lambda self: True
    if name is not None:
        ask, wanted = getattr(cls, name), name == "isValid"
        cls.__bool__ = lambda self: lives(self) and bool(ask(self)) is wanted
    elif cls is QtCore.QObject:
        cls.__bool__ = lambda self: lives(self)
