"""Files that a page sends and downloads, in temporary folders (`folders.temporary`).

Nothing sent is trusted unchecked.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from ..errors import InputError
from ..io.files import keep_within, redact_upload_paths
from ..translation import _

MAX_BYTES = 4 << 30
MAX_FILES = 20_000
CHUNK_BYTES = 1 << 18
#: What aiohttp raises for a form that is cut short, has no boundary or cannot be decoded.
MALFORMED_FORM = (ValueError, HttpProcessingError, web.RequestPayloadError)


class Uploads:
    """Takes files at POST upload?target=..., in multipart/form-data, names with their path below what was dropped.

    Attributes
    ----------
    take
        Called with the target and the folder that has the files now; None before anything can be
        taken.
    belongs_to
        The session that a page sees, which is what it sends files for.
    """

    def __init__(self) -> None:
        self.take: Callable[[str, Path], object] | None = None
        self.belongs_to: Callable[[], object] = lambda: None

    def route(self) -> web.RouteDef:
        """Return the route for uploads."""
        return web.post("/upload", self._receive)

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            target = request.query.get("target", "")
            if self.take is None:
                raise InputError(_("Upload: the viewer is still starting; wait a moment."))
            if not request.content_type.startswith("multipart/"):
                raise InputError(_("Upload: found no form with files, expected one; use the page."))
            session = self.belongs_to()
            # by which `redact_upload_paths` knows it
            parent = Path(tempfile.gettempdir()).resolve()
            folder = Path(tempfile.mkdtemp(prefix="mvreg-sent-", dir=parent))
            keep_within(folder)
            try:
                try:
                    await self._store(request, folder)
                except InputError:
                    raise
                except MALFORMED_FORM as error:
                    raise InputError(
                        _("The upload is incomplete or damaged. Send the files again.")
                    ) from error
                if target != "open" and session is not None and self.belongs_to() is not session:
                    raise InputError(
                        _(
                            "Upload: the case that the files were sent for was closed; send them "
                            "again where they belong."
                        )
                    )
                self.take(target, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except InputError as error:
            return web.Response(status=400, text=redact_upload_paths(str(error)))
        except OSError as error:
            why = _("Upload: the server cannot keep the files ({why}); free some space.")
            return web.Response(status=507, text=why.format(why=error.strerror or error))
        return web.Response(text="Taken.")

    async def _store(self, request: web.Request, folder: Path) -> None:
        size = count = 0
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.filename is None:
                continue
            count += 1
            if count > MAX_FILES:
                raise InputError(
                    _(
                        "Upload: found more than {count} files, expected the slices of one CT, or "
                        "a few X-rays; drop these."
                    ),
                    count=MAX_FILES,
                )
            path = folder / safe_path(unquote(part.filename))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while chunk := await part.read_chunk(CHUNK_BYTES):
                    size += len(chunk)
                    if size > MAX_BYTES:
                        raise InputError(
                            _(
                                "Upload: is larger than {size:.3g} GB, which is the most; crop the "
                                "CT, or start mvreg view with the file's path where it lies."
                            ),
                            size=MAX_BYTES / 2**30,
                        )
                    file.write(chunk)
        if not count:
            raise InputError(_("Upload: found no file, expected at least one; choose it."))


class Downloads:
    """Offers files that were made for the page, by addresses that cannot be guessed."""

    def __init__(self) -> None:
        self._offered: dict[str, Path] = {}

    def new_folder(self) -> Path:
        """Return an empty folder to write files in; it goes when the server ends."""
        return Path(tempfile.mkdtemp(prefix="mvreg-out-"))

    def offer(self, path: Path) -> str:
        """Return the address of a file, from the page's own."""
        key = secrets.token_urlsafe(16)
        self._offered[key] = path
        return f"download/{key}/{quote(path.name)}"

    def withdraw(self) -> None:
        """Offer none of these files any more."""
        for path in self._offered.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._offered.clear()

    def route(self) -> web.RouteDef:
        """Return the route of the addresses."""
        return web.get("/download/{key}/{name}", self._send)

    async def _send(self, request: web.Request) -> web.StreamResponse:
        path = self._offered.get(request.match_info["key"])
        if path is None or not path.is_file():
            return web.Response(
                status=404, text=_("This file is no longer offered; export again.") + "\n"
            )
        shown = "inline" if path.suffix == ".html" else "attachment"
        return web.FileResponse(
            path,
            headers={
                "Content-Disposition": f"{shown}; filename*=UTF-8''{quote(path.name)}",
                "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
            },
        )


def safe_path(name: str) -> PurePosixPath:
    """Return the path below a folder that a file's name means.

    Raises
    ------
    InputError
        For one that would leave it, or is none.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    odd = (
        path.is_absolute()
        or ".." in path.parts
        or not path.parts
        or ":" in path.parts[0]
        or any(ord(c) < 32 for c in name)
    )
    if odd or max(len(part.encode()) for part in path.parts) > 255:
        raise InputError(
            _(
                'Upload: found a file named "{name}", expected a name that stays in its folder; rename it.'
            ),
            name=name[:80],
        )
    return path


def packed(folder: Path, archive: Path | None = None) -> Path:
    """Return a .zip of a folder, by default beside it."""
    archive = archive or folder.with_suffix(".zip")
    with zipfile.ZipFile(
        archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1
    ) as packing:  # a CT takes a second so
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packing.write(file, file.relative_to(folder.parent))
    return archive
