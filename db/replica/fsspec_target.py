"""A copy behind any URL that fsspec knows: S3 and what speaks like it, Google, Azure, SFTP …"""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import fsspec

from db.replica.targets import (
    Content,
    Missing,
    Taken,
    TargetDown,
    UnusableTarget,
    bytes_of,
    speaking_to,
)

log = logging.getLogger(__name__)

AT_ONCE = 16_000_000  # bytes that are held in memory to be sent together
REMOVED_AT_ONCE = 16  # requests


@dataclass(frozen=True)
class Patience:
    """How long S3 is waited for."""

    connect: float  # seconds
    read: float  # seconds
    attempts: int  # further ones of each request
    tries: int  # of all these attempts, where a server is silent or asks for less haste


PATIENCE = Patience(connect=5, read=30, attempts=2, tries=5)  # and the replicator tries on and on


class FsspecTarget:
    """Files below a URL. What the server needs to know us by comes from its own variables."""

    least_seconds = 0.0

    def __init__(self, url: str, patience: Patience = PATIENCE) -> None:
        self.url = without_password(url)
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        on_s3 = url.startswith(("s3://", "s3a://"))
        if on_s3:
            options["config_kwargs"] = {
                "connect_timeout": patience.connect,
                "read_timeout": patience.read,
                "retries": {"max_attempts": patience.attempts},
            }
        try:
            self.files, self.root = fsspec.core.url_to_fs(url.rstrip("/"), **options)
        except ImportError as problem:
            raise UnusableTarget(
                f"{self.url}: {problem} (for s3:// there is requirements-s3.txt)"
            ) from problem
        except ValueError as problem:
            raise UnusableTarget(f"{self.url}: {problem}") from problem
        self.warned = False
        self.asynchronous = bool(getattr(self.files, "async_impl", False))
        if on_s3:
            self.files.retries = patience.tries

    def check(self) -> None:
        """Raise TargetDown where the bucket, or the folder of a place that has folders, is away.

        A file that is not there is told apart from that by this alone.
        """
        place = self.root.partition("/")[0] if self.asynchronous else self.root
        with speaking_to(self.url):
            if not self.files.exists(place):
                raise TargetDown(f"{self.url}: {place} is not there, or cannot be reached")

    def size(self, name: str) -> int | None:
        """How many bytes a file has; None where there is none."""
        with speaking_to(self.url):
            try:
                return int(self.files.info(f"{self.root}/{name}")["size"])
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        with speaking_to(self.url):
            self.files.invalidate_cache()
            try:
                found = self.files.find(f"{self.root}/{folder}".rstrip("/"))
            except FileNotFoundError:
                return []
            return sorted(path[len(self.root) + 1 :] for path in found)

    def read(self, name: str) -> bytes:
        with speaking_to(self.url):
            try:
                content: bytes = self.files.cat_file(f"{self.root}/{name}")
            except FileNotFoundError:
                raise Missing(name) from None
            return content

    def put(self, files: Mapping[str, Content]) -> None:
        together: dict[str, bytes] = {}
        size = 0
        for name, content in files.items():
            data = bytes_of(content)
            together[f"{self.root}/{name}"] = data
            size += len(data)
            if size > AT_ONCE:
                self._send(together)
                together, size = {}, 0
        self._send(together)

    def _send(self, files: dict[str, bytes]) -> None:
        with speaking_to(self.url):
            self._make_folders(files)
            if files:
                self.files.pipe(files)

    def _make_folders(self, paths: Iterable[str]) -> None:
        if not self.asynchronous:  # those have no folders, only names
            for folder in {path.rpartition("/")[0] for path in paths}:
                self.files.makedirs(folder, exist_ok=True)

    def commit(self, files: Mapping[str, Content], mark: str, content: bytes) -> None:
        self.put(files)
        with speaking_to(self.url):
            place = f"{self.root}/{mark}"
            self._make_folders([place])
            with suppress(FileExistsError):
                self.files.pipe_file(place, content, mode="create")
            # Not every server knows how to create a file only if there is none: look at it.
            if self.files.cat_file(place) != content:
                raise Taken(mark)

    def remove(self, names: Iterable[str]) -> None:
        paths = [f"{self.root}/{name}" for name in names]
        if paths:
            self._remove(paths)

    def purge(self) -> None:
        """Say once that a bucket with versions forgets nothing."""
        if self.warned:
            return
        self.warned = True
        if self.keeps_versions():
            log.warning(
                "%s keeps old versions of its files, and with them what visitors erase: let a "
                "lifecycle rule of the bucket remove versions that are not current",
                self.url,
            )

    def keeps_versions(self) -> bool:
        """Whether what is removed can still be found; only S3 tells."""
        versioned = getattr(self.files, "is_bucket_versioned", None)
        with speaking_to(self.url):
            return versioned is not None and bool(versioned(self.root.partition("/")[0]))

    def _remove(self, paths: list[str]) -> None:
        """One by one: s3fs removes many with one call, and keeps silent about what was refused."""
        with speaking_to(self.url):
            if self.asynchronous:
                with ThreadPoolExecutor(REMOVED_AT_ONCE) as threads:
                    list(threads.map(self._remove_one, paths))
            else:
                for path in paths:
                    self._remove_one(path)

    def _remove_one(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.files.rm_file(path)


def without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
