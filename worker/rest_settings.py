"""The settings of `serve`: its address, and the limits of a request.

Owns their names. `worker.settings` inherits them.
"""

from __future__ import annotations

import ssl
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from schemas.command_line.units import Bytes, Seconds
from worker.setting_forms import Host, Origins, ReadableFile, Token


class RestSettings(BaseSettings, defer_build=True):
    """What an operator can set about the REST front. Durations are seconds, sizes are bytes or reviews."""

    rest_host: Host = Field("127.0.0.1", description="address of `serve`; 0.0.0.0: every one, IPv4")
    rest_port: int = Field(8080, ge=0, le=65535, description="port of `serve`; 0: any free port, which is logged")
    rest_max_reviews: int = Field(1000, ge=1, le=20_000, description="most reviews in a request")
    rest_max_body_bytes: Bytes = Field(2_000_000, ge=1_000, le=64_000_000, description="largest body of a request")
    rest_queue_reviews: int = Field(
        10_000, ge=1, le=1_000_000, description="reviews that may wait to be rated; more are refused with 429"
    )
    rest_deadline_s: Seconds = Field(
        2.0, gt=0, le=60, description="a request that has waited longer is not rated and gets 503"
    )
    rest_read_timeout_s: Seconds = Field(
        10.0, gt=0, le=300, description="longest time a client may take for a request's headers, and for its body"
    )

    rest_rate_reviews: float = Field(
        0.0, ge=0, le=1_000_000, description="reviews a second that one client address may post; 0: any number"
    )
    rest_token: Token | None = Field(
        None,
        description="bearer token that requests must have; or ..._FILE; without it: anybody",
    )
    rest_read_token: Token | None = Field(
        None, description="a second token, which may rate and read but not post or delete reviews; or ..._FILE"
    )
    rest_cors_origins: Origins = Field([], description="web sites whose scripts may send requests; none by default")
    rest_ssl_certfile: ReadableFile | None = Field(None, description="PEM file of the server's certificate, for HTTPS")
    rest_ssl_keyfile: ReadableFile | None = Field(None, description="PEM file of its key")

    @model_validator(mode="after")
    def _rest_security_agrees(self) -> Self:
        if (self.rest_ssl_certfile is None) != (self.rest_ssl_keyfile is None):
            raise ValueError("WORKER_REST_SSL_CERTFILE and WORKER_REST_SSL_KEYFILE: give both or neither")
        if self.rest_ssl_certfile is not None:
            try:
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                    self.rest_ssl_certfile, self.rest_ssl_keyfile
                )
            except (OSError, ValueError):
                raise ValueError(
                    "WORKER_REST_SSL_CERTFILE and WORKER_REST_SSL_KEYFILE: take PEM files of a certificate and its key"
                ) from None
        return self

    @model_validator(mode="after")
    def _queue_takes_a_request(self) -> Self:
        if self.rest_max_reviews > self.rest_queue_reviews:
            raise ValueError(
                f"WORKER_REST_MAX_REVIEWS: {self.rest_max_reviews} is over WORKER_REST_QUEUE_REVIEWS="
                f"{self.rest_queue_reviews}, so the largest request could never be taken; lower it"
            )
        return self
