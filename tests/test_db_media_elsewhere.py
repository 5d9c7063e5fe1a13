"""Pictures in object storage: what a folder promises holds there too, also while it is away."""

import httpx
import pytest
import typer
from sqlalchemy import select
from typer.testing import CliRunner

import db.backup
import db.move_pictures
import db.restore
from db.media import MediaStore
from db.media_elsewhere import name_of, open_media, refuse_inside_copy, small_name
from db.put_back import put_back
from db.replica.targets import TargetDown, UnusableTarget
from db.tables import Generation
from feedback import export as exporting
from feedback.erase import erase
from tests.exporting import rows_of
from tests.factories import drawn, make_generation, make_pictures, make_visitor, rate
from tests.replicas import contents, folder_target, new_database, open_copied
from tests.replicas import rows_of as rows_in
from tests.s3_server import forget_s3fs
from tests.serving import free_port, served
from tests.test_ui_image import draw, kept, picture, visitor
from tests.test_web_api import code_of
from tests.tiny_models import save_text_model
from tests.tiny_pictures import tiny_painter
from tests.web import arrive, client_of, make_app

NOTHING = "0" * 64
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def store(bucket):
    return open_media(bucket)


@pytest.fixture
def client(tmp_path, bucket):
    with client_of(make_app(tmp_path / "data", media_dir=bucket)) as client:
        yield client


def objects(store):
    return store.target.names("")


def run(main, *words):
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, list(map(str, words)))


# The store


def test_a_picture_comes_back_and_goes_with_its_small_version(store):
    sha256 = store.put(drawn("red"))
    assert store.put(drawn("red")) == sha256
    assert (store.has(sha256), store.has(NOTHING)) == (True, False)
    assert store.read(sha256) == drawn("red")
    assert store.lacks([sha256, NOTHING]) == {NOTHING}

    assert store.small(sha256) is None
    store.put_small(sha256, b"small")
    assert store.small(sha256) == b"small"
    assert objects(store) == [name_of(sha256), small_name(sha256)]

    store.remove([sha256, NOTHING])
    assert objects(store) == []
    with pytest.raises(FileNotFoundError):
        store.read(sha256)


def test_a_small_version_of_what_was_erased_meanwhile_does_not_stay(store):
    with pytest.raises(FileNotFoundError):
        store.put_small(NOTHING, b"small")
    assert objects(store) == []


def test_two_apps_share_what_each_of_them_keeps(store, bucket, s3):
    other = open_media(bucket)
    sha256 = store.put(drawn("red"))
    s3.seen.clear()

    assert other.read(sha256) == drawn("red")
    assert other.put(drawn("red")) == sha256
    assert "PUT" not in {method for method, _ in s3.seen}


def test_a_picture_that_was_cut_short_is_written_again(store):
    sha256 = store.put(drawn("red"))
    store.target.put({name_of(sha256): drawn("red")[:20]})
    store.put(drawn("red"))

    assert store.read(sha256) == drawn("red")


def test_only_pictures_that_nothing_refers_to_are_dropped(session, store):
    make_pictures(session, store, pictures=(drawn("red"),))
    make_generation(session)
    used, unused = store.put(drawn("red")), store.put(drawn("blue"))
    store.drop_unused(session, {used, unused, NOTHING})

    assert objects(store) == [name_of(used)]


def test_storage_that_is_away_is_told_from_a_picture_that_is_gone(store, s3):
    sha256 = store.put(drawn("red"))
    s3.away = True
    for question in (store.has, store.read, store.small, lambda one: store.lacks([one])):
        with pytest.raises(TargetDown):
            question(sha256)
    for act in (lambda: store.put(drawn("blue")), lambda: store.remove([sha256]), store.check):
        with pytest.raises(TargetDown):
            act()

    s3.away = False
    assert store.read(sha256) == drawn("red")
    assert objects(store) == [name_of(sha256)]


