"""PySide6 seen the way PythonQt shows Qt in Slicer.

What differs, and is made alike here on the classes themselves, so that it also holds for widgets
that Qt makes on its own:

- what Qt 5.15, which Slicer may have, does not offer is not there;
- a Qt property is an attribute: `w.text` reads it, `w.text = "..."` writes it, `w.text()` fails as a str is not callable;
- an attribute that does not exist cannot be written on a C++ object (a mistyped property name raises), a slot on none;
- lists are tuples;
- what is empty, invalid or null is false, and so is what Qt has deleted, whose properties and methods raise;
- a method of Qt, or of a stand-in, takes no keyword arguments;
- `w.connect("clicked(bool)", f)` connects by signature; `name` is short for objectName; `className()` tells the class;
- `exec_` instead of `exec`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import shiboken6
from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .calls import Method, destroyed, give_truth, of_qt, refuse_keywords
from .names import unknown
from .signals import connect, disconnect, see_signals_as_pythonqt

MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
#: Classes on which an unknown attribute cannot be written: Qt's own and the stand-ins for C++
#: classes.
cpp_classes: set[type] = set()


class Attribute:
    """A Qt property as a Python attribute.

    Read from the class it is still the method, which is how Qt's code calls it.
    """

    def __init__(
        self, name: str, method, read: Callable | None, write: Callable | None, writable: bool
    ):
        self.name, self.method, self.read, self.write, self.writable = (
            name,
            method,
            read,
            write,
            writable,
        )

    def __get__(self, obj, owner=None):
        if obj is None:
            if self.method is None:
                raise AttributeError(
                    f"{owner.__name__}.{self.name} is a property: read it from an object"
                )
            return self.method.__get__(None, owner)  # bound if it is static
        value = self.read.__get__(obj, owner)() if self.read else obj.property(self.name)
        return tuple(value) if isinstance(value, list) else value

    def __set__(self, obj, value):
        if not self.writable:
            raise AttributeError(
                f"Property {self.name!r} of {type(obj).__name__} object is not writable"
            )
        if self.write:
            try:
                self.write.__get__(obj, type(obj))(value)
                return
            except TypeError:
                pass  # Qt's own conversion is as generous as PythonQt's: float for int, int for an enum
        if not obj.setProperty(self.name, value):
            raise AttributeError(
                f"Property {self.name!r} of {type(obj).__name__} does not accept {value!r}"
            )


def is_property(known) -> bool:
    return isinstance(known, (Attribute, QtCore.Property, property))


def is_cpp(cls: type) -> bool:
    """Does it stand for C++, or is it a part of what does?"""
    return cls in cpp_classes or cls.__module__.startswith(__package__)


def cpp_name(cls: type) -> str:
    return next(base.__name__ for base in cls.__mro__ if base in cpp_classes)


def see_as_pythonqt() -> None:
    """Change PySide6's classes; once per process."""
    if cpp_classes:
        return
    for cls in {
        getattr(module, name) for module in MODULES for name in dir(module) if name[0] == "Q"
    }:
        if isinstance(cls, type(QtCore.QObject)):
            for name in unknown(cls, list(vars(cls))):
                delattr(cls, name)
            give_truth(cls)
            if issubclass(cls, QtCore.QObject):
                cpp_classes.add(cls)
                refuse_keywords(cls)
    for cls in sorted(cpp_classes, key=lambda cls: len(cls.__mro__)):
        if "staticMetaObject" in cls.__dict__:
            _add_attributes(cls)
    QtCore.QObject.name = property(
        lambda self: self.objectName, lambda self, name: self.setObjectName(name)
    )
    QtCore.QObject.className = lambda self: type(self).__name__
    QtCore.QObject.delete = lambda self: shiboken6.delete(self)
    for cls in [
        cls for cls in cpp_classes if cls is QtCore.QObject or "__setattr__" in cls.__dict__
    ]:
        cls.__setattr__ = _set_attribute
    for cls in (QtCore.QEventLoop, QtCore.QCoreApplication, QtGui.QDrag):
        cls.exec_ = cls.exec
    for cls in [cls for cls in cpp_classes if "__getattribute__" in cls.__dict__]:
        cls.__getattribute__ = _getting(cls.__getattribute__)
    for cls in (QtCore.QSignalBlocker, QtGui.QPainter):
        del cls.__enter__
    see_signals_as_pythonqt()


