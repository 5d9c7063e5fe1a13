"""A copy behind any URL that fsspec knows: S3 and what speaks like it, Google, Azure, SFTP …"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import fsspec

from db.replica.targets import Content, Missing, Taken, UnusableTarget, bytes_of, speaking_to

log = logging.getLogger(__name__)

AT_ONCE = 16_000_000  # bytes that are held in memory to be sent together
# Seconds, and tries of a single request; the replicator itself tries again and again.
PATIENCE = {"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 2}}


class FsspecTarget:
    """Files below a URL. What the server needs to know us by comes from its own variables."""

    least_seconds = 0.0

    def __init__(self, url: str) -> None:
        self.url = without_password(url)
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if url.startswith(("s3://", "s3a://")):
            options["config_kwargs"] = PATIENCE
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

    def names(self, folder: str) -> list[str]:
        with speaking_to(self.url):
            self.files.invalidate_cache()
            try:
                found = self.files.find(f"{self.root}/{folder}")
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
        for start in range(0, len(paths), 500):
            self._remove(paths[start : start + 500])

    def purge(self) -> None:
        """Say once that a bucket with versions forgets nothing; other servers tell nothing."""
        versioned = getattr(self.files, "is_bucket_versioned", None)
        if versioned is None or self.warned:
            return
        with speaking_to(self.url):
            self.warned = True
            if versioned(self.root.partition("/")[0]):
                log.warning(
                    "%s keeps old versions of its files, and with them what visitors erase: let a "
                    "lifecycle rule of the bucket remove versions that are not current",
                    self.url,
                )

    def _remove(self, paths: list[str]) -> None:
        with speaking_to(self.url):
            try:
                self.files.rm(paths)
            except FileNotFoundError:
                for path in paths:
                    with suppress(FileNotFoundError):
                        self.files.rm(path)


def without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.username is None and parts.password is None:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
