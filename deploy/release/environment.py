"""What is in a product: a fresh environment made from its lock and the wheel, and its bill of materials.

Owns the environments, which the licences, the bill of materials and a first run of both programs are taken from. The
images install the same lock and the same wheel, by hash.
"""

import json
import sys
from pathlib import Path

from deploy.programs import ProgramFailedError, run

_UV = Path(sys.executable).with_name("uv")
_CYCLONEDX = Path(sys.executable).with_name("cyclonedx-py")
PROGRAMS = ("starstream-worker", "starstream-trainer")


def fresh_environment(folder: Path, lock: Path, wheel: Path) -> Path:
    """Make an environment of the packages of `lock` and the wheel; return its Python."""
    python = folder / "bin" / "python"
    run([_UV, "venv", "--quiet", "--no-config", "--python", sys.executable, folder])
    install: list[str | Path] = [_UV, "pip", "install", "--quiet", "--no-config", "--python", python]
    run([*install, "--require-hashes", "--requirements", lock])
    run([*install, "--no-deps", wheel])
    return python


def require_programs(python: Path, version: str) -> None:
    """Run both programs outside the checkout.

    Raises:
        ProgramFailedError: one does not start, or is of another version.
    """
    for program in PROGRAMS:
        said = run([python.with_name(program), "--version"], cwd=python.parents[1], env={"PYTHONPATH": ""})
        if said.split()[-1] != version:
            raise ProgramFailedError(f"{program} --version says {said.strip()}, not {version}")


def write_bill(
    python: Path, source: Path, out: Path, *, name: str, version: str, epoch: int, validate: bool = True
) -> None:
    """Write the CycloneDX bill of materials of an environment; the same environment gives the same bytes.

    It is validated against CycloneDX's schema, which takes 9 s of CPU, unless `validate` is false.
    """
    checked = "--validate" if validate else "--no-validate"
    run(
        [_CYCLONEDX, "environment", checked, "--output-reproducible", "--pyproject", source / "pyproject.toml",
         "--output-format", "JSON", "--output-file", out, python],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
    )  # fmt: skip
    bill = json.loads(out.read_text(encoding="utf-8"))
    # pyproject.toml has no version of its own, and one project makes two products.
    bill["metadata"]["component"] |= {"name": name, "version": version}
    out.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
