import pytest

from MultiViewRegistrationLib.io.files import sha256, write_json, written_atomically


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "kept.json"
    path.write_text("old")
    with pytest.raises(error), written_atomically(path) as temporary:
        temporary.write_text("half of the ne")
        assert path.read_text() == "old"
        raise error
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"] and path.read_text() == "old"


def test_the_temporary_name_has_the_ending_of_the_final_one(tmp_path):
    with written_atomically(tmp_path / "ct.nii.gz") as temporary:
        assert temporary.name.endswith(".nii.gz") and temporary.parent == tmp_path
        temporary.touch()


def test_what_json_does_not_know_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not [*tmp_path.iterdir()]


def test_sha256_of_a_folder_changes_with_content_and_names_only(tmp_path):
    def folder(name, files):
        (tmp_path / name).mkdir()
        for file, content in files:
            (tmp_path / name / file).write_text(content)
        return sha256(tmp_path / name)

    first = folder("a", [("1.dcm", "x"), ("2.dcm", "y")])
    assert folder("b", [("2.dcm", "y"), ("1.dcm", "x")]) == first
    others = [[("1.dcm", "y"), ("2.dcm", "x")], [("1.dcm", "x"), ("3.dcm", "y")]]
    assert len({first, *(folder(str(number), files) for number, files in enumerate(others))}) == 3
