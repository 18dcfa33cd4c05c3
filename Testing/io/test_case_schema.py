"""case.schema.json against the loader."""

from pathlib import Path

import jsonschema
import make_schema
import pytest
from helpers.file_io import read_json
from tiny_case import changed, full, minimal, refusal
from wrong_cases import WRONG_MEANING, WRONG_STRUCTURE

from MultiViewRegistrationLib.io import case_file

SCHEMA = read_json(Path(case_file.__file__).parent / "case.schema.json")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("content", [minimal(), full()], ids=["minimal", "full"])
def test_good_cases_fit_the_schema(content):
    VALIDATOR.validate(content)


def test_schema_rejects_wrong_structure_and_accepts_wrong_meaning():
    for path, value, _ in WRONG_STRUCTURE:
        assert not VALIDATOR.is_valid(changed(full(), path, value)), path
    for path, value, _ in WRONG_MEANING:
        VALIDATOR.validate(changed(full(), path, value))


def test_the_files_have_the_fields_of_the_tables():
    """Or write them anew: python Testing/make_schema.py"""
    for file, made in make_schema.FILES.items():
        assert file.read_text(encoding="utf-8") == make_schema.text(made()) + "\n"


def test_the_reference_has_what_is_usual_of_the_tables():
    page = make_schema.FRAMES.read_text(encoding="utf-8")
    assert make_schema.usual_table() in page and make_schema.with_table(page) == page


#: Objects of a case, by where full() has one.
VIEW = SCHEMA["$defs"]["view"]
OBJECTS = {
    "": SCHEMA,
    "views[0].": VIEW,
    "landmarks[0].": SCHEMA["properties"]["landmarks"]["items"],
}
for key in ("search", "training", "truth", "shared_unknowns"):
    OBJECTS[f"{key}."] = SCHEMA["properties"][key]
for n, kind in ((2, "camera"), (3, "c_arm"), (4, "slot_scan")):
    OBJECTS[f"views[{n}].{kind}."] = VIEW["properties"][kind]


def test_loader_reads_each_key_of_the_schema(case_folder):
    """A value of no field's type is refused; an unknown key would only warn."""
    for where, node in OBJECTS.items():
        for key in node["properties"].keys() - {"$schema"}:
            content = changed(full(), where + key, "\n")
            refusal(case_file.CaseFile.from_json, case_folder / "case.json", content)


def test_defaults_of_the_schema_are_those_of_the_loader(case_folder):
    case = case_file.CaseFile.from_json(case_folder / "case.json", minimal())
    view = SCHEMA["$defs"]["view"]["properties"]
    assert SCHEMA["properties"]["search"]["default"] == case.search_range
    assert SCHEMA["properties"]["ct_unit"]["default"] == case.first.unit
    assert view["intensity"]["default"] == case.views[0].intensity
