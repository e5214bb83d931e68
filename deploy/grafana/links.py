"""From an alert to what to do and what to look at: the table at the top of the runbook's alerts.

Owns the table. The alerts come from Prometheus's rules, the entries from the runbook, the panels from the boards: what
lacks one of the three is an error here.
"""

import re
from pathlib import Path

import yaml

from deploy.grafana.boards import BOARDS

RULES = sorted((Path(__file__).parents[1] / "prometheus" / "rules").glob("*.yml"), reverse=True)
BEGIN, END = "<!-- alerts: begin -->\n", "<!-- alerts: end -->\n"


def alerts() -> dict[str, str]:
    """Return each alert and its severity, in the order of the rules."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    rules = [rule for group in groups for rule in group["rules"]]
    return {rule["alert"]: rule["labels"]["severity"] for rule in rules if "alert" in rule}


def panels_of(alert: str) -> list[str]:
    """Return the panels that say what an alert is about, each with its dashboard."""
    return [
        f"{board.title.partition(': ')[2] or 'overview'}: {panel.title}"
        for board in BOARDS.values()
        for panel in board.panels
        if alert in {panel.see, *panel.also}
    ]


def with_table(runbook: str) -> str:
    """Return the runbook with its table written anew.

    Raises:
        ValueError: an alert has no entry or no panel, or the runbook has no place for the table.
    """
    lines = ["| alert | severity | look at |", "|---|---|---|"]
    for alert, severity in alerts().items():
        panels = panels_of(alert)
        if f"\n### {alert}\n" not in runbook:
            raise ValueError(f"RUNBOOK.md has no entry {alert}")
        if not panels:
            raise ValueError(f"no panel says `see={alert}`")
        lines.append(f"| [{alert}](#{alert.lower()}) | {severity} | {', '.join(panels)} |")
    table = BEGIN + "Written by `python -m deploy.grafana --write`.\n\n" + "\n".join(lines) + "\n" + END
    text, found = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: table, runbook, flags=re.DOTALL)
    if found != 1:
        raise ValueError(f"RUNBOOK.md has no place for the table of alerts: {BEGIN.strip()} and {END.strip()}")
    return text
