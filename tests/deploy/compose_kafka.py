"""The broker of docker-compose.yml and Kafka's command-line tools, without Docker.

Kafka's image turns `KAFKA_*` into server.properties with `kafka.docker.KafkaDockerWrapper`, which is in the broker's
jars: the same class does it here. Only what a container provides is replaced: host names, ports and folders.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final

from deploy.kafka.broker import JVM_FLAGS, broker_answers
from deploy.kafka.errors import DownloadFailed
from deploy.kafka.jars import cache_dir, ensure_jars, find_java, find_maven, kafka_version, locked
from deploy.process import LOOPBACK, LocalService, StartFailed, free_port, run_tool
from tests import PATIENCE_S
from tests.deploy.assets import compose

WRAPPER: Final = "kafka.docker.KafkaDockerWrapper"
_TOOLS_POM: Final = Path(__file__).with_name("kafka_tools.xml")
_SERVICE: Final[dict[str, Any]] = compose()["services"]["kafka"]


def ensure_tools() -> Path:
    """Return the folder with the jars of Kafka's command-line tools, from Maven when the cache has none."""
    folder = cache_dir(os.environ) / f"kafka-tools-{kafka_version()}"
    libs = folder / "libs"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"), tempfile.TemporaryDirectory(dir=folder) as temporary:
        if not libs.is_dir():
            copied = Path(temporary) / "libs"
            command = [
                str(find_maven(os.environ)),
                "-B",
                "-q",
                "-C",
                "-f",
                str(_TOOLS_POM),
                f"-Dkafka.version={kafka_version()}",
            ]
            command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={copied}"]
            run_tool(command, "Maven could not download Kafka's tools", DownloadFailed, os.environ)
            copied.rename(libs)
    return libs


class ComposeKafka(LocalService):
    """The broker of docker-compose.yml: its variables, through its image's own wrapper."""

    name = "compose-kafka"

    def __init__(self) -> None:
        super().__init__(data_dir=None, start_timeout_s=PATIENCE_S)
        self.internal_port, self.host_port, self._controller_port = free_port(), free_port(), free_port()

    @property
    def java(self) -> list[str]:
        """The Java that runs the broker's classes."""
        return [str(find_java(os.environ)), "-cp", f"{ensure_jars(cache_dir(os.environ), os.environ)}/*"]

    def _prepare(self) -> list[str]:
        folders = {name: self.data_dir / name for name in ("default", "mounted", "final")}
        for folder in folders.values():
            folder.mkdir()
        for file in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
            (folders["default"] / file).touch()  # the image's defaults are a sample, which the variables replace
        options = [f"--{name}-configs-dir={folder}" for name, folder in folders.items()]
        environ = {"PATH": os.environ["PATH"], **self._variables()}
        run_tool([*self.java, WRAPPER, "setup", *options], f"{WRAPPER} refused the variables", StartFailed, environ)
        heap = _SERVICE["environment"]["KAFKA_HEAP_OPTS"].split()
        light = [flag for flag in JVM_FLAGS if not flag.startswith("-Xm")]
        return [*self.java, *heap, *light, "kafka.Kafka", str(folders["final"] / "server.properties")]

    def _answers(self) -> bool:
        return broker_answers(self.host_port)

    def _variables(self) -> dict[str, str]:
        found = {name: str(value) for name, value in _SERVICE["environment"].items()}
        found["KAFKA_LOG_DIRS"] = str(self.data_dir / "partitions")
        replaced = {
            "INTERNAL://kafka:9092": f"INTERNAL://{LOOPBACK}:{self.internal_port}",
            "INTERNAL://:9092": f"INTERNAL://{LOOPBACK}:{self.internal_port}",
            "HOST://localhost:9092": f"HOST://{LOOPBACK}:{self.host_port}",
            "HOST://:19092": f"HOST://{LOOPBACK}:{self.host_port}",
            "localhost:9093": f"{LOOPBACK}:{self._controller_port}",
        }
        for name in ("KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_CONTROLLER_QUORUM_VOTERS"):
            for old, new in replaced.items():
                found[name] = found[name].replace(old, new)
        return found
