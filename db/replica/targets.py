"""Where a copy is kept: what GenLoop asks of such a place, and which place a URL names."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

Content = bytes | Path  # what a file is to hold, or the file that holds it


class TargetDown(OSError):
    """The place does not answer, is full, or refuses us; it may be better later."""


class Missing(LookupError):
    """There is no file of that name at the target."""


class Taken(FileExistsError):
    """A mark of that name is there already, and says something else."""


class UnusableTarget(ValueError):
    """The URL names no place, or one at which no copy may be kept; the message says why."""


class Target(Protocol):
    """A place for files under names such as `log/0000000012.json`.

    Every method may raise TargetDown.
    """

    @property
    def url(self) -> str:
        """Where it is, without secrets."""

    @property
    def least_seconds(self) -> float:
        """It should not be written to more often than that."""

    def names(self, folder: str) -> list[str]:
        """The names of all files below a folder, sorted."""

    def read(self, name: str) -> bytes:
        """The content of a file; raises Missing."""

    def put(self, files: Mapping[str, Content]) -> None:
        """Write files, safely there before this returns; what had the name before is replaced."""

    def commit(self, files: Mapping[str, Content], mark: str, content: bytes) -> None:
        """Put the files, then the mark, which must not be there yet.

        The mark is there only if all files are. Raises Taken; a mark of the same content is no
        reason, for an answer may have been lost on its way.
        """

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there do not matter."""

    def purge(self) -> None:
        """Let nothing that was removed be found in a history either; may be done again."""


def open_target(url: str, token: str = "") -> Target:
    """The place that the URL names; raises UnusableTarget.

    A folder (also `file:`), `hf://datasets/OWNER/NAME`, `hf://buckets/OWNER/NAME`, or any URL that
    fsspec knows, such as `s3://BUCKET/FOLDER`. token: of the Hub; empty: its own ways to find one.
    """
    scheme, place = split(url)
    if scheme in ("", "file"):
        from db.replica.folder_target import FolderTarget

        return FolderTarget(Path(place))
    if scheme == "hf":
        return open_hub(place, token)
    from db.replica.fsspec_target import FsspecTarget

    return FsspecTarget(url)


def split(url: str) -> tuple[str, str]:
    """Scheme and place; a path without a scheme, also one of Windows, has an empty scheme."""
    scheme, separator, place = url.partition("://")
    if not separator:
        return "", url.removeprefix("file:")
    if scheme == "file":
        return scheme, urlsplit(url).path
    return scheme, place


def open_hub(place: str, token: str) -> Target:
    kind, *parts = [part for part in place.split("/") if part]
    if kind not in ("datasets", "buckets") or len(parts) < 2:
        raise UnusableTarget(
            f"hf://{place} is no place for a copy: name hf://datasets/OWNER/NAME for a dataset "
            "repository or hf://buckets/OWNER/NAME for a bucket"
        )
    repo, folder = "/".join(parts[:2]), "/".join(parts[2:])
    if kind == "datasets":
        from db.replica.hub_target import HubTarget

        return HubTarget(repo, folder, token)
    from db.replica.bucket_target import BucketTarget

    return BucketTarget(repo, folder, token)


def refuse_public(url: str, private: object) -> None:
    if not private:
        raise UnusableTarget(
            f"{url} is public, and what visitors said must not be: make it private"
        )


def bytes_of(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


@contextmanager
def speaking_to(url: str) -> Iterator[None]:
    """Whatever a library raises on the way becomes TargetDown, but for what is ours.

    Every library has exceptions of its own for a server that is away, a disk that is full and a key
    that is refused, and none of them may end the thread that copies.
    """
    try:
        yield
    except (TargetDown, UnusableTarget, Missing, Taken, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as problem:
        said = str(problem).strip() or type(problem).__name__
        raise TargetDown(f"{url}: {said}") from problem
