"""The commands for a registry: `list`, `show`, `publish`, `rollback`, `history`, `prune`, `verify`.

Owns what they print and the order of their checks. Never loads TensorFlow, directly or through another module: an
import contract and tests/unit/trainer/test_main.py hold that.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version as installed
from typing import Any, Final

from rich.table import Table

from schemas.bundle import MANIFEST_FILE, BundleError, InterpreterFactory
from schemas.inference import Interpreter, open_quietly
from schemas.manifest import Manifest
from trainer.commands import registry_settings as flags
from trainer.commands.promote import print_move
from trainer.console import Screen
from trainer.errors import Exit, RegistryError
from trainer.export.runtime import open_interpreter
from trainer.registry.channel_names import no_channel
from trainer.registry.history import Why, rollback_target
from trainer.registry.open import open_registry
from trainer.registry.registry import Registry

RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
_FIGURES: Final = ("accuracy", "macro_f1", "mae", "qwk")  # a label model has the first two


def list_versions(settings: flags.ListSettings) -> int:
    """Print the versions; one whose manifest cannot be read is shown as damaged."""
    registry = open_registry(settings.registry)
    channels = registry.channels()
    found: list[dict[str, Any]] = []
    damaged = []
    for version in reversed(registry.versions()):
        pointing = sorted(name for name, to in channels.items() if to == version)
        try:
            manifest = registry.manifest(version)
        except BundleError as error:
            damaged.append(str(error))
            found.append({"version": version, "channels": pointing, "cell": "damaged"})
            continue
        figures: dict[str, float] = {name: manifest.metrics[name] for name in _FIGURES if name in manifest.metrics}
        model = {"cell": manifest.cell, "variant": manifest.variant}
        found.append({"version": version, "channels": pointing, **model, **figures, "reviews": manifest.data.rows})
    if settings.as_json:
        print(json.dumps(found))
        return Exit.OK
    table = Table(box=None, padding=(0, 1, 0, 0))
    columns = ("version", "channels", "cell", "variant", *_FIGURES, "reviews")
    for column in columns:  # on 80 columns the names fold, no value is cut
        table.add_column(column, overflow="fold", no_wrap=column == "version")
    for entry in found:
        table.add_row(*(_cell(entry.get(column)) for column in columns))
    screen = Screen()
    screen.result(table if found else f"{settings.registry}: no version yet; publish one with `train`, or `starter`")
    for line in damaged:
        screen.result(line)
    return Exit.OK


def show(settings: flags.ShowSettings) -> int:
    """Print a manifest."""
    registry = open_registry(settings.registry)
    manifest = registry.bundle(registry.resolve(settings.version)).manifest
    if settings.raw:
        sys.stdout.write(manifest.model_dump_json(indent=2) + "\n")
        return Exit.OK
    table = Table("field", "value", title=manifest.version)
    for name, value in _summary(manifest).items():
        table.add_row(name, value)
    Screen().result(table)
    return Exit.OK


def publish(settings: flags.PublishSettings) -> int:
    """Copy a version that can serve, with its training weights if it has them."""
    source, target = open_registry(settings.source), open_registry(settings.registry)
    version = source.resolve(settings.version)
    bundle = source.bundle(version)
    bundle.load(open_interpreter)
    with source.folder(version) as folder:
        files = {name: (folder / name).read_bytes() for name in [*bundle.manifest.files, MANIFEST_FILE]}
    target.publish(version, files, source.weights(version))
    sys.stdout.write(f"published {version} in {settings.registry}; no channel moved\n")
    return Exit.OK


def rollback(settings: flags.RollbackSettings) -> int:
    """Point a channel back."""
    registry = open_registry(settings.registry)
    print_move(registry.rollback(settings.channel, Why(action="rollback", message=settings.message)))
    return Exit.OK


def history(settings: flags.HistorySettings) -> int:
    """Print the changes, newest first."""
    registry = open_registry(settings.registry)
    every_change = registry.history()
    channels = registry.channels()
    known = {*channels, *(change.channel for change in every_change)}
    if settings.channel is not None and settings.channel not in known:
        raise RegistryError(no_channel(settings.channel, known))
    found = [change for change in reversed(every_change) if settings.channel in {None, change.channel}]
    if settings.json_lines:
        for change in found:
            sys.stdout.write(change.model_dump_json() + "\n")
        return Exit.OK
    screen = Screen()
    for change in found:
        action = f"{change.action}, forced" if change.forced else change.action
        reasons = "; ".join([*([change.message] if change.message else []), *change.refusals])
        before = change.before.get(change.channel, "no version")
        moved = f"{change.at[:16].replace('T', ' ')}  {change.channel}: {before} -> {change.version}"
        screen.result(f"{moved}  {change.by}  {action}{f': {reasons}' if reasons else ''}")
    if not found:
        screen.result("no channel has moved yet")
    if every_change and channels != every_change[-1].after:
        screen.result("channels.json differs from the last change: it was edited by hand, or a change is in progress")
    for channel in sorted(channels):
        target = rollback_target(every_change, channel)
        screen.result(f"{channel}: {channels[channel]}; rollback to {target or 'no version'}")
    return Exit.OK


def prune(settings: flags.PruneSettings) -> int:
    """Remove the versions and leftovers that nothing refers to."""
    registry = open_registry(settings.registry)
    found = registry.prunable(settings.keep)
    for name in found:
        if settings.dry_run:
            outcome = "would remove"
        else:
            outcome = "removed" if registry.remove(name) else "kept, because a channel needs it now:"
        sys.stdout.write(f"{outcome} {name}\n")
    if not found:
        sys.stdout.write(f"nothing to remove: {len(registry.versions())} versions\n")
    return Exit.OK


def verify(settings: flags.VerifySettings) -> int:
    """Load versions as workers do."""
    registry = open_registry(settings.registry)
    runtimes = _runtimes()
    versions = [registry.resolve(settings.version)] if settings.version else registry.versions()
    table = Table("version", "hashes", *runtimes)
    faults = []
    for version in versions:
        cells, found = _verified(registry, version, runtimes)
        table.add_row(version, *cells)
        faults += found
    for channel, version in registry.channels().items():
        if version not in registry.versions():
            faults.append(f"{channel} points at {version}, which is not in the registry")
    screen = Screen()
    screen.result(table)
    for line in faults:
        screen.result(line)
    absent = ", ".join(sorted(set(RUNTIMES) - {runtime.partition(" ")[0] for runtime in runtimes}))
    if absent:
        screen.say(f"not installed, so not checked: {absent}")
    return Exit.REGISTRY if faults else Exit.OK


def _verified(
    registry: Registry, version: str, runtimes: Mapping[str, InterpreterFactory]
) -> tuple[list[str], list[str]]:
    try:
        bundle = registry.bundle(version)
    except BundleError as error:
        return ["wrong", *[""] * len(runtimes)], [str(error)]
    if bundle.version != version:
        fault = f"{version}: its manifest says {bundle.version}; publish the bundle again"
        return ["wrong", *[""] * len(runtimes)], [fault]
    cells, faults = ["right"], []
    for runtime, factory in runtimes.items():
        try:
            bundle.load(factory)
        except BundleError as error:
            cells.append("refused")
            faults.append(f"{runtime}: {error}")
        else:
            cells.append(f"replays {len(bundle.manifest.golden)} golden")
    return cells, faults


def _runtimes() -> dict[str, InterpreterFactory]:
    """Return a factory of interpreters for every installed TFLite runtime."""
    found: dict[str, InterpreterFactory] = {}
    for name, module_name in RUNTIMES.items():
        try:
            module: Any = importlib.import_module(module_name)
        except ImportError:
            continue

        def open_model(model: bytes, make: Any = module.Interpreter) -> Interpreter:
            return open_quietly(lambda: make(model_content=model, num_threads=1))

        found[f"{name} {installed(name)}"] = open_model
    return found


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _summary(manifest: Manifest) -> dict[str, str]:
    counts = ", ".join(f"{label}: {count}" for label, count in manifest.data.label_counts.items())
    return {
        "created": manifest.created_at,
        "task": manifest.task,
        "model": f"{manifest.cell}, {manifest.variant}",
        "labels": ", ".join(map(str, manifest.decision.labels)),
        "encoder": manifest.encoder.model_dump_json().replace(",", ", "),
        "temperature": f"{manifest.decision.temperature:g}",
        "data": f"{manifest.data.rows} reviews of {', '.join(manifest.data.files)} ({counts})",
        "split": f"{manifest.data.train_rows} / {manifest.data.validation_rows} / {manifest.data.test_rows}",
        **{name: f"{value:.3f}" for name, value in manifest.metrics.items()},
        "files": ", ".join(f"{name} ({found.size_bytes} bytes)" for name, found in manifest.files.items()),
        "toolchain": ", ".join(f"{name} {version}" for name, version in manifest.toolchain.items()),
    }