def test_a_server_that_is_not_there_is_told_in_seconds(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(TargetDown, match="Could not connect"):
        open_media(bucket).put(drawn("red"))


def test_a_bucket_that_is_not_there_is_no_empty_one(s3):
    store = open_media("s3://no-such-bucket/app")

    for act in (store.check, lambda: store.remove([NOTHING]), lambda: store.put(b"")):
        with pytest.raises(TargetDown):
            act()
    for question in (store.has, store.read, lambda one: store.lacks([one])):
        with pytest.raises(TargetDown, match="no-such-bucket is not there"):
            question(NOTHING)


def test_what_the_key_may_not_remove_is_told(store, s3):
    sha256 = store.put(drawn("red"))
    s3.forbidden = {"DELETE"}

    with pytest.raises(TargetDown, match="AccessDenied|Forbidden|reduce"):
        store.remove([sha256])


def test_the_place_may_be_a_path_a_file_url_or_storage_but_not_everything(tmp_path, monkeypatch):
    for place in (str(tmp_path), tmp_path.as_uri()):
        store = open_media(place)
        assert isinstance(store, MediaStore) and store.folder == tmp_path
    assert open_media("memory://me:canary@pictures/app").name == "memory://pictures/app"
    for place in ("hf://datasets/ann/pictures", "gopher://somewhere/else"):
        with pytest.raises(UnusableTarget, match=place.partition(":")[0]):
            open_media(place)

    forget_s3fs(monkeypatch)
    with pytest.raises(UnusableTarget, match=r"requirements-s3\.txt"):
        open_media("s3://pictures/app")


def test_pictures_do_not_lie_where_the_copy_tidies_up(bucket, tmp_path):
    store = open_media(f"{bucket}/media")

    with pytest.raises(UnusableTarget, match="lies inside GENLOOP_REPLICA"):
        refuse_inside_copy(store, f"{bucket}/")
    for other in ("", f"{bucket}/medi", f"{bucket}-copy"):
        refuse_inside_copy(store, other)


# The app


def test_a_picture_from_there_is_given_to_its_visitor_alone(client):
    ann, bob = arrive(client), arrive(client)
    [handle] = ann.draw(drawn("green", 400))
    whole = ann.request("GET", f"/api/media/{handle}")
    small = ann.request("GET", f"/api/media/{handle}?thumb=1")

    assert whole.content == drawn("green", 400)
    assert small.content == ann.request("GET", f"/api/media/{handle}?thumb=1").content
    assert len(small.content) < len(whole.content)
    for answer, kind in ((whole, "png"), (small, "webp")):
        headers = answer.headers
        assert headers["content-type"] == f"image/{kind}"
        assert headers["cache-control"] == "private, max-age=31536000, immutable"
        assert headers["content-disposition"].startswith('inline; filename="genloop-')
        assert headers["x-content-type-options"] == "nosniff"
        assert int(headers["content-length"]) == len(answer.content)
    assert whole.headers["etag"] != small.headers["etag"]
    assert code_of(bob.request("GET", f"/api/media/{handle}")) == (404, "unknown_generation")
    assert code_of(client.get(f"/api/media/{handle}")) == (401, "no_visitor")

    media = client.app.state.services.media
    media.target.remove(objects(media))
    assert code_of(ann.request("GET", f"/api/media/{handle}")) == (404, "no_picture")


@pytest.mark.postgres
def test_replicas_on_one_database_show_each_others_pictures(tmp_path, bucket, postgres_url):
    same = {"media_dir": bucket, "secret": "one secret for all of them"}
    with (
        client_of(make_app(tmp_path / "one", postgres_url, **same)) as one,
        client_of(make_app(tmp_path / "two", postgres_url, **same)) as two,
    ):
        ann = arrive(one)
        [handle] = ann.draw(drawn("red"))
        headers = {"X-GenLoop-Visitor": ann.token}
        assert two.get(f"/api/media/{handle}", headers=headers).content == drawn("red")

        assert two.delete("/api/my", headers=headers).status_code == 204
        assert objects(one.app.state.services.media) == []


def test_storage_that_is_away_is_told_to_visitors_in_their_language(client, s3):
    ann = arrive(client)
    [handle] = ann.draw()
    s3.away = True
    english = ann.request("GET", f"/api/media/{handle}")
    chinese = ann.request("GET", f"/api/media/{handle}", headers={"Accept-Language": "zh"})

    assert code_of(english) == code_of(chinese) == (503, "storage")
    assert "storage cannot be used" in english.json()["error"]["message"]
    assert "存储暂时无法使用" in chinese.json()["error"]["message"]
    assert english.headers["retry-after"] == "5"
    s3.away = False
    assert ann.request("GET", f"/api/media/{handle}").status_code == 200


def test_erasing_removes_the_objects(client):
    ann = arrive(client)
    [red, _] = ann.draw(drawn("red"), drawn("blue"))
    ann.request("GET", f"/api/media/{red}?thumb=1")
    arrive(client).draw(drawn("blue"))
    assert ann.request("DELETE", "/api/my").status_code == 204

    store = client.app.state.services.media
    [left] = objects(store)
    assert store.read(left.rpartition("/")[2]) == drawn("blue")


@pytest.mark.parametrize("fault", ["away", "forbidden"])
def test_nobody_is_erased_whose_pictures_cannot_be_removed(client, s3, fault):
    ann = arrive(client)
    [handle] = ann.draw(drawn("red"))
    setattr(s3, fault, {"DELETE"} if fault == "forbidden" else True)
    assert code_of(ann.request("DELETE", "/api/my")) == (503, "storage")
    assert ann.request("GET", "/api/me").json()["counts"]["generations"] == 1

    s3.be_well()
    assert ann.request("GET", f"/api/media/{handle}").content == drawn("red")
    assert ann.request("DELETE", "/api/my").status_code == 204
    assert objects(client.app.state.services.media) == []


def test_who_has_no_pictures_is_erased_while_storage_is_away(client, s3):
    ann = arrive(client)
    ann.make()
    s3.away = True

    assert ann.request("DELETE", "/api/my").status_code == 204


@pytest.mark.slow
def test_a_picture_that_cannot_be_kept_is_no_row_and_no_silence(tmp_path, bucket, s3):
    with served(
        tmp_path / "data",
        surroundings=s3.environment,
        text_models=str(save_text_model(tmp_path / "tiny")),
        image_models=str(tiny_painter(tmp_path / "painter")),
        vae_models="",
        rate_limits="false",
        torch_threads="1",
        media_dir=bucket,
    ) as app:
        ann, headers = visitor(app, language="zh")
        [draft] = draw(ann, seed=1)[-1]["request"]["drafts"]
        shown = picture(app, headers, draft["generation"])
        assert shown.headers["content-type"] == "image/png"
        assert ann.predict(draft["generation"], api_name="/reproduce_image")["same"] is True

        s3.away = True
        last = draw(ann, seed=2)[-1]
        assert (last["phase"], last["code"]) == ("error", "storage")
        assert "存储暂时无法使用" in last["message"]
        again = ann.predict(draft["generation"], api_name="/reproduce_image")
        assert again["same"] is False and "存储" in again["message"]
        assert len(kept(app, headers)) == 1

        s3.away = False
        assert draw(ann, seed=2)[-1]["phase"] == "done"
        assert len(kept(app, headers)) == 2
        httpx.delete(app.url + "/api/my", headers=headers).raise_for_status()
        assert objects(open_media(bucket)) == []
        assert not (app.data_dir / "media").exists()


# Exports


@sqlite
def test_an_export_reads_the_pictures_there_and_fails_while_it_is_away(
    database, database_url, bucket, store, s3, tmp_path, monkeypatch
):
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)

    def work(session):
        ann = make_visitor(session, "ann")
        for colour in ("red", "blue"):
            [one] = make_pictures(session, store, ann, prompt=colour, pictures=(drawn(colour),))
            rate(session, ann, one, "edit", f"a {colour} field")

    database.write(work)
    wanted = ("--format", "captions", "--no-lint", "--test", 0, "--cap-rows", 0, "--out")
    s3.away = True
    answer = run(exporting.main, *wanted, tmp_path / "away")
    assert answer.exit_code == 1
    assert answer.stderr.startswith(bucket)
    assert not (tmp_path / "away").exists()

    s3.away = False
    assert run(exporting.main, *wanted, tmp_path / "out").exit_code == 0
    assert len(rows_of(tmp_path / "out")) == 2

    store.remove([store.put(drawn("red"))])  # gone for good, which is another thing
    answer = run(exporting.main, *wanted, tmp_path / "one")
    assert "1 missing_picture" in answer.stdout
    assert len(rows_of(tmp_path / "one")) == 1


