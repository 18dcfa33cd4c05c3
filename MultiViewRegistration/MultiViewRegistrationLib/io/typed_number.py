"""Numbers as people type them, with a decimal point or a decimal comma."""

from __future__ import annotations

import re

from ..errors import InputError

_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?")


def read_number(text: str, name: str) -> float:
    """The number in a text. InputError for anything that is none, and for separators of thousands, which nobody can tell from decimals.

    name: begins the sentence where something is wrong.
    """
    typed = text.strip().replace("\N{MINUS SIGN}", "-")
    if _NUMBER.fullmatch(typed):
        return float(typed.replace(",", "."))
    if len(re.findall(r"[.,]", typed)) > 1 and re.fullmatch(r"[-+\d.,]+", typed):
        raise InputError(
            f'{name}: "{text.strip()}" has more than one point or comma; write it with one, before the decimals.'
        )
    raise InputError(f'{name}: found "{text.strip()}", expected a number; correct it.')
