"""Where settings come from besides flags: the environment, files of secrets, and `.env`.

Owns the reading of the environment, which no other module does, and the warnings about names in it that are no setting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from worker.errors import SettingsError

PREFIX: Final = "WORKER_"
DOTENV: Final = ".env"
# The supervisor's choice for its children. prometheus-client's own variable is ignored: another program set it.
METRICS_FOLDER: Final = "STARSTREAM_METRICS_FOLDER"
_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
_OURS: Final = re.compile(r"\s*(?:export\s+)?(WORKER_\w+)", re.IGNORECASE)
# What Kubernetes and Docker set for a service called `worker`.
_SERVICE_LINK: Final = re.compile(r"WORKER_(SERVICE_(HOST|PORT)|PORT)(_|$)")


class SecretFiles(PydanticBaseSettingsSource):
    """Reads the file that `WORKER_<NAME>_FILE` names for each secret, as container orchestrators mount them.

    Args:
        settings_cls: the settings.
        variables: the environment, or the lines of `.env`.
    """

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str | None]) -> None:
        super().__init__(settings_cls)
        self._variables = {name.upper(): value for name, value in variables.items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of a field's file, or None."""
        variable = f"{PREFIX}{field_name.upper()}_FILE"
        path = self._variables.get(variable)
        # A file that is a setting of its own is read by those who use it, again and again.
        if not path or not is_secret(field) or f"{field_name}_file" in self.settings_cls.model_fields:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8-sig").strip(), field_name, False
        except OSError as error:
            raise SettingsError(f"{variable}: cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise SettingsError(f"{variable}: {path} is not text in UTF-8") from error

    def __call__(self) -> dict[str, Any]:
        """Return the secrets found, by the name of their field."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def choose_metrics_folder() -> None:
    """Turn prometheus-client's multi-process mode on where a supervisor asks for it, and off elsewhere."""
    for name in (_MULTIPROCESS, _MULTIPROCESS.lower()):
        os.environ.pop(name, None)
    if folder := os.environ.get(METRICS_FOLDER):
        os.environ[_MULTIPROCESS] = folder


def environment() -> Mapping[str, str]:
    """Return the variables of this process."""
    return os.environ


def origin_of(name: str) -> str:
    """Return where a setting that is no flag was set: the environment, a file, or `.env`."""
    variables = {variable.upper(): value for variable, value in os.environ.items()}
    if variables.get(f"{PREFIX}{name.upper()}"):
        return "environment"
    if path := variables.get(f"{PREFIX}{name.upper()}_FILE"):
        return path
    return DOTENV


def is_secret(field: FieldInfo) -> bool:
    """Return whether a setting is a secret, which may come from a file."""
    return "SecretStr" in str(field.annotation)


def read_dotenv() -> str:
    """Return the text of `.env`; empty when there is none.

    Raises:
        SettingsError: it is not text in UTF-8, or cannot be read.
    """
    path = Path(DOTENV)
    try:
        content = path.read_bytes() if path.is_file() else b""
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{DOTENV}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError(f"{DOTENV}: line {line} is not text in UTF-8; save the file as UTF-8") from error
    if "\0" in text:  # UTF-16 without a mark is valid UTF-8 as far as its bytes go
        raise SettingsError(f"{DOTENV}: not text in UTF-8 (it has zero bytes, like UTF-16); save the file as UTF-8")
    return text


def unknown_names(settings_cls: type[BaseSettings]) -> Iterator[str]:
    """Yield a line for each name that looks like a setting and is none, with the nearest one.

    Raises:
        SettingsError: a line of `.env` is meant for the worker and cannot be read: the default would be used instead.
    """
    fields = settings_cls.model_fields
    known = {f"{PREFIX}{name.upper()}" for name in fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name, field in fields.items() if is_secret(field)}
    for name in sorted(os.environ):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not _SERVICE_LINK.match(name):
            yield f"{name}: no such setting{_nearest(name, known)}"
    for binding in parse_stream(StringIO(read_dotenv())):
        ours = _OURS.match(binding.original.string)
        if ours and binding.value is None:
            raise SettingsError(
                f"{DOTENV}: line {binding.original.line}: {ours[1]}: not NAME=value; close its quotation mark, "
                "or put # before the line"
            )
        if binding.error:
            yield f"{DOTENV}: line {binding.original.line} is not NAME=value"
        elif binding.key is not None and binding.key.upper() not in known and _is_meant(binding.key.upper(), known):
            yield f"{binding.key} in {DOTENV}: no such setting{_nearest(binding.key, known)}"


def _is_meant(name: str, known: Iterable[str]) -> bool:
    """Return whether a name in `.env`, which other programs read too, was meant for the worker."""
    return name.startswith(PREFIX) or PREFIX + name in known or bool(get_close_matches(name, known, 1, 0.85))


def _nearest(name: str, known: Iterable[str]) -> str:
    bare = {setting.removeprefix(PREFIX): setting for setting in known}
    near = get_close_matches(name.upper().removeprefix(PREFIX), bare, n=1, cutoff=0.5)
    return f"; the nearest is {bare[near[0]]}" if near else "; `starstream-worker run --help` names all"
