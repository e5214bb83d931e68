"""The servers: each with its name, how it is started on a bundle, and how it is asked."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.benchmarks.front.mlserver_settings import write_settings
from tests.benchmarks.venvs import python_of


@dataclass(frozen=True, slots=True)
class Server:
    """A measured server."""

    name: str
    what: str  # one line for the table
    kind: str  # of `plain_server`; or `serve`, `mlserver`
    path: str = "/v1/ratings"
    form: str = "ratings"
    ready: str = "/docs"  # answers 200 when it serves
    many: bool = False  # whether it is measured with a thousand texts a request, too
    batching: bool = False


SERVERS: Final = (
    Server("serve", "`starstream-worker serve` as it ships", "serve", ready="/readyz", many=True),
    Server("plain_tutorial", "FastAPI + TFLite a request: NLTK, padded to 100", "tutorial"),
    Server("plain_encoder", "FastAPI + TFLite a request: the bundle's encoder, own length", "encoder"),
    Server(
        "mlserver",
        "MLServer 1.7, the bundle as its runtime, its adaptive batching",
        "mlserver",
        path="/v2/models/stars/infer",
        form="v2",
        ready="/v2/models/stars/ready",
        many=True,
        batching=True,
    ),
    Server(
        "mlserver_unbatched",
        "the same without its batching",
        "mlserver",
        path="/v2/models/stars/infer",
        form="v2",
        ready="/v2/models/stars/ready",
    ),
    Server("hello_fastapi", "FastAPI that rates nothing", "hello"),
    Server("hello_uvicorn", "uvicorn that rates nothing: the limit of any server on it", "bare", ready="/"),
)


@dataclass(frozen=True, slots=True)
class Start:
    """How a server is started."""

    command: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)


def start_of(server: Server, bundle: Path, port: int, folder: Path) -> Start:
    """Return how to start a server; its environment is built when it needs one of its own."""
    if server.kind == "serve":
        flags = ["--registry", str(bundle.parent), "--model-version", bundle.name, "--rest-port", str(port)]
        return Start([sys.executable, "-m", "worker", "serve", *flags])
    if server.kind == "mlserver":
        write_settings(folder, bundle, port, batching=server.batching)
        return Start([str(Path(python_of("mlserver")).with_name("mlserver")), "start", str(folder)])
    return Start([sys.executable, "-m", "benchmarks.front.plain_server", server.kind, str(port), str(bundle)])
