"""Registrations over HTTP: an example, not a product.

    pip install . starlette uvicorn                  # in a copy of this repository
    MVREG_TOKEN=... python service.py /data          # cases below /data; listens on 127.0.0.1:8000

    POST   /registrations   {"case": "spine/case.json"}     201 {"id": ..., "state": "running"}
    GET    /registrations/ID                                state, fraction, stage; then the result
    DELETE /registrations/ID                                stop it

Each request has the header "Authorization: Bearer TOKEN". A registration runs in a process of its
own (`Job`), so that one that ends badly stops nothing else. Results lie beside their cases, as
`mvreg register` writes them; of those that have ended the last 100 are told, older ones are
forgotten (404).

Only files below the folder are read: a case that names others, by an absolute path, by ".." or by a
link, is refused (400) before it is begun. Let nobody write into the folder who could change a case
between that look and its registration.
"""

import os
import secrets
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mvreg import CaseFile, InputError, Job, inside, keep_within, redact_upload_paths

#: Registrations at once, each of which uses all cores for a second or two.
MOST_AT_ONCE = 2
#: Registrations that have ended and are still told: some megabytes.
MOST_KEPT = 100


class Service:
    """The cases below a folder, and the registrations that were asked for since it began."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.jobs = {}
        self.progress = {}
        keep_within(self.root)  # files of a case that lie elsewhere are refused

    async def start(self, request: Request) -> Response:
        """Register a case of the folder."""
        try:
            asked = (await request.json())["case"]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise HTTPException(400, 'The request is no JSON object with a "case".') from None
        case = inside(asked, self.root) if isinstance(asked, str) else None
        if case is None or not os.path.isfile(case):
            raise HTTPException(404, "case: no such file in the folder of cases.")
        try:
            await run_in_threadpool(CaseFile.read, case)
        except InputError as error:
            raise HTTPException(400, redact_upload_paths(str(error))) from None
        ended = [name for name in self.jobs if self._state(name) != "running"]
        if len(self.jobs) - len(ended) >= MOST_AT_ONCE:
            raise HTTPException(503, "Too many registrations are running; ask again soon.")
        for name in ended[:-MOST_KEPT]:
            del self.jobs[name]
            self.progress.pop(name, None)
        name = secrets.token_urlsafe(12)
        self.jobs[name] = Job(["register", case])
        return JSONResponse({"id": name, "state": "running"}, 201)

    async def show(self, request: Request) -> Response:
        """Say how a registration is going, or its result."""
        name, job = self._job(request)
        answer = {"id": name, "state": self._state(name)}
        answer |= {"message": job.message, "result": job.result}
        if record := self.progress.get(name):
            answer |= {"fraction": record.fraction, "stage": record.stage}
        return JSONResponse(answer)

    async def stop(self, request: Request) -> Response:
        """Stop a registration."""
        self._job(request)[1].cancel()
        return Response(status_code=204)

    def _state(self, name: str) -> str:
        """Return the state of a registration, and keep its progress."""
        if record := self.jobs[name].poll():
            self.progress[name] = record
        return self.jobs[name].state

    def _job(self, request: Request) -> tuple[str, Job]:
        name = request.path_params["name"]
        if name not in self.jobs:
            raise HTTPException(404, "There is no such registration.")
        return name, self.jobs[name]

    def stop_all(self) -> None:
        """Stop all registrations."""
        for job in self.jobs.values():
            job.cancel()


class OnlyWithToken:
    """Refuse requests without the token."""

    def __init__(self, app, token: str) -> None:
        self.app, self.expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(given, self.expected):
                await JSONResponse({"problem": "The token is wrong."}, 401)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def refused(request: Request, error: HTTPException) -> Response:
    """Return what is wrong with a request."""
    return JSONResponse({"problem": error.detail}, error.status_code)


def make_app(root: Path, token: str) -> Starlette:
    """Return the service for a folder of cases."""
    service = Service(root)

    @asynccontextmanager
    async def lifespan(app):
        yield
        service.stop_all()

    return Starlette(
        routes=[
            Route("/registrations", service.start, methods=["POST"]),
            Route("/registrations/{name}", service.show, methods=["GET"]),
            Route("/registrations/{name}", service.stop, methods=["DELETE"]),
        ],
        middleware=[Middleware(OnlyWithToken, token=token)],
        exception_handlers={HTTPException: refused},
        lifespan=lifespan,
    )


if __name__ == "__main__":
    import uvicorn

    if len(os.environ.get("MVREG_TOKEN", "")) < 20:
        sys.exit("MVREG_TOKEN: expected a secret of at least 20 characters; set it.")
    uvicorn.run(make_app(Path(sys.argv[1]), os.environ["MVREG_TOKEN"]), host="127.0.0.1", port=8000)
