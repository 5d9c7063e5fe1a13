"""Places for a copy: the same promises from a folder, S3, the Hub, and what fsspec offers."""

import os
import uuid
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
from huggingface_hub import HfApi, close_session
from huggingface_hub.errors import EntryNotFoundError

from db.replica.bucket_target import BucketTarget
from db.replica.folder_target import FolderTarget
from db.replica.fsspec_target import FsspecTarget, without_password
from db.replica.hub_target import HubTarget
from db.replica.targets import Missing, Taken, TargetDown, UnusableTarget, open_target
from feedback.erase import erase
from tests.hub_stand_in import Hub, Repository, hub_stand_in
from tests.replicas import CANARY, contents, open_copied, pictures_of


class Bucket:
    """The calls of huggingface_hub for a bucket, over a dictionary."""

    def __init__(self, private: bool = True) -> None:
        self.files: dict[str, bytes] = {}
        self.private = private

    def create_bucket(self, bucket, *, private, exist_ok):
        assert private and exist_ok

    def bucket_info(self, bucket):
        return SimpleNamespace(private=self.private)

    def list_bucket_tree(self, bucket, prefix, *, recursive):
        found = [path for path in self.files if path.startswith(prefix)]
        return [SimpleNamespace(type="file", path=path) for path in found]

    def batch_bucket_files(self, bucket, *, add=(), delete=()):
        for content, path in add:
            self.files[path] = Path(content).read_bytes() if isinstance(content, Path) else content
        for path in delete:
            self.files.pop(path, None)

    def download_bucket_files(self, bucket, files, *, raise_on_missing_files):
        for path, place in files:
            if path not in self.files:
                raise EntryNotFoundError(path)
            Path(place).write_bytes(self.files[path])


@pytest.fixture(scope="module")
def hub():
    with hub_stand_in("token") as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # it is this machine
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        close_session()
        yield hub
    close_session()


@pytest.fixture(scope="module")
def s3():
    """A server that speaks S3, with an empty bucket."""
    moto_server = pytest.importorskip("moto.server")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("visitors")
        yield "s3://visitors/copy"
    server.stop()


def hub_target(hub: Hub, repo: str = "") -> HubTarget:
    target = HubTarget(repo or f"ann/{uuid.uuid4().hex}", "copy", "token")
    target.api = HfApi(endpoint=hub.url, token="token")
    return target


def bucket_target(bucket: Bucket) -> BucketTarget:
    target = BucketTarget("ann/bucket", "copy", "token")
    target.api = bucket
    return target


@pytest.fixture(params=["folder", "memory", "s3", "hub", "bucket"])
def target(request, quick_path):
    if request.param == "folder":
        return FolderTarget(quick_path)
    if request.param == "memory":
        return open_target(f"memory://{uuid.uuid4()}/copy")
    if request.param == "s3":
        return open_target(request.getfixturevalue("s3"))
    if request.param == "hub":
        return hub_target(request.getfixturevalue("hub"))
    return bucket_target(Bucket())


def test_every_place_keeps_its_promises(target, quick_path):
    """One test and not six, for a server is slow to ask."""
    assert target.names("data") == []
    with pytest.raises(Missing):
        target.read("log/0000000001.json")

    large = quick_path / "large"
    large.write_bytes(os.urandom(300_000))
    target.put({"data/b/2": b"two", "data/a": large, "media/x": b""})
    assert target.names("data") == ["data/a", "data/b/2"]
    assert target.read("data/a") == large.read_bytes()
    assert target.read("data/b/2") == b"two"

    target.put({"data/b/2": b"zwei"})
    assert target.read("data/b/2") == b"zwei"

    target.commit({"data/c": b"three"}, "log/0000000001.json", b"mark")
    assert target.read("data/c") == b"three"
    assert target.read("log/0000000001.json") == b"mark"
    with pytest.raises(Taken):
        target.commit({"data/d": b"four"}, "log/0000000001.json", b"another mark")
    assert target.read("log/0000000001.json") == b"mark"
    target.commit({"data/c": b"three"}, "log/0000000001.json", b"mark")  # the answer was lost

    target.remove(["data/a", "data/b/2", "data/never"])
    target.purge()
    assert target.names("data") in (["data/c"], ["data/c", "data/d"])
    assert target.names("media") == ["media/x"]


