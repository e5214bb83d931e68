"""The wheel and the source distribution, the same bytes from the same commit.

Owns what makes them so: setuptools dates the files of a wheel by SOURCE_DATE_EPOCH, but leaves its own clock and user
in the source distribution, so that is packed again here. The wheel is built from the source distribution, as an
installer would.
"""

import gzip
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from deploy.programs import run

_UV = Path(sys.executable).with_name("uv")


def build_packages(source: Path, out: Path, epoch: int) -> list[Path]:
    """Build both from the exported files in `source` into `out`; return their paths, the wheel first."""
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "UV_NO_CONFIG": "1"}
    command: list[str | Path] = [
        _UV,
        "build",
        "--quiet",
        "--no-build-isolation",
        "--offline",
        "--python",
        sys.executable,
    ]
    run([*command, "--no-create-gitignore", "--out-dir", out, source], env=environment)
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    pack_again(sdist, epoch)
    return [wheel, sdist]


def pack_again(sdist: Path, epoch: int) -> None:
    """Write a source distribution again with sorted names, one time, no user, and no clock in gzip's header."""
    with tarfile.open(sdist) as archive:
        held = [(member, archive.extractfile(member)) for member in archive.getmembers() if member.isfile()]
        contents = [(member, file.read()) for member, file in held if file is not None]
    with (
        sdist.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member, content in sorted(contents, key=lambda pair: pair[0].name):
            entry = tarfile.TarInfo(member.name)
            entry.size, entry.mtime = len(content), epoch
            entry.mode = 0o755 if member.mode & 0o100 else 0o644
            archive.addfile(entry, BytesIO(content))
