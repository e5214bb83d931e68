"""The cases: one function each, whose docstring says what it kills and when.

Owns the list. `crash` kills processes, `away` stops services, `failover` moves Redis to another server, `poison`
produces records that cannot be rated, `group` moves partitions and topics, `brokers` are those that need brokers of
their own.
"""

from __future__ import annotations

from tests.chaos.cases.away import AWAY
from tests.chaos.cases.brokers import BROKERS
from tests.chaos.cases.crash import CRASH
from tests.chaos.cases.failover import FAILOVER
from tests.chaos.cases.group import GROUP
from tests.chaos.cases.play import Case
from tests.chaos.cases.poison import POISON

CASES: dict[str, Case] = {case.name: case for case in (*CRASH, *GROUP, *AWAY, *BROKERS, *FAILOVER, *POISON)}
