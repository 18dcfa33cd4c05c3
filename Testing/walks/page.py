"""Walks the tasks of `counted_walk.TASKS` in the page, in Chromium:

    python Testing/walks/page.py [--out docs/walks] [--chromium /usr/bin/chromium] [TASK ...]

It starts `mvreg view` for each, drops files on the window, clicks, and ends with 1 where something
is not as it should be. Files come from the module's sample, whose CT is downloaded once, and the
wrist of the shared data, without which that task is left out.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import material
from counted_walk import TASKS, Walk, write_page
from playwright.sync_api import sync_playwright

sys.path[:0] = [str(material.ROOT / "Testing" / "browser")]
from served import Served, Tab  # noqa: E402

SIZE = {"width": 1440, "height": 900}
PATIENCE_MS = 600_000
#: At most, from a CT, a segmentation and two X-rays to a transform for each vertebra.
MAX_SPINE_CLICKS = 8
ARGUMENTS = ["--no-sandbox"]


class PageWalk(Walk):
    """A walk in a page of `mvreg view`."""

    def __init__(self, task, folder, browser, files):
        self._browser, self._home = browser, files / "server"
        self._home.mkdir()
        self._open()
        super().__init__(task, "page", folder, lambda: self.page.screenshot())

    def _open(self):
        self._server = Served(folder=self._home)
        self.tab = Tab(self._browser, self._server, self._home, **SIZE)
        self.page = self.tab.page

    def next_day(self):
        """End the program, and start it again, which is not counted."""
        began = time.monotonic()
        self.close()
        self._open()
        self._away += time.monotonic() - began

    def close(self):
        self.tab.close()
        self._server.end()

    def click(self, name):
        """A button by its name."""
        self.page.get_by_role("button", name=name, exact=True).first.click(timeout=PATIENCE_MS)
        self.act()

    def drop(self, *paths):
        """Drop files and folders on the window, as a file manager does."""
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send(
                "Input.dispatchDragEvent", {"type": kind, "x": 700, "y": 450, "data": data}
            )
            self.page.wait_for_timeout(50)
        session.detach()
        self.act()

    def download(self, name, folder):
        """The file that a button's click gives, kept in a folder."""
        with self.page.expect_download(timeout=PATIENCE_MS) as download:
            self.click(name)
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        self.settle(0.5)
        return path

    def wait_verdict(self):
        """Until the bar has a verdict; the bar's text."""
        self.page.wait_for_selector(
            ".mv-chip-accept, .mv-chip-check, .mv-chip-reject", timeout=PATIENCE_MS
        )
        self.settle()
        return self.bar()

    def bar(self):
        """The text of the bar."""
        return self.page.locator(".mv-answer").inner_text()

    def settle(self, seconds=1.5):
        """Let all views be drawn sharply, which is not the program's time to an answer."""
        began = time.monotonic()
        self.tab.drawn()
        self.page.wait_for_function(
            "() => document.querySelectorAll('.mv-fill img').length >= 4", timeout=PATIENCE_MS
        )
        self.page.wait_for_timeout(1000 * seconds)
        self._away += time.monotonic() - began

    def end(self):
        assert not self.tab.errors, self.tab.errors
        super().end()


def own(walk, files):
    """Own CT and two DICOM X-rays to an exported transform."""
    walk.step("The empty page says what to do.")
    walk.drop(files / "CT", files / "AP.dcm", files / "lateral.dcm")
    text = walk.wait_verdict()
    walk.step(
        "CT and X-rays dropped on the window: told apart, centred, registered and judged without a "
        "further click."
    )
    assert "CHECK" in text and "mm" in text, text  # a C-arm's readings alone are never accepted
    text = "Exported: the browser has the transform, the result and the report."
    error = material.error_mm(next(export(walk, files, text).rglob("world_from_ct.tfm")))
    assert error < 5, error


