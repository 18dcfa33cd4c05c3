"""Fixtures shared by all tests."""

import os
import secrets
import shutil
import socket
import struct
from contextlib import suppress
from pathlib import Path

#: Read by NumPy and PyTorch when they are imported: images are small here, and no work for several
#: threads, which only wait for each other.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
#: Read by Triton when it is imported, which PyTorch does, too: where there is no card, its kernels are
#: interpreted.
if not Path("/proc/driver/nvidia/version").exists():
    os.environ["TRITON_INTERPRET"] = "1"
with suppress(ImportError):  # before VTK draws, see `devices.load_triton`
    import triton  # noqa: F401

import pytest
from helpers.phantom import make_ct, make_views, write_phantom_case
from hypothesis import settings

from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

settings.register_profile("any machine", deadline=None, max_examples=50)  # a busy one takes longer
settings.load_profile("any machine")

SHARED_DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"

#: What comes first: one worker compiles the kernels into their cache, while the other runs what
#: needs none.
FIRST = ("integration/test_what_is_loaded", "geometry/", "imaging/", "io/")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    places = dict[str, int]()
    for item in items:
        if item.path.is_relative_to(here):
            name = f"{item.path.relative_to(here).as_posix()}::{item.name}"
            places[item.nodeid] = next(
                (nth for nth, each in enumerate(FIRST) if name.startswith(each)), len(FIRST)
            )
        if _is_slow_variant(item):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: places.get(item.nodeid, len(FIRST)))


def _is_slow_variant(item):
    """Whether the marks of a test leave this variant of its parameters to `make test-all`."""
    if not hasattr(item, "callspec"):
        return False
    quick = item.get_closest_marker("quick_variants")
    slow = item.get_closest_marker("slow_variants")
    if quick is not None and item.callspec.id not in quick.args:
        return True
    return slow is not None and item.callspec.id in slow.args


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    """No test sees the models of whoever runs it, or of another test."""
    monkeypatch.setenv(
        "MVREG_DATA", str(tmp_path_factory.getbasetemp() / "data" / secrets.token_hex(8))
    )


@pytest.fixture(scope="session")
def shared_data():
    """Folder of real CTs and radiographs that lies beside the project, where somebody has put it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the data folder {SHARED_DATA.parent.name}/data beside the project")
    return SHARED_DATA


@pytest.fixture(scope="session")
def require_program():
    """A function: path of the first program found among `names`, which come with a Debian `package`.

    Where none is found the test skips, or fails with MVREG_REQUIRE_PACKAGES=1 (.ci/run).
    """

    def find(*names, package):
        found = next(filter(None, map(shutil.which, names)), None)
        if found is None:
            reason = f"needs the program {names[0]}: install Debian's package {package}"
            if os.environ.get("MVREG_REQUIRE_PACKAGES") == "1":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)
        return found

    return find


@pytest.fixture(scope="session")
def rtk():
    """Skips where RTK's projector, which simulates X-rays, is not installed."""
    name = "itk.rtkJosephForwardProjectionImageFilterPython"
    pytest.importorskip(name, reason='needs itk-rtk: pip install -e ".[bench]"')


@pytest.fixture(scope="session")
def ct():
    """The phantom; not to be changed by a test, as what follows."""
    return make_ct()


@pytest.fixture(scope="session")
def anatomy(ct):
    return PreparedCT(ct)


@pytest.fixture(scope="session")
def views(ct):
    return make_views(ct)


@pytest.fixture(scope="session")
def case_file(tmp_path_factory):
    """A case.json of the phantom with truth, its start 9 mm off. Not to be changed by a test."""
    return write_phantom_case(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="session")
def phantom_study(tmp_path_factory):
    """CT and scouts of the phantom in DICOM. Not to be changed by a test."""
    from helpers.phantom_study import write_study

    return write_study(tmp_path_factory.mktemp("study") / "study")


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A folder with a case whose images have `moving.COUNT` frames, that of number BLANK blank, and its track.

    Not to be changed by a test.
    """
    from helpers.moving import write_tracked_study

    return write_tracked_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def no_cause(monkeypatch):
    """Skip the search for the cause of a poor fit, which takes far longer than a registration."""
    from MultiViewRegistrationLib.assessment import causes

    monkeypatch.setattr(causes, "find_cause", lambda assessment, search: assessment)


@pytest.fixture
def quick_training(monkeypatch):
    """Small batches, validations of few poses, and a pace that is not measured."""
    from MultiViewRegistrationLib.regressor import training

    monkeypatch.setattr(training, "VALIDATED", 2)
    monkeypatch.setattr(training, "LAST_VALIDATED", 4)
    monkeypatch.setattr(training, "BATCH", 12)  # six poses in two views
    monkeypatch.setattr(training.Training, "_set_pace", lambda self: None)


@pytest.fixture
def file_of(tmp_path):
    """A function: the path of a file of this name with this text, or these bytes."""

    def write(name, content):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


@pytest.fixture
def port():
    """One that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def igtl_status(monkeypatch):
    """OpenIGTLink's STATUS for pyigtl, which has none: by the protocol's page."""
    messages = pytest.importorskip(
        "pyigtl", reason='needs pyigtl: pip install -e ".[navigation]"'
    ).messages

    class StatusMessage(messages.MessageBase):
        def _unpack_content(self, content):
            self.code, self.subcode, name = struct.unpack("> H q 20s", content[:30])
            self.name, self.text = name.rstrip(b"\0").decode(), content[30:].rstrip(b"\0").decode()

    monkeypatch.setitem(messages.message_type_to_class_constructor, "STATUS", StatusMessage)
