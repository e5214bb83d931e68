"""Runs an image's program as an orchestrator would, without a container engine: Linux's own tools.

Owns the confinement: the image's files read-only as the root, an empty /tmp, folders mounted as asked, processes of its
own numbering, the image's user, no capability and no way to get one (by the image's own setpriv). The network is the
machine's, so that a test's Kafka and Redis are reached. Needs root.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

# As one program: mounts belong to the namespace and end with it.
_ENTER = r"""
set -eu
root=$1; user=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
while [ "$1" != -- ]; do mount --bind "$1" "$root$2"; [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"; shift 3; done
shift
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero urandom random; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
for file in /etc/resolv.conf /etc/hosts; do [ ! -e "$root$file" ] || mount --bind "$file" "$root$file"; done
mount -o remount,bind,ro "$root"
exec chroot "$root" /usr/bin/setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups \
  --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


class Container:
    """A program of an image, running. `mounts` maps a folder of the image to one outside, `rw:` before it to write."""

    def __init__(
        self,
        root: Path,
        command: list[str],
        *,
        user: str,
        env: Mapping[str, str],
        mounts: Mapping[str, str] | None = None,
        log: Path,
    ) -> None:
        binds: list[str] = []
        for inside, outside in (mounts or {}).items():
            binds += [outside.removeprefix("rw:"), inside, "rw" if outside.startswith("rw:") else "ro"]
        enter = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "sh", "-c", _ENTER, "sh"]
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            [*enter, str(root), user, *binds, "--", *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd="/",
        )

    def __enter__(self) -> Self:
        """Nothing to do: it runs since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        """The number, outside, of the container's first process."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text(encoding="ascii").split()[0])

    def status(self) -> dict[str, str]:
        """Return the kernel's view of the first process: `Uid`, `CapEff`, `NoNewPrivs`, ..."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return {name: " ".join(rest.split()) for name, _, rest in (line.partition(":") for line in lines)}

    def wait(self, timeout_s: float) -> int:
        """Wait for the program to end and return its exit code."""
        return self._process.wait(timeout_s)

    def stop(self, timeout_s: float) -> tuple[int, float]:
        """Send SIGTERM to the first process; return its exit code and the seconds that it took."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(timeout_s), time.monotonic() - began
