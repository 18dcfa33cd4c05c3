"""`mvreg view`: the server of the page."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..io import folders
from ..session.inputs import prepare_for_drr
from ..session.tasks import Task
from ..translation import _

if TYPE_CHECKING:
    from .application import Application

#: Seconds for which a thread at work may keep others from Python: pages are answered meanwhile.
SWITCH_S = 0.001
LOCAL = "127.0.0.1"
#: The names by which a browser on this computer may call it.
LOCAL_NAMES = (LOCAL, "localhost", "[::1]")
#: The folder with the file that leads the browser to the page, and the seconds after which it is
#: removed.
OPENED = "mvreg-open"
OPENED_S = 60.0


def serve(
    path: Path | None,
    *,
    case: Path | None = None,
    host: str = LOCAL,
    port: int = 0,
    open_browser: bool = True,
    notify: Callable[[str], object] = lambda text: print(text, flush=True),
) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    path, case
        What to open at once, see `session.presenters.frontend.Opening.open`.
    port
        0 for any free one.
    notify
        Gets the page's address, and a warning where it is not this computer's own.

    Raises
    ------
    InputError
        Where the address is taken, or is not this computer's.
    """
    sys.setswitchinterval(SWITCH_S)
    os.environ["TRAME_ARGS"] = ""  # else trame would read our own command line
    if host == LOCAL:
        os.environ.setdefault("WSLINK_WS_COMPRESS", "0")  # it costs more than it saves
    for name in (
        "SIGTERM",
        "SIGHUP",
    ):  # what was sent is removed then, too; SIGHUP: the terminal is closed
        ending = getattr(signal, name, None)
        if ending is not None and signal.getsignal(ending) != signal.SIG_IGN:  # as nohup has it
            signal.signal(ending, signal.default_int_handler)
    with suppress(KeyboardInterrupt), folders.temporary():
        asyncio.run(_serve(path, case, host, port, open_browser, notify))


async def _serve(path, case, host, port, open_browser, notify) -> None:
    """Serve the page at once, which says that the rest is on its way.

    Importing that takes seconds.
    """
    preloaded = preload_case(path)
    from trame.app import get_server
    from trame_client.module.vue3 import www

    from .access import protect
    from .elements import build_starting_page, first_page, icon_styles
    from .transfers import Downloads, Uploads

    server = get_server("mvreg", client_type="vue3")
    token = secrets.token_urlsafe(32)
    name = f"[{host}]" if ":" in host else host
    uploads = Uploads()
    downloads = Downloads()
    closing: list[Callable[[], object]] = []

    def bound(web) -> None:
        html = Path(www, "index.html").read_text(encoding="utf-8")
        names = LOCAL_NAMES if name in LOCAL_NAMES else None
        protect(web.app, token, names, first_page(html, server.state), icon_styles())
        web.app.add_routes([uploads.route(), downloads.route()])

    def ready(**_state) -> None:
        address = f"http://{name}:{server.port}/?token={token}"
        notify(address)
        if name not in LOCAL_NAMES:
            notify(
                _(
                    "Other computers reach this page, by its address alone, and nothing is encrypted: "
                    "serve it in a network that you trust, or leave --host out."
                )
            )
        if open_browser:
            closing.append(_open_browser(address))

    server.controller.on_server_bind.add(bound)
    server.controller.on_server_ready.add(ready)
    build_starting_page(server)
    serving = asyncio.ensure_future(
        server.start(
            port=port,
            host=host,
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            exec_mode="coroutine",
            timeout=0,
            thread=True,
        )
    )  # thread: Ctrl-C is ours
    following = asyncio.ensure_future(_work(server, uploads, downloads, path, case, preloaded))
    try:
        await asyncio.wait([serving, following], return_when=asyncio.FIRST_COMPLETED)
        for ended in (serving, following):
            if ended.done():
                ended.result()
    except OSError as error:
        raise InputError(
            _(
                "{address}: cannot be served on ({why}), expected an address of this computer and "
                "a port that is free; choose another one, or leave --port out."
            ),
            address=f"{host}:{port}",
            why=error.strerror or error,
        ) from None
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        serving.cancel()
        for close in closing:
            close()


def _open_browser(address: str) -> Callable[[], object]:
    """Open the page, and return what removes what that needed.

    Where every user can list the arguments of all programs, the address is in a file that only this
    user can read. It is in the home folder, as browsers in a sandbox see no other.
    """
    if sys.platform in ("win32", "darwin"):
        webbrowser.open(address)
        return lambda: None
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path(tempfile.gettempdir())
    for folder in folders.abandoned(OPENED, home):
        folders.remove(folder)
    folder = folders.new_folder(OPENED, home)
    page = folder / "mvreg-view.html"
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">',
        encoding="utf-8",
    )
    asyncio.get_running_loop().call_later(OPENED_S, folders.remove, folder)
    webbrowser.open(page.as_uri())
    return lambda: folders.remove(folder)


def preload_case(path: Path | None) -> tuple[Task, Task] | None:
    """Begin to load a case.json, or that of a folder with nothing else, while the program is still being imported.

    Returns
    -------
    tuple[Worker, Worker] or None
        Background tasks: one loads the `io.case.Case`, the other prepares its CT (see
        `Session.cache_case`). None for any other path.
    """
    others = ("result.json", "track.json")
    if path is not None and path.is_dir() and not any((path / name).exists() for name in others):
        path = path / "case.json"
    if path is None or path.suffix.lower() != ".json" or path.name in others or not path.is_file():
        return None

    def read(on_progress):
        from ..io.case_file import CaseFile

        return CaseFile.read(path).first.read()

    def load(on_progress):
        from ..io.case import Case  # takes a second, too

        return Case.load(path, read_ct=lambda: ct.result_for(on_progress))

    ct = Task(read)
    return Task(load), Task(
        lambda on_progress: prepare_for_drr(ct.result_for(on_progress), on_progress)
    )


def _open(application: Application, path: Path, case: Path | None, preloaded) -> None:
    """Open what was named, as far as it is not loaded already."""
    if preloaded is None:
        application.open_whole(path, None, case)
        return
    from ..mrml.loading import read_case

    loading, prepared = preloaded
    application.opening.begin(
        path.name,
        lambda on_progress: read_case(path, loading.result_for(on_progress), prepared),
    )


async def _work(server, uploads, downloads, path, case, preloaded) -> None:
    """Do all but the serving, from the imports to the end."""
    await server.ready
    for name in (
        "trame_slicer.core",
        ".page",
        ".application",
        "..registration.prepared_ct",
    ):  # Ctrl-C waits for one
        await asyncio.to_thread(import_module, name, __package__)
    from ..session.inputs import load_or_begin_compiling
    from . import page
    from .application import Application

    with server.state:
        application = Application(server, uploads, downloads)
    await asyncio.sleep(0)  # pages are answered between the parts
    with server.state:
        page.build(application)
        application.refresh()  # a page is only whole with all that it shows
        if path is not None:
            _open(application, path, case, preloaded)
    if preloaded is None:
        Task(
            lambda on_progress: load_or_begin_compiling()
        )  # they are needed as soon as there is a CT
    try:
        await application.run()
    finally:
        application.close()
