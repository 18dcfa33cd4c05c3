"""A store of regressors in a folder of the test, and a `mvreg train` that is a real process and learns nothing."""

import sys
from pathlib import Path

from helpers.file_io import read_json
from MultiViewRegistrationLib import jobs
from MultiViewRegistrationLib.regressor import model_store
from MultiViewRegistrationLib.regressor.model_store import CARD, Card

#: What the child does, as the real one: tells its progress, can be cancelled, leaves a model in the
#: store, prints its folder.
CHILD = """
sha, behaviour, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
import json, time
from MultiViewRegistrationLib.jobs import ProgressRecord, stopped_by_end_of_stdin
from MultiViewRegistrationLib.regressor import model_store
from helpers.tiny_store import write_model
told = {"arguments": arguments}
if behaviour == "reads its case":
    from MultiViewRegistrationLib.io.case import Case
    from MultiViewRegistrationLib.regressor.model_store import ct_sha256
    case = Case.load(arguments[1])
    told |= {"search": case.search_range, "placed": case.world_from_ct is not None, "sha": ct_sha256(case.ct)}
(model_store.data_folder() / "asked.json").write_text(json.dumps(told))
def option(name, other):
    return arguments[arguments.index(name) + 1] if name in arguments else other
minutes, folder = float(option("--minutes", 2)), option("--out", model_store.new_folder(sha))
try:
    with stopped_by_end_of_stdin():
        for step in range(100, 501, 100):
            stage = f"training, {8 - step / 100:.1f} mm after {step} of 500 steps"
            print(ProgressRecord(step / 500, stage, 60.0).to_line(), file=sys.stderr, flush=True)
            time.sleep(0.05)
            while behaviour in ("waits", "lingers"):
                time.sleep(0.02)
        if behaviour == "fails":
            print("mvreg: The disk is full, expected room for a model; free some space.", file=sys.stderr)
            sys.exit(2)
except KeyboardInterrupt:
    while behaviour == "lingers" and not (model_store.data_folder() / "go").exists():
        time.sleep(0.02)
    write_model(folder, sha, minutes, 7.0, finished=False)
    sys.exit(130)
write_model(folder, sha, minutes, 3.0, fault="Its loss was no number any more." if behaviour == "stumbles" else "")
print(json.dumps({"folder": str(folder), "card": {}}))
"""


def sha_of(ct):
    from MultiViewRegistrationLib.regressor.model_store import ct_sha256

    return ct_sha256(ct)


def write_model(
    folder,
    sha,
    minutes,
    error_mm,
    *,
    finished=True,
    fault="",
):
    """A model's folder without weights that could be loaded."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(bytes(7_600_000))
    unit = [[float(i == j) for j in range(4)] for i in range(4)]
    camera = {
        "intrinsics": [row[:3] for row in unit[:3]],
        "camera_from_world": unit,
        "size": [64, 64],
    }
    card = Card(
        ct_sha256=sha,
        cameras=[camera],
        world_from_ct=unit,
        centroid=[0, 0, 0],
        half_widths=dict.fromkeys("abcdef", 1.0),
        poses="range",
        network="voting",
        loss="likelihood",
        seed=0,
        minutes=minutes,
        steps=500,
        every=100,
        created=f"2026-11-20T{folder.name[-6:]}",
        versions={},
        done=500 if finished else 200,
        validation=[[100, 24.0, 20.0], [500, 120.0, error_mm]],
        fault=fault,
        weights="weights.safetensors",
    )
    (folder / CARD).write_text(card.to_json())


class TinyStore:
    """Takes the place of the user's store, of what is trained, and of what a registration asks.

    A model that knows the phantom's pose.

    ct: that which is trained for.   asked: the folders of the models that registrations asked for.
    """

    def __init__(self, monkeypatch, folder, ct):
        self.folder, self.asked, self._patch, self._sha = folder, [], monkeypatch, sha_of(ct)
        monkeypatch.setenv("MVREG_DATA", str(folder))
        self.behave("learns")
        monkeypatch.setattr(
            "MultiViewRegistrationLib.regressor.initialise.find_model", self._find_model
        )

    def behave(self, behaviour):
        """What the next child does: "learns", "reads its case" first, "waits" to be cancelled, "lingers" even then, "fails", "stumbles"."""
        child = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n{CHILD}"
        self._patch.setattr(
            jobs, "program", lambda: [sys.executable, "-c", child, self._sha, behaviour]
        )

    def release(self):
        """The child that lingers ends."""
        (self.folder / "go").touch()

    def add(self, ct, name, minutes=2.0, error_mm=3.6, *, finished=True):
        """The folder of a further model of a CT, newer than those whose names come before."""
        sha = sha_of(ct)
        folder = model_store.new_folder(sha).with_name(name)
        write_model(folder, sha, minutes, error_mm, finished=finished)
        return folder

    @property
    def arguments(self):
        """What the last child was asked, but for the case."""
        command, _, *others = self.told["arguments"]
        return [command, *others]

    @property
    def told(self):
        """Of the last child: its arguments.

        If it read its case, how far to search, whether there is a pose, and the CT's hash.
        """
        return read_json(self.folder / "asked.json")

    def _find_model(self, case, model=None):
        from helpers.fake_model import FakeModel  # not above: the child has no need of it
        from helpers.phantom import TRUE_POSE

        self.asked.append(model)
        return FakeModel(TRUE_POSE, case.ct.centroid(), folder=model)
