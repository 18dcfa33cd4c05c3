"""Access to the server: only for a browser that has opened the address with the token, by a name of this server, from its own pages."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from aiohttp import web

from ..translation import _
from .elements import TITLE

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
TEXTS = (".js", ".css", ".ttf")


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
            if isinstance(response, web.FileResponse) and request.path.endswith(TEXTS):
                response.enable_compression()  # to a third
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
