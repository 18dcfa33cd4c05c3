"""Every reason has a code that is documented, and keeps it."""

import ast
import copy
import json
import pickle
from pathlib import Path

from result_schema import CAUSES, CODES

import MultiViewRegistrationLib
from MultiViewRegistrationLib.assessment.hypotheses import code_of
from MultiViewRegistrationLib.reasons import Reason, from_codes, with_codes

LIBRARY = Path(MultiViewRegistrationLib.__file__).parent


def test_the_codes_that_are_given_are_those_that_are_documented():
    given, texts = set(), set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Reason":
                given |= {arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    of_causes = set(map(code_of, CAUSES))
    assert given <= CODES - of_causes <= texts
    assert of_causes == {code for code in CODES if code.startswith("cause-")}
    assert texts.issuperset(CAUSES)


def test_a_reason_is_a_sentence_that_keeps_its_code():
    reason = Reason("risk", "The risk is 26 %.")
    assert f"{reason}" == "The risk is 26 %." and json.dumps([reason]) == '["The risk is 26 %."]'
    for again in (copy.deepcopy(reason), pickle.loads(pickle.dumps(reason))):
        assert (again, again.code) == (reason, "risk")
    told = with_codes([reason])
    assert told["reason_codes"] == ["risk"] and from_codes(told)[0].headline == reason.headline
