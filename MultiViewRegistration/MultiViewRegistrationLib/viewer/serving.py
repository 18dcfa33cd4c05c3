"""`mvreg view`: the server of the page, and who may see it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hmac
import os
import re
import secrets
import signal
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from ..errors import InputError
from ..io import own_folders
from ..session.inputs import prepare_for_drr
from ..session.tasks import Task
from ..translation import _
from .elements import TITLE

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
        What to open at once, see `session.presenters.opening.Opening.open`.
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
    with suppress(KeyboardInterrupt), own_folders.temporary():
        asyncio.run(_serve(path, case, host, port, open_browser, notify))


async def _serve(path, case, host, port, open_browser, notify) -> None:
    """Serve the page at once, which says that the rest is on its way.

    Importing that takes seconds.
    """
    gc.disable()  # objects made until the page is whole stay: collecting garbage would take a tenth of the time
    preloaded = preload_case(path)
    from trame.app import get_server
    from trame_client.module.vue3 import www

    from .elements import build_starting_page, first_page, icon_styles
    from .serving import protect
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
            ).format(address=f"{host}:{port}", why=error.strerror or error)
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
    for folder in own_folders.abandoned(OPENED, home):
        own_folders.remove(folder)
    folder = own_folders.new_folder(OPENED, home)
    page = folder / "mvreg-view.html"
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={address}">',
        encoding="utf-8",
    )
    asyncio.get_running_loop().call_later(OPENED_S, own_folders.remove, folder)
    webbrowser.open(page.as_uri())
    return lambda: own_folders.remove(folder)


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
        from ..io.case_file import CaseFile, ct_of

        return ct_of(CaseFile.read(path))

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
    try:
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
    finally:
        gc.freeze()
        gc.enable()
    if preloaded is None:
        Task(
            lambda on_progress: load_or_begin_compiling()
        )  # they are needed as soon as there is a CT
    try:
        await application.run()
    finally:
        application.close()


#: Where the token may stand in the address.
ENTRY = ("/", "/index.html")
WEBSOCKET = "/ws"
HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[\w.-]+)(:(?P<port>\d+))?", re.ASCII | re.IGNORECASE)
#: Headers of every answer that does not say otherwise: no site frames or embeds it, no cache keeps
#: it, and no site learns its address.
HEADERS = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: Vue compiles the page's templates in the browser, which needs unsafe-eval; Vuetify writes its
#: theme into a style element.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' "
    "'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' "
    "ws://{host}; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
)
#: Sets the cookie, and goes on from a page of this site: after a redirect from elsewhere a browser
#: would keep a strict cookie back.
ENTERED = (
    f'<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>{TITLE}</title>'
    '<meta http-equiv="refresh" content="0; url=index.html"><a href="index.html">{link}</a>'
)
#: Files that are worth packing.
TEXTS = {".js": "text/javascript", ".css": "text/css", ".ttf": "font/ttf"}


def protect(
    app: web.Application,
    token: str,
    names: tuple[str, ...] | None,
    page: str,
    styles: Mapping[str, str],
) -> None:
    """Answer nothing of an application without the token, in the address once, and in a cookie from then on.

    Parameters
    ----------
    names
        By which a browser may call this server, so that no other site's name leads here; None for
        any.
    page
        The HTML that begins all.
    styles
        By their addresses, in place of files.
    """

    @web.middleware
    async def check(request: web.Request, handler: Callable) -> web.StreamResponse:
        host = HOST.fullmatch(request.host)
        if host is None or (names is not None and host["name"].lower() not in names):
            return _refused(_("This server answers only by its own name, as 127.0.0.1."))
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return _refused(_("This request comes from another site."))
        cookie = f"mvreg_{host['port'] or 80}"  # browsers send a cookie to all ports
        if request.path in ENTRY and "token" in request.query:
            if _same(request.query["token"], token):
                return _entered(cookie, token)
        elif _same(request.cookies.get(cookie, ""), token):
            if request.path == WEBSOCKET and not web.WebSocketResponse().can_prepare(request):
                return web.Response(
                    status=426, text=_("This address is for websockets.") + "\n"
                )  # trame's own would raise
            if request.path in ENTRY:
                return web.Response(text=page, content_type="text/html")
            if request.path[1:] in styles:
                return web.Response(text=styles[request.path[1:]], content_type="text/css")
            response = await handler(request)
            if isinstance(response, web.FileResponse):  # of a file within a folder that is served
                return _text(request) or response
            return response
        return _refused(
            _("The token is missing or wrong: use the whole address that mvreg view printed.")
        )

    async def harden(request: web.Request, response: web.StreamResponse) -> None:
        host = request.host if HOST.fullmatch(request.host) else ""
        for name, value in {
            **HEADERS,
            "Content-Security-Policy": POLICY.format(host=host),
        }.items():
            response.headers.setdefault(name, value)

    app.middlewares.append(check)
    app.on_response_prepare.append(harden)


def _text(request: web.Request) -> web.Response | None:
    """Return a script, style or font of a folder that is served, packed to a third; None for all else."""
    resource = request.match_info.route.resource
    folder = resource.get_info().get("directory") if resource else None
    kind = TEXTS.get(Path(request.path).suffix)
    if folder is None or kind is None or "gzip" not in request.headers.get("Accept-Encoding", ""):
        return None
    file = folder / request.match_info["filename"]
    if not file.is_file():
        return None
    body = _packed(file, file.stat().st_mtime_ns)
    return web.Response(body=body, content_type=kind, headers={"Content-Encoding": "gzip"})


@lru_cache
def _packed(file: Path, _changed_ns: int) -> bytes:
    return gzip.compress(file.read_bytes(), 1)  # a third of the usual level's time


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())


def _entered(cookie: str, token: str) -> web.Response:
    response = web.Response(text=ENTERED.format(link=_("Open the page")), content_type="text/html")
    response.set_cookie(
        cookie, token, path="/", httponly=True, samesite="Strict"
    )  # not Secure: this is HTTP
    return response


def _refused(reason: str) -> web.Response:
    return web.Response(status=403, text=_("Refused. {reason}").format(reason=reason) + "\n")