def _add_attributes(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        if index < meta.propertyOffset() and name not in cls.__dict__:
            continue  # inherited as it is
        if unknown(cls, [name], "properties", "readonly"):
            continue  # a method in Qt 5
        capital = name[0].upper() + name[1:]
        method = cls.__dict__.get(name)
        # The getter of a flag is called isX; a method x beside it is something else
        # (QTimer.singleShot).
        read = _unbound(cls, f"is{capital}") or method or _unbound(cls, f"has{capital}")
        setattr(
            cls,
            name,
            Attribute(
                name,
                method,
                read,
                _unbound(cls, f"set{capital}"),
                meta.property(index).isWritable(),
            ),
        )


def _unbound(cls: type, name: str):
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _set_attribute(self, name, value):
    cls = type(self)
    owner = next((base for base in cls.__mro__ if name in base.__dict__), None)
    known = owner.__dict__[name] if owner else None
    if is_property(known):
        if is_cpp(owner) and destroyed(self):
            raise AttributeError(
                f"Trying to set property {name!r} on a destroyed {cpp_name(cls)} object"
            )
        if isinstance(known, QtCore.Property) and known.fset is None:
            raise AttributeError(f"Property {name!r} of {cls.__name__} object is not writable")
        known.fset(self, value) if isinstance(known, QtCore.Property) else known.__set__(
            self, value
        )
    elif name.startswith("_") or _is_kept_by_pyside(name, value):
        self.__dict__[name] = value
    elif owner is not None and is_cpp(owner):
        kind = "Signal" if isinstance(known, QtCore.Signal) else "Slot"
        raise AttributeError(f"{kind} {name!r} can not be overwritten on {cls.__name__} object")
    elif cls not in cpp_classes:
        self.__dict__[name] = value
    elif self.property(name) is not None:
        self.setProperty(name, value)
    else:
        raise AttributeError(
            f"{name!r} does not exist on {cls.__name__} and creating new attributes on C++ objects "
            "is not allowed"
        )


def _is_kept_by_pyside(name: str, value) -> bool:
    """PySide6 itself sets a signal that was looked up, and on what QUiLoader made each child by its name."""
    return isinstance(value, QtCore.SignalInstance) or (
        isinstance(value, QtCore.QObject) and value.objectName == name
    )


def _getting(plain: Callable) -> Callable:
    """PySide6 looks up `connect` of an object before everything that a class could define."""

    ours = {"connect": connect, "disconnect": disconnect}

    def get_attribute(self, name):
        if name[0] != "_" and destroyed(self):
            return _of_destroyed(self, name, plain)
        value = plain(self, name)
        if name in ours:
            return partial(_connect_either_way, ours[name], value, self)
        return Method(value, cpp_name(type(self))) if of_qt(value) else value

    return get_attribute


def _of_destroyed(self, name: str, plain: Callable):
    """What Python keeps is still there; what was Qt's raises, a method when it is called."""
    cls = type(self)
    owner = next((base for base in cls.__mro__ if name in base.__dict__), None)
    if owner is None or not is_cpp(owner):
        return plain(self, name)
    if is_property(owner.__dict__[name]):
        raise ValueError(
            f"Trying to read property {name!r} from a destroyed {cpp_name(cls)} object"
        )

    def call(*arguments):
        raise ValueError(f"Trying to call {name!r} on a destroyed {cpp_name(cls)} object")

    call.connect = call.disconnect = call.emit = call
    return call


def _connect_either_way(ours: Callable, qts: Callable, sender: QtCore.QObject, first, *rest):
    """Before 6.9, PySide6's signals call the same method with the sender first."""
    return ours(sender, first, *rest) if isinstance(first, str) else qts(first, *rest)
