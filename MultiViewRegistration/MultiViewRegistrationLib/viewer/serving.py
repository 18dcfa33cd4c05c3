"""`mvreg view`: the server of the page."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import InputError
from ..io.case import Case
from ..scene.worker import Worker

LOCAL = "127.0.0.1"


def serve(path: Path | None, demo: Callable[[], Path], *, case: Path | None = None, host: str = LOCAL, port: int = 0,
          open_browser: bool = True, tell: Callable[[str], object] = lambda text: print(text, file=sys.stderr, flush=True)) -> None:
    """Serve the page until Ctrl-C. InputError where the address is taken, or is none of this computer's.

    path, case: what to open at once, see `opening.Opening.open`.   demo: makes the demo's case, returns its path.
    port: 0 for any free one.   tell: gets the page's address.
    """
    os.environ["TRAME_ARGS"] = ""  # else trame would read our own command line
    if host == LOCAL:
        os.environ.setdefault("WSLINK_WS_COMPRESS", "0")  # it costs more than it saves
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what was sent is removed then, too
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(path, case, demo, host, port, open_browser, tell))


async def _serve(path, case, demo, host, port, open_browser, tell) -> None:
    early = _begin_to_load(path)  # while all else is imported
    from trame.app import get_server

    from . import page
    from .application import Application
    from .guard import guard

    server = get_server("mvreg", client_type="vue3")
    application = Application(server, demo)
    token = None if host == LOCAL else secrets.token_urlsafe(16)

    def bound(web) -> None:
        web.app.middlewares.append(guard(token, (LOCAL, "localhost") if host == LOCAL else None))
        web.app.add_routes([application.uploads.route(), application.downloads.route()])

    def ready(**_) -> None:
        address = f"http://{host}:{server.port}/" + (f"?token={token}" if token else "")
        tell(address)
        if open_browser:
            webbrowser.open(address)

    server.controller.on_server_bind.add(bound)
    server.controller.on_server_ready.add(ready)
    page.build(application)
    if path is not None:
        application.opening.open(path, case, early)
    following = asyncio.create_task(application.run())
    try:
        await server.start(port=port, host=host, open_browser=False, show_connection_info=False, disable_logging=True,
                           exec_mode="coroutine", timeout=0, thread=True)  # thread: Ctrl-C is ours
    except OSError as error:
        raise InputError(f"{host}:{port}: cannot be served on ({error.strerror or error}), expected an address of this computer and a port "
                         "that is free; choose another one, or leave --port out.") from None
    finally:
        following.cancel()
        application.close()


def _begin_to_load(path: Path | None) -> Worker | None:
    """Loads a case.json, or that of a folder without a result, in a thread; None for anything else."""
    if path is not None and path.is_dir() and not (path / "result.json").exists():
        path = path / "case.json"
    if path is None or path.suffix.lower() != ".json" or path.name == "result.json" or not path.is_file():
        return None
    return Worker(lambda tell: Case.load(path))
