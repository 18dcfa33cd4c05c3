"""case.json without its pixels: what is read, and one sentence for everything that is wrong."""

import json
import os
import sys

import pytest
from helpers.refusals import tells
from tiny_case import changed, full, minimal, refusal
from wrong_cases import WRONG_MEANING, WRONG_STRUCTURE

from MultiViewRegistrationLib import CaseFile


def read(folder, content):
    return CaseFile.from_json(folder / "case.json", content)


def test_what_a_minimal_case_leaves_out(case_folder):
    content = minimal()
    del content["world_from_ct"]
    case = read(case_folder, content)
    assert case.searches_whole_ct
    assert case.first.mask is None and case.to_json() == {}
    view = case.views[0]
    assert view.frame is view.mask is None
    assert list(view.deviations.values()) == [0, 0, 0.5, 0.1, 0.75]  # the last is presumed


def test_settings_are_written_as_they_are_read(case_folder):
    content = full() | {"same_patient": True, "header_mismatch": {"day": True}}
    content["truth"] = {"world_from_ct": content["reference_from_world"]}
    beside = dict.fromkeys("version $schema ct ct_unit mask world_from_ct views".split())
    assert read(case_folder, content).to_json() | beside == content | beside


@pytest.mark.skipif(sys.platform == "win32", reason="backslashes are right there")
def test_a_relative_path_from_windows_is_found(write_case, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "ap.mha").rename(tmp_path / "images" / "ap.mha")
    case = CaseFile.read(write_case(changed(minimal(), "views[0].image", r".\images\ap.mha")))
    assert case.views[0].image.path.samefile(tmp_path / "images" / "ap.mha")


@pytest.mark.parametrize("path, value, parts", WRONG_STRUCTURE + WRONG_MEANING)
def test_each_wrong_value_is_refused(case_folder, path, value, parts):
    message = refusal(read, case_folder, changed(full(), path, value))
    assert message.startswith(f"{case_folder / 'case.json'}: ") and tells(message, parts)


def text_of(content):
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    "data, part",
    [
        (b"", "is empty"),
        (b"{", "is not JSON (line 1, column 2"),
        (text_of(minimal()).replace(b"AP", b"A\xe4"), "is not text in UTF-8"),
        (b"[1, 2]", "is a list of 2, expected an object"),
        (text_of({**minimal(), "targets": [[1, 2, float("nan")]]}), "holds NaN"),
        (text_of(minimal()).replace(b"[0.0,", b"[1e999,", 1), "is Infinity"),
        (b"[" * 100000, "is nested too deeply"),
        (b'{"version": 1, "x": "' + b"x" * (17 << 20) + b'"}', "is larger than 16 MB"),
    ],
)
def test_each_file_that_is_no_json_object_has_its_sentence(write_case, data, part):
    path = write_case(data)
    message = refusal(CaseFile.read, path)
    assert message.startswith(str(path)) and part in message


@pytest.mark.parametrize(
    "path, part",
    [("line\nbreak.json", "line?break.json does not exist"), ("", "case.json does not exist")],
)
def test_a_path_without_a_case_has_its_sentence(tmp_path, path, part):
    assert part in refusal(CaseFile.read, tmp_path / path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "case.json")
    assert "is not a file" in refusal(CaseFile.read, tmp_path / "case.json")


@pytest.mark.parametrize(
    "path, warning",
    [
        (
            "Targets",
            'json: the key "Targets" is not known and was ignored; did you mean "targets"?',
        ),
        (
            "views[0].intensities",
            'the key "intensities" in views[0] is not known and was ignored; did you mean "intensity"?',
        ),
    ],
)
def test_unknown_keys_warn(case_folder, path, warning):
    content = changed(full(), path, 1)
    for key in ("targets", "world_from_ct"):  # only what is not given already is suggested
        content.pop(key)
    del content["views"][0]["intensity"]
    with pytest.warns(UserWarning) as warned:
        read(case_folder, content)
    assert len(warned) == 1 and warning in str(warned[0].message)
