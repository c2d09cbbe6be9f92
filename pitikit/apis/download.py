"""Released checkpoints by name: downloaded once, resumed after a break, checked."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm import tqdm

from pitikit.arguments import nearest
from pitikit.files import FULL, file_sha256
from pitikit.resources import cache_folder, find_weights, looked_for_weights

_CHUNK = 1 << 20
_TIMEOUT = 30.0
_ATTEMPTS = 4


class DownloadError(RuntimeError):
    """A checkpoint could not be fetched, or is not what was expected."""


@dataclass(frozen=True)
class Release:
    """A published file.

    Attributes:
        url: where it is.
        sha256: its checksum in hexadecimal, None where none was published.
    """

    url: str
    sha256: str | None = None


_GLIDE = "https://openaipublic.blob.core.windows.net/diffusion/dec-2021"

# OpenAI published no checksums; the file names are those of glide_text2im/download.py.
RELEASES: dict[str, Release] = {
    "glide-base": Release(f"{_GLIDE}/base.pt"),
    "glide-upsample": Release(f"{_GLIDE}/upsample.pt"),
    "glide-base-inpaint": Release(f"{_GLIDE}/base_inpaint.pt"),
    "glide-upsample-inpaint": Release(f"{_GLIDE}/upsample_inpaint.pt"),
}


def resolve_checkpoint(src: str | Path, cache_dir: str | Path | None = None) -> Path:
    """The file that ``src`` means: one of weights, or a name of :data:`RELEASES`, downloaded.

    Args:
        src: a path, see :func:`~pitikit.resources.find_weights`, or a name. A file of that name comes first.
        cache_dir: where downloads are kept; see :func:`~pitikit.resources.cache_folder`.

    Raises:
        FileNotFoundError: it is neither a file nor a known name.
        DownloadError: see :func:`download`.
    """
    path = find_weights(src)
    if path is not None:
        return path
    if Path(src).is_dir():
        raise FileNotFoundError(f"checkpoint {str(src)!r} is a folder; expected a file")
    release = RELEASES.get(str(src))
    if release is None:
        hint = f"{nearest(str(src), RELEASES)}; {looked_for_weights(src)}"
        raise FileNotFoundError(f"checkpoint {str(src)!r}: neither a file nor a name to download; {hint}")
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    return download(release, folder / f"{src}.pt")


def download(release: Release, dst: Path) -> Path:
    """Fetch a file, unless ``dst`` is there, with a progress bar.

    Bytes gather in ``dst`` + ``.part``, from which a later call resumes if the server can; ``dst``
    appears only when size and checksum are right.

    Raises:
        DownloadError: no network, no such file there, the connection broke time and again, or the
            size or checksum is wrong (what was fetched is removed then).
    """
    if dst.is_file():
        return dst
    dst.parent.mkdir(parents=True, exist_ok=True)
    part = dst.with_name(dst.name + ".part")
    failed = 0
    while True:
        before = _size(part)
        try:
            total = fetch(release.url, part)
            break
        except urllib.error.HTTPError as error:
            raise DownloadError(
                f"{release.url}: the server answers {error.code} {error.reason}; if the file has "
                "moved, download it with a browser and give its path"
            ) from error
        except (OSError, HTTPException) as error:
            if getattr(error, "errno", None) in FULL:
                raise DownloadError(f"{part} cannot be written: {error}. Free some space and run again") from error
            # Only attempts without a single byte count as failed.
            failed = failed + 1 if _size(part) <= before else 1
            if failed == _ATTEMPTS:
                kept = f"; {_size(part)} bytes are kept in {part}" if _size(part) else ""
                raise DownloadError(
                    f"{release.url}: {getattr(error, 'reason', None) or error!s}{kept}. Check the "
                    "network and run again, or download it with a browser and give its path"
                ) from error
    if total is not None and _size(part) != total:
        found = _size(part)
        _remove(part)
        raise DownloadError(f"{release.url}: expected {total} bytes, found {found}; run again")
    if release.sha256 is not None:
        found_sum = file_sha256(part)
        if found_sum != release.sha256:
            _remove(part)
            raise DownloadError(
                f"{release.url}: expected SHA-256 {release.sha256}, found {found_sum}; the file was removed, run again"
            )
    os.replace(part, dst)
    _tag_file(part).unlink(missing_ok=True)
    return dst


def fetch(url: str, part: Path) -> int | None:
    """Append to ``part`` what it lacks; the size that the server states, if it does."""
    offset = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": "pitikit"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        # Without it, a file that was replaced meanwhile would be appended to the old beginning.
        if _tag_file(part).is_file():
            request.add_header("If-Range", _tag_file(part).read_text())
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing left to send: either the file is complete, or the part is of another file.
        if offset == _stated_total(error.headers.get("Content-Range")):
            return offset
        _remove(part)
        return fetch(url, part)
    with response:
        stated = response.headers.get("Content-Range") if response.status == 206 else None
        if response.status == 206 and not (stated or "").startswith(f"bytes {offset}-"):
            _remove(part)
            raise OSError(f"the server sent {stated!r}, expected bytes from {offset} on")
        length = response.headers.get("Content-Length")
        total = _stated_total(stated) if stated else int(length) if length else None
        start = offset if stated else 0
        _keep_tag(part, response.headers.get("ETag"))
        with part.open("ab" if stated else "wb") as file:
            for chunk in _with_bar(response, url, start, total):
                file.write(chunk)
    if total is not None and _size(part) < total:
        raise OSError(f"the connection broke after {_size(part)} of {total} bytes")
    return total


def _with_bar(response: HTTPResponse, url: str, start: int, total: int | None) -> Iterator[bytes]:
    name = url.rsplit("/", 1)[-1]
    with tqdm(desc=name, initial=start, total=total, unit="B", unit_scale=True) as bar:
        while chunk := response.read(_CHUNK):
            yield chunk
            bar.update(len(chunk))


def _stated_total(content_range: str | None) -> int | None:
    match = re.fullmatch(r"bytes .*/(\d+)", content_range or "")
    return int(match.group(1)) if match else None


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _keep_tag(part: Path, tag: str | None) -> None:
    # A weak tag may not be used in If-Range.
    if tag and not tag.startswith("W/"):
        _tag_file(part).write_text(tag)
    else:
        _tag_file(part).unlink(missing_ok=True)


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _tag_file(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
