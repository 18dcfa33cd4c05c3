"""`slicer.parameterNodeWrapper`, as much of it as this module uses.

Numbers and texts as fields of a parameter node.

slicer-core 5.11 has none; what lies in the node is what Slicer's own wrapper would write there."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class WithinRange:
    minimum: float
    maximum: float

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Choice:
    choices: Sequence

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value!r}")


def parameterNodeWrapper(cls: type) -> type:
    """Decorator: `Cls(node)` reads and writes the node's parameters as attributes.

    Every field needs a value of its own.
    """
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        kind, validator = typing.get_args(annotated)
        setattr(cls, name, _Field(name, kind, validator, getattr(cls, name)))
    cls.__init__ = _make
    return cls


class _Field:
    def __init__(self, name: str, kind: type, validator, default):
        self.name, self.kind, self.validator, self.default = name, kind, validator, default

    def __get__(self, wrapper, owner=None):
        if wrapper is None:
            return self
        if not wrapper.parameterNode.HasParameter(
            self.name
        ):  # new, or emptied when the scene was closed
            self.__set__(wrapper, self.default)
        return self.kind(wrapper.parameterNode.GetParameter(self.name))

    def __set__(self, wrapper, value):
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(
                f"Value must be of type {self.kind}, is {value!r} of type {type(value)}"
            )
        self.validator.validate(value)
        wrapper.parameterNode.SetParameter(self.name, str(value))


def _make(self, parameterNode) -> None:
    self.parameterNode = parameterNode
    for field in vars(type(self)).values():
        if isinstance(field, _Field):
            getattr(self, field.name)
