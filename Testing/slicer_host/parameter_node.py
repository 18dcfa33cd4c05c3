"""`slicer.parameterNodeWrapper`, as much of it as this module uses: numbers and texts as fields of a parameter node, and sliders bound
to them. slicer-core 5.11 has none; what lies in the node is what Slicer's own wrapper would write there."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass

import ctk
import qt
import slicer

_WORDS = {bool: {"True": True, "False": False}.__getitem__, int: int, float: float, str: str}


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
    """Decorator: `Cls(node)` reads and writes the node's parameters as attributes. Every field needs a value of its own."""
    fields = typing.get_type_hints(cls, include_extras=True)
    for name, annotated in fields.items():
        kind, *validators = (
            typing.get_args(annotated) if typing.get_origin(annotated) is typing.Annotated else [annotated]
        )
        if kind not in _WORDS:
            raise TypeError(f"{name}: this stand-in stores numbers and texts only, not {kind}")
        setattr(cls, name, _Field(name, kind, validators, getattr(cls, name)))
    cls.__init__, cls.connectGui, cls.disconnectGui = _make, _connect_gui, _disconnect_gui
    return cls


class _Field:
    def __init__(self, name: str, kind: type, validators: list, default):
        self.name, self.kind, self.validators, self.default = name, kind, validators, default

    def __get__(self, wrapper, owner=None):
        if wrapper is None:
            return self
        if not wrapper.parameterNode.HasParameter(self.name):  # new, or emptied when the scene was closed
            self.__set__(wrapper, self.default)
        return _WORDS[self.kind](wrapper.parameterNode.GetParameter(self.name))

    def __set__(self, wrapper, value):
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(f"Value must be of type {self.kind}, is {value!r} of type {type(value)}")
        for validator in self.validators:
            validator.validate(value)
        wrapper.parameterNode.SetParameter(self.name, str(value))

    def bound(self) -> WithinRange:
        return next(validator for validator in self.validators if isinstance(validator, WithinRange))


def _make(self, parameterNode) -> None:
    self.parameterNode, self._bound = parameterNode, {}
    for field in vars(type(self)).values():
        if isinstance(field, _Field):
            getattr(self, field.name)


def _connect_gui(self, gui) -> int:
    """Bind each slider that names a field in its dynamic property SlicerParameterName."""
    widgets = [
        widget
        for widget in vars(gui).values()
        if isinstance(widget, qt.QWidget) and widget.property("SlicerParameterName")
    ]
    pairs = []
    for widget in widgets:
        field = vars(type(self))[widget.property("SlicerParameterName")]
        if type(widget) is not ctk.ctkSliderWidget:
            raise RuntimeError(f"this stand-in binds no {type(widget).__name__}")
        widget.minimum, widget.maximum = field.bound().minimum, field.bound().maximum
        widget.value = getattr(self, field.name)
        pairs.append((widget, field.name, lambda value, field=field: setattr(self, field.name, field.kind(value))))
        widget.valueChanged.connect(pairs[-1][2])

    def show(caller, event) -> None:
        with slicer.util.NodeModify(self.parameterNode):
            for widget, name, _ in pairs:
                widget.value = getattr(self, name)

    tag = max(self._bound, default=-1) + 1
    self._bound[tag] = pairs, self.parameterNode.AddObserver("ModifiedEvent", show)
    return tag


def _disconnect_gui(self, tag: int) -> None:
    pairs, observer = self._bound.pop(tag)
    for widget, _, called in pairs:
        widget.valueChanged.disconnect(called)
    self.parameterNode.RemoveObserver(observer)
