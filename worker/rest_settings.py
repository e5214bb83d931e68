"""The settings of `serve`: its address, and the limits of a request.

Owns their names. `worker.settings` inherits them and reads the environment.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from worker.setting_forms import Host


class RestSettings(BaseSettings):
    """What an operator can set about the REST front. Durations are seconds, sizes are bytes or reviews."""

    rest_host: Host = Field("127.0.0.1", description="address of `serve`; 0.0.0.0: every one, IPv4")
    rest_port: int = Field(8080, ge=0, le=65535, description="port of `serve`; 0: any free port, which is logged")
    rest_max_reviews: int = Field(1000, ge=1, le=20_000, description="most reviews in a request")
    rest_max_body_bytes: int = Field(2_000_000, ge=1_000, le=64_000_000, description="largest body of a request")
    rest_queue_reviews: int = Field(
        10_000, ge=1, le=1_000_000, description="reviews that may wait to be rated; more are refused with 429"
    )
    rest_deadline_s: float = Field(
        2.0, gt=0, le=60, description="a request that has waited longer is not rated and gets 503"
    )
    rest_read_timeout_s: float = Field(10.0, gt=0, le=300, description="longest time a client may take for a body")

    @model_validator(mode="after")
    def _queue_takes_a_request(self) -> Self:
        if self.rest_max_reviews > self.rest_queue_reviews:
            raise ValueError(
                f"WORKER_REST_MAX_REVIEWS: {self.rest_max_reviews} is over WORKER_REST_QUEUE_REVIEWS="
                f"{self.rest_queue_reviews}, so the largest request could never be taken; lower it"
            )
        return self
