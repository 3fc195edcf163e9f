"""The service as an ASGI application: what it is asked, and what it answers. It knows no Ray."""

import time
from typing import Annotated, Any, Protocol

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from raynef import __version__
from raynef.core.errors import UserError
from raynef.web.answers import MEDIA_TYPES, Answer, Format, Labels, Meaning, Refusal, Wanted
from raynef.web.guard import GONE, RETRY, Gate, Guard, Limits, error, image_of, unless_gone
from raynef.web.serve_docs import (
    CUT,
    FORMAT,
    HEALTH,
    LABELS,
    LEGEND,
    MASKS,
    METRICS,
    PREDICT,
    documented,
)
from raynef.web.serve_metrics import ServeMetrics

LABELS_HEADER = "X-Raynef-Labels"
_PNG, _JSON = ("image/png", "image/*", "*/*"), ("application/json", "application/*")
_NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Backend(Protocol):
    """What segments images, wherever it runs."""

    async def predict(self, encoded: bytes, wanted: Wanted) -> Answer | Refusal:
        """The answer to one image."""
        ...

    async def trouble(self) -> str | None:
        """Why it segments nothing at the moment; None where it does."""
        ...


def application(
    backend: Backend,
    meaning: Meaning,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    metrics: ServeMetrics | None = None,
) -> ASGIApp:
    """The service.

    Args:
        backend: that segments.
        meaning: of its clusters.
        limits: of a request.
        token: that every request but those for health and documentation must bring; None: none.
        metrics: that are kept and shown; new ones if None.
    """
    limits, metrics = limits or Limits(), metrics or ServeMetrics()
    gate = Gate(limits.concurrent, metrics)
    app = FastAPI(
        title="raynef serve",
        version=__version__,
        description="Segments images by a segmenter that raynef trained.",
        docs_url=None,  # that page loads its script from another server
        redoc_url=None,
    )

    # For the description alone: the guard has looked at the token before.
    needs = [] if token is None else [Depends(HTTPBearer(auto_error=False))]

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, wrong: Exception) -> Response:
        assert isinstance(wrong, HTTPException)
        reason = wrong.detail
        if wrong.status_code == 404:
            reason = "nothing is at this path; /docs says what there is"
        return error(wrong.status_code, reason, dict(wrong.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def refuse_query(request: Request, wrong: Exception) -> Response:
        assert isinstance(wrong, RequestValidationError)
        return error(422, "; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in wrong.errors()))

    @app.exception_handler(Exception)  # which uvicorn logs
    async def fail(request: Request, wrong: Exception) -> Response:
        return error(500, "failed; the log says why")

    @app.exception_handler(ClientDisconnect)
    async def forget(request: Request, wrong: Exception) -> Response:
        return Response(status_code=GONE)  # which nobody reads

    @app.post("/predict", dependencies=needs, **PREDICT)
    async def predict(
        request: Request,
        format: Annotated[Format | None, Query(description=FORMAT)] = None,
        labels: Annotated[Labels | None, Query(description=LABELS)] = None,
        cut: Annotated[int | None, Query(description=CUT)] = None,
        masks: Annotated[bool, Query(description=MASKS)] = True,
    ) -> Response:
        """Segment one image: the body itself, or the one file of a form."""
        began = time.monotonic()
        chosen = format or accepted(request.headers.get("accept", ""))
        if chosen is None:
            raise HTTPException(406, "Accept must admit image/png or application/json")
        wanted = Wanted(chosen, _checked(meaning, labels, cut), cut, masks)
        with gate.entered():
            encoded = await image_of(request, limits)
            found = await unless_gone(request, backend.predict(encoded, wanted), limits)
        if isinstance(found, Refusal):
            raise HTTPException(found.status, found.reason, RETRY if found.status == 503 else None)
        metrics.segmented(seconds=time.monotonic() - began, batch_size=found.batch_size)
        headers = {LABELS_HEADER: wanted.labels, "Vary": "Accept", **_NO_STORE}
        return Response(found.body, media_type=MEDIA_TYPES[chosen], headers=headers)

    @app.get("/legend", dependencies=needs, responses=LEGEND)
    async def legend(
        cut: Annotated[int | None, Query(description=CUT)] = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """What ids and colors mean, as legend.json of raynef predict."""
        _checked(meaning, None, cut)
        return meaning.legend(cut)

    @app.get("/healthz", responses=HEALTH)
    async def health() -> Response:
        """200 where images can be segmented, else 503 with the reason."""
        trouble = await backend.trouble()
        return JSONResponse({"status": "ok"}) if trouble is None else error(503, trouble)

    @app.get("/metrics", dependencies=needs, response_class=Response, responses=METRICS)
    async def measured() -> Response:
        """Counts for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(documented(app, has_token=token is not None))

    @app.get("/", include_in_schema=False)
    async def begin() -> RedirectResponse:
        return RedirectResponse("docs")

    return Guard(app, token=token, metrics=metrics)


def accepted(accept: str) -> Format | None:
    """The format that an Accept header prefers, PNG where it does not say; None: neither."""
    ranges: list[tuple[float, str]] = []
    for part in accept.lower().split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            ranges.append((-float(weight), kind))
        except ValueError:
            ranges.append((-1.0, kind))
    for weight, kind in sorted(ranges, key=lambda one: one[0]):
        if weight < 0 and kind in (*_PNG, ""):
            return "png"
        if weight < 0 and kind in _JSON:
            return "json"
    return None


def _checked(meaning: Meaning, labels: Labels | None, cut: int | None) -> Labels:
    try:
        return meaning.labels(labels, cut)
    except UserError as wrong:
        raise HTTPException(422, str(wrong)) from wrong
