"""A walk: one task done as a user does it, with clicks and seconds counted, and a picture of the last step."""

import io
import json
import re
import time

from PIL import Image

#: Pictures are as wide as this at most, and JPEG of this quality.
WIDTH, QUALITY = 900, 68
RECORD = "walks.json"

#: The tasks, by the names of their folders.
TASKS = {
    "own": "Own CT and two DICOM X-rays to an exported transform",
    "wrist": "One bone of a wrist, real radiographs",
    "mirrored": "A mirrored X-ray found and mended",
    "undo": "Undo after a bad drag",
    "reopen": "Yesterday's work opened again",
    "bones": "Radius and ulna of a wrist, a CT each",
    "sequence": "A wrist that moves, radius against ulna",
    "spine": "Five vertebrae of a bent spine, each to its own transform",
}


class Walk:
    """Counts the clicks and seconds of one task, and keeps a picture of its last step.

    Parameters
    ----------
    task
        Of TASKS.
    host
        Where it is done: "page" or "panel".
    folder
        Gets HOST/TASK.jpg, and the counts in walks.json.
    picture
        Returns the window as it is, the bytes of a PNG.
    """

    def __init__(self, task, host, folder, picture):
        self.task, self.host, self.folder, self._picture = task, host, folder, picture
        self.clicks, self.steps = 0, []
        self._began, self._away = time.monotonic(), 0.0
        (folder / host).mkdir(parents=True, exist_ok=True)

    def act(self, clicks=1):
        """Count a click, a drag or a drop; picking files in a dialog is two: a file, and Open."""
        self.clicks += clicks

    def step(self, text):
        """Take a picture, and note the state of the window; the time for it does not count."""
        began = time.monotonic()
        picture = Image.open(io.BytesIO(self._picture())).convert("RGB")
        if picture.width > WIDTH:
            picture = picture.resize(
                (WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS
            )
        picture.save(
            self.folder / self.host / f"{self.task}.jpg",
            quality=QUALITY,
            optimize=True,
            progressive=True,
        )
        self.steps.append(
            {
                "text": text,
                "clicks": self.clicks,
                "seconds": round(self.seconds, 1),
            }
        )
        self._away += time.monotonic() - began

    @property
    def seconds(self):
        """Since it began, without the time for pictures."""
        return time.monotonic() - self._began - self._away

    def end(self):
        """Write it down."""
        path = self.folder / RECORD
        record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        walks = record.setdefault(self.host, {})
        before = {key: each for key, each in walks.get(self.task, {}).items() if key == "before"}
        walks[self.task] = before | {
            "clicks": self.clicks,
            "seconds": round(self.seconds, 1),
            "steps": self.steps,
        }
        path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_page(folder):
    """Write FOLDER/README.md from walks.json: a table, then the steps and the last picture of each."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    hosts = [host for host in ("page", "panel") if host in record]
    tasks = {
        task: title for task, title in TASKS.items() if any(task in record[host] for host in hosts)
    }
    names = {"page": "page (Chromium)", "panel": "panel (3D Slicer)"}
    lines = [
        "# Walks",
        "",
        "Tasks, each done by a script through the widgets that a person uses: `python "
        "Testing/walks/page.py` in Chromium, `Testing/walks/panel.py` in 3D Slicer's own "
        "application. A click is a click, a drag or a drop; files picked in a dialog count as two. "
        "Seconds are the program's on two idle cores without a graphics card, without a person's "
        "thinking. In brackets the page's before a plain drag looked around, of 23 November, on "
        "cores twice as fast; the panel's are of 1 December, in a Slicer 5.12.3 built without "
        "optimisation, beside other work. A Slicer that starts "
        "without numba installs it at the first question; all tasks were walked so, too, with as "
        "many clicks.",
        "",
        "| task | " + " | ".join(f"{names[host]}: clicks | seconds" for host in hosts) + " |",
        "| --- |" + " --- | --- |" * len(hosts),
    ]
    for task, title in tasks.items():
        cells = [
            " | ".join(_with_before(record[host][task], key) for key in ("clicks", "seconds"))
            if task in record[host]
            else " | "
            for host in hosts
        ]
        lines.append(f"| [{title}](#{_anchor(title)}) | " + " | ".join(cells) + " |")
    for task, title in tasks.items():
        lines += ["", f"## {title}"]
        for host in hosts:
            if task not in record[host]:
                continue
            lines += ["", f"### {names[host][0].upper()}{names[host][1:]}", ""]
            for number, step in enumerate(record[host][task]["steps"], start=1):
                lines.append(
                    f"{number}. {step['text']} ({_clicks(step['clicks'])}"
                    + ("" if step["seconds"] is None else f", {step['seconds']:.0f} s")
                    + ")"
                )
            lines += ["", f"![{step['text']}]({host}/{task}.jpg)", ""]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
    (folder / "README.md").write_text(text.rstrip() + "\n", encoding="utf-8")


def _anchor(title):
    """Of a heading, as GitHub and MkDocs both make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _clicks(count):
    return "1 click" if count == 1 else f"{count} clicks"


def _with_before(walk, key):
    before = walk.get("before")
    return _whole(walk[key]) + (f" ({_whole(before[key])})" if before else "")


def _whole(count):
    return "" if count is None else f"{count:.0f}"
