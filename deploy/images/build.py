"""Builds an image from deploy/docker/Dockerfile and writes it as a file.

Owns what makes two builds of one commit the same: every time in the image is the commit's, and nothing of the machine
is in it. Next: `contents` and `container`.
"""

import os
from pathlib import Path

from deploy.images.base import base_image, has_image, make_base
from deploy.programs import ProgramFailedError, run

# How pip inside the build knows this machine's authorities, where the environment names some.
_AUTHORITIES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def build(product: str, source: Path, *, version: str, revision: str, epoch: int) -> str:
    """Build the image of `worker` or `trainer` from the files in `source`; return its name.

    Raises:
        ProgramFailedError: buildah is missing, or a step of the Dockerfile failed.
    """
    if not has_image(base_image()) and not _pulled(base_image()):
        print(f"images: no registry has {base_image()} for this machine; making it from Debian's packages", flush=True)
        make_base(epoch)
    name = f"starstream-{product}:{version}"
    arguments = {"VERSION": version, "REVISION": revision, "SOURCE_DATE_EPOCH": str(epoch)}
    options = ["--layers", "--isolation=chroot", "--format=docker", "--network=host", "--pull=false"]
    options += [f"--file={source / 'deploy/docker/Dockerfile'}", f"--target={product}", f"--timestamp={epoch}"]
    options += [f"--build-arg={key}={value}" for key, value in arguments.items()]
    run(["buildah", "bud", *options, *_mounted_authorities(), f"--tag={name}", source])
    return name


def write_archive(name: str, archive: Path) -> None:
    """Write an image as an OCI archive, which `docker load`, skopeo and every registry's tools read."""
    run(["buildah", "push", "--quiet", "--format", "oci", name, f"oci-archive:{archive}:{name}"])


def _pulled(name: str) -> bool:
    try:
        run(["buildah", "pull", "--quiet", f"docker.io/library/{name}"])
    except ProgramFailedError:
        return False
    return True


def _mounted_authorities() -> list[str]:
    files = {os.environ[variable] for variable in _AUTHORITIES if os.environ.get(variable)}
    return [f"--volume={path}:/etc/ssl/certs/ca-certificates.crt:ro" for path in sorted(files)[:1]]
