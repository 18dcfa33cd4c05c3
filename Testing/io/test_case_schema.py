"""case.schema.json against the loader."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from tiny_case import changed, full, minimal
from wrong_cases import WRONG_MEANING, WRONG_STRUCTURE

from MultiViewRegistrationLib.io import case_file, files
from MultiViewRegistrationLib.regressor.poses import AXES, LARGEST

SCHEMA = json.loads((Path(case_file.__file__).parent / "case.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("content", [minimal(), full()], ids=["minimal", "full"])
def test_good_cases_fit_the_schema(content):
    VALIDATOR.validate(content)


@pytest.mark.parametrize("keys, value, parts", WRONG_STRUCTURE, ids=str)
def test_what_is_wrong_in_structure_does_not_fit_the_schema(keys, value, parts):
    assert not VALIDATOR.is_valid(changed(full(), keys, value))


@pytest.mark.parametrize("keys, value, parts", WRONG_MEANING, ids=str)
def test_what_is_wrong_in_meaning_fits_the_schema(keys, value, parts):
    """Or else it belongs to the other list."""
    VALIDATOR.validate(changed(full(), keys, value))


def test_the_loader_asks_for_the_keys_of_the_schema(case_folder, monkeypatch):
    asked = {}

    class Recorder(files.JsonObject):
        def has(self, key):
            kind = self.name.split(".")[-1].partition("[")[0]
            if self.name.startswith("landmarks[") and kind == "views":
                return super().has(key)  # named like the views
            asked.setdefault(kind, set()).add(key)
            return super().has(key)

    monkeypatch.setattr(files, "JsonObject", Recorder)
    monkeypatch.setattr(case_file, "JsonObject", Recorder)
    case_file.CaseFile.from_json(case_folder / "case.json", full())
    view = SCHEMA["$defs"]["view"]["properties"]
    top = SCHEMA["properties"]
    objects = {
        "": top,
        "search": top["search"]["properties"],
        "training": top["training"]["properties"],
        "truth": top["truth"]["properties"],
        "landmarks": top["landmarks"]["items"]["properties"],
        "shared_unknowns": top["shared_unknowns"]["properties"],
        "views": view,
        "camera": view["camera"]["properties"],
        "c_arm": view["c_arm"]["properties"],
        "slot_scan": view["slot_scan"]["properties"],
    }
    assert asked == {name: set(properties) for name, properties in objects.items()}


def test_the_ranges_to_train_on_are_those_of_the_regressor():
    """The file and the regressor name the six axes, and limit them, alike."""
    assert tuple(case_file.TRAINING) == AXES == tuple(SCHEMA["properties"]["training"]["properties"])
    assert [most or np.inf for most in case_file.TRAINING.values()] == list(LARGEST)


def test_defaults_of_the_schema_are_those_of_the_loader(case_folder):
    case = case_file.CaseFile.from_json(case_folder / "case.json", minimal())
    view = SCHEMA["$defs"]["view"]["properties"]
    assert SCHEMA["properties"]["search"]["default"] == case.search
    assert SCHEMA["properties"]["ct_unit"]["default"] == case.ct_unit
    assert view["intensity"]["default"] == case.views[0].intensity
