"""Random damage: a case loads or is refused in one line, and nothing else ever happens."""

import copy
import json
import warnings

import pytest
from helpers.file_io import write_json
from helpers.refusals import result_or_refusal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_case_schema import VALIDATOR
from tiny_case import full

from MultiViewRegistrationLib import Case, CaseFile

pytestmark = pytest.mark.slow

COMMON = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)

FULL = json.dumps(full())
KEYS = sorted(
    {key for part in (full(), *full()["views"]) for key in part}
    | {"size", "intrinsics", "Version", "_"}
)
WORDS = [
    "ct.mha",
    "lat.mha",
    ".",
    "/",
    "/dev/zero",
    "case.json",
    "\ud800",
    "\0",
    "\u2028",
    "x" * 5000,
    "linear",
    "relative",
]
NUMBERS = [0, -1, 1, 2.5, 1e9, 1e99, -1e308, 5e-324, 10**30, 10**400, float("inf")]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.sampled_from(WORDS)
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def damaged_cases(draw):
    """full() with one to three values replaced, removed, repeated, or put under another key."""
    case = json.loads(FULL)
    for _ in range(draw(st.integers(1, 3))):
        part = case
        while part:
            key = draw(st.sampled_from(list(part) if isinstance(part, dict) else range(len(part))))
            if (
                not isinstance(part[key], (dict, list))
                or not part[key]
                or draw(st.integers(0, 3)) == 0
            ):
                break
            part = part[key]
        if not part:
            break
        kind = draw(st.sampled_from(["replace", "remove", "repeat"]))
        if kind == "replace":
            part[key] = draw(VALUES)
        elif kind == "remove":
            del part[key]
        elif isinstance(part, dict):
            part[draw(st.sampled_from(KEYS) | st.text(max_size=3))] = copy.deepcopy(part[key])
        else:
            part.insert(key, copy.deepcopy(part[key]))
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
@settings(COMMON, max_examples=400)
@given(damaged_cases())
def test_damaged_cases(case_folder, content):
    path = case_folder / "damaged.json"
    if outcome(CaseFile.from_json, path, content) is not None:
        VALIDATOR.validate(content)
        write_json(path, content)
        outcome(Case.load, path)
