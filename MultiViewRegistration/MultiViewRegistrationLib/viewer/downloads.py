"""Files that the page offers to download: only those that were made for it, by addresses that nobody can guess."""

from __future__ import annotations

import secrets
import tempfile
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from aiohttp import web


def packed(files: Iterable[Path], folder: Path) -> Path:
    """An archive of files in a folder, beside that."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packing:
        for file in files:
            packing.write(file, file.relative_to(folder.parent))
    return archive


class Downloads:
    """A folder to write them in, and what serves them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mvreg-out-", ignore_cleanup_errors=True)
        self._offered: dict[str, Path] = {}

    def new_folder(self) -> Path:
        """An empty one; it goes when the server ends."""
        return Path(tempfile.mkdtemp(dir=self._folder.name))

    def offer(self, path: Path) -> str:
        """The address of a file, from the page's own."""
        key = secrets.token_urlsafe(16)
        self._offered[key] = path
        return f"download/{key}/{quote(path.name)}"

    def withdraw(self) -> None:
        """Offer none of them any more."""
        for path in self._offered.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._offered.clear()

    def route(self) -> web.RouteDef:
        return web.get("/download/{key}/{name}", self._send)

    def close(self) -> None:
        """Remove all of them."""
        self._folder.cleanup()

    async def _send(self, request: web.Request) -> web.StreamResponse:
        path = self._offered.get(request.match_info["key"])
        if path is None or not path.is_file():
            return web.Response(status=404, text="This file is not offered, or not any more; export again.\n")
        shown = "inline" if path.suffix == ".html" else "attachment"
        return web.FileResponse(
            path,
            headers={
                "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(path.name)}",
                "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
            },
        )
