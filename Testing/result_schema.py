"""The schema of result.json, to which the results that commands write are held."""

from __future__ import annotations

from pathlib import Path

import jsonschema
from file_io import read_json

from MultiViewRegistrationLib.assessment.cause import CAUSES, code_of
from MultiViewRegistrationLib.reasons import CODES

SCHEMA = read_json(
    Path(__file__).resolve().parents[1]
    / "MultiViewRegistration/MultiViewRegistrationLib/io/result.schema.json"
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
KNOWN = {*CODES, *map(code_of, CAUSES)}


def assert_fits_schema(result: dict) -> None:
    """A result.json as it was written: the schema allows it and names all its keys, and each reason has its code."""
    VALIDATOR.validate(result)
    assert result.keys() <= SCHEMA["properties"].keys()
    for told in (result, *result.get("structures", ())):
        assert len(told["reason_codes"]) == len(told["reasons"])
        assert KNOWN.issuperset(told["reason_codes"])
