"""What a batch costs the loop, learned as it runs: seconds = fixed_s + each_token_s * tokens.

Owns the two averages and nothing else: pure, without a clock. `batcher` asks it how many tokens are worth waiting for.

The seconds that grow with the tokens are measured, because the loop knows them: parsing and rating. Fitting a line
through tokens and seconds alone fails on a real stream: its batches are nearly of one size, their seconds vary for
other reasons, and the fitted slope was zero (tests/unit/worker/stream/test_batch_cost.py plays such a stream). The
remaining seconds count as fixed, including what Kafka and the store take per review: for large batches that is too
much, but large batches do not wait.
"""

from __future__ import annotations

from typing import Final

# Measured on one core: a transaction of a few reviews, and one token.
PRIOR_FIXED_S: Final = 0.010
PRIOR_TOKEN_S: Final = 4e-6
_PRIOR_TOKENS: Final = 1000.0  # weight of the prior in tokens; in batches it weighs one
_KEPT: Final = 0.98  # share of the weight of the past that each batch leaves: fifty batches are remembered
_MOST_TIMES_EXPECTED: Final = 4.0  # longer is a pause of the machine, not a property of the batch


class Cost:
    """Averages over the last batches. Not thread-safe: one a loop.

    Attributes:
        fixed_s: seconds of a batch whatever its size.
        each_token_s: seconds of each token.
    """

    def __init__(self) -> None:
        self.fixed_s = PRIOR_FIXED_S
        self.each_token_s = PRIOR_TOKEN_S
        self._batches, self._sum_fixed_s = 1.0, PRIOR_FIXED_S
        self._tokens, self._sum_tokens_s = _PRIOR_TOKENS, PRIOR_TOKEN_S * _PRIOR_TOKENS

    def observe(self, tokens: int, seconds: float, token_s: float) -> None:
        """Learn from a committed batch.

        Args:
            tokens: how many it had.
            seconds: how long the loop took for it.
            token_s: the part of `seconds` that grows with the tokens.
        """
        most = _MOST_TIMES_EXPECTED * max(self.of(tokens), PRIOR_FIXED_S)
        real = min(1.0, most / seconds) if seconds > 0 else 1.0
        self._batches = self._batches * _KEPT + 1.0
        self._sum_fixed_s = self._sum_fixed_s * _KEPT + max(seconds - token_s, 0.0) * real
        self.fixed_s = self._sum_fixed_s / self._batches
        if tokens > 0:
            self._tokens = self._tokens * _KEPT + tokens
            self._sum_tokens_s = self._sum_tokens_s * _KEPT + token_s * real
            self.each_token_s = self._sum_tokens_s / self._tokens

    def of(self, tokens: float) -> float:
        """Return how many seconds a batch of this many tokens is expected to take."""
        return self.fixed_s + self.each_token_s * tokens

    def worth_waiting(self, tokens_per_s: float) -> float:
        """Return up to how many tokens waiting for more lowers mean latency.

        Let n tokens wait for w more seconds, in which `rate * w` tokens arrive. Each of the n is delayed by w and by
        what the newcomers cost; each newcomer gains `fixed - w`, because it saves a batch of its own. For a small w
        that pays while n * (1 + rate * each) < rate * fixed.
        """
        return tokens_per_s * self.fixed_s / (1.0 + tokens_per_s * self.each_token_s)
