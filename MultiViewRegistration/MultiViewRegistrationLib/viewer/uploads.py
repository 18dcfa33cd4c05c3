"""Files that a page sends, into a folder that goes with the server; nothing of them is believed before it was looked at."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from ..errors import InputError
from ..io.files import as_sent, keep_within
from ..session.translation import _

LARGEST_BYTES = 4 << 30
MOST_FILES = 20_000
#: Bytes that are taken at a time.
CHUNK = 1 << 18


class Uploads:
    """Takes them at POST upload?target=..., in multipart/form-data, names with their path below what was dropped.

    take: called with the target and the folder that has the files now; None before anything can be taken.
    belongs_to: the session that a page sees, which is what it sends files for.
    """

    def __init__(self, largest_bytes: int = LARGEST_BYTES) -> None:
        """largest_bytes: of all files of one upload."""
        self.take: Callable[[str, Path], object] | None = None
        self.belongs_to: Callable[[], object] = lambda: None
        self._largest = largest_bytes
        place = Path(tempfile.gettempdir()).resolve()  # by which `as_sent` knows it
        self._folder = tempfile.TemporaryDirectory(prefix="mvreg-view-", dir=place, ignore_cleanup_errors=True)

    def route(self) -> web.RouteDef:
        return web.post("/upload", self._receive)

    def close(self) -> None:
        """Remove all that was sent."""
        self._folder.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            target = request.query.get("target", "")
            if self.take is None:
                raise InputError(_("Upload: the viewer is still starting; wait a moment."))
            if not request.content_type.startswith("multipart/"):
                raise InputError(_("Upload: found no form with files, expected one; use the page."))
            folder, session = Path(tempfile.mkdtemp(dir=self._folder.name)), self.belongs_to()
            keep_within(folder)
            try:
                await self._store(request, folder)
                if target != "open" and self.belongs_to() is not session:
                    raise InputError(
                        _(
                            "Upload: what the files were sent for was closed meanwhile; send them again where they belong."
                        )
                    )
                self.take(target, folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        except InputError as error:
            return web.Response(status=400, text=as_sent(str(error)))
        except OSError as error:
            return web.Response(
                status=507,
                text=f"Upload: the server cannot keep the files ({error.strerror or error}); free some space.",
            )
        return web.Response(text="Taken.")

    async def _store(self, request: web.Request, folder: Path) -> None:
        size = count = 0
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.filename is None:
                continue
            count += 1
            if count > MOST_FILES:
                raise InputError(
                    f"Upload: found more than {MOST_FILES} files, expected the slices of one CT, or a few X-rays; drop these."
                )
            path = folder / safe_path(unquote(part.filename))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                while chunk := await part.read_chunk(CHUNK):
                    size += len(chunk)
                    if size > self._largest:
                        raise InputError(
                            f"Upload: is larger than {self._largest / 2**30:.3g} GB, which is the most; crop the CT, or "
                            "start mvreg view with the file's path where it lies."
                        )
                    file.write(chunk)
        if not count:
            raise InputError(_("Upload: found no file, expected at least one; choose it."))


def safe_path(name: str) -> PurePosixPath:
    """The path below a folder that a file's name means. InputError for one that would leave it, or is none."""
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
            f'Upload: found a file named "{name[:80]}", expected a name that stays in its folder; rename it.'
        )
    return path
