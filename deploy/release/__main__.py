"""`make release`: build everything that a user installs, from the commit, into dist/starstream-VERSION.

Owns the order of the steps and what is printed. `make release-prepare` comes before it.

Exit codes: 0 built, 1 a step failed, 2 wrong usage, 3 refused: the message says why and what to do.
"""

import hashlib
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from deploy.images.build import build, write_archive
from deploy.programs import ProgramFailedError
from deploy.release.changelog import notes, prepare
from deploy.release.environment import fresh_environment, require_programs, write_bill
from deploy.release.errors import ReleaseRefusedError
from deploy.release.licences import licences, table
from deploy.release.packages import build_packages
from deploy.release.tree import Commit, clean_commit, export, require_free_version
from schemas import __version__
from schemas.command_line.options import FILE, Option, Words
from schemas.command_line.page import Page
from schemas.command_line.program import Command, Program
from schemas.command_line.program import run as run_program

ROOT = Path(__file__).parents[2]
PRODUCTS = ("worker", "trainer")
EXIT_REFUSED = 3
_NAME: Final = "python -m deploy.release"
_EXIT_CODES: Final = "  0  done    1  a step failed    2  wrong usage    3  refused: the line says why"
_PAGE: Final = Page(
    "Build all that users install from the commit, with its licences and bill of materials.",
    f"""\
  {_NAME} prepare 0.2.0      begins: names the version everywhere
  {_NAME} build              builds into dist/""",
    exit_codes=_EXIT_CODES,
)


def main(argv: list[str] | None = None) -> int:
    """Build or prepare a release; return the exit code."""
    commands = {
        "prepare": ("name a new version everywhere, and give the changelog its section", _prepare_command),
        "build": ("build wheel, images, licences and bills of materials", _build_command),
    }
    try:
        return run_program(Program(_NAME, _PAGE, {"Commands": commands}), argv)
    except ReleaseRefusedError as error:
        print(f"release: {error}", file=sys.stderr)
        return EXIT_REFUSED
    except ProgramFailedError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1


def _prepare_command() -> Command:
    page = Page("Name a new version everywhere, and give the changelog its section.", f"  {_NAME} prepare 0.2.0")
    version = Option("--to", metavar="VERSION", help="the new version")
    return Command("prepare", page, _prepare, [version], Words("--to", "VERSION"))


def _build_command() -> Command:
    page = Page("Build from the commit.", f"  {_NAME} build --no-images", exit_codes=_EXIT_CODES)
    own = [
        Option("--out", type=FILE, default=str(ROOT / "dist"), help="where the folder is made  [default: dist]"),
        Option("--no-images", is_flag=True, help="leave out the images, which need buildah"),
    ]
    return Command("build", page, _build, own)


def _prepare(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    version, today = own["to"], datetime.now(UTC).date().isoformat()
    changed = prepare(ROOT, version, current=__version__, today=today)
    print("\n".join(str(path.relative_to(ROOT)) for path in changed))
    print(f"\nlook at `git diff`, then: git commit --all --message 'release: {version}' && make release")
    return 0


def _build(own: dict[str, Any], _settings: dict[str, Any]) -> int:
    out, images = Path(own["out"]), not own["no_images"]
    commit = clean_commit(ROOT)
    folder = out / f"starstream-{__version__}"
    require_free_version(commit, __version__, folder)
    said = notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__)
    out.mkdir(parents=True, exist_ok=True)
    # The folder gets its name when it is complete: one that is there is a release.
    with tempfile.TemporaryDirectory(prefix=".release-", dir=out) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        _fill(commit, Path(scratch), made, images=images)
        (made / "RELEASE_NOTES.md").write_text(said, encoding="utf-8")
        _write_checksums(made)
        made.rename(folder)
    print(_guide(folder, images=images))
    return 0


def _fill(commit: Commit, scratch: Path, made: Path, *, images: bool) -> None:
    source = export(commit, scratch / "source")
    _say("wheel and source distribution")
    wheel, _ = build_packages(source, made, commit.epoch)
    for product in PRODUCTS:
        _say(f"{product}: a fresh environment, its licences and bill of materials")
        python = fresh_environment(scratch / product, source / "lock" / f"{product}.txt", wheel)
        require_programs(python, __version__)
        name = f"starstream-{product}"
        (made / f"{name}.licences.md").write_text(table(licences(python), name), encoding="utf-8")
        bill = made / f"{name}.cdx.json"
        write_bill(python, source, bill, name=name, version=__version__, epoch=commit.epoch)
    for product in PRODUCTS if images else ():
        _say(f"{product}: image")
        image = build(product, source, version=__version__, revision=commit.revision, epoch=commit.epoch)
        write_archive(image, made / f"starstream-{product}-{__version__}.oci.tar")


def _write_checksums(folder: Path) -> None:
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _guide(folder: Path, *, images: bool) -> str:
    """What each file is for, as commands."""
    wheel = next(folder.glob("*.whl"))
    lines = [
        f"{folder}:",
        f"  check     cd {folder} && sha256sum --check SHA256SUMS",
        f"  install   uv tool install '{wheel}[confluent,rest]'     # or pip install, in its own environment",
        f"            pip install '{wheel}[trainer]'                # with TensorFlow",
    ]
    if images:
        for product in PRODUCTS:
            archive = folder / f"starstream-{product}-{__version__}.oci.tar"
            lines.append(
                f"  image     docker load --input {archive}        # or: skopeo copy oci-archive:{archive} docker://..."
            )
    lines += [
        "  licences  starstream-*.licences.md: the Python packages in each product",
        "  bill      starstream-*.cdx.json: CycloneDX, for your scanner",
        "  publish   git tag v"
        + __version__
        + " && git push --tags: .github/workflows/release.yml builds the same and uploads it",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"release: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
