"""What Slicer's index and catalogue of extensions read: the rules are theirs, looked up in August 2026."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cmake_lists import MODULE
from PIL import Image

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = None

ROOT = MODULE.parent
ENTRY = ROOT / "Resources" / f"{MODULE.name}.json"
RESOURCES = MODULE / "Resources"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
#: What the schema of an entry allows, and the type of each.
ALLOWED = {
    "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str, "build_dependencies": list,
    "dicom_support_rule": str, "build_subdirectory": str, "enabled": bool, "tier": int,
}  # fmt: skip
REQUIRED = {"$schema", "category", "scm_url"}
#: What Slicer 5.10.0, the oldest that the module is for, brings of what the project depends on.
SLICER_5_10 = {"numpy": "2.0.2", "scipy": "1.13.1", "simpleitk": "2.5.2", "pydicom": "2.4.4", "pillow": "11.2.1"}


@pytest.fixture(scope="module")
def entry() -> dict:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


def metadata(name: str) -> str:
    """EXTENSION_<name>, found as the index finds it: one line, in quotes, without a variable in it."""
    (value,) = re.findall(rf'^set\(EXTENSION_{name} "([^"$]+)"\)', CMAKE, re.MULTILINE)
    return value


def test_the_entry_keeps_to_the_schema(entry):
    assert entry.keys() >= REQUIRED
    assert {key: type(value) for key, value in entry.items()} == {key: ALLOWED[key] for key in entry}
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["scm_type"] in ("git", "local") and 1 <= entry["tier"] <= 5
    assert b"\r" not in ENTRY.read_bytes()


def test_the_entry_keeps_to_the_rules_of_the_index(entry):
    address = urlsplit(entry["scm_url"])
    assert address.scheme == "https"
    # A repository's name begins with Slicer, an extension's does not; the entry is named as the extension.
    assert Path(address.path).stem.startswith("Slicer") and not ENTRY.stem.startswith("Slicer")
    assert re.search(r"project\s*\(\s*(\w+)", CMAKE)[1] == ENTRY.stem == MODULE.name
    assert entry["category"] == "Registration"
    assert entry["build_subdirectory"] == "."  # nothing is compiled
    assert (ROOT / "LICENSE.txt").is_file()


def test_cmake_says_the_same_as_the_entry(entry):
    assert (
        re.search(r'set\(EXTENSION_DEPENDS "([^"]*)"\)', CMAKE)[1].split() == entry["build_dependencies"] == ["PyTorch"]
    )
    assert metadata("HOMEPAGE") == entry["scm_url"]
    module = (ROOT / "MultiViewRegistration" / "MultiViewRegistration.py").read_text(encoding="utf-8")
    (tutorial,) = re.findall(r'TUTORIAL = "(.+)"', module)
    assert tutorial == metadata("HOMEPAGE") + "/blob/main/docs/slicer.md" and (ROOT / "docs" / "slicer.md").is_file()
    assert "EXTENSION_CATEGORY" not in CMAKE  # where it would be ignored
    assert "research use" in metadata("DESCRIPTION") and metadata("CONTRIBUTORS")


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_are_where_their_addresses_say(name, entry):
    owner_and_name = urlsplit(entry["scm_url"]).path
    for address in metadata(name).split():
        raw = f"https://raw.githubusercontent.com{owner_and_name}/{entry['scm_revision']}/"
        assert address.startswith(raw)
        Image.open(ROOT / address.removeprefix(raw)).verify()


def test_the_icon_is_one():
    icon = Image.open(RESOURCES / "Icons" / f"{MODULE.name}.png")
    assert icon.size == (128, 128) and icon.mode == "RGBA"
    assert icon.getpixel((0, 0))[3] == 0 and icon.getpixel((64, 64))[3] == 255
    assert (ROOT / "Resources" / f"{MODULE.name}.svg").is_file()


def names_and_bounds(requirements: list[str]) -> dict[str, str]:
    """Least version by name; fails where a requirement says anything else."""
    return {re.fullmatch(r"([\w-]+)>=([\d.]+)", line)[1].lower(): line.partition(">=")[2] for line in requirements}


@pytest.fixture(scope="module")
def dependencies() -> dict[str, str]:
    if tomllib is None:
        pytest.skip("needs tomllib, of Python 3.11 and later, to read pyproject.toml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return names_and_bounds(project["dependencies"])


def test_slicer_is_asked_for_what_it_lacks_and_nothing_else(dependencies):
    files = ("requirements.txt", "requirements_yaml.txt")
    lines = [line for name in files for line in (RESOURCES / name).read_text(encoding="utf-8").splitlines()]
    asked = names_and_bounds([line for line in lines if line and not line.startswith("#")])
    assert asked == {name: bound for name, bound in dependencies.items() if name not in SLICER_5_10}
    assert "torch" not in asked  # comes with its own extension, which chooses the build for the computer


def test_what_slicer_brings_is_new_enough(dependencies):
    def number(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    too_old = {name: found for name, found in SLICER_5_10.items() if number(found) < number(dependencies[name])}
    assert not too_old


def test_every_sample_says_where_it_is_from():
    samples = json.loads(
        (MODULE / "MultiViewRegistrationLib" / "io" / "datasets" / "sample-data.json").read_text(encoding="utf-8")
    )
    for sample in samples.values():
        assert (
            sample["licence"]
            and sample["address"].startswith("https://")
            and re.fullmatch("[0-9a-f]{64}", sample["sha256"])
        )
        assert sample["wheel"]["address"].endswith("/" + sample["wheel"]["name"])
        assert re.fullmatch("[0-9a-f]{64}", sample["wheel"]["sha256"])


def test_sample_data_are_small_and_under_a_licence():
    files = [path for path in (RESOURCES / "SampleData").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 1e6
    assert "MIT License" in (RESOURCES / "SampleData" / "Chest" / "LICENSE.txt").read_text(encoding="utf-8")