def export(walk, files, text, button="Export"):
    """The folder with what a button's download holds."""
    archive, folder = walk.download(button, files.parent), files.parent / "exported"
    walk.step(text)
    zipfile.ZipFile(archive).extractall(folder)
    return folder


def wrist(walk, files):
    """One bone of a wrist, real radiographs."""
    walk.drop(files)
    text = walk.wait_verdict()
    walk.step(
        "The folder of the case dropped on the window: the radius is found; the bar says what is "
        "to be checked."
    )
    assert "CHECK" in text, text
    walk.page.get_by_text("Why", exact=True).click()
    walk.act()
    walk.settle(0.3)
    walk.step("Why: one structure alone, and X-rays that disagree by more than noise.")


def mirrored(walk, files):
    """A mirrored X-ray found and mended."""
    walk.drop(files)
    text = walk.wait_verdict()
    walk.step("Rejected, the cause first: left and right of AP seem to be exchanged.")
    assert "REJECT" in text and "Left and right of AP" in text, text
    walk.click("Check the geometry")
    walk.page.wait_for_selector(".mv-fields")
    walk.settle(0.5)
    walk.step("The next act opens the geometry, with AP selected.")
    answer = walk.page.get_by_label(re.compile("patient's right on the left.* of AP"))
    answer.select_option(
        label="no" if answer.evaluate("e => e.selectedOptions[0].label") == "yes" else "yes"
    )
    walk.act(2)  # opens the list, chooses
    walk.settle(0.5)
    walk.step("The question on left and right is answered the other way.")
    walk.click("Done")
    walk.click("Register")
    walk.page.wait_for_selector(".mv-chip-running", timeout=PATIENCE_MS)
    text = walk.wait_verdict()
    walk.step("Registered again: accepted.")
    assert "ACCEPT" in text, text


def undo(walk, files):
    """Undo after a bad drag."""
    walk.drop(files)
    before = walk.wait_verdict()
    walk.step("Registered, and accepted.")
    assert "ACCEPT" in before, before
    walk.tab.drag(0, (0.5, 0.45), (0.6, 0.55))
    walk.act()
    assert walk.bar() == before
    walk.step("A plain drag looks around: CT and verdict stay.")
    walk.click("Move the CT")
    walk.page.wait_for_selector(".mvx .ring", timeout=PATIENCE_MS)
    walk.tab.drag(0, (0.5, 0.45), (0.6, 0.55))
    walk.act()
    walk.page.wait_for_selector(".mv-chip-moved", timeout=PATIENCE_MS)
    walk.settle()
    walk.step("The CT was moved by mistake: the verdict is gone with it.")
    walk.click("Undo")
    after = walk.wait_verdict()
    walk.step("Undone: the CT and the verdict are back.")
    assert after == before, (before, after)


def reopen(walk, files):
    """Yesterday's work opened again."""
    walk.drop(files)
    before = walk.wait_verdict()
    saved = walk.download("Save", files.parent)
    walk.step("Yesterday: registered and saved as a scene.")
    walk.next_day()
    walk.step("Today: the empty page also offers what it has kept itself.")
    walk.drop(saved)
    after = walk.wait_verdict()
    walk.step("The saved scene dropped on the window: pose, verdict and history are there.")
    assert after == before, (before, after)


def spine(walk, files):
    """Five vertebrae of a bent spine, each to its own transform."""
    walk.drop(files / "CT", files / "AP.dcm", files / "lateral.dcm")
    walk.wait_verdict()
    walk.step("CT and X-rays dropped on the window: the whole CT is registered first.")
    walk.drop(files / "spine.seg.nrrd")
    walk.page.get_by_role("checkbox", name="vertebrae_T8").wait_for(timeout=PATIENCE_MS)
    walk.step("The segmentation dropped: its vertebrae are ticked, and the work begins by itself.")
    walk.page.get_by_text("worst bone vertebrae_T").wait_for(timeout=PATIENCE_MS)
    walk.page.wait_for_selector(".bone", timeout=PATIENCE_MS)
    walk.settle()
    walk.step("Registered: each vertebra is outlined where the X-rays show it.")
    walk.tab.open_step("5. Check")
    walk.click("vertebrae_T11")
    walk.settle()
    walk.step("A click on its row: T11 in all views, with its verdict, expected error and motion.")
    errors = material.spine_errors_mm(
        export(walk, files, "Exported: a transform for each vertebra.")
    )
    print(json.dumps({"errors_mm": errors}))
    assert len(errors) >= 4 and max(errors.values()) < 2, errors
    assert walk.clicks <= MAX_SPINE_CLICKS, walk.clicks


