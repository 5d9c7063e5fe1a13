"""The owner's orders, carried out by a process of their own."""

import io
import json
import zipfile

import pytest

from db.media import MediaStore
from feedback.dataset_zip import folder_of, zipped
from feedback.erase import erase
from feedback.export_jobs import ExportJobs, JobRunning
from feedback.history import everything, withdrawn
from feedback.ledger import NoExport
from feedback.spec import as_json
from tests.exporting import bare, fill
from tests.factories import drawn, make_pictures, make_visitor, rate

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def jobs(database, database_url, tmp_path):
    fill(database)
    jobs = ExportJobs(database_url, tmp_path / "data")
    yield jobs
    jobs.close()


@pytest.fixture
def carried_out(jobs):
    def run(action, **order):
        jobs.start({"action": action, **order})
        return jobs.wait()

    return run


def order(*recipes, name="feedback"):
    return {"name": name, "spec": as_json(bare(*recipes))}


def test_a_dataset_is_previewed_made_and_found_again_as_a_zip(carried_out, database, tmp_path):
    seen = carried_out("preview", **order("sft", "kto"))

    assert seen.problem is None and seen.done["rows"] > 0
    assert {"sft", "kto"} == seen.done["rows_shown"].keys()
    assert not (tmp_path / "data" / "exports").exists()

    made = carried_out("export", **order("sft", "kto"))

    assert made.done["rows"] == seen.done["rows"]
    assert (made.done["name"], made.done["version"]) == ("feedback", 1)
    with database.read() as session:
        folder = folder_of(session, "feedback@1")
    with zipfile.ZipFile(io.BytesIO(b"".join(zipped(folder, "feedback@1")))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        inside = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {name.removeprefix("feedback@1/") for name in names} == inside
        assert names[-1] == "feedback@1/manifest.json"
        for name in names:
            file = folder / name.removeprefix("feedback@1/")
            assert archive.read(name) == file.read_bytes()


@sqlite
def test_pictures_lie_in_the_store_of_the_app(carried_out, database, tmp_path):
    media = MediaStore(tmp_path / "data" / "media")

    def work(session):
        ann = make_visitor(session)
        [picture] = make_pictures(session, media, ann, pictures=(drawn("red"),))
        rate(session, ann, picture, "thumb", 1)

    database.write(work)

    assert carried_out("export", **order("captions")).done["rows"] == 1


@sqlite
def test_a_cleaned_successor_lacks_what_was_erased(carried_out, database):
    first = carried_out("export", **order("sft")).done
    database.write(lambda session: erase(session, "bob"))
    with database.read() as session:
        [gone] = withdrawn(session)

    second = carried_out("clean", label="feedback@1").done

    assert (second["name"], second["version"]) == ("feedback", 2)
    assert first["rows"] - second["rows"] == gone.rows > 0
    with database.read() as session:
        assert [one.version for one in everything(session)] == [2, 1]


@sqlite
def test_an_export_is_brought_to_a_folder_once(carried_out, tmp_path):
    carried_out("export", **order("sft"))
    target = {"label": "feedback@1", "target": str(tmp_path / "there")}

    assert carried_out("push", **target).done["new"]
    assert not carried_out("push", **target).done["new"]
    manifests = list((tmp_path / "there").rglob("manifest.json"))
    assert [json.loads(path.read_bytes())["name"] for path in manifests] == ["feedback"]


@sqlite
@pytest.mark.parametrize(
    ("action", "wrong", "said"),
    [
        ("clean", {"label": "feedback@9"}, "feedback@9"),
        ("export", order("captions"), "captions"),  # there are no pictures here
        ("push", {"label": "nothing@1", "target": "/nowhere"}, "nothing@1"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(carried_out, action, wrong, said):
    job = carried_out(action, **wrong)

    assert job.done is None and not job.cancelled
    assert job.problem and said in job.problem and "Traceback" not in job.problem


@sqlite
def test_one_order_at_a_time_and_one_that_is_cancelled_leaves_nothing(jobs, tmp_path):
    jobs.start({"action": "export", **order("sft")})
    with pytest.raises(JobRunning):
        jobs.start({"action": "preview", **order("sft")})

    jobs.cancel()
    job = jobs.wait()

    assert job.cancelled and job.done is None and not job.running
    left = tmp_path / "data" / "exports"
    assert not left.exists() or not list(left.rglob("*.json*"))
    assert jobs.start({"action": "preview", **order("sft")}).running
    assert jobs.wait().done


@sqlite
def test_files_that_were_changed_or_are_gone_are_not_sent(carried_out, database):
    carried_out("export", **order("sft"))
    with database.read() as session:
        folder = folder_of(session, "feedback@1")
        (folder / "manifest.json").write_text("{}")

        with pytest.raises(NoExport, match="not those"):
            folder_of(session, "feedback@1")
        (folder / "manifest.json").unlink()
        with pytest.raises(NoExport, match="gone"):
            folder_of(session, "feedback@1")


@sqlite
def test_closing_the_app_ends_what_is_under_way(jobs):
    job = jobs.start({"action": "export", **order("sft")})

    jobs.close()
    jobs.wait()

    assert not job.running and job.done is None
