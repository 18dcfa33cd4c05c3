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


def test_what_json_does_not_know_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not [*tmp_path.iterdir()]


def test_sha256_of_a_folder_depends_on_content_and_names(tmp_path):
    def digest(number, *files):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in files:
            (folder / name).write_text(content)
        return sha256(folder)

    first = digest(0, ("1", "x"), ("2", "y"))
    assert digest(1, ("2", "y"), ("1", "x")) == first
    assert len({first, digest(2, ("1", "y"), ("2", "x")), digest(3, ("1", "x"), ("3", "y"))}) == 3
