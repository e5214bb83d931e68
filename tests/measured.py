"""What a measured figure looks like in a text: such figures stand in a table that a command writes."""

from __future__ import annotations

import re
from typing import Final

MEASURED: Final = re.compile(
    r"[\d.,]+ ?(?:k|M)? ?reviews (?:a|per) second|[\d.,]+ reviews/s|[\d.,]+ us (?:a|per) review"
    r"|(?:[\d.]+|two|three|four|five|ten) times (?:as|the|faster|slower)"
    r"|(?:[\d.]+|two|three|four|five|ten) times \w+'s"
    r"|[\d.]+ [kMG]?B (?:a|per) (?:row|review|rating)"
    r"|(?:half|thirds?|quarters?|fifths?|tenths?|\d+ ?%) (?:of )?(?:the|\w+'s) (?:CPU|memory|time|throughput)"
)
