"""The Open Inference Protocol, spoken by NVIDIA's tritonclient."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest
import tritonclient.http

from deploy.process import LOOPBACK
from tests.conftest import TOY_REGISTRY, TOY_VERSION
from tests.fixtures.rest import send, serving_rest
from tests.fixtures.running import RunningWorker

triton: Any = tritonclient.http
NAME = "starstream"
TEXTS = ["good app", "bad", "😡 the worst"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    with serving_rest(tmp_path_factory.mktemp("rest"), {"WORKER_REGISTRY": str(TOY_REGISTRY)}) as served:
        yield served


@pytest.fixture
def client(served: RunningWorker) -> Iterator[Any]:
    client = triton.InferenceServerClient(f"{LOOPBACK}:{served.port}")
    yield client
    client.close()


def tensor(texts: list[str], *, binary: bool, column: bool = False) -> Any:
    values = np.array([text.encode() for text in texts], dtype=np.object_)
    values = values.reshape(-1, 1) if column else values
    made = triton.InferInput("text", list(values.shape), "BYTES")
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def test_it_is_alive_and_describes_itself(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(NAME)
    assert client.is_model_ready(NAME, TOY_VERSION)
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    described = client.get_model_metadata(NAME)
    assert (described["versions"], described["inputs"][0]["datatype"]) == ([TOY_VERSION], "BYTES")
    assert described["outputs"][-1] == {"name": "probabilities", "datatype": "FP64", "shape": [-1, 5]}


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("asked_binary", [True, False, None])
@pytest.mark.parametrize("column", [True, False])
def test_texts_get_the_ratings_of_the_other_route(
    client: Any, served: RunningWorker, sent_binary: bool, asked_binary: bool | None, column: bool
) -> None:
    wanted = send(served, "/v1/ratings", {"reviews": TEXTS}).json()["ratings"]
    names = ("rating", "expected_rating", "confidence", "uncertain", "unknown_share", "probabilities")
    outputs = [triton.InferRequestedOutput(name, binary_data=asked_binary) for name in names]
    answer = client.infer(
        NAME,
        [tensor(TEXTS, binary=sent_binary, column=column)],
        outputs=None if asked_binary is None else outputs,  # None: all, in bytes
        request_id="r-1",
    )
    assert answer.get_response()["id"] == "r-1"
    for name in names:
        assert answer.as_numpy(name).tolist() == [rating[name] for rating in wanted]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([""], r"text\[0\]: empty or blank"),
        (["good", "a\0b"], r"text\[1\]: contains a null byte"),
        (["x"] * 1001, "1000"),
    ],
)
def test_an_error_says_which_text(client: Any, texts: list[str], message: str) -> None:
    with pytest.raises(triton.InferenceServerException, match=message):
        client.infer(NAME, [tensor(texts, binary=True)])


def asked(**changes: Any) -> bytes:
    """Return the head of a request for one text, with changes."""
    return json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", **changes}]}).encode()


@pytest.mark.parametrize(
    "head",
    [
        b"{}",
        b"[",
        asked(),
        asked(datatype="FP32", data=[1]),
        asked(name="image", data=["a"]),
        asked(shape=[], data=["a"]),
        asked(shape=[-1], data=["a"]),
        asked(shape=[2], data=["a"]),
        asked(shape=[1, 2], data=["a", "b"]),
        asked(data=[5]),
        asked(data=["a"], parameters={"binary_data_size": -1}),
    ],
)
def test_what_is_no_request_is_a_4xx(served: RunningWorker, head: bytes) -> None:
    refused(served, head)


@pytest.mark.parametrize("rest", [b"", b"\1\0", b"\xff" * 9, b"\1\0\0\0\xff", b"\1\0\0\0", b"\1\0\0\0a\0"])
def test_bytes_that_are_no_tensor_are_a_4xx(served: RunningWorker, rest: bytes) -> None:
    head = asked(parameters={"binary_data_size": len(rest)})
    refused(served, head + rest, str(len(head)))
    refused(served, asked(parameters={"binary_data_size": len(rest) + 1}) + rest, str(len(head)))


@pytest.mark.parametrize("length", ["-1", "99999", "9" * 5000, "x", ""])
def test_a_wrong_length_of_the_head_is_a_4xx(served: RunningWorker, length: str) -> None:
    refused(served, asked(data=["a"]), length)


def refused(served: RunningWorker, body: bytes, length: str | None = None) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": length}
    answer = httpx2.post(f"http://{LOOPBACK}:{served.port}/v2/models/{NAME}/infer", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) == {"error"}
