"""The licences of the Python packages that are shipped.

Owns the rule: nothing under GPL or AGPL is shipped; LGPL and MPL are listed, because they ask something of those who
change the package; a package that does not say its licence is refused until a person has looked and written it here.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.programs import run
from deploy.release.errors import ReleaseRefusedError

_PIP_LICENSES = Path(sys.executable).with_name("pip-licenses")
_FORBIDDEN = re.compile(r"\bA?GPL|Affero|(?<!Lesser )(?<!Library or Lesser )General Public Licen[sc]e", re.I)
_WEAK = re.compile(r"\bLGPL|Lesser General Public|\bMPL\b|Mozilla Public", re.I)
# Read by a person in the package's own files, because its metadata does not say.
READ_BY_HAND = {"namex": "Apache-2.0"}


@dataclass(frozen=True, slots=True, order=True)
class Licence:
    """One shipped package."""

    package: str
    version: str
    name: str

    @property
    def forbidden(self) -> bool:
        """Whether every licence it offers is one we do not ship: `GPL-2.0 OR MIT` leaves a choice."""
        offers = re.split(r"\s+OR\s+|;", self.name)
        return all(_FORBIDDEN.search(offer) for offer in offers) or self.name in {"UNKNOWN", ""}

    @property
    def weak(self) -> bool:
        """Whether it asks for the source of a changed package."""
        return bool(_WEAK.search(self.name))


def licences(python: Path) -> list[Licence]:
    """Return the licence of each package of the environment of `python`."""
    printed = run([_PIP_LICENSES, f"--python={python}", "--with-system", "--format=json", "--from=mixed"])
    return sorted(
        Licence(row["Name"], row["Version"], READ_BY_HAND.get(row["Name"].lower(), row["License"]))
        for row in json.loads(printed)
    )


def table(found: list[Licence], title: str) -> str:
    """Return the licences as a page of text; refuse what may not be shipped.

    Raises:
        ReleaseRefusedError: a package under GPL or AGPL alone, or without a licence.
    """
    refused = [
        f"{licence.package} {licence.version}: {licence.name or 'UNKNOWN'}" for licence in found if licence.forbidden
    ]
    if refused:
        raise ReleaseRefusedError(f"{title} would ship what may not be shipped: " + "; ".join(refused))
    weak = [licence for licence in found if licence.weak]
    lines = [f"# Licences of the Python packages in {title}", "", "Under LGPL or MPL, unchanged:"]
    lines += [f"- {licence.package} {licence.version}: {licence.name}" for licence in weak] or ["- none"]
    lines += ["", "| package | version | licence |", "|---|---|---|"]
    lines += [f"| {licence.package} | {licence.version} | {' '.join(licence.name.split())} |" for licence in found]
    return "\n".join(lines) + "\n"
