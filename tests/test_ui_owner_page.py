"""What the owner's overview says of the copy, in both languages."""

from datetime import UTC, datetime

import pytest

from db.replica.safety import OFF, Safety
from feedback.identity import Signer
from tests.replicas import folder_target, new_database, wait_until
from tests.test_db_replica_replicator import SELDOM, running
from ui.language import Language
from ui.owner_page import OwnerDesk, safety_lines
from ui.services import Services

EN, ZH = Language("en"), Language("zh")
SAFE = Safety(
    "copying", "s3://x", 0, 0, None, datetime(2026, 11, 29, 1, 2, 3, tzinfo=UTC), False, ""
)


def test_the_overview_counts_what_is_not_yet_safe(quick_path):
    target = folder_target(quick_path / "target")
    with running(quick_path / "app", target, SELDOM) as app:
        wait_until(lambda: app.safety.safe_at)
        app.fill()
        services = Services(
            app.database, app.media, Signer("secret"), {}, replicator=app.replicator
        )
        english, *_ = OwnerDesk(services, EN, "/").overview()
        chinese, *_ = OwnerDesk(services, ZH, "/").overview()

        assert "**1 events not yet safe** (oldest " in english
        assert "**1 条评价尚未备份**" in chinese
        app.replicator.hurry()
        wait_until(lambda: not app.safety.rows)
        assert "Everything is also at" in OwnerDesk(services, EN, "/").overview()[0]


def test_without_a_copy_the_overview_says_so(quick_path):
    database, media = new_database(quick_path)
    desk = OwnerDesk(Services(database, media, Signer("secret"), {}), EN, "/")

    assert "No copy is kept" in desk.overview()[0]
    database.close()


@pytest.mark.parametrize("language", [EN, ZH])
@pytest.mark.parametrize(
    "state", ["starting", "standby", "failing", "stuck", "handed_over", "fenced", "stopped"]
)
def test_every_state_has_its_words(language, state):
    found = Safety(state, "s3://x", 3, 9, 12.4, None, True, "the disk is full")
    lines = safety_lines(found, language)

    assert ("12" in lines, "s3://x" in lines, "3" in lines) == (True, True, True)
    assert language.word("safety_erasing") in lines
    if "{problem}" in language.word(f"safety_{state}", problem="{problem}"):
        assert "the disk is full" in lines


def test_what_is_safe_is_said_in_a_line():
    assert (
        safety_lines(SAFE, EN) == "Everything is also at `s3://x`, as of 2026-11-29 01:02:03 UTC."
    )
    assert safety_lines(OFF, ZH) == ZH.word("safety_off")