def bones(walk, files):
    """Radius and ulna of a wrist, a CT each, to a transform for each."""
    walk.drop(files)
    walk.wait_verdict()
    walk.page.wait_for_function(
        "() => document.querySelectorAll('.bone').length >= 4", timeout=PATIENCE_MS
    )
    walk.settle()
    walk.step("The folder of the case dropped on the window: both bones are found and outlined.")
    walk.tab.open_step("5. Check")
    walk.act()
    walk.click("ulna")
    walk.settle(4)
    walk.step("A click on its row: the ulna in all views, in its own CT, with its handles.")
    shifts = material.wrist_shifts_mm(export(walk, files, "Exported: a transform for each bone."))
    assert max(shifts.values()) < 20, shifts  # they may turn about themselves
    assert walk.clicks <= MAX_SPINE_CLICKS, walk.clicks


def sequence(walk, files):
    """Radius and ulna of a wrist through a sequence, and how one moves against the other."""
    walk.drop(files)
    walk.wait_verdict()
    walk.settle()
    walk.step("The folder of the case dropped on the window: the first frame is registered.")
    walk.tab.open_step("Sequence")
    walk.act()
    walk.settle(0.5)
    walk.step("The step Sequence: the X-rays have three frames.")
    walk.click("Track")
    walk.page.get_by_text("3 of 3 frames", exact=False).first.wait_for(timeout=PATIENCE_MS)
    motion = walk.page.get_by_text("ulna against radius", exact=False).first
    motion.wait_for(timeout=PATIENCE_MS)
    walk.settle(4)
    motion.evaluate("each => each.scrollIntoView()")
    walk.step("Tracked: both bones in each frame, and how one turns against the other.")
    walk.click("First frame")
    walk.settle(4)
    motion.evaluate("each => each.scrollIntoView()")
    walk.step("The first frame again: the cursor in the curves goes along.")
    text = "Exported: poses of each bone, and their motion."
    names = {path.name for path in export(walk, files, text, "Export poses").rglob("*")}
    assert {"motion.csv", "radius_poses.csv", "ulna_poses.csv"} <= names, names


def main():
    """The exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}; all by default"
    )
    parser.add_argument("--out", type=Path, default=material.ROOT / "docs" / "walks")
    parser.add_argument(
        "--chromium", default=shutil.which("chromium") or shutil.which("google-chrome")
    )
    options = parser.parse_args()
    steps = (own, wrist, mirrored, undo, reopen, bones, sequence, spine)
    by_name = {step.__name__: step for step in steps}
    options.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as api:
        browser = api.chromium.launch(executable_path=options.chromium, args=ARGUMENTS)
        for task in options.tasks or TASKS:
            if task in material.OF_THE_WRIST and not material.WRIST.is_dir():
                print(f"{task}: left out, the shared data are not there")
                continue
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                files = Path(folder) / task
                material.MATERIAL[task](files)
                walk = PageWalk(task, options.out, browser, Path(folder))
                try:
                    by_name[task](walk, files)
                    walk.end()
                    print(
                        json.dumps(
                            {task: {"clicks": walk.clicks, "seconds": round(walk.seconds, 1)}}
                        )
                    )
                finally:
                    walk.close()
        browser.close()
    write_page(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
