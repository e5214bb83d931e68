"""The bundle as a custom runtime of MLServer, with its own adaptive batching: our encoder, grouping and decision.

MLServer's batcher hands over the requests it has gathered as one; `mlserver_settings` holds the options.
"""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter
from mlserver import MLModel  # type: ignore[import-not-found, unused-ignore]  # its own environment
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found, unused-ignore]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found, unused-ignore]

from schemas.bundle import read_bundle


class Stars(MLModel):  # type: ignore[misc, unused-ignore]
    """One model, `stars`: a BYTES tensor `text` in, rating and probabilities out."""

    async def load(self) -> bool:
        """Read the bundle that the model's settings name."""
        bundle = read_bundle(Path(self.settings.parameters.uri))
        self._decision = bundle.manifest.decision
        self._scored = bundle.load(lambda content: Interpreter(model_content=content, num_threads=1))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Rate the texts of one batch."""
        scores = self._scored.score(StringCodec.decode_input(payload.inputs[0]))
        ratings = scores.choices + self._decision.labels[0]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                NumpyCodec.encode_output("rating", ratings.reshape(-1, 1)),
                NumpyCodec.encode_output("probabilities", scores.probabilities),
            ],
        )
