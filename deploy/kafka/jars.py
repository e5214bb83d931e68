"""Finds Java and Maven, and keeps the broker's jars in a cache.

Owns the cache `${XDG_CACHE_HOME:-~/.cache}/starstream/kafka-<version>/libs`: complete or absent, also when
two processes download at the same time. It never starts a broker. Next on the path: `deploy.kafka.broker`.
"""

import fcntl
import logging
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.kafka.errors import DownloadFailed, KafkaUnavailable
from deploy.process import run_tool

POM = Path(__file__).with_name("pom.xml")
JAVA_MAJOR = 17  # Kafka 4 brokers need it
_log = logging.getLogger(__name__)


def kafka_version() -> str:
    """Return the broker's version, as pom.xml pins it."""
    version = re.search(r"<kafka\.version>([\d.]+)<", POM.read_text(encoding="utf-8"))
    if version is None:
        raise DownloadFailed(f"{POM} has no kafka.version property")
    return version[1]


def find_java(environ: Mapping[str, str]) -> Path:
    """Return the `java` of JAVA_HOME, else of PATH; runs it once to ask its version.

    Raises:
        KafkaUnavailable: there is none, it does not run, or it is older than Kafka needs.
    """
    home = environ.get("JAVA_HOME")
    search = str(Path(home) / "bin") if home else environ.get("PATH", "")
    found = shutil.which("java", path=search)
    if found is None:
        raise KafkaUnavailable(
            f"no `java` {'in JAVA_HOME' if home else 'on PATH'}: install a JDK or JRE {JAVA_MAJOR} or newer "
            f"(Debian: openjdk-{JAVA_MAJOR}-jre-headless)"
        )
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=300, check=False)
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if version is None:
        raise KafkaUnavailable(f"{found} does not print its version: install a JDK {JAVA_MAJOR} or newer")
    if int(version[1]) < JAVA_MAJOR:
        raise KafkaUnavailable(
            f"{found} is Java {version[1]}, Kafka {kafka_version()} needs {JAVA_MAJOR} or newer: "
            f"install one, and point JAVA_HOME at it"
        )
    return Path(found)


def find_maven(environ: Mapping[str, str]) -> Path:
    """Return the `mvn` of PATH.

    Raises:
        KafkaUnavailable: there is none.
    """
    found = shutil.which("mvn", path=environ.get("PATH", ""))
    if found is None:
        raise KafkaUnavailable(
            "no `mvn` on PATH, and Kafka's jars are not in the cache yet: install Maven 3.6.3 or newer "
            "(Debian: maven); it is needed once"
        )
    return Path(found)


def cache_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder under which jars are kept; it may not exist."""
    root = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "starstream"


def ensure_jars(cache: Path, environ: Mapping[str, str]) -> Path:
    """Return the folder with the broker's jars, downloading them (44 MB) when `cache` has none.

    Blocks while another process downloads into the same cache.

    Raises:
        KafkaUnavailable: a download is needed and there is no Maven.
        DownloadFailed: Maven failed or took too long.
    """
    folder = cache / f"kafka-{kafka_version()}"
    libs = folder / "libs"
    if libs.is_dir():
        return libs
    maven = find_maven(environ)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if not libs.is_dir():
            _log.info("downloading the jars of Kafka %s (44 MB, once) into %s", kafka_version(), libs)
            with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as temporary:
                copied = Path(temporary) / "libs"
                _copy_jars(maven, copied, environ)
                copied.rename(libs)
    return libs


def _copy_jars(maven: Path, target: Path, environ: Mapping[str, str]) -> None:
    # -C: a jar whose checksum does not match is an error, not a warning.
    command = [str(maven), "-B", "-q", "-C", "-Dstyle.color=never", "-f", str(POM)]
    command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    what = f"Maven could not download the jars of Kafka {kafka_version()}; check the network and ~/.m2/settings.xml"
    run_tool(command, what, DownloadFailed, environ)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of this file, which other processes wait for."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # the kernel frees it when the holder dies
        yield
