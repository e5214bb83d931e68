"""Which licences are shipped, listed or refused."""

from __future__ import annotations

import pytest

from deploy.release.errors import ReleaseRefusedError
from deploy.release.licences import Licence, table


@pytest.mark.parametrize(
    ("name", "forbidden", "weak"),
    [
        ("MIT", False, False),
        ("BSD License; Apache Software License", False, False),
        ("GPL-3.0-only", True, False),
        ("AGPL-3.0", True, False),
        ("GNU Affero General Public License v3", True, False),
        ("GNU General Public License v2 (GPLv2)", True, False),
        ("GPL-2.0-or-later OR MIT", False, False),
        ("GNU General Public License (GPL); MIT License", False, False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False, True),
        ("LGPL-2.1-or-later", False, True),
        ("MPL-2.0 AND MIT", False, True),
        ("Mozilla Public License 2.0 (MPL 2.0)", False, True),
        ("UNKNOWN", True, False),
        ("", True, False),
    ],
)
def test_licence_is_told_by_every_way_it_is_written(name: str, forbidden: bool, weak: bool) -> None:
    licence = Licence("p", "1", name)
    assert (licence.forbidden, licence.weak) == (forbidden, weak)


def test_table_lists_every_package_and_names_those_that_ask_for_something_first() -> None:
    text = table([Licence("a", "1", "MIT"), Licence("b", "2", "MPL-2.0")], "starstream-worker")
    assert "- b 2: MPL-2.0\n" in text.partition("| package |")[0]
    assert "| a | 1 | MIT |\n| b | 2 | MPL-2.0 |\n" in text


def test_table_refuses_and_names_every_package_that_may_not_be_shipped() -> None:
    found = [Licence("a", "1", "MIT"), Licence("b", "2", "GPL-3.0"), Licence("c", "3", "UNKNOWN")]
    with pytest.raises(ReleaseRefusedError, match=r"b 2: GPL-3\.0; c 3: UNKNOWN"):
        table(found, "starstream-worker")
