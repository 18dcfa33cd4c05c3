"""Who may talk to the server: pages that it served itself, and with a token, whoever knows it."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import web

COOKIE = "mvreg_token"


def guard(token: str | None, hosts: tuple[str, ...] | None):
    """An aiohttp middleware.

    token: to be known in the address once, and in a cookie from then on; None where nobody needs it.
    hosts: names that a browser may call this server by, so that no other site's name leads here; None for any.
    """

    @web.middleware
    async def check(request: web.Request, handler):
        name = urlsplit(f"//{request.host}").hostname
        if hosts is not None and name not in hosts:
            return _refused(f"This server answers on {hosts[0]} only.")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return _refused("This request comes from another site.")
        if token is None:
            return await handler(request)
        given = request.query.get("token", "")
        known = request.cookies.get(COOKIE, "")
        if not (hmac.compare_digest(given.encode(), token.encode()) or hmac.compare_digest(known.encode(), token.encode())):
            return _refused("The token is missing or wrong: use the whole address that mvreg view printed.")
        if given and request.path in ("/", "/index.html"):
            answer = web.HTTPFound("/index.html")
            answer.set_cookie(COOKIE, token, httponly=True, samesite="Strict")
            raise answer
        return await handler(request)

    return check


def _refused(reason: str) -> web.Response:
    return web.Response(status=403, text=f"Refused. {reason}\n")
