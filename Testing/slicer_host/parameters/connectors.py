"""Which field can be bound to which widget: by the widget's exact class, as in Slicer."""

from __future__ import annotations

import enum
import pathlib
import types
import typing
from collections.abc import Callable

import ctk
import qt
import slicer

from .annotations import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange, first, split


class Connector:
    """Reads a widget, writes it, and calls back when the user has changed it."""

    def __init__(self, widget, signal: str | None, read: Callable, write: Callable):
        self.widget, self._signal, self.read, self.write = widget, signal, read, write
        self._called = None

    def connect(self, callback: Callable[[], None]) -> None:
        self._called = lambda: callback()
        if self._signal:
            getattr(self.widget, self._signal).connect(self._called)

    def disconnect(self) -> None:
        if self._signal and self._called:
            getattr(self.widget, self._signal).disconnect(self._called)
        self._called = None


def connector_for(widget, annotated) -> Connector:
    """Raises RuntimeError for a pair of widget and type that Slicer cannot bind."""
    kind, annotations = split(annotated)
    cls = type(widget)
    for classes, fits, make in _TABLE:
        if cls in classes and fits(kind):
            return make(widget, kind, annotations)
    raise RuntimeError(f"Slicer cannot bind a field of type {annotated} to a {cls.__name__}")


def _simple(signal: str | None, prop: str) -> Callable:
    def make(widget, kind, annotations):
        def write(value):
            if getattr(widget, prop) != value:
                setattr(widget, prop, value)

        return Connector(widget, signal, lambda: getattr(widget, prop), write)

    return make


def _button(widget, kind, annotations):
    widget.checkable = True
    return _simple("toggled", "checked")(widget, kind, annotations)


def _number(widget, kind, annotations):
    decimals, step = first(annotations, Decimals), first(annotations, SingleStep)
    has_decimals = type(widget) not in (ctk.ctkDoubleSlider, qt.QSlider, qt.QSpinBox)
    if has_decimals and (kind is int or decimals is not None):
        widget.decimals = 0 if kind is int else decimals.value
    if step is not None:
        widget.singleStep = step.value
    within, least, most = first(annotations, WithinRange), first(annotations, Minimum), first(annotations, Maximum)
    if within is not None:
        least = most = within
    if type(widget) in (qt.QSlider, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget) and not (least and most):
        raise RuntimeError(f"A field that is bound to a {type(widget).__name__} needs bounds: annotate it with WithinRange")
    unbounded = 2 ** 31 - 1 if type(widget) in (qt.QSlider, qt.QSpinBox) else float("inf")
    widget.minimum = least.minimum if least is not None else -unbounded
    widget.maximum = most.maximum if most is not None else unbounded

    def write(value):
        widget.value = kind(value)

    return Connector(widget, "valueChanged", lambda: kind(widget.value), write)


def _choice(widget, kind, annotations):
    choice = first(annotations, Choice)
    if choice is None:
        raise RuntimeError("A field that is bound to a combo box needs the annotation Choice")
    return _combo_box(widget, [(str(value), value) for value in choice.choices])


def _enum(widget, kind, annotations):
    label = getattr(kind, "label", lambda member: member.name)
    return _combo_box(widget, [(label(member), member) for member in kind])


def _combo_box(widget, entries: list[tuple[str, object]]):
    values = [value for _, value in entries]
    widget.clear()
    widget.addItems([text for text, _ in entries])

    def write(value):
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _text_edit(widget, kind, annotations):
    return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)


def _path(signal: str, prop: str) -> Callable:
    def make(widget, kind, annotations):
        return Connector(widget, signal, lambda: kind(getattr(widget, prop)), lambda value: setattr(widget, prop, str(value)))

    return make


def _node(widget, kind, annotations):
    widget.nodeTypes = [node_type().GetClassName() for node_type in _node_types(kind)]
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _node_types(kind) -> list[type]:
    several = typing.get_origin(kind) in (typing.Union, types.UnionType)
    kinds = [split(one)[0] for one in typing.get_args(kind)] if several else [kind]
    if not all(isinstance(one, type) and (one is type(None) or issubclass(one, slicer.vtkMRMLNode)) for one in kinds):
        return []
    return [one for one in kinds if one is not type(None)]


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda kind: kind in kinds


_ANY_PATH = _is(pathlib.Path, pathlib.PurePath, pathlib.PosixPath, pathlib.PurePosixPath, pathlib.WindowsPath, pathlib.PureWindowsPath)
_TABLE = [
    ((qt.QCheckBox, ctk.ctkCheckBox), _is(bool), _simple("stateChanged", "checked")),
    ((qt.QPushButton,), _is(bool), _button),
    ((qt.QSlider, qt.QSpinBox), _is(int), _number),
    ((qt.QDoubleSpinBox, ctk.ctkSliderWidget, slicer.qMRMLSliderWidget, ctk.ctkDoubleSlider, ctk.ctkDoubleSpinBox, slicer.qMRMLSpinBox),
     _is(int, float), _number),
    ((qt.QComboBox, ctk.ctkComboBox), _is(int, float, str, bool), _choice),
    ((qt.QComboBox, ctk.ctkComboBox), lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), _enum),
    ((qt.QLineEdit,), _is(str), _simple("textChanged", "text")),
    ((qt.QLabel,), _is(str), _simple(None, "text")),
    ((qt.QTextEdit,), _is(str), _text_edit),
    ((ctk.ctkPathLineEdit,), _ANY_PATH, _path("currentPathChanged", "currentPath")),
    ((ctk.ctkDirectoryButton,), _ANY_PATH, _path("directoryChanged", "directory")),
    ((slicer.qMRMLNodeComboBox,), _node_types, _node),
    ((ctk.ctkColorPickerButton,), _is(qt.QColor), _simple("colorChanged", "color")),
]
