"""A copy in a private dataset repository of the Hugging Face Hub.

Files and their mark are one commit, which the Hub takes only on top of the commit that we have
seen; so nobody else's mark can come in between.
"""

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from huggingface_hub.utils.tqdm import disable_progress_bars

from db.replica.targets import Content, Missing, Taken, TargetDown, refuse_public, speaking_to

log = logging.getLogger(__name__)

MOVED = (409, 412)  # HTTP: somebody else's commit came first
TRIES = 5
KIND = "dataset"
FOLDERS = ("log", "data", "media")  # of ours

Operation = CommitOperationAdd | CommitOperationDelete


class HubTarget:
    """Files in a dataset repository, which is made private where there is none."""

    # The Hub refuses more than 128 commits an hour to one repository.
    least_seconds = 60.0

    def __init__(self, repo: str, folder: str, token: str) -> None:
        self.repo = repo
        self.folder = f"{folder}/" if folder else ""
        self.url = f"hf://datasets/{repo}" + (f"/{folder}" if folder else "")
        self.api = HfApi(token=token or None)
        self.ready = False
        disable_progress_bars("huggingface_hub")

    def names(self, folder: str) -> list[str]:
        with speaking_to(self.url):
            head = self._head()
            return self._names(folder, head)

    def read(self, name: str) -> bytes:
        with speaking_to(self.url), tempfile.TemporaryDirectory() as place:
            self._make_ready()
            try:  # into a folder of its own, for what is erased must not stay in a cache
                path = self.api.hf_hub_download(
                    self.repo, self.folder + name, repo_type=KIND, local_dir=place
                )
            except EntryNotFoundError:
                raise Missing(name) from None
            return Path(path).read_bytes()

    def put(self, files: Mapping[str, Content]) -> None:
        if files:
            with speaking_to(self.url):
                self._commit(f"{len(files)} files", files, mark=None)

    def commit(self, files: Mapping[str, Content], mark: str, content: bytes) -> None:
        with speaking_to(self.url):
            try:
                self._commit(mark, {**files, mark: content}, mark=mark)
            except Taken:
                if self.read(mark) != content:
                    raise

    def remove(self, names: Iterable[str]) -> None:
        with speaking_to(self.url):
            if not (wanted := set(names)):
                return
            head = self._head()
            gone = [
                CommitOperationDelete(self.folder + name)
                for name in sorted(wanted & self._all_names(head))
            ]
            if gone:
                self._send(f"remove {len(gone)} files", gone, head)

    def purge(self) -> None:
        """Cut the history, and delete the large files of ours that no commit names any more."""
        with speaking_to(self.url):
            self._make_ready()
            self.api.super_squash_history(self.repo, repo_type=KIND)
            there = {self.folder + name for name in self._all_names(self._head())}
            ours = tuple(f"{self.folder}{folder}/" for folder in FOLDERS)
            large = [
                file
                for file in self.api.list_lfs_files(self.repo, repo_type=KIND)
                if file.filename.startswith(ours) and file.filename not in there
            ]
            if large:
                self.api.permanently_delete_lfs_files(self.repo, large, repo_type=KIND)

    def _commit(self, title: str, files: Mapping[str, Content], mark: str | None) -> None:
        """Add the files in one commit; raises Taken when the mark is there."""
        for _ in range(TRIES):
            head = self._head()
            if mark is not None and mark in self._names(mark.rpartition("/")[0], head):
                raise Taken(mark)
            # Made anew each time, for they are changed by what is done with them.
            added = [CommitOperationAdd(self.folder + name, data) for name, data in files.items()]
            try:
                self._send(title, added, head)
            except HfHubHTTPError as problem:
                if problem.response is None or problem.response.status_code not in MOVED:
                    raise
                log.info("%s: another commit came first", self.url)
            else:
                return
        raise TargetDown(f"{self.url}: {TRIES} times another commit came first")

    def _send(self, title: str, operations: Sequence[Operation], head: str) -> None:
        self.api.create_commit(
            self.repo, operations, commit_message=title, repo_type=KIND, parent_commit=head
        )

    def _all_names(self, head: str) -> set[str]:
        return {name for folder in FOLDERS for name in self._names(folder, head)}

    def _names(self, folder: str, head: str) -> list[str]:
        tree = self.api.list_repo_tree(
            self.repo, self.folder + folder, recursive=True, revision=head, repo_type=KIND
        )
        try:
            paths = [entry.path for entry in tree if hasattr(entry, "blob_id")]
        except EntryNotFoundError:
            return []
        return sorted(path.removeprefix(self.folder) for path in paths)

    def _head(self) -> str:
        """The commit that the repository is at."""
        self._make_ready()
        return str(self.api.repo_info(self.repo, repo_type=KIND).sha)

    def _make_ready(self) -> None:
        if self.ready:
            return
        self.api.create_repo(self.repo, repo_type=KIND, private=True, exist_ok=True)
        refuse_public(self.url, self.api.repo_info(self.repo, repo_type=KIND).private)
        self.ready = True
