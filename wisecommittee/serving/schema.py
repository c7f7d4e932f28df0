"""The description of /predict in openapi.json."""

from __future__ import annotations

from typing import Any

_UNIT = {
    "type": "object",
    "properties": {
        "unit_id": {"type": "string"},
        "prediction": {"description": "Class number or text; null without an answer."},
        "class": {"type": "string", "nullable": True},
        "stage": {"type": "integer", "minimum": 1, "description": "Where the unit exits, from 1."},
        "confidence": {"type": "number", "nullable": True},
        "cost": {"type": "number", "nullable": True},
        "members": {"type": "array", "items": {"type": "string"}},
    },
}
_ANSWER = {"type": "object", "properties": {"units": {"type": "array", "items": _UNIT}, "cost": {"type": "string"}}}
_ASKED = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "array", "description": "Nested lists of numbers, one for each unit."},
        "unit_ids": {"type": "array", "items": {"type": "string"}},
        "features": {"type": "object", "description": "A list for each column, with a value for each unit."},
    },
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_REFUSED = {
    400: "The body is no JSON.",
    408: "The body was not there in time.",
    413: "The body is too large, or has too many units.",
    415: "A kind of body that is not taken.",
    422: "Inputs, ids or features that do not fit the committee.",
    500: "A member failed.",
    503: "Too many units wait; Retry-After says when to try again.",
    504: "No decision in time.",
}


def _described(says: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": says, "content": {"application/json": {"schema": schema}}}


_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_QUERY = [
    {"name": "unit_id", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
    {"name": "features", "in": "query", "schema": {"type": "string"}, "description": "An object in JSON."},
]
PREDICT: dict[str, Any] = {
    "summary": "Decide about units.",
    "responses": {
        200: _described("A decision for each unit.", _ANSWER),
        **{status: _described(says, _ERROR) for status, says in _REFUSED.items()},
    },
    "openapi_extra": {
        "parameters": _QUERY,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": _ASKED},
                "application/x-npy": _BYTES,
                "image/jpeg": _BYTES,
                "image/png": _BYTES,
            },
        },
    },
}
