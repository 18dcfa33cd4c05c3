"""Run the notebooks as whoever has downloaded one would, and keep their outputs, and a picture of each for the gallery.

python docs/notebooks/run.py [NAME ...]
"""

from __future__ import annotations

import base64
import io
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
PICTURE_PX = (480, 320)
#: Of the pictures in a notebook.
WIDEST_PX, QUALITY = 760, 70


def run(path: Path) -> None:
    """Run a notebook in an empty folder."""
    notebook = nbformat.read(path, 4)
    with tempfile.TemporaryDirectory() as folder:
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=None, resources=where).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        cell.metadata.pop("execution", None)  # when it ran
        cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        for output in cell.outputs:
            _make_small(output.get("data", {}))
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, path)
    tagged = [cell for cell in cells if "picture" in cell.metadata.get("tags", ())]
    outputs = [output for cell in tagged or cells for output in cell.outputs]
    pictures = [each for output in outputs for each in pictures_of(output)]
    shown = Image.open(io.BytesIO(base64.b64decode(pictures[-1]))).convert("RGB")
    shown.thumbnail(PICTURE_PX)
    shown.save(path.with_suffix(".jpg"), quality=QUALITY)


def _make_small(data: dict) -> None:
    """Keep each picture of an output once, as a JPEG of at most WIDEST_PX columns."""
    if "image/jpeg" in data or "image/png" in data:
        png = data.pop("image/png", None)
        data["image/jpeg"] = _jpeg(data.get("image/jpeg", png))
    if "text/html" in data:
        html = "".join(data["text/html"])
        pattern = r"data:image/(?:png|jpeg);base64,([^\"']+)"
        data["text/html"] = re.sub(
            pattern, lambda found: f"data:image/jpeg;base64,{_jpeg(found[1])}", html
        )


def _jpeg(picture: str) -> str:
    """Return a picture as a small JPEG; both in base 64."""
    small = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    image.thumbnail((WIDEST_PX, WIDEST_PX))
    image.save(small, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def pictures_of(output: dict) -> list[str]:
    """Return the pictures of an output, in base 64."""
    data = output.get("data", {})
    in_html = re.findall(r"data:image/\w+;base64,([^\"']+)", "".join(data.get("text/html", "")))
    return [*in_html, *(data[kind] for kind in ("image/jpeg", "image/png") if kind in data)]


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.ipynb")):
        print(name, flush=True)
        run(HERE / f"{name}.ipynb")
