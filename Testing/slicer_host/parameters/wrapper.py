"""A class of typed fields becomes a view of a parameter node."""

from __future__ import annotations

import typing

import qt
import slicer
import vtk

from .annotations import split
from .connectors import Connector, connector_for
from .storage import default_of, storage_of

SlicerParameterNamePropertyName = "SlicerParameterName"
_RESERVED = ("allParameters", "default", "isCached", "dataType", "getValue", "setValue", "connectGui", "connectParametersToGui",
             "disconnectGui", "StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified")


def parameterNodeWrapper(cls=None):
    """Decorator: `Cls(node)` reads and writes the node's parameters as attributes; fields may be bound to widgets."""
    return _make_wrapper if cls is None else _make_wrapper(cls)


def isParameterNodeWrapper(thing) -> bool:
    return getattr(thing, "_is_parameter_node_wrapper", False)


def findChildWidgetForParameter(widget, parameter: str):
    named = (child for child in widget.findChildren(qt.QWidget) if child.property(SlicerParameterNamePropertyName) == parameter)
    return next(named, None)


def _make_wrapper(cls):
    for name in _RESERVED:
        if name in cls.__dict__ or name in getattr(cls, "__annotations__", {}):
            raise ValueError(f"A parameter node wrapper cannot have a field {name!r}")
    fields = typing.get_type_hints(cls, include_extras=True)
    namespace = {**_Wrapper.__dict__}
    for name in ("__dict__", "__weakref__", "__module__", "__doc__"):
        namespace.pop(name, None)
    storages = {name: storage_of(annotated) for name, annotated in fields.items()}
    defaults = {name: getattr(cls, name) if hasattr(cls, name) else default_of(fields[name], storages[name]) for name in fields}
    for name, value in namespace.items():
        setattr(cls, name, value)
    for name in fields:
        setattr(cls, name, property(lambda self, name=name: self._read(name), lambda self, value, name=name: self._write(name, value)))
    cls.allParameters, cls._storages, cls._defaults = fields, storages, defaults
    cls._is_parameter_node_wrapper = True
    return cls


class _Wrapper:
    """What every wrapper class gets."""

    def __init__(self, parameterNode, prefix: str | None = None):
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._bound: dict[int, tuple[dict[str, Connector], int]] = {}
        self._showing = False
        for name in self._storages:
            self._read(name)

    def _read(self, name):
        storage, stored_name = self._storages[name], self._prefix + name
        if not storage.is_in(self.parameterNode, stored_name):  # new, or emptied when the scene was closed
            storage.write(self.parameterNode, stored_name, self._defaults[name])
        return storage.read(self.parameterNode, stored_name)

    def _write(self, name, value):
        self._storages[name].write(self.parameterNode, self._prefix + name, value)

    @classmethod
    def _check_name(cls, name: str) -> tuple[str, str]:
        top, _, rest = name.partition(".")
        if top not in cls.allParameters:
            raise ValueError(f"{cls.__name__} has no field {top!r}")
        return top, rest

    @classmethod
    def dataType(cls, name: str):
        top, rest = cls._check_name(name)
        return split(cls.allParameters[top])[0].dataType(rest) if rest else cls.allParameters[top]

    def default(self, name: str):
        from .annotations import Default

        return Default(self._defaults[self._check_name(name)[0]])

    def isCached(self, name: str) -> bool:
        self._check_name(name)
        return False

    def getValue(self, name: str):
        top, rest = self._check_name(name)
        return self._read(top).getValue(rest) if rest else self._read(top)

    def setValue(self, name: str, value) -> None:
        top, rest = self._check_name(name)
        if rest:
            self._read(top).setValue(rest, value)
        else:
            self._write(top, value)

    # widgets -----------------------------------------------------------------------------------------------------------

    def connectGui(self, gui) -> int:
        """Bind each widget that names a field in its dynamic property SlicerParameterName."""
        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QWidget) else vars(gui).values()
        named = {widget.property(SlicerParameterNamePropertyName): widget for widget in widgets if isinstance(widget, qt.QObject)}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict) -> int:
        for name in mapping:
            self._check_name(name)
        connectors = {name: connector_for(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.connect(lambda name=name, connector=connector: self._from_widget(name, connector))
        tag = max(self._bound, default=-1) + 1
        self._bound[tag] = connectors, self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._to_widgets())
        return tag

    def _from_widget(self, name: str, connector: Connector) -> None:
        if not self._showing:
            self.setValue(name, connector.read())

    def _to_widgets(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self.parameterNode):
                for connectors, _ in list(self._bound.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._showing = False

    def disconnectGui(self, tag: int) -> None:
        if tag in self._bound:
            connectors, observer = self._bound.pop(tag)
            for connector in connectors.values():
                connector.disconnect()
            self.RemoveObserver(observer)

    # the node ----------------------------------------------------------------------------------------------------------

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, before):
        self.parameterNode.EndModify(before)

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def Modified(self):
        self.parameterNode.Modified()
