"""Results as they are written fit the schema, which names all their keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from fake_model import FakeModel
from phantom import TRUE_POSE

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.io import case_file as rooms
from MultiViewRegistrationLib.io.case import Case

SCHEMA = json.loads((Path(rooms.__file__).parent / "result.schema.json").read_text())


@pytest.mark.parametrize("start", ["given", "search", "regressor"])
def test_results_fit_their_schema(case_file, anatomy, start):
    pytest.importorskip("torch", reason="a regressor needs torch: pip install torch")
    case = replace(Case.load(case_file), reference_from_world=np.eye(4), truth_world_from_ct=TRUE_POSE)
    model = FakeModel(TRUE_POSE, anatomy.centroid) if start == "regressor" else None
    written = json.loads(json.dumps(register(case, start, anatomy=anatomy, model=model).to_json()))
    jsonschema.validate(written, SCHEMA)
    assert written.keys() <= SCHEMA["properties"].keys()
