"""Bring an export to a private dataset repository of the Hugging Face Hub, in one commit.

A commit appears whole or not at all. It is tagged NAME@VERSION, so that a version can be loaded for
ever, whatever is pushed later: `load_dataset(repository, revision="NAME@VERSION")`.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from feedback.push_patience import Patience, PushFailed, TargetTaken, brief, patiently
from feedback.whole_export import ExportFile, WholeExport

REPOSITORY = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)/?")
# Also the answers that say that somebody else has just committed.
PASSING = (408, 409, 412, 425, 429, 500, 502, 503, 504)
OF_THE_HUB = {".gitattributes"}  # what it keeps in every repository


class PublicRepository(PushFailed):
    """The repository is open to everybody; what visitors said is not for everybody."""


class Incomplete(OSError):
    """The commit does not hold what was sent."""


def may_pass(error: BaseException | None) -> bool:
    """Whether the same question may have another answer in a moment."""
    if isinstance(error, (OfflineModeIsEnabled, PushFailed, HFValidationError)):
        return False
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    if isinstance(error, json.JSONDecodeError):  # a page of a proxy in place of an answer
        return True
    if isinstance(error, RuntimeError):  # how the library wraps what happens to a large file
        return error.__cause__ is None or may_pass(error.__cause__)
    # Broken connections: the library's HTTP client is its own affair, so by its name.
    return isinstance(error, OSError) or type(error).__module__.split(".")[0].startswith("httpx")


def push_to_hub(
    export: WholeExport,
    repository: str,
    patience: Patience,
    *,
    token: str | None = None,
    endpoint: str | None = None,
) -> bool:
    """Commit and tag the export; False when its tag stands there already and holds the same.

    token: else that of the environment or of `hf auth login`. The main branch then holds this
    export and nothing else. Raises PushFailed, TargetTaken or PublicRepository.
    """
    api = HfApi(endpoint=endpoint, token=token)
    try:
        patiently(patience, may_pass, lambda: make_private(api, repository))
        return patiently(patience, may_pass, lambda: commit(api, repository, export))
    except PushFailed:
        raise
    except (HfHubHTTPError, OfflineModeIsEnabled, RuntimeError, ValueError) as problem:
        raise PushFailed(f"the Hub refuses: {brief(problem)}") from problem


def make_private(api: HfApi, repository: str) -> None:
    """Make the repository, private, unless it is there; one that is there must be private."""
    try:
        there = api.repo_info(repository, repo_type="dataset")
    except RepositoryNotFoundError:
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        there = api.repo_info(repository, repo_type="dataset")
    if there.private is not True:
        raise PublicRepository(
            f"{repository} is public: make it private in its settings, or name another"
        )


def commit(api: HfApi, repository: str, export: WholeExport) -> bool:
    """One try; it looks first at what an earlier one has done, whose answer may have been lost."""
    refs = api.list_repo_refs(repository, repo_type="dataset")
    tags = {tag.name: tag.target_commit for tag in refs.tags}
    if export.label in tags:
        if changes(api, repository, tags[export.label], export):
            raise TargetTaken(f"{repository} has another export under the tag {export.label}")
        return False
    heads = {branch.name: branch.target_commit for branch in refs.branches}
    revision = heads.get("main")
    if operations := changes(api, repository, revision, export):
        revision = api.create_commit(
            repository,
            operations,
            commit_message=f"{export.label}, manifest sha256 {export.manifest.sha256}",
            commit_description=f"{export.rows} rows, {len(export.files)} files",
            repo_type="dataset",
            parent_commit=revision,  # refused if somebody else has committed meanwhile
        ).oid
        if changes(api, repository, revision, export):
            raise Incomplete(f"the commit {revision} is not what was sent")
    api.create_tag(repository, tag=export.label, revision=revision, repo_type="dataset")
    return True


def changes(
    api: HfApi, repository: str, revision: str | None, export: WholeExport
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """What makes the revision hold the export and nothing else; nothing when it does."""
    there: dict[str, Any] = {}
    if revision is not None:
        tree = api.list_repo_tree(
            repository, recursive=True, revision=revision, repo_type="dataset"
        )
        there = {entry.path: entry for entry in tree if hasattr(entry, "blob_id")}
    ours = {file.name: file for file in (*export.files, export.manifest)}
    additions = [
        CommitOperationAdd(name, str(export.path(file)))
        for name, file in ours.items()
        if name not in there or not is_same(there[name], file, export.path(file))
    ]
    deletions = [
        CommitOperationDelete(name) for name in sorted(there.keys() - ours.keys() - OF_THE_HUB)
    ]
    return [*additions, *deletions]


def is_same(remote: Any, file: ExportFile, path: Path) -> bool:
    """By the hashes that the Hub has taken: SHA-256 of large files, git's SHA-1 of others."""
    if remote.lfs is not None:
        return bool(remote.lfs.sha256 == file.sha256)
    if remote.size != file.bytes:
        return False
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return bool(remote.blob_id == blob.hexdigest())
