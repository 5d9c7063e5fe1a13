"""Exports brought elsewhere: whole or not to be seen, once, and the same when they are there."""

import hashlib
import json
import logging
from pathlib import Path

import fsspec
import huggingface_hub.constants
import pytest
import typer
from huggingface_hub.utils import close_session, disable_progress_bars
from typer.testing import CliRunner

from db.engine import Database
from db.media import MediaStore
from db.migrate import migrate
from feedback import push as pushing
from feedback.ledger import NoExport
from feedback.push import push
from feedback.push_hub import PublicRepository
from feedback.push_patience import Patience, PushFailed, TargetTaken
from feedback.whole_export import DamagedExport, label, read_whole
from tests.exporting import exported
from tests.factories import drawn, make_pictures, make_visitor, rate
from tests.hub_stand_in import Fault, Repository, hub_stand_in

QUICK = Patience(tries=6, first=0.01, longest=0.02)
REPOSITORY = "hf://datasets/ann/poems"
TOKEN = "hf_canary7f3a9canary"


def made(folder, *, version=1, name="poems", **files):
    """An export as it stands on disk, of small files, a large one, and one in a subfolder."""
    contents = {
        "README.md": b"---\nlicense: other\n---\n",
        "train.jsonl": b'{"prompt":"snow"}\n' * 200,
        "images/a.png": drawn("red"),
        **files,
    }
    folder.mkdir(parents=True)

    def entry(data):
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    beside = {name: data for name, data in contents.items() if "/" in name}
    listed = [json.dumps({"name": name, **entry(data)}) for name, data in beside.items()]
    contents["files.jsonl"] = "\n".join(listed).encode() + b"\n"
    for path, data in contents.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
    manifest = {
        "name": name,
        "version": version,
        "rows": 200,
        "files": {path: entry(data) for path, data in contents.items() if "/" not in path},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def poems(tmp_path):
    return made(tmp_path / "exports" / "poems")


# What a whole export is


def test_an_export_of_the_app_is_whole(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    media = MediaStore(tmp_path / "media")

    def work(session):
        ann = make_visitor(session)
        [picture] = make_pictures(session, media, ann)
        rate(session, ann, picture, "thumb", 1)

    database.write(work)
    exported(database, tmp_path / "out", "captions", name="pictures", media=media)
    whole = read_whole(tmp_path / "out", pushing.version_in_ledger(database, tmp_path / "out"))
    database.close()

    assert whole.label == "pictures@1"
    assert {file.name for file in whole.files} | {"manifest.json"} == set(contents(whole.folder))


def test_an_unfinished_or_damaged_folder_is_refused(poems, tmp_path):
    with pytest.raises(NoExport, match="no manifest.json"):
        push(tmp_path, "memory://nowhere")
    (poems / "images" / "a.png").write_bytes(b"changed")
    with pytest.raises(DamagedExport, match="a.png is not the file"):
        push(poems, "memory://nowhere")
    (poems / "images" / "a.png").unlink()
    with pytest.raises(DamagedExport, match="a.png is missing"):
        push(poems, "memory://nowhere")
    (poems / "manifest.json").write_text('{"name": 1}')
    with pytest.raises(DamagedExport, match="no manifest of an export"):
        push(poems, "memory://nowhere")


def test_a_manifest_cannot_name_files_outside_its_folder(tmp_path):
    outside = made(tmp_path / "poems")
    manifest = json.loads((outside / "manifest.json").read_text())
    manifest["files"]["../secret"] = {"bytes": 1, "sha256": "0" * 64}
    (outside / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(DamagedExport, match="outside of itself"):
        read_whole(outside)


def test_labels_are_tags_that_git_takes():
    assert label("poems", "3") == "poems@3"
    assert label("my poems/雪 ~^:?*[..lock", "1") == "my-poems-雪-.lock@1"
    assert label("///", "2") == "export@2"


# Folders, and storage by URL


@pytest.mark.parametrize("target", ["folder", "file", "memory"])
def test_it_is_brought_whole_once_and_found_the_next_time(poems, tmp_path, target):
    (poems / "notes.txt").write_text("not part of it")
    where = {"folder": str(tmp_path / "there"), "file": f"file://{tmp_path}/there"}.get(
        target, f"memory://{tmp_path.name}/there"
    )
    assert push(poems, where).new is True
    assert push(poems, where).new is False
    made_again = made(tmp_path / "exports" / "next", version=2)
    assert push(made_again, where).new is True

    wanted = contents(poems)
    del wanted["notes.txt"]
    if target == "memory":
        store = fsspec.filesystem("memory")
        start = f"/{tmp_path.name}/there/poems@1/"
        there = {path[len(start) :]: store.cat(path) for path in store.find(start)}
    else:
        there = contents(tmp_path / "there" / "poems@1")
    assert there == wanted


@pytest.mark.parametrize("target", ["folder", "memory"])
def test_another_export_of_that_name_and_version_is_never_overwritten(poems, tmp_path, target):
    where = str(tmp_path / "there") if target == "folder" else f"memory://{tmp_path.name}/there"
    push(poems, where)
    other = made(tmp_path / "other", **{"train.jsonl": b'{"prompt":"rain"}\n'})

    with pytest.raises(TargetTaken, match="another export stands"):
        push(other, where)


def test_a_folder_with_other_things_in_it_is_left_alone(poems, tmp_path):
    fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/poems@1/mine.txt", b"precious")

    with pytest.raises(TargetTaken, match="mine.txt"):
        push(poems, f"memory://{tmp_path.name}")
    (tmp_path / "there" / "poems@1").mkdir(parents=True)
    (tmp_path / "there" / "poems@1" / "mine.txt").write_text("precious")
    with pytest.raises(TargetTaken, match="not empty"):
        push(poems, str(tmp_path / "there"))


def test_a_copy_that_was_damaged_later_is_mended_or_told(poems, tmp_path):
    push(poems, f"memory://{tmp_path.name}")
    store = fsspec.filesystem("memory")
    place = f"/{tmp_path.name}/poems@1/train.jsonl"
    store.pipe(place, store.cat(place).replace(b"snow", b"rain"))
    assert push(poems, f"memory://{tmp_path.name}", compare="sizes").new is False
    assert push(poems, f"memory://{tmp_path.name}").new is True
    assert store.cat(place) == (poems / "train.jsonl").read_bytes()

    push(poems, str(tmp_path / "there"))
    (tmp_path / "there" / "poems@1" / "train.jsonl").write_text("rain")
    with pytest.raises(TargetTaken, match="damaged"):
        push(poems, str(tmp_path / "there"))


def test_storage_that_nobody_knows_is_told(poems):
    with pytest.raises(PushFailed, match="Protocol not known: nosuch"):
        push(poems, "nosuch://bucket")


# S3


@pytest.fixture
def s3(s3_server, monkeypatch):
    """The server, with an empty bucket, and s3fs without any patience of its own."""
    import s3fs

    s3_server.be_well()
    options = {
        "key": "test",
        "secret": "test",
        "endpoint_url": s3_server.url,
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    monkeypatch.setitem(fsspec.config.conf, "s3", options)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    store = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    if not store.exists("exports"):
        store.mkdir("exports")
    s3_server.store = store
    return s3_server


def test_s3_gets_it_in_spite_of_errors_and_dropped_connections(s3, poems, tmp_path):
    target = f"s3://exports/{tmp_path.name}"
    s3.faults = [
        ("GET", "exports", 503),  # the first listing
        ("PUT", "train.jsonl", 500),
        ("PUT", "a.png", "drop"),
        ("GET", "README.md", "drop"),
        ("PUT", "manifest.json", 503),
    ]
    assert push(poems, target, patience=QUICK).new is True
    assert s3.faults == []
    writes = [path for method, path in s3.seen if method == "PUT"]
    assert [path.endswith("manifest.json") for path in writes].index(True) >= len(writes) - 2

    place = f"exports/{tmp_path.name}/poems@1"
    there = {path[len(place) + 1 :]: s3.store.cat(path) for path in s3.store.find(place)}
    assert there == contents(poems)
    before = len(writes)
    assert push(poems, target, patience=QUICK).new is False
    assert len([path for method, path in s3.seen if method == "PUT"]) == before


def test_what_s3_never_takes_is_not_seen_as_whole_and_can_be_gone_on_with(s3, poems, tmp_path):
    target, place = f"s3://exports/{tmp_path.name}", f"exports/{tmp_path.name}/poems@1"
    s3.broken = ("PUT", "train.jsonl")
    with pytest.raises(PushFailed, match="did not work in 3 tries"):
        push(poems, target, patience=Patience(3, 0.01, 0.02))
    assert not s3.store.exists(f"{place}/manifest.json")
    assert s3.store.exists(f"{place}/README.md")

    s3.broken = None
    s3.seen.clear()
    assert push(poems, target, patience=QUICK).new is True
    sent = {path.rpartition("/")[2] for method, path in s3.seen if method == "PUT"}
    assert "README.md" not in sent
    assert {"train.jsonl", "manifest.json"} <= sent


def test_a_bucket_that_is_not_there_is_told_at_once(s3, poems):
    with pytest.raises(PushFailed, match="refuses"):
        push(poems, "s3://no-such-bucket/poems", patience=Patience(100, 60, 60))


# The Hub


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    disable_progress_bars()
    with hub_stand_in(TOKEN) as hub:
        yield hub
    close_session()


def to_hub(hub, folder, **options):
    return push(folder, REPOSITORY, token=TOKEN, endpoint=hub.url, patience=QUICK, **options)


def test_the_hub_gets_a_private_repository_with_one_commit_and_a_tag(hub, poems):
    assert to_hub(hub, poems).new is True
    repository = hub.repositories["ann/poems"]
    head = repository.at("poems@1")

    assert repository.private is True
    assert len(repository.commits) == 2
    assert head.files == {**contents(poems), ".gitattributes": b"*.parquet filter=lfs\n"}
    sha256 = hashlib.sha256((poems / "manifest.json").read_bytes()).hexdigest()
    assert head.message == f"poems@1, manifest sha256 {sha256}"
    assert hub.large  # one file went the way of large files

    assert to_hub(hub, poems).new is False
    assert len(repository.commits) == 2


def test_the_next_version_replaces_the_files_and_leaves_the_tag_of_the_first(hub, poems, tmp_path):
    to_hub(hub, poems)
    second = made(tmp_path / "second", version=2, **{"images/b.png": drawn("blue")})
    manifest = json.loads((second / "manifest.json").read_text())
    del manifest["files"]["README.md"]
    (second / "manifest.json").write_text(json.dumps(manifest))
    to_hub(hub, second)
    repository = hub.repositories["ann/poems"]

    assert "README.md" not in repository.at("main").files
    assert "images/b.png" in repository.at("poems@2").files
    assert "README.md" in repository.at("poems@1").files
    assert to_hub(hub, poems).new is False  # and does not bring the first back
    assert "images/b.png" in repository.at("main").files


def test_a_tag_of_another_export_is_never_moved(hub, poems, tmp_path):
    to_hub(hub, poems)
    other = made(tmp_path / "other", **{"train.jsonl": b"{}\n"})

    with pytest.raises(TargetTaken, match="under the tag poems@1"):
        to_hub(hub, other)
    assert len(hub.repositories["ann/poems"].commits) == 2


def test_what_is_public_gets_nothing(hub, poems):
    hub.repositories["ann/poems"] = open_one = Repository(private=False)
    open_one.add("initial commit", {})

    with pytest.raises(PublicRepository, match="make it private"):
        to_hub(hub, poems)
    assert len(open_one.commits) == 1


def test_errors_dropped_connections_and_lost_answers_end_in_one_commit(hub, poems):
    hub.faults = [
        Fault("GET", "/api/datasets/ann/poems$", 500),
        Fault("POST", "/repos/create", "lose"),
        Fault("POST", "/validate-yaml", 502),  # answered by a page that is no JSON
        Fault("GET", "/refs", 429),
        Fault("POST", "/batch", "drop"),
        Fault("POST", "/commit/", "drop"),
        Fault("POST", "/commit/", "lose"),
        Fault("POST", "/tag/", 503),
    ]
    assert to_hub(hub, poems).new is True
    repository = hub.repositories["ann/poems"]

    assert hub.faults == []
    assert len(repository.commits) == 2
    assert list(repository.tags) == ["poems@1"]
    assert repository.at("poems@1").files.items() >= contents(poems).items()


def test_somebody_who_commits_meanwhile_is_seen(hub, poems):
    to_hub(hub, poems)
    repository = hub.repositories["ann/poems"]
    repository.tags.clear()
    hub.faults = [Fault("POST", "/commit/", 412)]
    repository.add("by hand", {**repository.at("main").files, "train.jsonl": b"spoilt"})

    assert to_hub(hub, poems).new is True
    assert repository.at("main").files["train.jsonl"] == (poems / "train.jsonl").read_bytes()


def test_a_push_that_breaks_off_shows_nothing_and_can_be_gone_on_with(hub, poems):
    hub.faults = [Fault("POST", "/commit/", 500) for _ in range(3)]
    with pytest.raises(PushFailed, match="3 tries; the last time: HfHubHTTPError: .*500"):
        push(poems, REPOSITORY, token=TOKEN, endpoint=hub.url, patience=Patience(3, 0.01, 0.02))
    assert set(hub.repositories["ann/poems"].at("main").files) == {".gitattributes"}

    hub.asked.clear()
    assert to_hub(hub, poems).new is True
    assert not [path for method, path in hub.asked if method == "PUT"]  # it is there already


def test_a_wrong_token_is_told_at_once_and_no_token_is_ever_shown(hub, poems, caplog):
    caplog.set_level(logging.DEBUG)
    patience = Patience(100, 60, 60)
    with pytest.raises(PushFailed, match="the Hub refuses: .*401") as refused:
        push(poems, REPOSITORY, token="hf_wrong1234", endpoint=hub.url, patience=patience)
    to_hub(hub, poems)

    assert "hf_wrong1234" not in str(refused.value) + caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("target", ["hf://ann/poems", "hf://datasets/ann", "hf://models/a/b"])
def test_only_dataset_repositories_are_targets(poems, target):
    with pytest.raises(PushFailed, match="hf://datasets/OWNER/NAME"):
        push(poems, target)


def test_without_the_network_it_says_so(poems):
    with pytest.raises(PushFailed, match="offline mode"):
        push(poems, REPOSITORY, token=TOKEN, endpoint="http://127.0.0.1:9", patience=QUICK)


# The command


def run(*arguments):
    app = typer.Typer()
    app.command()(pushing.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_says_what_was_brought_and_that_it_is_there(poems, tmp_path, monkeypatch):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path))
    first, again = (run(poems, tmp_path / "there") for _ in range(2))

    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.output.startswith("Brought poems@1 at ")
    assert again.output.startswith("Found poems@1 at ")
    assert "200 rows, 5 files" in again.output


def test_the_command_refuses_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path))
    outcome = run(tmp_path, tmp_path / "there")

    assert outcome.exit_code == 1
    assert "holds no finished export" in outcome.output
    assert not Path(tmp_path / "there").exists()


def test_a_password_in_a_url_is_not_shown():
    assert pushing.without_password("sftp://ann:secret@host/a@b") == "sftp://host/a@b"