# Copy, backup and move


@pytest.fixture
def copied(quick_path, store):
    """A database with a copy in a folder, and its pictures elsewhere."""
    copied = open_copied(quick_path / "data", folder_target(quick_path / "target"))
    copied.media = copied.shipper.media = store
    copied.fill()
    copied.copy()
    copied.fill("bob", colour="blue")
    copied.copy()
    yield copied
    copied.close()


@pytest.fixture
def settings(quick_path, bucket, monkeypatch):
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(quick_path / "data"))
    monkeypatch.setenv("GENLOOP_REPLICA", str(quick_path / "target"))
    monkeypatch.setenv("GENLOOP_SECRET", "a secret")
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)


def test_the_copy_leaves_pictures_where_they_are_and_finds_them_again(
    copied, store, bucket, settings, quick_path, monkeypatch
):
    assert not list((quick_path / "target").rglob("media/*"))
    there = objects(store)
    answer = run(db.restore.main, "--verify")
    assert answer.exit_code == 0, answer.output
    assert "0 of them missing" in answer.output
    assert f"Pictures are at {bucket}, where they stay" in answer.output

    before = contents(copied.database)
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(quick_path / "again"))
    answer = run(db.restore.main)
    assert answer.exit_code == 0, answer.output
    assert "0 pictures; 0 are missing" in answer.output
    database, _ = new_database(quick_path / "again")
    assert contents(database) == before
    database.close()
    assert objects(store) == there


