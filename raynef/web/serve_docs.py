"""What the service says of itself: its OpenAPI description, and a page of it that loads nothing."""

from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response

from raynef.report.html import page

FORMAT = "png: an id for each pixel; json: the segments. By default as Accept says, else png."
LABELS = (
    "What ids are: clusters (of cut: groups) or classes. By default classes where the clusters "
    "have names and are not cut, else clusters."
)
CUT = "Merge the clusters into so many groups, by their tree: fewer, larger segments."
MASKS = "json: with the mask of each segment, as COCO's uncompressed run lengths."

_STATUSES = {
    400: "An empty body, or a form without one file",
    401: "No token, or another one",
    406: "Accept admits neither format",
    408: "The body came too slowly",
    413: "Too many bytes or pixels",
    415: "Neither image/… nor multipart/form-data",
    422: "No image, a damaged one, or a query that cannot be answered",
    503: "Busy, or starting again: wait for Retry-After seconds",
    504: "No answer in time",
}
_SEGMENT = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": ["string", "null"]},
        "color": {"type": "string", "description": "#rrggbb"},
        "area": {"type": "integer", "description": "pixels"},
        "share": {"type": "number", "description": "of the image"},
        "segmentation": {
            "type": "object",
            "description": "COCO's uncompressed run lengths, down the columns",
            "properties": {
                "size": {"type": "array", "items": {"type": "integer"}, "description": "[H, W]"},
                "counts": {"type": "array", "items": {"type": "integer"}},
            },
        },
    },
}
_SEGMENTS = {
    "type": "object",
    "properties": {
        "width": {"type": "integer"},
        "height": {"type": "integer"},
        "labels": {"type": "string", "enum": ["clusters", "classes"]},
        "segments": {"type": "array", "items": _SEGMENT, "description": "the largest first"},
    },
}
_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_IMAGE = {"type": "string", "format": "binary"}


def _refusals(reasons: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Answers with a reason, by status."""
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": why, "content": content} for status, why in reasons.items()}


PREDICT: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "A PNG as raynef predict writes it, or the segments. X-Raynef-Labels "
            "says what the ids are.",
            "content": {
                "image/png": {"schema": _IMAGE},
                "application/json": {"schema": _SEGMENTS},
            },
        },
        **_refusals(_STATUSES),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "image/*": {"schema": _IMAGE},
                "multipart/form-data": {
                    "schema": {"type": "object", "properties": {"image": _IMAGE}}
                },
            },
        }
    },
}
"""What FastAPI cannot see of ``POST /predict``."""
LEGEND = _refusals({401: _STATUSES[401], 422: "A cut that the tree does not have"})
HEALTH = _refusals({503: "Nothing can be segmented at the moment"})
METRICS = _refusals({401: _STATUSES[401]})
"""The refusals of the others."""


def documented(app: FastAPI, *, has_token: bool) -> str:
    """The page of an application's own description."""
    described = app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    return page(
        "service.html",
        title=described["info"]["title"],
        kicker=f"raynef {described['info']['version']}",
        links=["Requests"] if has_token else ["Try", "Requests"],
        warning=None,
        summary=None,
        operations=operations,
        has_token=has_token,
    )
