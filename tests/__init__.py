"""Tests by level: unit (pure), contract (double and real thing), integration (real processes), structure (the code).

Warnings are errors here, and kafka-python 3.0.12 reads its protocol with a call that Python 3.11 and 3.12 deprecate,
so it is imported once, first, past that one warning; `conftest` keeps the filter for what the client loads later.
"""

import warnings
from typing import Final

# The longest wait for an event, in seconds. A wait ends at its event, so only a hang takes this long and a busy machine
# fails no test. `timeout` in pyproject.toml is longer.
PATIENCE_S: Final = 300.0

KAFKA_WARNING = "(read|open)_text is deprecated"

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", KAFKA_WARNING, DeprecationWarning)
    import kafka as kafka
