"""PySide6 seen the way PythonQt shows Qt in Slicer.

What differs, and is made alike here on the classes themselves, so that it also holds for widgets that Qt makes on its own:

- a Qt property is an attribute: `w.text` reads it, `w.text = "..."` writes it, `w.text()` fails as a str is not callable;
- an attribute that does not exist cannot be written on a C++ object (a mistyped property name raises);
- lists of strings are tuples;
- `w.connect("clicked(bool)", f)` connects by signature; `name` is short for objectName; `className()` tells the C++ class;
- `exec_` instead of `exec`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
#: Properties of Qt 6 that Qt 5, which Slicer is built with, only has as methods, or not at all.
_NEW = {"accessibleIdentifier", "contentsMargins", "dockLocation", "horizontalSizeConstraint", "keyboardSearchFlags", "labelDrawingMode",
        "sectionsClickable", "sectionsMovable", "sortIndicatorClearable", "supportedDragActions", "updateThreshold",
        "verticalSizeConstraint"}
#: Classes on which an unknown attribute cannot be written: Qt's own and the stand-ins for C++ classes.
cpp_classes: set[type] = set()


class Attribute:
    """A Qt property as a Python attribute; read from the class it is still the method, which is how Qt's code calls it."""

    def __init__(self, name: str, method, read: Callable | None, write: Callable | None, writable: bool):
        self.name, self.method, self.read, self.write, self.writable = name, method, read, write, writable

    def __get__(self, obj, owner=None):
        if obj is None:
            if self.method is None:
                raise AttributeError(f"{owner.__name__}.{self.name} is a property: read it from an object")
            return self.method.__get__(None, owner)  # bound if it is static
        value = self.read.__get__(obj, owner)() if self.read else obj.property(self.name)
        return tuple(value) if isinstance(value, list) else value

    def __set__(self, obj, value):
        if not self.writable:
            raise AttributeError(f"Property {self.name!r} of {type(obj).__name__} object is not writable")
        if self.write:
            try:
                self.write.__get__(obj, type(obj))(value)
                return
            except TypeError:
                pass  # Qt's own conversion is as generous as PythonQt's: float for int, int for an enum
        if not obj.setProperty(self.name, value):
            raise AttributeError(f"Property {self.name!r} of {type(obj).__name__} does not accept {value!r}")


def see_as_pythonqt() -> None:
    """Change PySide6's classes; once per process."""
    if cpp_classes:
        return
    for module in MODULES:
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                cpp_classes.add(cls)
    for cls in sorted(cpp_classes, key=lambda cls: len(cls.__mro__)):
        if "staticMetaObject" in cls.__dict__:
            _add_attributes(cls)
    QtCore.QObject.name = property(lambda self: self.objectName, lambda self, name: self.setObjectName(name))
    QtCore.QObject.className = lambda self: self.metaObject().className()
    for cls in [cls for cls in cpp_classes if cls is QtCore.QObject or "__setattr__" in cls.__dict__]:
        cls.__setattr__ = _set_attribute
    for cls in (QtCore.QEventLoop, QtCore.QCoreApplication, QtGui.QDrag):
        cls.exec_ = cls.exec
    for cls in [cls for cls in cpp_classes if "__getattribute__" in cls.__dict__]:
        cls.__getattribute__ = _finding_connect(cls.__getattribute__)


def _add_attributes(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        if (index < meta.propertyOffset() and name not in cls.__dict__) or name in _NEW:
            continue  # inherited as it is
        capital = name[0].upper() + name[1:]
        method = cls.__dict__.get(name)
        # The getter of a flag is called isX; a method x beside it is something else (QTimer.singleShot).
        read = _unbound(cls, f"is{capital}") or method or _unbound(cls, f"has{capital}")
        setattr(cls, name, Attribute(name, method, read, _unbound(cls, f"set{capital}"), meta.property(index).isWritable()))


def _unbound(cls: type, name: str):
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _set_attribute(self, name, value):
    cls = type(self)
    known = _unbound(cls, name)
    if isinstance(known, QtCore.Property):
        if known.fset is None:
            raise AttributeError(f"Property {name!r} of {cls.__name__} object is not writable")
        known.fset(self, value)
    elif hasattr(type(known), "__set__"):
        type(known).__set__(known, self, value)
    elif cls not in cpp_classes or name.startswith("_") or _is_kept_by_pyside(name, value):
        self.__dict__[name] = value
    elif known is not None:
        raise AttributeError(f"{name!r} of {cls.__name__} object is not a property and can not be overwritten")
    elif self.property(name) is not None:
        self.setProperty(name, value)
    else:
        raise AttributeError(f"{name!r} does not exist on {cls.__name__}, and new attributes on C++ objects are not allowed")


def _is_kept_by_pyside(name: str, value) -> bool:
    """PySide6 itself sets a signal that was looked up, and on what QUiLoader made each child by its name."""
    return isinstance(value, QtCore.SignalInstance) or (isinstance(value, QtCore.QObject) and value.objectName == name)


def _finding_connect(plain: Callable) -> Callable:
    """PySide6 looks up `connect` of an object before everything that a class could define."""

    ours = {"connect": connect, "disconnect": disconnect}

    def get_attribute(self, name):
        value = plain(self, name)
        return partial(_connect_either_way, ours[name], value, self) if name in ours else value

    return get_attribute


def _connect_either_way(ours: Callable, qts: Callable, sender: QtCore.QObject, first, *rest):
    """Before 6.9, PySide6's signals call the same method with the sender first."""
    return ours(sender, first, *rest) if isinstance(first, str) else qts(first, *rest)


# connections by signature ----------------------------------------------------------------------------------------------

def connect(sender: QtCore.QObject, signature: str, receiver, slot: str | None = None) -> bool:
    """`sender.connect("valueChanged(int)", f)` or `sender.connect("valueChanged(int)", other, "setValue(int)")`."""
    function = receiver if slot is None else getattr(receiver, slot.partition("(")[0])
    name, _, types = signature.partition("(")
    count = len([part for part in types.rstrip(")").split(",") if part.strip()])
    if slot is not None:
        count = min(count, len([part for part in slot.partition("(")[2].rstrip(")").split(",") if part.strip()]))
    # PySide6 gives a slot as many values as its code names, so the number must stand in the signature.
    call = (lambda: function(), lambda a: function(a), lambda a, b: function(a, b))[min(count, _accepts(function))]
    _signal(sender, name, types).connect(call)
    _connections(sender)[signature, function] = call
    return True


def disconnect(sender: QtCore.QObject, signature: str, receiver=None) -> bool:
    connections = _connections(sender)
    keys = [key for key in connections if key[0] == signature and (receiver is None or key[1] == receiver)]
    name, _, types = signature.partition("(")
    for key in keys:
        _signal(sender, name, types).disconnect(connections.pop(key))
    return bool(keys)


def _signal(sender: QtCore.QObject, name: str, types: str):
    if name == "currentIndexChanged" and "QString" in types:
        name = "currentTextChanged"  # one of the overloads of Qt 5 that Qt 6 gave a name of its own
    signal = getattr(sender, name, None)
    if not isinstance(signal, QtCore.SignalInstance):
        raise ValueError(f"{sender.className()} has no signal {name!r}")
    return signal


def _connections(sender: QtCore.QObject) -> dict:
    if "_connections_by_signature" not in sender.__dict__:
        sender._connections_by_signature = {}
    return sender.__dict__["_connections_by_signature"]


def _accepts(function: Callable) -> int:
    """How many positional arguments a slot takes; PythonQt drops the rest."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 100
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 100
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
