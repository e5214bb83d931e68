"""FastAPI with one handler, as tutorials have it, and three things the handler may do.

    tutorial   NLTK's tokenizer, ids padded to 100, one Invoke: what `rows/naive_tflite.py` does a record
    encoder    the same handler with the bundle's own encoder and the text's own length
    hello      nothing: what FastAPI and uvicorn cost by themselves
    bare       nothing, on uvicorn alone

`python -m benchmarks.front.plain_server KIND PORT BUNDLE`. One process: uvicorn, uvloop, httptools, no access log.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uvicorn
from ai_edge_litert.interpreter import Interpreter
from fastapi import FastAPI
from pydantic import BaseModel

from schemas.bundle import Bundle, read_bundle

from ..rows.job import PADDED_TOKENS

Probabilities = npt.NDArray[np.float32]


class Review(BaseModel):
    """What is posted."""

    text: str


class Stars(BaseModel):
    """What is answered."""

    rating: int
    confidence: float
    probabilities: list[float]
    model_version: str


def tutorial(bundle: Bundle) -> Callable[[str], Probabilities]:
    """Return NLTK's tokens, padded, through an interpreter whose shape never changes."""
    from nltk.tokenize import TweetTokenizer

    interpreter = Interpreter(model_content=bundle.model, num_threads=1)
    read, write = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    interpreter.resize_tensor_input(read, (1, PADDED_TOKENS))
    interpreter.allocate_tensors()
    tokenizer = TweetTokenizer()

    def probabilities(text: str) -> Probabilities:
        ids = [bundle.table.get(token, 1) for token in tokenizer.tokenize(text.lower())][:PADDED_TOKENS]
        padded = np.zeros((1, PADDED_TOKENS), dtype=np.int32)
        padded[0, : max(len(ids), 1)] = ids or [1]
        interpreter.set_tensor(read, padded)
        interpreter.invoke()
        return np.asarray(bundle.manifest.decision.probabilities(interpreter.get_tensor(write))[0])

    return probabilities


def encoder(bundle: Bundle) -> Callable[[str], Probabilities]:
    """Return the bundle's own encoder and graph, one text a call."""
    model = bundle.load(lambda content: Interpreter(model_content=content, num_threads=1))
    return lambda text: np.asarray(model.score([text]).probabilities[0])


def make_app(bundle: Bundle, probabilities: Callable[[str], Probabilities]) -> FastAPI:
    """Return the application: a handler without `async`, which FastAPI runs on a thread of its pool."""
    app = FastAPI()
    decision = bundle.manifest.decision
    one_at_a_time = threading.Lock()  # the interpreter is not thread-safe

    @app.post("/v1/ratings")
    def rate(review: Review) -> Stars:
        with one_at_a_time:
            shares = probabilities(review.text)
        choice = int(decision.choices(shares.reshape(1, -1))[0])
        found = [round(float(share), 6) for share in shares]
        return Stars(
            rating=decision.labels[choice],
            confidence=found[choice],
            probabilities=found,
            model_version=bundle.version,
        )

    return app


def hello() -> FastAPI:
    """Return the application that only answers."""
    app = FastAPI()

    @app.post("/v1/ratings")
    async def rate(review: Review) -> dict[str, Any]:
        return {"rating": len(review.text) % 5 + 1}

    return app


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer without a framework: uvicorn's own limit."""
    del scope
    while (await receive()).get("more_body"):
        pass
    head = [(b"content-type", b"application/json"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b'{"rating":5}'})


def main() -> None:
    kind, port, folder = sys.argv[1:]
    bundle = read_bundle(Path(folder))
    applications: dict[str, Callable[[], Any]] = {
        "tutorial": lambda: make_app(bundle, tutorial(bundle)),
        "encoder": lambda: make_app(bundle, encoder(bundle)),
        "hello": hello,
        "bare": lambda: bare,
    }
    uvicorn.run(applications[kind](), port=int(port), access_log=False, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
