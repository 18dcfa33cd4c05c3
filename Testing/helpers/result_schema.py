"""The schema of result.json, to which the results that commands write are held."""

from pathlib import Path

import jsonschema

from helpers.file_io import read_json

SCHEMA = read_json(
    Path(__file__).resolve().parents[2]
    / "MultiViewRegistration/MultiViewRegistrationLib/io/result.schema.json"
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CODES = {each["const"] for each in SCHEMA["$defs"]["code"]["oneOf"] if "const" in each}
CAUSES = SCHEMA["properties"]["diagnosis"]["properties"]["cause"]["enum"]


def assert_fits_schema(result):
    """A result.json as it was written: the schema allows it and names all its keys, and each reason has its code."""
    VALIDATOR.validate(result)
    assert result.keys() <= SCHEMA["properties"].keys()
    for told in (result, *result["bodies"].values()):
        assert len(told["reason_codes"]) == len(told["reasons"])
