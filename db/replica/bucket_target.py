"""A copy in a private storage bucket of the Hugging Face Hub, by its API.

A bucket has no history, so what is removed is gone; but it cannot be asked to create a file only if
there is none. Whether a mark is ours is looked at before and after.
"""

import tempfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars

from db.replica.targets import Content, Missing, Taken, refuse_public, speaking_to

REMOVED_AT_ONCE = 500


class BucketTarget:
    """Files in a bucket, which is made private where there is none."""

    least_seconds = 0.0

    def __init__(self, bucket: str, folder: str, token: str) -> None:
        self.bucket = bucket
        self.folder = f"{folder}/" if folder else ""
        self.url = f"hf://buckets/{bucket}" + (f"/{folder}" if folder else "")
        self.api = HfApi(token=token or None)
        self.ready = False
        disable_progress_bars("huggingface_hub")

    def names(self, folder: str) -> list[str]:
        with speaking_to(self.url):
            self._make_ready()
            tree = self.api.list_bucket_tree(self.bucket, f"{self.folder}{folder}", recursive=True)
            try:
                paths = [entry.path for entry in tree if entry.type == "file"]
            except EntryNotFoundError:
                return []
            return sorted(path.removeprefix(self.folder) for path in paths)

    def read(self, name: str) -> bytes:
        with speaking_to(self.url), tempfile.TemporaryDirectory() as place:
            self._make_ready()
            path = Path(place) / "file"
            try:
                self.api.download_bucket_files(
                    self.bucket, [(self.folder + name, path)], raise_on_missing_files=True
                )
            except EntryNotFoundError:
                raise Missing(name) from None
            return path.read_bytes()

    def put(self, files: Mapping[str, Content]) -> None:
        with speaking_to(self.url):
            self._make_ready()
            added: list[tuple[str | Path | bytes, str]] = [
                (content, self.folder + name) for name, content in files.items()
            ]
            if added:
                self.api.batch_bucket_files(self.bucket, add=added)

    def commit(self, files: Mapping[str, Content], mark: str, content: bytes) -> None:
        self.put(files)
        with speaking_to(self.url):
            if mark not in self.names(mark.rpartition("/")[0]):
                self.put({mark: content})
            if self.read(mark) != content:
                raise Taken(mark)

    def remove(self, names: Iterable[str]) -> None:
        left = iter([self.folder + name for name in names])
        with speaking_to(self.url):
            while some := list(islice(left, REMOVED_AT_ONCE)):
                self.api.batch_bucket_files(self.bucket, delete=some)

    def purge(self) -> None:
        pass  # there is no history

    def _make_ready(self) -> None:
        if self.ready:
            return
        self.api.create_bucket(self.bucket, private=True, exist_ok=True)
        refuse_public(self.url, self.api.bucket_info(self.bucket).private)
        self.ready = True
