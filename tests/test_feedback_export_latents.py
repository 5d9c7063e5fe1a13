"""Which feedback on samples of a VAE becomes a row of vae-samples and vae-pairs."""

import hashlib

import pytest

from db.media import MediaStore
from db.tables import Generation
from feedback.dataset import NothingToExport
from feedback.spec import MEDIA, Recipe
from tests.exporting import columns, counted, new, rows_of
from tests.exporting import exported as export_bare
from tests.factories import (
    cast_vote,
    drawn,
    make_pictures,
    make_samples,
    make_version,
    make_visitor,
    rate,
)

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

THREE = ({"z": [0.1, 0.2]}, {"z": [1.5, -2.0]}, {"z": [0.1 + 0.2, 1e-9]})


@pytest.fixture
def media(tmp_path):
    return MediaStore(tmp_path / "media")


@pytest.fixture
def sampled(database):
    """Sample, and say something: (place of the draft, kind, value); votes are (left, right, …)."""

    def run(said=(), *, name="ann", train=True, votes=(), model=None, **made):
        def work(session):
            visitor = make_visitor(session, name, train=train)
            if model is not None:
                sha256 = hashlib.sha256(model.encode()).hexdigest()
                made["version_id"] = make_version(session, model, sha256, "vae")
            ids = make_samples(session, visitor, **made)
            for draft, kind, value in said:
                rate(session, visitor, ids[draft], kind, value)
            for left, right, answer in votes:
                cast_vote(session, visitor, ids[left], ids[right], answer)
            return ids

        return database.write(work)

    return run


@pytest.fixture
def exported(database, media, tmp_path):
    """Export: the manifest, and the rows."""

    def run(format, medium="pictures"):
        folder = new(tmp_path)
        manifest = export_bare(database, folder, Recipe(format, medium=medium), media=media)
        [config] = manifest["configs"]
        return manifest | config, rows_of(folder)

    return run


@pytest.fixture
def summary(database, media):
    def run(format, medium="vectors"):
        recipe = Recipe(format, medium=medium if format == "vae-samples" else "pictures")
        return counted(database, recipe, media)

    return run


# vae-samples


def test_samples_of_each_medium_have_their_own_dataset(sampled, exported, media):
    picture = media.put(drawn())
    sampled([(0, "thumb", 1)], latents=({"z": [0.5]},), pictures=(picture,))
    sampled(
        [(0, "stars", 5), (1, "thumb", -1)],
        latents=({"z": [0.5], "x": [3.0, 4.0]}, {"z": [-0.5], "x": [1.0, 2.0]}),
        action="point",
    )
    sampled([(0, "stars", 1)], latents=({"z": [0.25]},), texts=("编程使我快乐",))
    emoji = {"model": "emoji", "model_sha256": "0" * 64}

    found = {medium: exported("vae-samples", medium) for medium in MEDIA}

    assert {medium: list(map(columns, rows)) for medium, (_, rows) in found.items()} == {
        "pictures": [
            {
                "file_name": f"images/{hashlib.sha256(drawn()).hexdigest()}.png",
                "z": [0.5],
                "label": True,
                **emoji,
                "action": "sample",
            }
        ],
        "vectors": [
            {"x": [3.0, 4.0], "z": [0.5], "label": True, **emoji, "action": "point"},
            {"x": [1.0, 2.0], "z": [-0.5], "label": False, **emoji, "action": "point"},
        ],
        "sentences": [
            {"text": "编程使我快乐", "z": [0.25], "label": False, **emoji, "action": "sample"}
        ],
    }
    for medium, (manifest, read) in found.items():
        names = ["image" if name == "file_name" else name for name in columns(read[0])]
        assert names == manifest["columns"]
        assert manifest["spec"]["configs"][0]["medium"] == medium


@sqlite
@pytest.mark.parametrize("said", [("stars", 3), ("choice", True), ("rank", 1), ("comment", "?")])
def test_what_is_no_rating_gives_no_label(sampled, summary, said):
    sampled([(0, *said)], latents=({"z": [0.0], "x": [0.0]},) * 2)

    assert summary("vae-samples")["selected"] == 0


@sqlite
def test_labels_of_one_kind_are_warned_of(sampled, summary):
    sampled([(0, "thumb", 1)], latents=({"z": [0.0], "x": [0.0]},))

    [warning] = summary("vae-samples")["warnings"]
    assert "every label is true" in warning


@sqlite
@pytest.mark.parametrize(
    "latent",
    [None, {}, {"z": []}, {"z": "no"}, {"z": [1.0, "2"]}, {"z": [True]}, {"z": [[1.0]]}],
    ids=str,
)
def test_a_sample_without_a_latent_is_held_back(sampled, summary, latent):
    latents = ({"z": [1.0]}, latent)
    sampled([(1, "thumb", 1), (0, "choice", True)], latents=latents, texts=("a", "b"))

    assert summary("vae-samples", "sentences")["quarantined_by_reason"] == {"no_latent": 1}
    assert summary("vae-pairs")["quarantined_by_reason"] == {"no_latent": 1}


@sqlite
@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_a_latent_that_is_not_finite_is_held_back(sampled, summary, number):
    sampled([(0, "thumb", 1)], latents=({"z": [number], "x": [0.0]},))

    assert summary("vae-samples")["quarantined_by_reason"] == {"no_latent": 1}


