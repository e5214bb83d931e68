"""The Open Inference Protocol, version 2, as KServe, Seldon and Triton clients speak it.

Owns its routes and both forms of a tensor: JSON, and Triton's binary extension (a JSON head, whose length is in a
header, and the tensors' bytes after it). The model has one input, `text`, and the outputs of `_OUTPUTS`,
which depend on what the model decides on.
https://github.com/kserve/open-inference-protocol and Triton's `extension_binary_data.md`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request, Response, params
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import to_json
from starlette.responses import JSONResponse

from schemas import __version__
from schemas.input.value import InvalidReviewError
from schemas.rating import Rating
from schemas.review import Review, check_text
from worker.rest.front import Front
from worker.rest.problems import FieldError, Problem
from worker.rest.request import Bodies
from worker.traces.request import step

MODEL: Final = "starstream"
INPUT: Final = "text"
_HEAD_LENGTH: Final = "Inference-Header-Content-Length"
_LENGTH: Final = struct.Struct("<I")  # before each element of a BYTES tensor

Column = Callable[[Sequence[Rating]], npt.NDArray[Any]]
Outputs = Mapping[str, tuple[str, Column]]
_EITHER: Final[Outputs] = {
    "confidence": ("FP64", lambda ratings: np.array([rating.confidence for rating in ratings], "<f8")),
    "uncertain": ("BOOL", lambda ratings: np.array([rating.uncertain for rating in ratings], "?")),
    "unknown_share": ("FP64", lambda ratings: np.array([rating.unknown_share for rating in ratings], "<f8")),
    "probabilities": ("FP64", lambda ratings: np.array([rating.probabilities for rating in ratings], "<f8")),
}
_OUTPUTS: Final[Mapping[str, Outputs]] = {
    "stars": {
        "rating": ("INT64", lambda ratings: np.array([rating.rating for rating in ratings], "<i8")),
        "expected_rating": ("FP64", lambda ratings: np.array([rating.expected_rating for rating in ratings], "<f8")),
        **_EITHER,
    },
    # Names joined by a bar, because a tensor has as many elements for each text.
    "labels": {
        "labels": ("BYTES", lambda ratings: np.array(["|".join(r.labels or ()) for r in ratings], "O")),
        **_EITHER,
    },
}


_EXAMPLE: Final = {"inputs": [{"name": INPUT, "shape": [2], "datatype": "BYTES", "data": ["love it", "crashes"]}]}
_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
    }
}


class _Parameters(BaseModel):
    binary_data_size: int | None = Field(None, ge=0)
    binary_data: bool | None = None
    binary_data_output: bool = False


class _Input(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters = _Parameters()
    data: list[Any] | None = None


class _Output(BaseModel):
    name: str
    parameters: _Parameters = _Parameters()


class _Infer(BaseModel):
    id: str | None = None
    inputs: list[_Input] = Field(min_length=1, max_length=1)
    outputs: list[_Output] = []
    parameters: _Parameters = _Parameters()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The request: its texts, and which outputs to send in which form."""

    id: str | None
    texts: list[str]
    outputs: list[tuple[str, bool]]  # name, and whether as bytes


