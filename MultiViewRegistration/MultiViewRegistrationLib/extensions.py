"""What other packages add: an own refinement, similarity, network or loss, each a class with a `name`.

A package names its class as an entry point, in its pyproject.toml:

    [project.entry-points."mvreg.refinement"]
    nelder-mead = "my_package:NelderMead"

A program may also give the class as an argument. Only packages that a person has installed are
imported: a case, a model or a result can name nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any, Literal

from .errors import InputError

#: A similarity is a refinement: that of xvr's optimiser.
Kind = Literal["refinement", "network", "loss"]
#: It stands in results, on pages and on the command line.
NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")

#: Classes that were given as arguments or loaded: a model of an own network is opened again.
_given: dict[tuple[Kind, str], type] = {}


def names(kind: Kind) -> list[str]:
    """Return the names that installed packages register."""
    return sorted(entry_points(group=f"mvreg.{kind}").names)


def name_of(kind: Kind, chosen: str | type, built_in: Iterable[str] = ()) -> str:
    """Return the name of what was chosen by its name, or as a class, which is known by it from then on.

    Raises
    ------
    InputError
        It is no class, or has no name, or one of this program's own.
    """
    if isinstance(chosen, str):
        return chosen
    name = str(getattr(chosen, "name", None))
    if not isinstance(chosen, type) or not NAME.fullmatch(name) or name in built_in:
        raise InputError(
            f"{kind}: found {chosen!r}, expected a class whose name is small letters, digits and hyphens, and none of the program's own; "
            f'set "name" in the class.'
        )
    _given[kind, name] = chosen
    return name


def find(kind: Kind, name: str, built_in: Iterable[str] = ()) -> Any:
    """Return the class of a name that is none of the program's own.

    Raises
    ------
    InputError
        Nobody registers it, or the package that does cannot be imported.
    """
    point = next(iter(entry_points(group=f"mvreg.{kind}", name=name)), None)
    try:
        if point and (kind, name) not in _given:
            name_of(kind, point.load(), built_in)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f'the package that registers the {kind} "{name}" cannot be imported ({error}); update or remove it.'
        ) from error
    if (kind, name) in _given:
        return _given[kind, name]
    known = ", ".join([*built_in, *names(kind)])
    raise InputError(
        f'the {kind} "{name}" is not known, expected one of {known}; correct its name, or install the package that registers it.'
    )