@sqlite
def test_a_missing_picture_is_held_back(sampled, summary, media):
    gone = media.put(drawn())
    media.path(gone).unlink()
    sampled([(0, "thumb", 1)], latents=({"z": [0.0]},), pictures=(gone,))

    assert summary("vae-samples", "pictures")["quarantined_by_reason"] == {"missing_picture": 1}


@sqlite
@pytest.mark.parametrize(
    ("output", "status", "reason"),
    [(" ", "complete", "empty_text"), ("好", "stopped", "stopped_generation")],
)
def test_unfinished_samples_and_empty_sentences_are_held_back(
    sampled, summary, output, status, reason
):
    sampled([(0, "thumb", 1)], latents=({"z": [0.0]},), texts=(output,), status=status)

    assert summary("vae-samples", "sentences")["quarantined_by_reason"] == {reason: 1}


# vae-pairs


def test_choices_ranks_and_votes_make_pairs_of_latents(sampled, exported):
    sampled([(0, "choice", True)], latents=THREE[:2])
    sampled([(0, "rank", 2), (1, "rank", 1), (2, "rank", 2)], latents=THREE)
    sampled(latents=THREE, votes=[(0, 2, "right"), (1, 2, "both_bad")])
    sampled([(0, "thumb", 1), (1, "thumb", -1)], latents=THREE)

    manifest, read = exported("vae-pairs")

    zero, one, two = (latent["z"] for latent in THREE)
    assert [(row["z_chosen"], row["z_rejected"], row["genloop_source"]) for row in read] == [
        (zero, one, "choice"),
        (one, zero, "rank"),
        (one, two, "rank"),
        (two, zero, "vote"),
    ]
    assert manifest["quarantined_by_reason"] == {"tie": 1, "both_bad": 1}
    assert read[3]["genloop_vote_ids"] == "1" and read[3]["genloop_event_ids"] == ""


@sqlite
def test_samples_of_two_requests_are_not_compared(sampled, exported):
    """Every request to sample has the same inputs; what was shown together is a request."""
    for _ in range(2):
        sampled([(0, "choice", True)])

    _, read = exported("vae-pairs")

    assert len(read) == 2
    assert len({row["genloop_generation_ids"] for row in read}) == 2


@sqlite
def test_the_rows_of_each_latent_space_are_counted_and_several_are_warned_of(sampled, exported):
    sampled([(0, "choice", True)], model="faces", latents=THREE)
    sampled([(0, "choice", True)], model="shapes")

    manifest, read = exported("vae-pairs")

    assert [row["model"] for row in read] == ["faces", "faces", "shapes"]
    assert [(one["name"], one["rows"]) for one in manifest["model_versions"]] == [
        ("faces", 2),
        ("shapes", 1),
    ]
    assert {row["model_sha256"] for row in read} == {
        one["weights_sha256"] for one in manifest["model_versions"]
    }
    [warning] = manifest["warnings"]
    assert "2 model versions" in warning


@sqlite
@pytest.mark.parametrize("other", ["version", "size"])
def test_latents_of_two_spaces_make_no_pair(database, sampled, summary, other):
    [_, second] = sampled([(0, "choice", True)], latents=({"z": [1.0, 2.0]}, {"z": [3.0, 4.0]}))

    def move(session):
        generation = session.get_one(Generation, second)
        if other == "size":
            generation.latent = {"z": [3.0]}
        else:
            generation.model_version_id = make_version(session, "shapes", "1" * 64, "vae")

    database.write(move)

    assert summary("vae-pairs")["quarantined_by_reason"] == {"different_latent_spaces": 1}


# Consent, tasks, bytes


def test_nothing_withdrawn_leaves_and_no_picture_of_the_image_tab(
    database, sampled, summary, media, exported
):
    def paint(session):
        bob = make_visitor(session, "bob")
        first, _ = make_pictures(session, media, bob, pictures=(drawn("red"), drawn("blue")))
        rate(session, bob, first, "thumb", 1)
        rate(session, bob, first, "choice", True)

    database.write(paint)
    sampled([(0, "thumb", 1), (0, "choice", True)], latents=({"z": [1.0], "x": [1.0]},) * 2)
    rows_before = [summary("vae-samples")["rows"], summary("vae-pairs")["rows"]]

    database.write(lambda session: make_visitor(session, train=False).visitor_id)

    assert rows_before == [1, 1]
    assert summary("vae-samples")["selected"] == summary("vae-pairs")["selected"] == 0
    assert summary("vae-samples", "pictures")["selected"] == 0
    with pytest.raises(NothingToExport):
        exported("vae-samples", "pictures")


@sqlite
@pytest.mark.parametrize("format", ["vae-samples", "vae-pairs"])
def test_the_same_samples_give_the_same_bytes(database, sampled, media, tmp_path, format):
    picture = media.put(drawn())
    for _ in range(3):
        sampled([(0, "thumb", 1), (0, "choice", True)], pictures=(picture, picture))

    first, second = (
        export_bare(database, tmp_path / name, Recipe(format), name=name, media=media)
        for name in "ab"
    )

    for name in first["files"].keys() - {"README.md"}:
        assert first["files"][name] == second["files"][name]
    assert first["rows"] == 3