def test_a_repaired_copy_does_not_count_them_as_missing(copied, settings, quick_path):
    segment = max((quick_path / "target" / "data").rglob("*.*"))
    segment.write_bytes(segment.read_bytes()[:-9])
    copied.close()
    answer = run(db.restore.main, "--repair", "--yes")

    assert answer.exit_code == 0, answer.output
    assert "0 are missing" in answer.output
    assert "This is the copy now" in answer.output


def test_a_backup_says_that_pictures_stay_and_takes_them_when_told(
    copied, store, bucket, settings, quick_path
):
    plain, full = quick_path / "plain", quick_path / "full"
    answer = run(db.backup.main, "--to", plain)
    assert f"Pictures stay at {bucket}, and are not in the backup" in answer.output
    assert not (plain / "media").exists()
    answer = run(db.backup.main, "--to", full, "--pictures")
    assert f"{full / 'media'}: 2 pictures" in answer.output

    copied.close()
    store.remove([store.put(drawn("red"))])
    [made] = plain.glob("*.db")
    restored = put_back(made, quick_path / "data" / "app.db", store)
    assert (restored.pictures, restored.missing) == (0, 1)
    [made] = full.glob("*.db")
    answer = run(db.restore.main, "--backup", made)
    assert "Restored, with 1 pictures; 0 are missing" in answer.output
    assert len(objects(store)) == 2


def test_nothing_is_put_back_while_storage_is_away(copied, store, settings, s3, quick_path):
    run(db.backup.main, "--to", quick_path / "backups")
    copied.close()
    [made] = (quick_path / "backups").glob("*.db")
    before = (quick_path / "data" / "app.db").read_bytes()
    s3.away = True
    answer = run(db.restore.main, "--backup", made)

    assert answer.exit_code == 1
    assert (quick_path / "data" / "app.db").read_bytes() == before


def test_pictures_are_moved_to_storage_and_back(quick_path, bucket, store, monkeypatch):
    database, folder = new_database(quick_path / "data")
    monkeypatch.setenv("GENLOOP_DATA_DIR", str(quick_path / "data"))
    monkeypatch.setenv("GENLOOP_MEDIA_DIR", bucket)

    def work(session):
        ann = make_visitor(session, "ann")
        make_pictures(session, folder, ann, pictures=(drawn("red"), drawn("blue")))
        return folder.put(drawn("green"))  # no row names it

    database.write(work)
    old = quick_path / "data" / "media"
    answer = run(db.move_pictures.main, "--from", old)
    assert f"2 pictures were brought to {bucket}; 0 were there before" in answer.output
    assert run(db.move_pictures.main, "--from", old).output.startswith("0 pictures")
    assert len(objects(store)) == 2

    monkeypatch.setenv("GENLOOP_MEDIA_DIR", str(quick_path / "new"))
    store.remove([store.put(drawn("blue"))])
    answer = run(db.move_pictures.main, "--from", bucket)
    assert answer.exit_code == 1 and "is nowhere" in answer.output
    assert open_media(str(quick_path / "new")).read(store.put(drawn("red"))) == drawn("red")

    with database.read() as session:
        one = session.scalars(select(Generation.media_sha256)).first()
    store.target.put({name_of(one): b"damaged"})
    (quick_path / "new" / one[:2] / one).unlink(missing_ok=True)
    answer = run(db.move_pictures.main, "--from", bucket)
    assert answer.exit_code == 1 and "is damaged" in answer.output
    database.close()


def test_erasing_in_a_copied_database_takes_the_objects(copied, store):
    def work(session):
        store.drop_unused(session, erase(session, "ann"))

    copied.write(work)
    copied.copy()

    assert len(objects(store)) == 1
    with copied.database.read() as session:
        assert rows_in(session) > 0
