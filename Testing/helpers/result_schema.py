"""The schema of result.json, and the codes of findings, to which the results that commands write are held."""

from pathlib import Path

import jsonschema

from helpers.file_io import read_json
from MultiViewRegistrationLib.report.messages import MESSAGES

SCHEMA = read_json(
    Path(__file__).resolve().parents[2]
    / "MultiViewRegistration/MultiViewRegistrationLib/io/result.schema.json"
)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CODES = set(MESSAGES)
CAUSES = SCHEMA["properties"]["diagnosis"]["properties"]["cause"]["enum"]
BODY = SCHEMA["properties"]["bodies"]["additionalProperties"]


def assert_fits_schema(result):
    """A result.json as it was written: the schema allows it and names all its keys, and each finding has a known code and a message."""
    VALIDATOR.validate(result)
    assert result.keys() <= SCHEMA["properties"].keys()
    assert all(body.keys() <= BODY["properties"].keys() for body in result["bodies"].values())
    for assessed in (result, *result["bodies"].values()):
        codes = [finding["code"] for finding in assessed["findings"]]
        assert len(codes) == len(assessed["reasons"]) and CODES.issuperset(codes)
