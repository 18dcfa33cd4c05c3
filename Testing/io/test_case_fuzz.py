"""Random damage: a case loads or is refused in one line, and nothing else ever happens."""

import copy
import json
import random
import warnings

import pytest
from helpers.file_io import write_json
from helpers.refusals import result_or_refusal
from test_case_schema import VALIDATOR
from tiny_case import full

from MultiViewRegistrationLib import Case, CaseFile

FULL = json.dumps(full())
VALUES = [None, True, [], {}, [[1, 2], [3]], {"name": 1}, 0, -1, 2.5, 1e9, 1e99, -1e308, 5e-324, 10**400,
          float("inf"), ".", "/", "/dev/zero", "lat.mha", "case.json", "\ud800", "\0", "\u2028", "x" * 5000, "relative"]  # fmt: skip


def places(part):
    """Each list or object in parsed JSON, with each of its keys."""
    if isinstance(part, (dict, list)):
        for key in range(len(part)) if isinstance(part, list) else list(part):
            yield part, key
            yield from places(part[key])


def damaged_case(rng):
    """full() with one to three values replaced, removed, or copied to another place."""
    case = json.loads(FULL)
    for _ in range(rng.randint(1, 3)):
        (part, key), (source, other) = rng.choices([*places(case)], k=2)
        kind = rng.choice(["replace", "replace", "repeat", "remove"])
        if kind == "remove":
            del part[key]
        else:
            part[key] = rng.choice(VALUES) if kind == "replace" else copy.deepcopy(source[other])
    return case


def outcome(function, *arguments):
    """What the function returns, or None after a refusal; any warning that is not ours is an error."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = result_or_refusal(function, *arguments)
    for warning in warned:
        assert warning.category is UserWarning and "\n" not in str(warning.message), warning
    return result


@pytest.mark.slow
def test_damaged_cases_are_read_or_refused(case_folder):
    path, rng = case_folder / "damaged.json", random.Random(1)
    for _ in range(400):
        content = damaged_case(rng)
        if outcome(CaseFile.from_json, path, content) is not None:
            VALIDATOR.validate(content)
            write_json(path, content)
            outcome(Case.load, path)