def inference_routes(front: Front, reads: params.Depends) -> APIRouter:
    """Return the routes; those of health need no token."""
    settings = front.process.settings
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    bodies = Bodies(settings, front.process.clock)
    health = front.process.health

    @router.get("/health/live", summary="Whether the rating thread moves", responses=_problems(503))
    async def live() -> Response:
        return JSONResponse({"live": health.alive}, 200 if health.alive else 503)

    @router.get("/health/ready", summary="Whether texts can be rated", responses=_problems(503))
    async def ready() -> Response:
        return JSONResponse({"ready": not health.reasons}, 503 if health.reasons else 200)

    @router.get("", summary="This server", dependencies=[reads], responses=_problems(401))
    async def server() -> Response:
        return JSONResponse({"name": MODEL, "version": __version__, "extensions": ["binary_tensor_data"]})

    @router.get("/models/{name}", summary="The model", dependencies=[reads], responses=_problems(401, 404))
    @router.get("/models/{name}/versions/{version}", include_in_schema=False, dependencies=[reads])
    async def model(request: Request, name: str) -> Response:
        _require_model(front, request, name)
        labels, known = len(front.classifier.lineup.stable.labels), _outputs(front)
        outputs = [
            {"name": output, "datatype": kind, "shape": [-1, labels] if output == "probabilities" else [-1]}
            for output, (kind, _) in known.items()
        ]
        described = {"name": MODEL, "versions": [front.classifier.version], "platform": "tflite"}
        inputs = [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]
        return JSONResponse({**described, "inputs": inputs, "outputs": outputs})

    @router.get("/models/{name}/ready", summary="Whether the model rates", responses=_problems(404, 503))
    @router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
    async def model_ready(request: Request, name: str) -> Response:
        _require_model(front, request, name)
        return JSONResponse({"name": MODEL, "ready": not health.reasons}, 503 if health.reasons else 200)

    @router.post(
        "/models/{name}/infer",
        summary="Rate a BYTES tensor",
        openapi_extra=_REQUEST,
        dependencies=[reads],
        responses=_problems(400, 401, 404, 408, 413, 415, 422, 429, 503),
    )
    @router.post("/models/{name}/versions/{version}/infer", include_in_schema=False, dependencies=[reads])
    async def infer(request: Request, name: str) -> Response:
        _require_model(front, request, name)
        with step("parse", front.process.clock):
            body = await bodies.limited(request)
            head, most = request.headers.get(_HEAD_LENGTH), settings.rest_max_reviews
            wanted = _parse(body, head, most, _outputs(front))
        bodies.count(request, len(wanted.texts))
        errors = [*_faults(wanted.texts, settings.max_text_chars)]
        if errors:
            raise Problem(422, f"{errors[0].pointer}: {errors[0].detail}", errors)
        pointers = [f"{INPUT}[{number}]" for number in range(len(wanted.texts))]
        rated = await front.rate([Review(text) for text in wanted.texts], pointers)
        return _answer(wanted, [outcome.rating for outcome in rated], front.classifier.version, _outputs(front))

    return router


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for these statuses, in the protocol's own form."""
    schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    content = {"application/json": {"schema": schema}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _require_model(front: Front, request: Request, name: str) -> None:
    if name != MODEL or request.path_params.get("version") not in {None, front.classifier.version}:
        raise Problem(404, f"there is one model, {MODEL}, with one version, {front.classifier.version}")


def _outputs(front: Front) -> Outputs:
    return _OUTPUTS[front.classifier.lineup.stable.manifest.task]


def _parse(body: bytes, head_length: str | None, most: int, known: Outputs) -> _Wanted:
    """Read a request in either form.

    Raises:
        Problem: it is in neither.
    """
    if head_length is not None and not (head_length.isdecimal() and int(head_length[:12]) <= len(body)):
        raise Problem(400, f"{_HEAD_LENGTH}: expected at most the {len(body)} bytes of the body")
    size = len(body) if head_length is None else int(head_length[:12])
    try:
        asked = _Infer.model_validate_json(body[:size])
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise Problem(400, f"{'.'.join(map(str, faults[0]['loc'])) or 'body'}: {faults[0]['msg']}") from None
    tensor = asked.inputs[0]
    if tensor.name != INPUT or tensor.datatype != "BYTES":
        raise Problem(400, f"inputs: expected one tensor, {INPUT}, of BYTES")
    if len(tensor.shape) not in {1, 2} or tensor.shape[1:] not in ([], [1]):
        raise Problem(400, "shape: expected [n] or [n, 1]")
    rows = tensor.shape[0]
    if not 1 <= rows <= most:
        raise Problem(422, f"shape: expected 1 to {most} texts (WORKER_REST_MAX_REVIEWS)")
    unknown = [output.name for output in asked.outputs if output.name not in known]
    if unknown:
        raise Problem(400, f"outputs: expected {', '.join(known)}")
    binary = asked.parameters.binary_data_output
    outputs = [(output.name, _first(output.parameters.binary_data, binary)) for output in asked.outputs]
    texts = _texts(tensor, body[size:])
    if len(texts) != rows:
        raise Problem(400, f"{INPUT}: {len(texts)} texts, but shape says {rows}")
    return _Wanted(asked.id, texts, outputs or [(name, binary) for name in known])


def _first(value: bool | None, other: bool) -> bool:
    return other if value is None else value


def _texts(tensor: _Input, rest: bytes) -> list[str]:
    if tensor.parameters.binary_data_size is None:
        data = [text for part in tensor.data or [] for text in (part if isinstance(part, list) else [part])]
        if not all(isinstance(text, str) for text in data):
            raise Problem(400, f"{INPUT}: expected strings")
        return data
    if tensor.parameters.binary_data_size != len(rest):
        raise Problem(400, f"binary_data_size: {len(rest)} bytes came")
    try:
        return [text.decode() for text in _elements(rest)]
    except UnicodeDecodeError:
        raise Problem(422, f"{INPUT}: not UTF-8") from None


def _elements(rest: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(rest):
        end = at + _LENGTH.size
        length = _LENGTH.unpack_from(rest, at)[0] if end <= len(rest) else len(rest)
        if end + length > len(rest):
            raise Problem(400, f"{INPUT}: a length leads past the end of the body")
        yield rest[end : end + length]
        at = end + length


def _bytes_of(texts: npt.NDArray[Any]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(_LENGTH.pack(len(text)) + text for text in encoded)


def _faults(texts: Sequence[str], max_text_chars: int) -> Iterator[FieldError]:
    for number, text in enumerate(texts):
        try:
            check_text(text, max_text_chars)
        except InvalidReviewError as error:
            detail = str(error).removeprefix("text: ")
            yield FieldError(pointer=f"{INPUT}[{number}]", detail=detail, reason=error.reason)


def _answer(wanted: _Wanted, ratings: Sequence[Rating], version: str, known: Outputs) -> Response:
    outputs: list[dict[str, Any]] = []
    tensors: list[bytes] = []
    for name, binary in wanted.outputs:
        kind, column = known[name]
        values = column(ratings)
        output: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(values.shape)}
        if binary:
            tensors.append(_bytes_of(values) if kind == "BYTES" else values.tobytes())
            output["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            output["data"] = values.ravel().tolist()
        outputs.append(output)
    named = {} if wanted.id is None else {"id": wanted.id}
    head = to_json({"model_name": MODEL, "model_version": version, **named, "outputs": outputs})
    if not tensors:
        return Response(head, media_type="application/json")
    headers = {_HEAD_LENGTH: str(len(head))}
    return Response(head + b"".join(tensors), 200, headers, "application/octet-stream")
