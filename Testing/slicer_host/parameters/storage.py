"""How a value of each type lies in a parameter node.

A plain value is a parameter with its words; a node is a node reference whose role is the field's name beside an empty parameter (so
that "none" can be told from "never set"); list "x" is "x.len", "x.0", "x.1", ...; a tuple is "x.0", "x.1", ...; one of several types
(also an optional one) is "x.<number of the type>"; a pack is "x.<field>".
"""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable, Sequence

import qt
import slicer

from .annotations import Default, IsInstance, NotNone, Validator, first, split
from .observed import ObservedList


class Storage:
    """Reads and writes values of one type under a name; `validators` are asked before a value is written."""

    def __init__(self, validators: Sequence[Validator] = ()):
        self.validators = list(validators)

    def check(self, value) -> None:
        for validator in self.validators:
            validator.validate(value)

    def write(self, node, name: str, value) -> None:
        self.check(value)
        with slicer.util.NodeModify(node):
            self._write(node, name, value)

    def default(self):
        raise NotImplementedError

    def fits(self, value) -> bool:
        """May this be the type of the value, among several?"""
        raise NotImplementedError

    def is_in(self, node, name: str) -> bool:
        return bool(node.HasParameter(name))

    def remove(self, node, name: str) -> None:
        node.UnsetParameter(name)


class Text(Storage):
    """A type with a word for each of its values."""

    def __init__(self, kind: type, to_text: Callable = str, from_text: Callable | None = None, default=None, accepted=None):
        super().__init__([NotNone(), IsInstance(accepted or kind)])
        self.kind, self.to_text, self.from_text, self._default = kind, to_text, from_text or kind, default

    def default(self):
        return self._default

    def fits(self, value) -> bool:
        return type(value) is self.kind

    def _write(self, node, name, value):
        node.SetParameter(name, self.to_text(value))

    def read(self, node, name):
        return self.from_text(node.GetParameter(name))


class Node(Storage):
    def __init__(self, kind: type):
        super().__init__([IsInstance(kind)])
        self.kind = kind

    def default(self):
        return None

    def fits(self, value) -> bool:
        return isinstance(value, self.kind)

    def _write(self, node, name, value):
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)

    def remove(self, node, name):
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class Nothing(Storage):
    """None, among several types."""

    def default(self):
        return None

    def fits(self, value) -> bool:
        return value is None

    def _write(self, node, name, value):
        node.SetParameter(name, "True")

    def read(self, node, name):
        return None


class List(Storage):
    def __init__(self, element: Storage):
        super().__init__()
        self.element = element

    def default(self):
        return []

    def fits(self, value) -> bool:
        return isinstance(value, (list, ObservedList))

    def _length(self, node, name) -> int:
        return int(node.GetParameter(f"{name}.len") or 0)

    def is_in(self, node, name):
        return bool(node.HasParameter(f"{name}.len"))

    def check(self, value):
        super().check(value)
        for element in value:
            self.element.check(element)

    def _write(self, node, name, value):
        before = self._length(node, name)
        for number, element in enumerate(value):
            self.element.write(node, f"{name}.{number}", element)
        node.SetParameter(f"{name}.len", str(len(value)))
        for number in range(len(value), before):
            self.element.remove(node, f"{name}.{number}")

    def read(self, node, name):
        values = [self.element.read(node, f"{name}.{number}") for number in range(self._length(node, name))]
        return ObservedList(values, lambda changed: self.write(node, name, changed), lambda: self.read(node, name))

    def remove(self, node, name):
        for number in range(self._length(node, name)):
            self.element.remove(node, f"{name}.{number}")
        node.UnsetParameter(f"{name}.len")


class Tuple(Storage):
    def __init__(self, elements: list[Storage]):
        super().__init__()
        self.elements = elements

    def default(self):
        return tuple(element.default() for element in self.elements)

    def fits(self, value) -> bool:
        return isinstance(value, tuple)

    def is_in(self, node, name):
        return self.elements[0].is_in(node, f"{name}.0")

    def _write(self, node, name, value):
        if len(value) != len(self.elements):
            raise ValueError(f"{len(self.elements)} values are needed, not {len(value)}")
        for number, (element, part) in enumerate(zip(self.elements, value)):
            element.write(node, f"{name}.{number}", part)

    def read(self, node, name):
        return tuple(element.read(node, f"{name}.{number}") for number, element in enumerate(self.elements))

    def remove(self, node, name):
        for number, element in enumerate(self.elements):
            element.remove(node, f"{name}.{number}")


class OneOf(Storage):
    def __init__(self, choices: list[Storage]):
        super().__init__()
        self.choices = choices

    def default(self):
        optional = len(self.choices) == 2 and isinstance(self.choices[1], Nothing)
        return None if optional else self.choices[0].default()

    def fits(self, value) -> bool:
        return any(choice.fits(value) for choice in self.choices)

    def is_in(self, node, name):
        return any(choice.is_in(node, f"{name}.{number}") for number, choice in enumerate(self.choices))

    def check(self, value):
        super().check(value)
        if not self.fits(value):
            raise TypeError(f"No type of the field fits {value!r} of type {type(value)}")

    def _write(self, node, name, value):
        self.remove(node, name)
        number = next(number for number, choice in enumerate(self.choices) if choice.fits(value))
        self.choices[number].write(node, f"{name}.{number}", value)

    def read(self, node, name):
        for number, choice in enumerate(self.choices):
            if choice.is_in(node, f"{name}.{number}"):
                return choice.read(node, f"{name}.{number}")
        raise KeyError(name)

    def remove(self, node, name):
        for number, choice in enumerate(self.choices):
            choice.remove(node, f"{name}.{number}")


_PATHS = (pathlib.Path, pathlib.PurePath, pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)


def storage_of(annotated) -> Storage:
    """Storage for a type as it is written in a class; its validators are those of its annotations besides the type's own."""
    kind, annotations = split(annotated)
    storage = _storage(kind)
    storage.validators += [a for a in annotations if isinstance(a, Validator)]
    return storage


def default_of(annotated, storage: Storage):
    """What a field is without being set, if the class does not say it with "="."""
    default = first(split(annotated)[1], Default)
    return default.value if default else storage.default()


def _storage(kind) -> Storage:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return OneOf([storage_of(one) for one in inner])
    if origin is list or kind is list:
        return List(storage_of(inner[0]))
    if origin is tuple:
        return Tuple([storage_of(one) for one in inner])
    if kind is type(None):
        return Nothing()
    if kind in (int, float):
        return Text(kind, default=0, accepted=(int, float) if kind is float else int)
    if kind is str:
        return Text(str, default="")
    if kind is bool:
        return Text(bool, lambda value: "True" if value else "False", lambda text: text == "True", default=False)
    if kind in _PATHS:
        return Text(kind, default=kind())
    if kind is qt.QColor:
        return Text(kind, lambda color: color.name(qt.QColor.HexArgb), default=qt.QColor())
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return Text(kind, lambda value: value.name, lambda text: kind[text], default=next(iter(kind)))
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return Node(kind)
    if getattr(kind, "_is_parameterPack", False):
        from .packs import Pack

        return Pack(kind)
    raise TypeError(f"Slicer's parameter node wrapper cannot store {kind}, or this stand-in does not know how")
