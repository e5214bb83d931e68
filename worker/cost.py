"""What a batch costs the loop, fitted as it runs: seconds = fixed + each_token * tokens.

Owns the fit and nothing else: pure, without a clock. `batcher` asks it how long a batch had better wait for more.

The fit is least squares of the seconds on the tokens with exponential forgetting (recursive least squares with a
forgetting factor: Haykin, Adaptive Filter Theory, ch. 10). Batches of nearly one size say nothing of the slope, so that
is held by a prior (ridge: Hoerl & Kennard 1970) that batches of different sizes outweigh. Neither part is below 0.
"""

from __future__ import annotations

from typing import Final

# A transaction of a few reviews, and a token of one, on one core.
PRIOR_FIXED_S: Final = 0.010
PRIOR_TOKEN_S: Final = 4e-6
_RIDGE_TOKENS2: Final = 1e6  # as much as fifty batches that differ by 140 tokens: noise of milliseconds matters not
_KEPT: Final = 0.98  # of the weight of what was seen, a batch: fifty batches are remembered
_MOST_TIMES: Final = 4.0  # what the fit expects: a pause of the machine is no property of the batch


class Cost:
    """The fitted line. Not thread-safe: one a loop.

    Attributes:
        fixed_s: seconds of a batch whatever its size.
        each_token_s: seconds of each token.
    """

    def __init__(self) -> None:
        self.fixed_s = PRIOR_FIXED_S
        self.each_token_s = PRIOR_TOKEN_S
        self._weight = self._mean_tokens = self._mean_s = 0.0
        self._squares = self._products = 0.0  # about the means

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from a batch that was settled: how many tokens it had, and how long the loop took for it."""
        seconds = min(seconds, _MOST_TIMES * max(self.of(tokens), PRIOR_FIXED_S))
        kept = self._weight * _KEPT
        self._weight = kept + 1.0
        off_tokens, off_s = tokens - self._mean_tokens, seconds - self._mean_s
        self._mean_tokens += off_tokens / self._weight
        self._mean_s += off_s / self._weight
        # West 1979: sums about the means, updated with the means.
        self._squares = self._squares * _KEPT + off_tokens * off_tokens * kept / self._weight
        self._products = self._products * _KEPT + off_tokens * off_s * kept / self._weight
        slope = (self._products + _RIDGE_TOKENS2 * PRIOR_TOKEN_S) / (self._squares + _RIDGE_TOKENS2)
        most = self._mean_s / self._mean_tokens if self._mean_tokens else slope
        self.each_token_s = min(max(slope, 0.0), most)
        self.fixed_s = self._mean_s - self.each_token_s * self._mean_tokens

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
