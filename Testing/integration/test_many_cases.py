"""`mvreg register` of several cases: a folder each, one that fails stops none, and what is done already stays."""

import shutil

import pytest
from helpers.file_io import read_json, write_json
from helpers.program import mvreg, result_in

from MultiViewRegistrationLib.cli.register import _is_whole


@pytest.fixture(scope="module")
def cases(case_file, tmp_path_factory):
    """Three copies of a case; the X-ray of the second is damaged."""
    folder = tmp_path_factory.mktemp("cases")
    copies = [folder / name for name in ("one", "two", "three")]
    for copy in copies:
        shutil.copytree(case_file.parent, copy)
    (copies[1] / "view1.mha").write_bytes(b"no image")
    return copies


@pytest.fixture(scope="module")
def many_registered(cases, tmp_path_factory):
    """The folder of the results of three cases, and what was printed."""
    out = tmp_path_factory.mktemp("results")
    return out, mvreg(f"register {together(cases)} --out {out} --json", 1)


def together(cases):
    return " ".join(map(str, cases))


@pytest.mark.slow
def test_each_has_a_folder_and_one_that_fails_stops_none(many_registered):
    out, said = many_registered
    one, two, three = said.json
    assert one["verdict"] == three["verdict"] == "accept" and one["problem"] == ""
    assert "view1.mha" in two["problem"] and "verdict" not in two
    assert result_in(out / "one") and result_in(out / "three")
    assert not (out / "two" / "result.json").exists()
    table = [line.split() for line in said.err.splitlines()[-4:]]
    assert table[0] == "case verdict error mm seconds".split()
    assert table[2] == ["2", "failed", "see", "above"]


@pytest.mark.slow
def test_resumed_it_registers_only_what_has_no_result_of_its_files(cases, many_registered):
    out, _ = many_registered
    first = out / "one" / "result.json"
    before = first.read_bytes()
    case = read_json(cases[2] / "case.json")
    write_json(cases[2] / "case.json", case | {"targets": [[0, 0, 0]]})
    shutil.copy(cases[0] / "view1.mha", cases[1] / "view1.mha")
    said = mvreg(f"register {together(cases)} --out {out} --resume")
    assert said.err.count("Report: ") == 2 and first.read_bytes() == before


@pytest.fixture
def resume(case_file, registered, tmp_path):
    """A function that resumes with a case in a copy of its results; `result` is its result.json."""

    def run(options="--start given"):
        return mvreg(f"register {case_file.parent} --out {tmp_path} --resume {options}").err

    run.result = shutil.copytree(registered[0], tmp_path / registered[0].name) / "result.json"
    return run


DAMAGES = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "without its seconds": lambda text: text.replace('"seconds"', '"hours"'),
    "with a wrong time": lambda text: text.replace('"total": ', '"total": "long", "was": '),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_result_is_known_to_be_damaged(registered, tmp_path, damage):
    text = (registered[0] / "result.json").read_text()
    result = tmp_path / "result.json"
    for written, whole in ((text, True), (DAMAGES[damage](text), False)):
        result.write_text(written)
        assert _is_whole(result) == whole


@pytest.mark.slow
def test_a_damaged_result_is_registered_again_and_no_transform_outlives_it(resume):
    stale = resume.result.with_name("L1_world_from_ct.tfm")
    stale.write_text("of the damaged result")
    resume.result.write_text("")
    assert "result.json is damaged; the case is registered again." in resume()
    assert result_in(resume.result.parent)
    assert not stale.exists() and resume.result.with_name("world_from_ct.tfm").exists()


@pytest.mark.slow
def test_another_start_pose_registers_a_result_again(resume, registered):
    chosen = f"--start-pose {registered[0]}/world_from_ct.tfm --frame lps --direction forward"
    assert "other options or another version" in resume(chosen)
    before = resume.result.read_bytes()
    assert "registered again" not in resume(chosen)
    assert resume.result.read_bytes() == before


def test_options_of_output_alone_keep_a_result(resume):
    before = resume.result.read_bytes()
    options = "--start given --names --exit-code --refine joint"
    assert "registered again" not in resume(options)
    assert resume.result.read_bytes() == before


def test_two_cases_never_share_a_folder(cases, tmp_path):
    said = mvreg(f"register {cases[0]} {cases[0]} --out {tmp_path}", 2)
    assert "would lie in one folder" in said.err and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_log_has_the_time_of_each_message(cases, tmp_path):
    log = tmp_path / "mvreg.log"
    log.write_text("before\n")
    mvreg(f"register {cases[0]} --out {tmp_path}/out --log {log}")
    first, *lines = log.read_text().splitlines()
    assert first == "before" and all(line[:4].isdigit() and line[10] == "T" for line in lines)
    said = [line for line in lines if " mvreg: " not in line]  # said every ten seconds of work
    assert "3D position (navigation): accept" in said[2] and "Report: " in said[-1]


@pytest.mark.slow
def test_no_message_names_the_folder_of_a_case(cases, tmp_path, monkeypatch):
    """It is often a patient's name: not of results, not of warnings and errors, not in the log."""
    name = "DOE^JANE"
    for folder, case in ((tmp_path / name, cases[0]), (tmp_path / f"{name}2", cases[1])):
        shutil.copytree(case, folder)
    (tmp_path / f"{name}2" / "view1.mha").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "mvreg.log"
    for command, status in (
        (f"register {name}", 0),
        (f"register {name}2/case.json", 2),
        (f"register {tmp_path / name} {name}2 --out results --resume", 1),
    ):
        said = mvreg(f"{command} --log {log}", status)
        assert name not in said.err + said.out
    text = log.read_text()
    assert name not in text and "(case)/result/report.html" in text and "view1.mha" in text


def test_check_does_not_name_the_folder_of_a_case(cases, tmp_path):
    shutil.copytree(cases[0], tmp_path / "DOE^JANE")
    said = mvreg(f"case check {tmp_path / 'DOE^JANE'}")
    assert "complete and valid" in said.out and "DOE" not in said.out + said.err
