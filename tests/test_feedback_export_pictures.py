"""Which feedback on pictures becomes a row of captions, image-preferences and kohya."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from db.media import MediaStore
from db.tables import Comparison, Export, ExportRow, Generation, Vote
from feedback.dataset import NothingToExport
from feedback.erase import erase
from feedback.formats import FORMATS
from feedback.formats.image_preferences import is_first
from feedback.formats.pictures import NoMediaStore, bare
from feedback.spec import Recipe
from tests.exporting import counted, new, rows_of
from tests.exporting import exported as export_bare
from tests.exporting import read_rows as rows
from tests.factories import cast_vote, drawn, make_pictures, make_samples, make_visitor, rate

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

IMAGE_FORMATS = ["captions", "image-preferences", "kohya"]
NO_TEXT = ["sft", "dpo", "kto"]
COLOURS = ["red", "green", "blue", "black"]


@pytest.fixture
def media(tmp_path):
    return MediaStore(tmp_path / "media")


@pytest.fixture
def asked(database, media):
    """Ask for pictures, one a colour, and say something: {place of the draft: {kind: value}}."""

    def run(
        said=(), *, colours=("red",), prompt="red apple", name="ann", train=True, votes=(), **made
    ):
        def work(session):
            visitor = make_visitor(session, name, train=train)
            pictures = tuple(drawn(colour) for colour in colours)
            ids = make_pictures(session, media, visitor, prompt=prompt, pictures=pictures, **made)
            for draft, kind, value in said:
                rate(session, visitor, ids[draft], kind, value)
            for left, right, answer in votes:
                cast_vote(session, visitor, ids[left], ids[right], answer)
            return ids

        return database.write(work)

    return run


@pytest.fixture
def exported(database, media, tmp_path):
    """Export, and read back the rows."""

    def run(format):
        folder = new(tmp_path)
        export_bare(database, folder, format, media=media)
        return rows_of(folder)

    return run


@pytest.fixture
def held(database, media):
    """How many rows of a format are held back, by reason."""
    return lambda format: counted(database, format, media)["quarantined_by_reason"]


@pytest.fixture
def has_none(database, media):
    return lambda format: counted(database, format, media)["selected"] == 0


def captions(rows):
    return [(colour_of(row["file_name"]), row["text"], row["genloop_source"]) for row in rows]


def colour_of(name):
    """The colour of a picture by its name in a dataset."""
    return BY_HASH[name.removeprefix("images/").removesuffix(".png")]


BY_HASH = {hashlib.sha256(drawn(colour)).hexdigest(): colour for colour in COLOURS}


def wins(rows):
    """(better, worse, source) of each pair."""
    found = []
    for row in rows:
        pair = [BY_HASH[row["image_0_uid"]], BY_HASH[row["image_1_uid"]]]
        assert {row["label_0"], row["label_1"]} == {0.0, 1.0}
        better, worse = pair if row["label_0"] else pair[::-1]
        assert BY_HASH[row["best_image_uid"]] == better
        found.append((better, worse, row["genloop_source"]))
    return found


# captions


@pytest.mark.parametrize("said", [("thumb", 1), ("stars", 4), ("choice", True), ("rank", 1)])
def test_pictures_that_are_liked_or_preferred_are_captioned_with_their_prompt(
    asked, exported, said
):
    others = [(1, "rank", 2)] if said[0] == "rank" else []
    asked([(0, *said), *others], colours=("red", "green"))

    source = {"choice": "chosen", "rank": "ranked"}.get(said[0], "liked")
    assert captions(exported("captions")) == [("red", "red apple", source)]


@sqlite
@pytest.mark.parametrize(
    "said",
    [
        [(0, "thumb", -1)],
        [(0, "stars", 3)],
        [(0, "comment", "nice")],
        [(0, "reasons", ["beautiful"])],
        [(0, "thumb", -1), (0, "choice", True)],  # the best of a bad lot
        [(0, "rank", 1)],  # of nothing else
        [(0, "rank", 1), (1, "rank", 1)],
        [(0, "choice", True), (0, "choice", None)],
    ],
)
def test_pictures_that_nobody_praised_are_left_out(asked, has_none, said):
    asked(said, colours=("red", "green"))

    assert has_none("captions")


@sqlite
@pytest.mark.parametrize(
    "also",
    [
        [],
        [(0, "thumb", 1)],
        [(0, "thumb", -1)],
        [(0, "stars", 1), (0, "reasons", ["wrong_object"])],
        [(0, "thumb", 1), (0, "reasons", ["ugly"])],
    ],
)
def test_an_edited_caption_wins_whatever_the_rating(asked, exported, also):
    asked([(0, "edit", "green pear"), *also])

    assert captions(exported("captions")) == [("red", "green pear", "edited")]


@sqlite
@pytest.mark.parametrize("fault", ["ugly", "artefacts", "unclear", "unsafe"])
@pytest.mark.parametrize("rating", [[], [(0, "thumb", -1)]])
def test_no_caption_mends_a_fault_of_the_picture_itself(asked, held, fault, rating):
    asked([(0, "edit", "green pear"), (0, "reasons", ["wrong_object", fault]), *rating])

    assert held("captions") == {"faulty_picture": 1}


@sqlite
def test_the_last_choice_of_a_request_counts(asked, exported):
    asked([(0, "choice", True), (1, "choice", True)], colours=("red", "green"))

    assert captions(exported("captions")) == [("green", "red apple", "chosen")]


@sqlite
def test_the_same_picture_with_the_same_caption_is_written_once(asked, exported, held):
    asked([(0, "thumb", 1)])
    asked([(0, "stars", 5)], name="bob")
    asked([(0, "edit", "a red square")], name="cyd")

    assert captions(exported("captions")) == [
        ("red", "red apple", "liked"),
        ("red", "a red square", "edited"),
    ]
    assert held("captions") == {"duplicate": 1}


# Pairs


def test_choices_ranks_votes_and_ratings_make_pairs(asked, exported):
    three = ("red", "green", "blue")
    asked([(1, "choice", True)], colours=three, prompt="choice")
    asked([(0, "rank", 2), (1, "rank", 3), (2, "rank", 1)], colours=three, prompt="rank")
    asked(colours=three, prompt="vote", votes=[(0, 1, "left"), (0, 2, "right")])
    asked([(0, "thumb", 1)], colours=("red",), prompt="rating")
    asked([(0, "stars", 2)], colours=("green",), prompt="rating", name="bob")

    assert wins(exported("image-preferences")) == [
        ("green", "red", "choice"),
        ("green", "blue", "choice"),
        ("blue", "red", "rank"),
        ("blue", "green", "rank"),
        ("red", "green", "rank"),
        ("red", "green", "vote"),
        ("blue", "red", "vote"),
        ("red", "green", "rating"),
    ]


@sqlite
def test_ties_are_counted_and_not_written(asked, database, media):
    three = ("red", "green", "blue")
    asked([(0, "rank", 1), (1, "rank", 1), (2, "rank", 2)], colours=three)
    asked(colours=three, prompt="x", votes=[(0, 1, "tie"), (0, 2, "both_bad"), (1, 2, "left")])

    summary = counted(database, "image-preferences", media)

    assert summary["quarantined_by_reason"] == {"both_bad": 1, "tie": 2}
    assert summary["rows_by_source"] == {"rank": 2, "vote": 1}


@sqlite
def test_whoever_votes_again_changes_their_mind(asked, exported):
    asked(colours=("red", "green"), votes=[(0, 1, "left"), (1, 0, "tie"), (1, 0, "left")])

    assert wins(exported("image-preferences")) == [("green", "red", "vote")]


@sqlite
def test_what_is_said_twice_is_written_once_and_what_is_contradicted_not_at_all(
    asked, exported, held
):
    asked(
        [(0, "choice", True), (0, "rank", 1), (1, "rank", 2), (2, "rank", 3)],
        colours=("red", "green", "blue"),
        votes=[(2, 1, "left")],
    )

    assert wins(exported("image-preferences")) == [
        ("red", "green", "choice"),
        ("red", "blue", "choice"),
    ]
    assert held("image-preferences") == {"duplicate": 2, "contradictory": 2}


@sqlite
def test_a_picture_is_not_better_than_itself(asked, held):
    asked([(0, "thumb", 1)])
    asked([(0, "thumb", -1)], name="bob")

    assert held("image-preferences") == held("kohya") == {"same_picture": 1}


@sqlite
def test_pictures_that_differ_in_their_parameters_alone_are_the_same(database, media, held):
    def work(session):
        ann = make_visitor(session)
        pictures = tuple(with_words(seed=str(seed)) for seed in range(2))
        first, _ = make_pictures(session, media, ann, pictures=pictures)
        rate(session, ann, first, "choice", True)

    database.write(work)

    assert held("image-preferences") == held("kohya") == {"same_picture": 1}


@given(some.binary(min_size=32, max_size=32), some.binary(min_size=32, max_size=32))
def test_the_place_of_a_picture_does_not_tell_whether_it_won(one, other):
    if one != other:
        assert is_first(one.hex(), other.hex()) != is_first(other.hex(), one.hex())


def test_both_places_win_about_as_often():
    pairs = [
        [hashlib.sha256(f"{side}{number}".encode()).hexdigest() for side in "ab"]
        for number in range(1_000)
    ]

    firsts = sum(is_first(*pair) for pair in pairs)
    assert 440 < firsts < 560
    low_wins = [is_first(*sorted(pair)) for pair in pairs]
    assert 440 < sum(low_wins) < 560


@sqlite
def test_a_row_has_the_columns_of_pick_a_pic(asked, database, media, tmp_path):
    [red, green] = asked([(0, "choice", True)], colours=("red", "green"), prompt="红苹果")

    manifest = export_bare(database, tmp_path / "out", "image-preferences", media=media)

    [row] = rows(tmp_path / "out" / "train.parquet")
    [config] = manifest["configs"]
    assert list(row) == [*config["columns"], *(name for name in row if "genloop" in name)]
    assert row["caption"] == "红苹果"
    best = "0" if row["label_0"] else "1"
    assert row[f"jpg_{best}"] == drawn("red")
    assert Image.open(io.BytesIO(row["jpg_0"])).format == "PNG"
    assert (row["model_0"], row["are_different"], row["has_label"]) == ("painter", True, True)
    assert row["genloop_generation_ids"].split() == [red, green]
    assert config["rows_by_label"] == {"true" if best == "0" else "false": 1}
    assert manifest["written_with"].keys() == {"pyarrow"}


@sqlite
def test_kohyas_folders_pair_pictures_by_their_names(asked, database, media, tmp_path):
    asked([(0, "choice", True)], colours=("red", "green", "blue"), prompt="red\napple")

    manifest = export_bare(database, tmp_path / "out", "kohya", media=media)

    won, lost = tmp_path / "out/train/w", tmp_path / "out/train/l"
    names = {path.name for path in won.iterdir()}
    assert names == {path.name for path in lost.iterdir()}
    assert len(names) == 4 and manifest["rows"] == 2
    for row in rows_of(tmp_path / "out"):
        name = row["w_file_name"].removeprefix("w/")
        assert row["l_file_name"] == f"l/{name}"
        assert (won / name).read_bytes() == drawn("red")
        assert (lost / name).read_bytes() in (drawn("green"), drawn("blue"))
        for side in (won, lost):
            assert (side / name).with_suffix(".txt").read_text("utf-8") == "red apple"
        assert row["text"] == "red\napple"


# Consent


def every_kind(asked, **who):
    """Something that gives a row of every image format."""
    return asked(
        [(0, "thumb", 1), (1, "thumb", -1), (0, "edit", "pear"), (0, "rank", 1), (1, "rank", 2)],
        colours=("red", "green"),
        votes=[(0, 1, "left")],
        **who,
    )


def test_nothing_leaves_without_consent(asked, database, media, has_none, tmp_path):
    every_kind(asked, train=False)

    for format in IMAGE_FORMATS:
        with pytest.raises(NothingToExport, match="of 5 .* 0 may .*, of 1 votes 0, and"):
            export_bare(database, tmp_path / "out", format, media=media)
    assert not list(tmp_path.glob("*out*"))


def test_nothing_that_was_withdrawn_leaves(asked, database, has_none):
    every_kind(asked)
    assert not any(map(has_none, IMAGE_FORMATS))

    database.write(lambda session: make_visitor(session, train=False).visitor_id)

    assert all(map(has_none, IMAGE_FORMATS))


def test_nothing_of_an_erased_visitor_leaves(asked, database, media, has_none):
    every_kind(asked, name="ann")
    hashes = database.write(lambda session: erase(session, "ann"))
    database.write(lambda session: media.drop_unused(session, hashes))

    assert all(map(has_none, IMAGE_FORMATS))


@sqlite
def test_a_vote_without_consent_brings_nothing_in(asked, database, has_none):
    [left, right] = asked(colours=("red", "green"))

    def work(session):
        cast_vote(session, make_visitor(session, train=False), left, right, "left")
        make_visitor(session)

    database.write(work)

    assert has_none("image-preferences")


@sqlite
def test_a_passed_over_draft_that_may_not_be_trained_on_is_in_no_pair(asked, database, has_none):
    [first, second] = asked([(0, "choice", True)], colours=("red", "green"), votes=[(0, 1, "left")])

    def lend(session):
        """As if another visitor, who does not allow training, had made the second draft."""
        stranger = make_visitor(session, "eve", train=False)
        row = session.get_one(Generation, second)
        row.visitor_id, row.consent_id = stranger.visitor_id, stranger.consent_id

    database.write(lend)

    assert has_none("image-preferences")


@sqlite
def test_only_votes_about_taste_train(asked, database, has_none):
    """What decides which model version is live must not be learned."""
    asked(colours=("red", "green"), votes=[(0, 1, "left")])

    def decide(session):
        session.query(Comparison).update({"purpose": "promotion"})

    database.write(decide)

    assert has_none("image-preferences")


# Tasks


def test_each_task_goes_into_its_own_formats(asked, database, media):
    every_kind(asked)

    def work(session):
        ann = make_visitor(session)
        first, second = make_samples(session, ann)
        rate(session, ann, first, "thumb", 1)
        rate(session, ann, first, "choice", True)
        cast_vote(session, ann, first, second, "left")

    database.write(work)

    found = {}
    for format in FORMATS:
        medium = "vectors" if format == "vae-samples" else "pictures"
        found[format] = counted(database, Recipe(format, medium=medium), media)["selected"] > 0
    assert [format for format, some in found.items() if some] == [
        "captions",
        "image-preferences",
        "kohya",
        "vae-pairs",  # and no vae-samples: without x it is no vector
    ]


# Pictures that cannot leave


@sqlite
def test_missing_and_broken_pictures_are_held_back(asked, database, media, tmp_path):
    for colour in ("red", "green", "blue"):
        asked([(0, "thumb", 1)], colours=(colour,), prompt=colour)
    media.path(hashlib.sha256(drawn("red")).hexdigest()).unlink()
    media.path(hashlib.sha256(drawn("green")).hexdigest()).write_bytes(drawn("black"))

    manifest = export_bare(database, tmp_path / "out", "captions", media=media)

    assert manifest["quarantined_by_reason"] == {"missing_picture": 1, "unreadable_picture": 1}
    assert (manifest["selected"], manifest["rows"], manifest["quarantined"]) == (3, 1, 2)
    assert len(list((tmp_path / "out/train/images").iterdir())) == 1
    held = rows(tmp_path / "out" / "quarantine.jsonl")
    assert [(row["event_ids"], row["vote_ids"]) for row in held] == [([1], []), ([2], [])]


@sqlite
@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", drawn()[:-30], drawn()[:-8], drawn()[:40] + drawn()[44:]],
    ids=["empty", "other", "cut", "without end", "with a hole"],
)
def test_what_is_no_png_is_unreadable(database, media, held, data):
    def work(session):
        ann = make_visitor(session)
        [picture] = make_pictures(session, media, ann, pictures=(data,))
        rate(session, ann, picture, "thumb", 1)

    database.write(work)

    assert held("captions") == {"unreadable_picture": 1}


@sqlite
@pytest.mark.parametrize(
    ("status", "reason"), [("stopped", "stopped_generation"), ("failed", "failed_generation")]
)
def test_only_finished_pictures_leave(asked, database, held, status, reason):
    for generation_id in every_kind(asked):
        database.write(
            lambda session, one=generation_id: setattr(
                session.get_one(Generation, one), "status", status
            )
        )

    assert held("captions").keys() == held("image-preferences").keys() == {reason}


@sqlite
def test_a_report_keeps_a_picture_from_being_praised(asked, exported):
    asked([(0, "choice", True), (1, "report", "offensive")], colours=("red", "green"))
    asked([(0, "choice", True), (0, "report", "")], colours=("blue", "black"), prompt="x")

    assert wins(exported("image-preferences")) == [("red", "green", "choice")]


@sqlite
def test_nobody_exports_pictures_without_saying_where_they_are(asked, database, tmp_path):
    asked([(0, "thumb", 1)])

    with pytest.raises(NoMediaStore):
        export_bare(database, tmp_path / "out", "captions")
    assert not list(tmp_path.glob("*out*"))


# What travels inside a picture


def with_words(**words):
    """A picture with text chunks."""
    chunks = PngInfo()
    for name, value in words.items():
        chunks.add_itxt(name, value)
    data = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(data, "PNG", pnginfo=chunks)
    return data.getvalue()


def test_a_picture_leaves_without_its_words_and_with_all_its_pixels():
    spoken = with_words(parameters="a prompt that nobody edited", genloop="{}")

    left = bare(spoken)

    assert b"prompt" in spoken and b"prompt" not in left
    assert Image.open(io.BytesIO(left)).tobytes() == Image.open(io.BytesIO(spoken)).tobytes()
    assert bare(left) == left == drawn("red")
    assert bare(spoken + b"and more behind the end") == left


def test_transparency_and_colours_stay():
    data = io.BytesIO()
    palette = Image.new("P", (2, 2))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.save(data, "PNG", transparency=0)

    left = Image.open(io.BytesIO(bare(data.getvalue())))

    assert left.convert("RGBA").getpixel((0, 0)) == (255, 0, 0, 0)


# The folder


@pytest.mark.parametrize("format", IMAGE_FORMATS)
def test_the_folder_is_whole_and_the_same_each_time(asked, database, media, tmp_path, format):
    for number, prompt in enumerate(COLOURS):
        every_kind(asked, prompt=prompt, name=f"visitor {number}")
    folders = [tmp_path / "a", tmp_path / "b"]

    first, second = (
        export_bare(database, folder, format, name=folder.name, media=media) for folder in folders
    )

    assert differing(first["files"], second["files"]) == {"README.md"}
    assert differing(files(folders[0]), files(folders[1])) == {"README.md"}
    content = files(folders[0])
    named = {name: file["sha256"] for name, file in first["files"].items()}
    beside = {}
    if "files.jsonl" in named:
        listed = rows(folders[0] / "files.jsonl")
        beside = {file["name"]: file["sha256"] for file in listed}
        assert len(listed) == first["media"]["files"]
        assert sum(file["bytes"] for file in listed) == first["media"]["bytes"]
    assert content == named | beside
    for path in folders[0].rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert first["selected"] == first["rows"] + first["quarantined"]
    summary = counted(database, format, media)
    for key in ("selected", "rows", "quarantined", "quarantined_by_reason"):
        assert summary[key] == first[key]


def differing(one, other):
    """The names under which there is not the same in both."""
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def files(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


@sqlite
@pytest.mark.parametrize("format", IMAGE_FORMATS)
def test_the_ledger_names_the_events_and_votes_of_every_row(
    asked, database, media, tmp_path, format
):
    every_kind(asked)
    asked(colours=("blue", "black"), prompt="x", votes=[(0, 1, "right"), (1, 0, "tie")])
    asked(colours=("blue", "black"), prompt="y", votes=[(0, 1, "right")])

    manifest = export_bare(database, tmp_path / "out", format, media=media)

    with database.read() as session:
        [entry] = session.query(Export)
        ledger = session.query(ExportRow).all()
        [last] = session.query(Vote.id).order_by(Vote.id.desc()).limit(1)
    assert (entry.format, entry.rows) == (format, manifest["rows"])
    assert {row.row for row in ledger} == set(range(manifest["selected"]))
    assert len({row.row_sha256 for row in ledger} - {None}) == manifest["rows"]
    by_vote = {row.event_id: row for row in ledger if row.event_id < 0}
    if format == "captions":
        assert by_vote == {}
    else:
        assert by_vote[-last.id].row_sha256
        assert by_vote[-last.id + 1].quarantine_reason == "tie"


@sqlite
def test_a_picture_is_written_once_however_many_rows_show_it(asked, database, media, tmp_path):
    asked([(0, "thumb", 1)], prompt="red")
    asked([(0, "thumb", 1)], prompt="rouge")

    manifest = export_bare(database, tmp_path / "out", "captions", media=media)

    assert manifest["rows"] == 2 and manifest["media"]["files"] == 1
