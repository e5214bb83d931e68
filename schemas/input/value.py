"""What the bytes of a record's value are: an object with fields, or a text.

Owns the forms that are read, and the messages about those that are not. `review` makes a review of what is found.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from decimal import Decimal
from numbers import Real
from typing import Any, Final, Literal
from xml.parsers import expat

from pydantic_core import from_json

from schemas.dead_letter import RejectReason

ValueFormat = Literal["auto", "json", "text"]
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MOST_XML_CHARS: Final = 100_000
_MOST_DIGITS: Final = 4300  # that Python turns into a whole number, as sys.get_int_max_str_digits has it
_EXACT: Final = 2**53  # a larger whole number is none that a JSON reader keeps
_LONG_NUMBER: Final = re.compile(rf"[0-9]{{{_MOST_DIGITS}}}")


class InvalidReviewError(ValueError):
    """A value that is not a review. `reason` is one of a few labels; the message names the field and the limit."""

    def __init__(self, reason: RejectReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def decode(value: bytes) -> str:
    """Return the text of a value without its byte order mark.

    Raises:
        InvalidReviewError: it is not UTF-8, or was written by a schema registry's serializer.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse_wire_format(value)
        found = "UTF-16" if value.startswith(_UTF16) else f"not UTF-8 at byte {error.start}"
        raise InvalidReviewError("not_utf8", f"value: {found}; send UTF-8") from error
    _refuse_wire_format(value)
    return text.removeprefix("\ufeff")


def _refuse_wire_format(value: bytes) -> None:
    if value[:1] == b"\0" and len(value) > 5:
        schema = int.from_bytes(value[1:5], "big")
        raise InvalidReviewError(
            "wrong_type",
            f"value: begins with a null byte and schema id {schema}, as a schema registry's serializer writes Avro, "
            "JSON or Protobuf; WORKER_INPUT_FORMAT=avro reads Avro (and JSON) with WORKER_SCHEMA_REGISTRY_URL, "
            "WORKER_INPUT_FORMAT=json_schema reads JSON",
        )


def load(value: bytes | str) -> Any:
    """Return what JSON holds.

    Raises:
        InvalidReviewError: it is not JSON, or not UTF-8.
    """
    try:
        return from_json(value)
    except ValueError as error:
        text = decode(value) if isinstance(value, bytes) else value  # says so when it is not UTF-8
        if _LONG_NUMBER.search(text) and (found := _with_long_numbers(text)) is not None:
            return found
        raise _not_json(text, error) from None


def _not_json(text: str, error: ValueError) -> InvalidReviewError:
    """Say why it is no JSON and where, never what was there; and what would be read."""
    if text.lstrip()[:1] != "{":
        return InvalidReviewError("not_json", f"value: Invalid JSON: {error}")
    single = text.lstrip()[1:].lstrip()[:1] == "'"
    remedy = "JSON takes double quotation marks" if single else "send one whole object, or a text that begins otherwise"
    return InvalidReviewError("not_json", f"value: Invalid JSON: {error}; {remedy}")


def _with_long_numbers(text: str) -> Any:
    """Return JSON that has whole numbers of more digits than a reader keeps, as infinity; None when it is no JSON."""
    try:
        found = json.loads(text, parse_int=whole_number)
        json.dumps(found, ensure_ascii=False).encode()  # half of a surrogate pair is no JSON for the usual reader
    except (ValueError, RecursionError):
        return None
    return found


def whole_number(digits: str) -> int | float:
    """Return the number; infinity for more digits than Python reads, so that it costs its own field only."""
    return int(digits) if len(digits) < _MOST_DIGITS else math.copysign(math.inf, -1 if digits[0] == "-" else 1)


def number_of(value: Any) -> int | float | None:
    """Return an author's stars as a number, a whole one where it is; None where the value is none."""
    if type(value) is int and -_EXACT < value < _EXACT:  # nearly every score
        return value
    # `Real`: numbers of NumPy's, which a table's columns have.
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal | Real):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def read_value(text: str, input_format: ValueFormat) -> dict[str, Any] | str:
    """Return the object or the text that a value holds.

    Raises:
        InvalidReviewError: it is another form of JSON, or XML.
    """
    stripped = text.strip()
    if stripped[:1] == "{":
        return _object(load(stripped))
    if input_format == "auto" and stripped[:1] == "<" and _is_xml(stripped):
        expected = "expected a JSON object or plain text; WORKER_INPUT_FORMAT=text rates it as it is"
        raise InvalidReviewError("wrong_type", f"value: an XML document, {expected}")
    try:
        found = from_json(stripped) if stripped[:1] in '"[ntf' or input_format == "json" else text
    except ValueError as error:
        if input_format == "json":
            raise _not_json(text, error) from None
        return text
    if isinstance(found, str) and found is not text:
        inner = found.strip()
        if inner[:1] == "{":
            return _object(load(inner))
        if input_format == "auto":
            return found
    return _object(found) if found is not text else text


def _object(found: Any) -> dict[str, Any]:
    if isinstance(found, dict):
        return found
    raise InvalidReviewError(
        "wrong_type",
        f"value: {describe_type(found)}, expected a JSON object with a text, or plain text; one review a record",
    )


def _is_xml(text: str) -> bool:
    if text.startswith(("<?xml", "<!DOCTYPE")):
        return True
    if text[-1:] != ">" or len(text) > _MOST_XML_CHARS:
        return False
    try:
        expat.ParserCreate().Parse(text, True)  # without a DOCTYPE there are no entities to expand
    except expat.ExpatError:
        return False
    return True


def describe_type(value: Any) -> str:
    """Return what kind of JSON value it is, in words; never a text's content."""
    if isinstance(value, bool):
        return f"the JSON value {json.dumps(value)}"
    if value is None:
        return "the JSON value null"
    kinds = {list: "a JSON array", dict: "a JSON object", str: "a JSON string", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)
