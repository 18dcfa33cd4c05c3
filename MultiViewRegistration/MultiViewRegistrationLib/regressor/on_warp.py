"""Functions of numba as functions of Warp: one source for what is drawn, whoever compiles it.

Both compile plain annotated functions over numbers and arrays that call each other and `math`. What is drawn must not hang on which of the
two it is, so all has double precision in both: Warp by itself takes numbers with a point, and what `float` makes, as single. For Warp's
sake these functions set one place of an array at a time, and draw within an `if`, not in one arm of a conditional expression, as both
arms are evaluated.
"""

from __future__ import annotations

import ast
import types
from functools import cache

import numpy as np
import warp as wp
from numba.core.dispatcher import Dispatcher

from .randomise import Randomisation


def _struct_of(how: type[Randomisation]):
    """The fields of a NamedTuple of numbers and ranges, for kernels."""
    fields = {name: wp.vec2d if isinstance(value, tuple) else wp.float64 for name, value in how._field_defaults.items()}
    return wp.struct(type(how.__name__, (), {"__annotations__": fields, "__module__": __name__}))


HOW = _struct_of(Randomisation)
"""A `Randomisation` as kernels take it."""
#: What the annotations of such functions stand for.
_TYPES = {
    "float": wp.float64,
    "int": wp.int32,
    "bool": wp.bool,
    "Word": wp.uint64,
    "State": wp.array(dtype=wp.uint64),
    "Ends": wp.vec2d,
    "Row": wp.array(dtype=wp.float64),
    "Rows": wp.array2d(dtype=wp.float64),
    "Randomisation": HOW,
}


def as_struct(how: Randomisation):
    """The numbers of a randomisation, for a kernel."""
    struct = HOW()
    for name, value in how._asdict().items():
        setattr(struct, name, wp.vec2d(*value) if isinstance(value, tuple) else value)
    return struct


@cache
def on_warp(function: Dispatcher) -> wp.Function:
    """The Warp function of a numba one, and of all those that it calls."""
    python = function.py_func
    names = {**python.__globals__, "math": wp, "float64": wp.float64}
    for name in python.__code__.co_names:
        names[name] = _as_warp_has_it(names.get(name))
    copy = types.FunctionType(python.__code__, names, python.__name__)
    copy.__annotations__ = {name: _TYPES[of] for name, of in python.__annotations__.items()}
    module = wp.get_module(python.__module__)
    return wp.Function(copy, python.__name__, "", module=module, value_func=None, code_transformers=[_InDoubles(names)])


def _as_warp_has_it(value):
    if isinstance(value, Dispatcher):
        return on_warp(value)
    if isinstance(value, np.uint64):
        return wp.constant(wp.uint64(int(value)))
    if isinstance(value, float):
        return wp.constant(wp.float64(value))
    return value


class _InDoubles(ast.NodeTransformer):
    """float(...) becomes float64(...), and a number with a point a constant among the names, as Warp 1.12 rounds float64(0.1)."""

    def __init__(self, names: dict) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Name("float64", node.ctx), node) if node.id == "float" else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, float):
            return node
        name = f"double_{node.value.hex()}".translate(str.maketrans(".+-", "_pm"))
        self._names[name] = wp.constant(wp.float64(node.value))
        return ast.copy_location(ast.Name(name, ast.Load()), node)
