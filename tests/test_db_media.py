import hashlib
import threading
import time

import pytest

from db.erasure import erase_visitor
from db.media import MediaStore, hold
from tests.factories import drawn, make_generation, make_pictures, make_version, make_visitor


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_found_under_its_hash_and_kept_once(tmp_path):
    store = MediaStore(tmp_path)
    first, again = store.put(b"a picture"), store.put(b"a picture")

    assert first == again == hashlib.sha256(b"a picture").hexdigest()
    assert store.read(first) == b"a picture"
    assert files(tmp_path) == [first]


def test_only_files_that_nothing_refers_to_are_dropped(session, tmp_path):
    store = MediaStore(tmp_path / "media")
    make_pictures(session, store, pictures=(drawn("red"),))
    make_generation(session)
    used, unused = store.put(drawn("red")), store.put(drawn("blue"))
    store.drop_unused(session, {used, unused, "0" * 64})

    assert files(store.folder) == [used]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_picture_that_is_kept_while_another_visitor_is_erased_stays(database, tmp_path):
    """The same picture of two visitors: who comes second waits, and then sees what is so."""
    store = MediaStore(tmp_path)

    def begin(session):
        ann, bob = make_visitor(session, "ann"), make_visitor(session, "bob")
        make_pictures(session, store, ann, pictures=(drawn("red"),))
        return ann.visitor_id, bob, make_version(session, "painter", task="image")

    ann, bob, version = database.write(begin)
    sha256 = store.put(drawn("red"))
    kept = threading.Event()

    def keep(session):
        hold(session, [sha256])
        make_pictures(session, store, bob, pictures=(drawn("red"),), version_id=version)
        kept.set()
        time.sleep(0.5)  # in which nobody sees this row

    keeping = threading.Thread(target=database.write, args=(keep,))
    keeping.start()
    kept.wait()
    database.write(lambda session: store.drop_unused(session, erase_visitor(session, ann)))
    keeping.join()

    assert store.has(sha256)
