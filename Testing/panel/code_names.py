"""The static check of Python code of a panel.

Every name that it uses of Qt, CTK, Slicer's widgets and its .ui file exists.

Only what is certain is followed: widgets of the .ui file, objects made or annotated by their class,
and what their methods return.

The tables in api/ come from the headers of Qt 5.15, CTK and Slicer, by the rules by which PythonQt
shows them to Python: of every class properties, signals, public slots, Q_INVOKABLE methods and
values of enumerations; of Qt's own classes all public methods besides; of the classes of CTK and
Slicer what their headers *PythonQtDecorators.h add. They hold names, space-separated, of each
class: its bases, the properties that can be written, those that can only be read, the signatures of
signals, what can be called, and enumerations with their values. "horizontalHeader>QHeaderView" is a
method that returns an object of a class in the tables. A class that is missing there is added from
its header by hand.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

TABLES = Path(__file__).with_name("api")
#: What PythonQt adds to every QObject.
_PYTHONQT = {"name": "property", "className": "call", "delete": "call", "help": "call"}

_MODULES = {"qt": "qt", "ctk": "ctk", "slicer": "slicer"}
_APP = "qSlicerApplication"
_ON_SIGNALS = {"connect", "disconnect", "emit"}


def problems_in_code(source: str, widgets: Mapping[str, str]) -> list[str]:
    """What is wrong with the names in Python code, in words with line numbers.   widgets.

    Of the .ui file, the class by name.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    module = _Scope(widgets)
    module.visit(tree)
    return module.problems


