"""The two files that `mlserver start` reads: one process for HTTP and model, no gRPC or metrics in the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

_BATCH: Final = 64  # its `max_batch_size`: the rows of one Invoke
_WAIT_S: Final = 0.002  # its `max_batch_time`


def write_settings(folder: Path, bundle: Path, port: int, *, batching: bool) -> None:
    """Write them into a folder."""
    server: dict[str, Any] = {"http_port": port, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    server |= {"grpc_port": port + 1, "metrics_port": port + 2, "metrics_endpoint": None}
    server |= {"logging_settings": None, "kafka_enabled": False}
    model: dict[str, Any] = {"name": "stars", "implementation": "benchmarks.front.mlserver_runtime.Stars"}
    model |= {"parameters": {"uri": str(bundle)}}
    model |= {"max_batch_size": _BATCH, "max_batch_time": _WAIT_S} if batching else {}
    (folder / "settings.json").write_text(json.dumps(server))
    (folder / "model-settings.json").write_text(json.dumps(model))
