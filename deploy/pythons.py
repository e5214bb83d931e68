"""`make test-pythons`: the worker's unit and contract tests on each Python it supports.

Owns the environments, made from the locks without the trainer's packages, and the list of what was run. A Python that
this machine lacks is named and not run; that every package of the worker has a wheel for it is checked all the same.

Exit codes: 0 all that ran passed, 1 a test failed or a package has no wheel, 2 no Python was found.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.programs import ProgramFailedError, run

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = "confluent,msk,otel,parquet,registry,rest,s3"
# What these tests need of the extra `dev`, at the versions of its lock.
TOOLS = ("flask", "flask-cors", "httpx2", "hypothesis", "jsonschema-rs", "moto[s3]", "psutil", "pytest",
         "pytest-timeout", "pyyaml", "scikit-learn", "scipy", "tritonclient[http]")  # fmt: skip
TESTS = ("tests/unit/schemas", "tests/unit/worker", "tests/contract")


def main(arguments: list[str]) -> int:
    """Run the tests on every Python found; arguments are pytest's."""
    said, failed = [], False
    for version in PYTHONS:
        python = _found(version)
        if python is None:
            wheels = _has_wheels(version)
            failed |= not wheels
            said.append(f"{version}: not here; wheels for all it needs: {'yes' if wheels else 'no'}")
            continue
        code = _tested(version, python, arguments)
        failed |= code != 0
        said.append(f"{version}: {'passed' if code == 0 else f'failed, pytest exited with {code}'}")
    print("\n".join(said))
    if all("not here" in line for line in said):
        return 2
    return int(failed)


def _found(version: str) -> str | None:
    """Return a Python of this version: on the path, or of pyenv, whose shims hide all but the chosen one."""
    try:
        return run([UV, "python", "find", "--no-config", "--system", "--no-python-downloads", version]).strip()
    except ProgramFailedError:
        versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
        found = sorted(versions.glob(f"{version}.*/bin/python{version}"))
        return str(found[-1]) if found else None


def _has_wheels(version: str) -> bool:
    """Whether every package of the worker, with all its extras, has a wheel for a Python that is not here."""
    options = ["--quiet", "--no-config", "--python-version", version, "--only-binary", ":all:", "--no-header"]
    try:
        run(
            [
                UV,
                "pip",
                "compile",
                *options,
                "--constraints",
                ROOT / "lock/dev.txt",
                *_extras(),
                ROOT / "pyproject.toml",
            ]
        )
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
        command = [f"{folder}/bin/python", "-m", "pytest", "-q", *TESTS, *arguments]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