class _Scope(ast.NodeVisitor):
    """Walks a module; `types` knows the classes of `self.x` of the class at hand and of local names."""

    def __init__(self, widgets: Mapping[str, str]):
        self.ui, self.problems = widgets, []
        self.types: dict[str, str] = {}

    # where we are
    # ------------------------------------------------------------------------------------------------------

    def visit_ClassDef(self, node):
        before = dict(self.types)
        for assignment in ast.walk(node):  # attributes are known in all methods
            if isinstance(assignment, (ast.Assign, ast.AnnAssign)):
                self._learn(assignment, only_self=True)
        self.generic_visit(node)
        self.types = before

    def visit_FunctionDef(self, node):
        before = dict(self.types)
        for argument in node.args.args:
            self.types.pop(argument.arg, None)
            cls = argument.annotation and self._class_named(argument.annotation)
            if cls:
                self.types[argument.arg] = cls
        self.generic_visit(node)
        self.types = before

    def visit_Assign(self, node):
        self.generic_visit(node)
        self._learn(node)

    visit_AnnAssign = visit_Assign

    def _learn(self, node, only_self: bool = False) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            name = ast.unparse(target)
            if isinstance(target, (ast.Name, ast.Attribute)) and (
                not only_self or name.startswith("self.")
            ):
                annotated = isinstance(node, ast.AnnAssign) and self._class_named(node.annotation)
                cls = annotated or (node.value is not None and self.type_of(node.value))
                if cls:
                    self.types[name] = cls
                elif not name.startswith("self."):
                    self.types.pop(name, None)

    # what it is
    # --------------------------------------------------------------------------------------------------------

    def _class_named(self, node) -> str | None:
        """`qt.QLabel` -> "QLabel"."""
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in _MODULES
            and node.attr in api()
        ):
            return node.attr
        return None

    def widgets(self, node) -> Mapping[str, str] | None:
        """The widgets that an expression means, if it is `ui`, `self.ui` or ends so."""
        is_ui = (
            isinstance(node, ast.Name)
            and node.id == "ui"
            or isinstance(node, ast.Attribute)
            and node.attr == "ui"
        )
        return self.ui if is_ui else None

    def type_of(self, node) -> str | None:
        if isinstance(node, ast.Call):
            cls = self._class_named(node.func)
            if cls or not isinstance(node.func, ast.Attribute):
                return cls
            owner = self.type_of(node.func.value) or self._class_named(node.func.value)
            return api().returned(owner, node.func.attr) if owner in api() else None
        if isinstance(node, ast.Attribute):
            if ast.unparse(node) == "slicer.app":
                return _APP
            widgets = self.widgets(node.value)
            if widgets is not None:
                return widgets.get(node.attr)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self.types.get(ast.unparse(node))
        return None

    # rules
    # -------------------------------------------------------------------------------------------------------------

    def say(self, node, text: str) -> None:
        self.problems.append(f"line {node.lineno}: {ast.unparse(node)}: {text}")

    def visit_Attribute(self, node):
        self.generic_visit(node)
        value = node.value
        if isinstance(value, ast.Name) and value.id in _MODULES:
            self._check_module(node, value.id)
            return
        if ast.unparse(value) == "slicer.util":
            if not api().kind("slicer.util", node.attr):
                self.say(node, "Slicer has no such function")
            return
        cls = self._class_named(value)
        if cls:
            self._check_class(node, cls)
            return
        widgets = self.widgets(value)
        if widgets is not None:
            if node.attr not in widgets and isinstance(node.ctx, ast.Load):
                self.say(node, "no such widget in the .ui file")
            return
        cls = self.type_of(value)
        if cls in api():
            self._check_object(node, cls)

    def _check_module(self, node, module: str) -> None:
        known = api().modules[module]
        if module != "slicer" and node.attr not in known:
            self.say(
                node, f"not in the tables of names; if {module} has it, add it to api/{module}.json"
            )
        elif re.match(r"q(MRML|Slicer)", node.attr) and node.attr not in known:
            self.say(
                node, "not in the tables of names; if Slicer has it, add it to api/slicer.json"
            )

    def _check_class(self, node, cls: str) -> None:
        kind = api().kind(cls, node.attr)
        if kind is None and api().is_complete(cls):
            self.say(node, f"{cls} has no such name")
        elif kind == "enum" and isinstance(node.parent, ast.Attribute):
            self.say(
                node.parent,
                f"PythonQt has {node.value.attr}'s values in the class itself, not in the "
                "enumeration",
            )
        elif kind == "signal":
            self.say(node, "a signal belongs to an object")

    def _check_object(self, node, cls: str) -> None:
        kind, parent = api().kind(cls, node.attr), node.parent
        called = isinstance(parent, ast.Call) and parent.func is node
        if kind is None:
            if api().is_complete(cls):
                self.say(node, f"{cls} has no such name")
        elif isinstance(node.ctx, ast.Store):
            if kind != "property":
                self.say(node, f"cannot be written: of {cls} it is a {_WORDS[kind]}")
        elif kind in ("property", "readonly"):
            if called:
                self.say(parent, f"a property of {cls} is not called")
        elif kind == "signal":
            handed_on = isinstance(parent, ast.Call) and node in parent.args
            if not handed_on and not (
                isinstance(parent, ast.Attribute) and parent.attr in _ON_SIGNALS
            ):
                self.say(node, f"a signal of {cls} is connected, disconnected or emitted")
        elif kind == "call" and not called and _is_used_as_value(node):
            self.say(node, f"a method of {cls} is called")

    def visit_Call(self, node):
        self.generic_visit(node)
        if not isinstance(node.func, ast.Attribute):
            return
        cls = (
            self._class_named(node.func)
            or self.type_of(node.func.value)
            or self._class_named(node.func.value)
        )
        if cls not in api():
            return
        if (
            node.func.attr in ("connect", "disconnect")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            if not api().has_signal(cls, node.args[0].value):
                self.say(node, f"{cls} has no signal {node.args[0].value}")
        elif node.keywords:
            self.say(node, f"PythonQt takes no keyword arguments in a call of {cls}")

    def visit_With(self, node):
        self.generic_visit(node)
        for item in node.items:
            cls = self.type_of(item.context_expr)
            if cls:
                self.say(item.context_expr, f"PythonQt's {cls} is no context manager")


_WORDS = {
    "readonly": "property that can only be read",
    "signal": "signal",
    "call": "method",
    "enum": "value of an enumeration",
}


def _is_used_as_value(node) -> bool:
    """In a condition, a comparison or a text, where a method that is not called is always a mistake."""
    parent = node.parent
    return isinstance(
        parent,
        (
            ast.Compare,
            ast.BoolOp,
            ast.UnaryOp,
            ast.BinOp,
            ast.FormattedValue,
            ast.Subscript,
            ast.Attribute,
        ),
    ) or (isinstance(parent, (ast.If, ast.While, ast.IfExp)) and parent.test is node)


@cache
def api() -> Api:
    return Api(
        {
            name: json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("qt", "ctk", "slicer")
        }
    )


class Api:
    """Names of the classes of Qt, CTK and Slicer.

    A name is a "property", a "readonly" property, "signal", "call" or "enum".
    """

    def __init__(self, tables: dict[str, dict[str, dict[str, str]]]):
        self.modules = {module: set(table) for module, table in tables.items()}
        self._classes = {name: entry for table in tables.values() for name, entry in table.items()}

    def __contains__(self, cls: str) -> bool:
        return cls in self._classes

    def ancestry(self, cls: str) -> list[str]:
        """The class and its bases, as far as they are in the tables."""
        found = [cls]
        for name in found:
            found += [
                base
                for base in self._classes[name].get("bases", "").split()
                if base in self._classes and base not in found
            ]
        return found

    def is_complete(self, cls: str) -> bool:
        """Are all bases in the tables, or of no interest?"""
        return all(
            base in self._classes
            for name in self.ancestry(cls)
            for base in self._classes[name].get("bases", "").split()
        )

    def kind(self, cls: str, name: str) -> str | None:
        """What a name is in a class; a property hides a method of its name, as it does in PythonQt. None: there is no such name."""
        found = {kind for ancestor in self.ancestry(cls) for kind in self._kinds(ancestor, name)}
        found |= (
            {_PYTHONQT[name]} if name in _PYTHONQT and "QObject" in self.ancestry(cls) else set()
        )
        return next(
            (kind for kind in ("property", "readonly", "signal", "call", "enum") if kind in found),
            None,
        )

    def _kinds(self, cls: str, name: str) -> set[str]:
        entry = self._classes[cls]
        plain = name.removesuffix("_")  # exec_ is exec
        kinds = {
            kind
            for key, kind in (
                ("properties", "property"),
                ("readonly", "readonly"),
                ("enums", "enum"),
            )
            if name in entry.get(key, "").split()
        }
        kinds |= (
            {"call"}
            if {name, plain} & {call.partition(">")[0] for call in entry.get("calls", "").split()}
            else set()
        )
        return kinds | (
            {"signal"}
            if any(s.startswith(f"{name}(") for s in entry.get("signals", "").split())
            else set()
        )

    def returned(self, cls: str, name: str) -> str | None:
        """The class of what a method returns, where the tables know it."""
        for ancestor in self.ancestry(cls):
            for call in self._classes[ancestor].get("calls", "").split():
                plain, _, returned = call.partition(">")
                if plain == name:
                    return returned or None
        return None

    def has_signal(self, cls: str, signature: str) -> bool:
        wanted = signature.replace(" ", "").replace("const", "").replace("&", "")
        return any(
            wanted in self._classes[ancestor].get("signals", "").split()
            for ancestor in self.ancestry(cls)
        )
