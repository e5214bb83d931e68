"""The command `starter`: the model that comes with the package, in a registry.

Owns what is said of it. `schemas.starter` holds the version; a channel that points at another one stays where it is.
Never loads TensorFlow, and needs no extra.
"""

from __future__ import annotations

import sys

from schemas.starter import CARD_FILE, read_starter, starter_bundle
from trainer.commands.promote import print_move
from trainer.commands.registry_settings import StarterSettings
from trainer.errors import Exit
from trainer.export.runtime import open_interpreter
from trainer.registry.history import Why
from trainer.registry.open import open_registry


def starter(settings: StarterSettings) -> int:
    """Publish the starter, and point a channel at it that points at no version yet; or print its model card."""
    if settings.card:
        sys.stdout.write(CARD_FILE.read_text(encoding="utf-8"))
        return Exit.OK
    registry = open_registry(settings.registry)
    registry.require_channel(settings.channel, new=settings.new_channel)
    found = read_starter()
    current = registry.channels().get(settings.channel)
    if found.version in registry.versions():
        sys.stdout.write(f"{found.version} is in {settings.registry} already\n")
    else:
        starter_bundle().load(open_interpreter)
        registry.publish(found.version, found.files, found.weights)
        sys.stdout.write(f"published {found.version} in {settings.registry}\n")
    if current is None:
        why = Why(action="publish", message="the starter")
        print_move(registry.point(settings.channel, found.version, why, expected=None))
    elif current != found.version:
        compare = f"promote {found.version} --channel {settings.channel} --data held_out.csv"
        sys.stdout.write(f"{settings.channel} stays at {current}; to compare the two: {compare}\n")
    return Exit.OK
