"""`mvreg view`: the server of the page."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from ..errors import InputError
from ..scene.worker import Worker
from . import early

LOCAL = "127.0.0.1"


def serve(path: Path | None, demo: Callable[[], Path], *, case: Path | None = None, host: str = LOCAL, port: int = 0,
          open_browser: bool = True, tell: Callable[[str], object] = lambda text: print(text, flush=True)) -> None:
    """Serve the page until Ctrl-C. InputError where the address is taken, or is none of this computer's.

    path, case: what to open at once, see `opening.Opening.open`.   demo: makes the demo's case, returns its path.
    port: 0 for any free one.   tell: gets the page's address; on stderr it could be lost, which is silenced while an image is read.
    """
    os.environ["TRAME_ARGS"] = ""  # else trame would read our own command line
    if host == LOCAL:
        os.environ.setdefault("WSLINK_WS_COMPRESS", "0")  # it costs more than it saves
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was sent is removed then, too
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(path, case, demo, host, port, open_browser, tell))


async def _serve(path, case, demo, host, port, open_browser, tell) -> None:
    """Has the page come up at once, in which it can be read that the rest is on its way: importing that takes seconds."""
    gc.disable()  # what is made until the page is whole stays: going through it again and again would take a tenth of the time
    begun = early.begin(path)
    from trame.app import get_server

    from . import starting
    from .downloads import Downloads
    from .guard import guard
    from .uploads import Uploads

    server = get_server("mvreg", client_type="vue3")
    token = None if host == LOCAL else secrets.token_urlsafe(16)
    uploads, downloads = Uploads(), Downloads()

    def bound(web) -> None:
        web.app.middlewares.append(guard(token, (LOCAL, "localhost") if host == LOCAL else None))
        web.app.add_routes([uploads.route(), downloads.route(), starting.route()])

    def ready(**_) -> None:
        address = f"http://{host}:{server.port}/" + (f"?token={token}" if token else "")
        tell(address)
        if open_browser:
            webbrowser.open(address)

    server.controller.on_server_bind.add(bound)
    server.controller.on_server_ready.add(ready)
    starting.build(server)
    serving = asyncio.ensure_future(server.start(
        port=port, host=host, open_browser=False, show_connection_info=False, disable_logging=True, exec_mode="coroutine", timeout=0,
        thread=True))  # thread: Ctrl-C is ours
    following = asyncio.ensure_future(_work(server, uploads, downloads, path, case, demo, begun))
    try:
        await asyncio.wait([serving, following], return_when=asyncio.FIRST_COMPLETED)
        for ended in (serving, following):
            if ended.done():
                ended.result()
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot be served on ({error.strerror or error}), expected an address of this computer and a port "
                         "that is free; choose another one, or leave --port out.") from None
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        serving.cancel()
        uploads.close()
        downloads.close()


async def _work(server, uploads, downloads, path, case, demo, begun) -> None:
    """All but the serving, from the imports to the end."""
    try:
        await server.ready
        for name in ("slicer", "trame_slicer.core", ".page", ".application", "..registration.kernels"):  # Ctrl-C waits for one
            await asyncio.to_thread(import_module, name, __package__)
        from ..registration import kernels
        from . import page
        from .application import Application

        with server.state:
            application = Application(server, uploads, downloads, demo)
            page.build(application)
            application.refresh()  # a page is only whole with all that it shows
            if path is not None:
                application.opening.open(path, case, begun)
    finally:
        gc.freeze()
        gc.enable()
    if begun is None:
        Worker(lambda tell: kernels.prepare())  # they are needed as soon as there is a CT
    try:
        await application.run()
    finally:
        application.close()
