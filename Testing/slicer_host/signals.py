"""Connections as PythonQt makes them: to a signal or by its signature.

A function or method gets as many of the signal's values as its code names, with or without a
default; every other callable (a partial, a method of Qt's, what takes *args) gets all.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable

from PySide6 import QtCore

_connect_in_qt = QtCore.SignalInstance.connect
_VARIABLE = inspect.CO_VARARGS


def see_signals_as_pythonqt() -> None:
    QtCore.SignalInstance.connect = _connect_signal


def _connect_signal(signal: QtCore.SignalInstance, slot, *how):
    number = _accepts(slot)
    if isinstance(slot, QtCore.SignalInstance) or number is not None:
        return _connect_in_qt(signal, slot, *how)
    name, types_ = _of(signal)
    if name in ("clicked", "triggered") and not types_:
        signal, types_ = signal["bool"], ["bool"]  # PythonQt means the overload with all values
    return _connect_in_qt(signal, _taking(len(types_), slot), *how)


def connect(sender: QtCore.QObject, signature: str, receiver, slot: str | None = None) -> bool:
    """`sender.connect("valueChanged(int)", f)` or `sender.connect("valueChanged(int)", other, "setValue(int)")`."""
    function = receiver if slot is None else getattr(receiver, slot.partition("(")[0])
    name, types_ = _parts(signature)
    count = len(types_) if slot is None else min(len(types_), len(_parts(slot)[1]))
    number = _accepts(function)
    # PySide6 gives a slot as many values as its code names, so the number must stand in the
    # signature.
    call = _taking(count if number is None else min(count, number), function)
    _connect_in_qt(_signal(sender, name, types_), call)
    _connections(sender)[signature, function] = call
    return True


def disconnect(sender: QtCore.QObject, signature: str, receiver=None) -> bool:
    connections = _connections(sender)
    keys = [
        key
        for key in connections
        if key[0] == signature and (receiver is None or key[1] == receiver)
    ]
    for key in keys:
        _signal(sender, *_parts(signature)).disconnect(connections.pop(key))
    return bool(keys)


def _taking(count: int, function: Callable) -> Callable:
    """The function as one with so many arguments."""
    return (
        lambda: function(),
        lambda a: function(a),
        lambda a, b: function(a, b),
        lambda a, b, c: function(a, b, c),
        lambda a, b, c, d: function(a, b, c, d),
    )[count]


def _accepts(function: Callable) -> int | None:
    """How many values PythonQt gives a slot at most; None: all."""
    bound = isinstance(function, types.MethodType)
    code = getattr(function.__func__ if bound else function, "__code__", None)
    if (
        not isinstance(function, (types.FunctionType, types.MethodType))
        or code is None
        or code.co_flags & _VARIABLE
    ):
        return None
    return code.co_argcount - bound


def _of(signal: QtCore.SignalInstance) -> tuple[str, list[str]]:
    return _parts(repr(signal).split(" ", 1)[1].rpartition(" at ")[0])


def _parts(signature: str) -> tuple[str, list[str]]:
    name, _, types_ = signature.partition("(")
    return name, [part for part in types_.rstrip(")").split(",") if part.strip()]


def _signal(sender: QtCore.QObject, name: str, types_: list[str]) -> QtCore.SignalInstance:
    if name == "currentIndexChanged" and types_ == ["QString"]:
        name = "currentTextChanged"  # one of the overloads of Qt 5 that Qt 6 gave a name of its own
    signal = getattr(sender, name, None)
    if not isinstance(signal, QtCore.SignalInstance):
        raise ValueError(f"{sender.className()} has no signal {name!r}")
    return signal


def _connections(sender: QtCore.QObject) -> dict:
    if "_connections_by_signature" not in sender.__dict__:
        sender._connections_by_signature = {}
    return sender.__dict__["_connections_by_signature"]