def test_a_folder_shows_no_half_written_file(quick_path):
    target = FolderTarget(quick_path)
    (quick_path / "log").mkdir()
    (quick_path / "log" / ".half.partial").write_bytes(b"ha")

    assert target.names("log") == []
    target.purge()
    assert list((quick_path / "log").iterdir()) == []


def test_a_folder_without_hard_links_takes_a_mark_once_too(quick_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", no_links)
    target = FolderTarget(quick_path)
    target.commit({}, "log/0000000001.json", b"mark")

    with pytest.raises(Taken):
        target.commit({}, "log/0000000001.json", b"another")
    assert target.read("log/0000000001.json") == b"mark"


def test_a_disk_that_is_full_or_away_is_a_target_that_is_down(quick_path):
    target = FolderTarget(quick_path / "target")

    for use in (lambda: target.names("log"), lambda: target.put({"data/a": b"a"})):
        with pytest.raises(TargetDown, match="is its disk mounted"):
            use()
    (quick_path / "target").mkdir()
    (quick_path / "target" / "data").write_text("a file where a folder should be")
    with pytest.raises(TargetDown, match="File exists|Not a directory"):
        target.put({"data/a": b"a"})


def test_a_server_that_is_away_is_a_target_that_is_down(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)

    with pytest.raises(TargetDown, match="s3://somewhere/copy"):
        FsspecTarget("s3://somewhere/copy").names("log")


def test_another_commit_between_looking_and_writing_does_not_lose_ours(hub):
    target = hub_target(hub)

    def interfere(repository):
        files = repository.at("main").files
        repository.add("theirs", files | {"copy/data/theirs": b"theirs"})

    target.names("log")
    hub.before_commit = interfere
    target.commit({"data/ours": b"ours"}, "log/0000000001.json", b"mark")

    assert target.names("data") == ["data/ours", "data/theirs"]


def test_a_mark_of_another_that_comes_in_between_is_noticed(hub):
    target = hub_target(hub)

    def interfere(repository):
        files = repository.at("main").files
        repository.add("theirs", files | {"copy/log/0000000001.json": b"theirs"})

    target.names("log")
    hub.before_commit = interfere
    with pytest.raises(Taken):
        target.commit({"data/ours": b"ours"}, "log/0000000001.json", b"ours")
    assert target.read("log/0000000001.json") == b"theirs"
    assert target.names("data") == []


def test_what_is_removed_from_the_hub_is_not_in_its_history(hub):
    target = hub_target(hub)
    large, other = os.urandom(5_000), os.urandom(5_000)
    target.put({"data/a": b"canary", "media/large": large})
    target.put({"data/b": b"b", "media/other": other})
    target.remove(["data/a", "media/large"])
    repository = hub.repositories[target.repo]
    assert large in hub.large.values() and len(repository.commits) > 1
    repository.large["0" * 64], hub.large["0" * 64] = "theirs/large", b"of somebody else"
    for _ in range(2):  # the second time there is nothing left to do
        target.purge()

        [commit] = repository.commits
        assert {"copy/data/b", "copy/media/other"} == {
            name for name in commit.files if name.startswith("copy/")
        }
        assert large not in hub.large.values() and other in hub.large.values()
        assert "0" * 64 in hub.large
    assert target.read("media/other") == other


def test_a_history_that_was_not_cut_is_cut_by_the_next_process(hub, quick_path, monkeypatch):
    """It dies when the files are removed from the last commit, and not yet from those before."""
    target = hub_target(hub)
    copied = open_copied(quick_path / "first", target)
    copied.fill("ann", CANARY)
    copied.copy()
    copied.write(lambda session: erase(session, "ann"))
    with monkeypatch.context() as patch, pytest.raises(TargetDown):
        patch.setattr(target.api, "super_squash_history", away)
        copied.copy()
    copied.close()
    again = open_copied(quick_path / "first", target)
    repository = hub.repositories[target.repo]
    assert len(repository.commits) > 1 and again.shipper.state.erases
    again.copy()

    assert not again.shipper.state.erases
    kept = {name for commit in repository.commits for name in commit.files if "/data/" in name}
    [segment] = again.shipper.newest.mark.segments
    assert kept == {f"copy/{segment.name}"}
    again.close()


def away(*_args, **_given):
    raise OSError("away")


def test_a_public_place_is_refused(hub):
    target = hub_target(hub)
    hub.repositories[target.repo] = Repository(private=False)
    hub.repositories[target.repo].add("initial commit", {})
    with pytest.raises(UnusableTarget, match="is public"):
        target.names("log")
    with pytest.raises(UnusableTarget, match="is public"):
        bucket_target(Bucket(private=False)).names("log")


def test_a_file_of_another_in_a_bucket_is_no_mark_of_ours():
    bucket = Bucket()
    target = bucket_target(bucket)
    bucket.files["copy/log/0000000001.json"] = b"theirs"

    with pytest.raises(Taken):
        target.commit({}, "log/0000000001.json", b"ours")


@pytest.mark.parametrize(
    ("url", "kind", "place"),
    [
        ("/mnt/copy", FolderTarget, "/mnt/copy"),
        ("file:///mnt/copy", FolderTarget, "/mnt/copy"),
        ("hf://datasets/ann/copy", HubTarget, "hf://datasets/ann/copy"),
        ("hf://datasets/ann/copy/a/b", HubTarget, "hf://datasets/ann/copy/a/b"),
        ("hf://buckets/ann/copy/a", BucketTarget, "hf://buckets/ann/copy/a"),
        ("memory://copy", FsspecTarget, "memory://copy"),
    ],
)
def test_a_url_names_its_place(url, kind, place):
    target = open_target(url, "token")

    assert isinstance(target, kind)
    assert target.url == place


@pytest.mark.parametrize("url", ["hf://ann/copy", "hf://datasets/copy", "nothing://x"])
def test_a_url_that_names_no_place_is_refused(url):
    with pytest.raises(UnusableTarget, match="hf://|nothing://"):
        open_target(url)


def test_a_password_in_a_url_is_not_shown():
    assert without_password("sftp://ann:secret@host/copy") == "sftp://host/copy"
    assert without_password("s3://bucket/copy") == "s3://bucket/copy"


def test_a_bucket_that_keeps_old_versions_is_warned_of_once(s3, caplog):
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    files.mkdir("versioned")
    files.make_bucket_versioned("versioned")
    plain, versioned = open_target(s3), open_target("s3://versioned/copy")
    for target in (plain, versioned, versioned):
        target.put({"data/a": b"a"})
        target.remove(["data/a"])
        target.purge()

    [warning] = [record.getMessage() for record in caplog.records if "versions" in record.msg]
    assert warning.startswith("s3://versioned/copy keeps old versions")


@pytest.mark.parametrize("kind", ["s3", "hub", "bucket"])
def test_a_database_goes_there_and_comes_back(kind, request, hub, quick_path):
    if kind == "s3":
        target = open_target(f"{request.getfixturevalue('s3')}/{uuid.uuid4()}")
    else:
        target = hub_target(hub) if kind == "hub" else bucket_target(Bucket())
    copied = open_copied(quick_path / "first", target)
    copied.fill("ann")
    copied.copy()
    copied.fill("bob", colour="blue")
    hashes = copied.write(lambda session: erase(session, "ann"))
    copied.write(lambda session: copied.media.drop_unused(session, hashes))
    copied.copy()
    again = open_copied(quick_path / "second", target)

    assert contents(again.database) == contents(copied.database)
    assert pictures_of(again.media) == pictures_of(copied.media)
    assert len(target.names("log")) == 2 and len(target.names("media")) == 1
    copied.close()
    again.close()
