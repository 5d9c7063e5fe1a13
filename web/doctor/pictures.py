"""Where pictures are kept: whether one can be written there, read back and removed."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from db.media import MediaStore
from db.media_elsewhere import MediaElsewhere, open_media, refuse_inside_copy
from db.replica.targets import TargetDown, UnusableTarget
from web.doctor.findings import Finding, Surroundings, fail, ok, warn


def pictures(at: Surroundings) -> Iterator[Finding]:
    """Whether the place that GENLOOP_MEDIA_DIR names takes pictures, and gives them back."""
    if not at.settings.media_dir:  # the check of the disk looks at the data folder
        yield ok("pictures_folder", path=at.settings.media)
        return
    try:
        media = open_media(at.settings.media)
        refuse_inside_copy(media, at.settings.replica)
    except UnusableTarget as problem:
        yield fail("pictures_unusable", reason=problem)
    except TargetDown as problem:
        yield fail("pictures_away", reason=problem)
    else:
        if isinstance(media, MediaElsewhere):
            yield from of_storage(media)
        elif isinstance(media, MediaStore):
            yield of_folder(media.folder)


def of_folder(folder: Path) -> Finding:
    place = next(one for one in (folder.resolve(), *folder.resolve().parents) if one.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return fail("pictures_unwritable", path=place)
    return ok("pictures_folder", path=folder)


def of_storage(media: MediaElsewhere) -> Iterator[Finding]:
    began = time.perf_counter()
    try:
        media.check()
    except TargetDown as problem:
        yield fail("pictures_away", reason=problem)
        return
    try:
        media.probe()
    except TargetDown as problem:
        yield fail("pictures_refused", reason=problem)
        return
    took = time.perf_counter() - began
    if remembers(media):
        yield warn("pictures_versions", place=media.name)
    yield ok("pictures_ok", place=media.name, milliseconds=round(1000 * took))


def remembers(media: MediaElsewhere) -> bool:
    """Whether a bucket keeps what is removed; one that we may not ask counts as one that does not.

    The right to ask (s3:GetBucketVersioning) is not one that keeping pictures needs.
    """
    try:
        return media.target.keeps_versions()
    except TargetDown:
        return False
