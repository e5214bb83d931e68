"""What a batch costs the loop, learned as it runs: seconds = fixed + each_token * tokens.

Owns the two averages and nothing else: pure, without a clock. `batcher` asks it how long a batch had better wait for
more.

What grows with the tokens is told, because the loop knows it: parsing and rating. A line fitted through tokens and
seconds alone was no use on a real stream: its batches are of nearly one size, their seconds vary for other reasons, and
the slope it found was nothing (tests/unit/worker/stream/test_batch_cost.py plays such a stream). The rest is the
batch's, also what Kafka and Redis take for each of many reviews: so of large batches it is too much, but those wait
for nobody.
"""

from __future__ import annotations

from typing import Final

# A transaction of a few reviews, and a token of one, on one core.
PRIOR_FIXED_S: Final = 0.010
PRIOR_TOKEN_S: Final = 4e-6
_PRIOR_TOKENS: Final = 1000.0  # what the prior counts for; as a batch, it counts for one
_KEPT: Final = 0.98  # of the weight of what was seen, a batch: fifty batches are remembered
_MOST_TIMES: Final = 4.0  # what is expected: a pause of the machine is no property of the batch


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

    def observe(self, tokens: int, seconds: float, of_tokens_s: float) -> None:
        """Learn from a batch that was settled.

        Args:
            tokens: it had.
            seconds: the loop took for it.
            of_tokens_s: of these, what grows with the tokens.
        """
        most = _MOST_TIMES * max(self.of(tokens), PRIOR_FIXED_S)
        real = min(1.0, most / seconds) if seconds > 0 else 1.0
        self._batches = self._batches * _KEPT + 1.0
        self._sum_fixed_s = self._sum_fixed_s * _KEPT + max(seconds - of_tokens_s, 0.0) * real
        self.fixed_s = self._sum_fixed_s / self._batches
        if tokens > 0:
            self._tokens = self._tokens * _KEPT + tokens
            self._sum_tokens_s = self._sum_tokens_s * _KEPT + of_tokens_s * real
            self.each_token_s = self._sum_tokens_s / self._tokens

    def of(self, tokens: float) -> float:
        """Return the seconds that a batch of so many tokens is expected to take."""
        return self.fixed_s + self.each_token_s * tokens

    def worth_waiting(self, tokens_per_s: float) -> float:
        """Return the tokens up to which a batch that waits for more lets the mean review be done sooner.

        Let n tokens wait and `rate * w` more arrive while they wait w longer. Each of the n is done later by w and by
        what the newcomers cost; each newcomer is done sooner by `fixed - w`, for it saves a batch of its own. For a
        small w that pays while n * (1 + rate * each) < rate * fixed.
        """
        return tokens_per_s * self.fixed_s / (1.0 + tokens_per_s * self.each_token_s)
