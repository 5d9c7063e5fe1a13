"""Pictures on their way into a dataset: each is looked at, and leaves as pixels alone."""

import hashlib
import io

from PIL import Image

from db.media import Media
from feedback.formats.candidate import HeldBack, Picture
from feedback.formats.judged import Judged

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that a decoder may ignore, and that say what the pixels look like all the same; names of
# chunks that it may not ignore begin with a capital.
COLOURS = (b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"cICP")


class NoMediaStore(ValueError):
    """The format holds pictures, and nobody said where they are kept."""


class PictureGone(RuntimeError):
    """A picture was there when the rows were chosen, and is not when they are written."""


class Pictures:
    """The pictures of the media store, as long as they are whole."""

    REMEMBERED = 4_096  # pictures; one may be in several pairs

    def __init__(self, store: Media | None) -> None:
        self.store = store
        self.looked_at: dict[str, str] = {}  # by the file kept, what of it leaves

    def of(self, judged: Judged) -> Picture:
        """The picture of a generation, once it has been looked at; raises HeldBack."""
        if self.store is None:
            raise NoMediaStore(f"the pictures of generation {judged.id} are in no media store")
        kept = judged.media_sha256
        if kept is None:
            raise HeldBack("missing_picture")
        content = self.looked_at.get(kept)
        if content is None:
            if len(self.looked_at) == self.REMEMBERED:
                self.looked_at.clear()
            content = self.looked_at[kept] = content_hash(self.sound(kept))
        return Picture(kept, content)

    def sound(self, kept: str) -> bytes:
        """The PNG without words in it; raises HeldBack, or TargetDown where the store is away."""
        assert self.store is not None
        try:
            data = self.store.read(kept)
        except FileNotFoundError:
            raise HeldBack("missing_picture") from None
        if content_hash(data) != kept or not is_png(data):
            raise HeldBack("unreadable_picture")
        return bare(data)

    def bytes(self, kept: str, content: str) -> bytes:
        """What leaves of a picture that was looked at; raises PictureGone."""
        try:
            data = self.sound(kept)
        except HeldBack as problem:
            raise PictureGone(f"the file of picture {kept} has gone or changed") from problem
        if content_hash(data) != content:
            raise PictureGone(f"the file of picture {kept} has changed")
        return data


def is_png(data: bytes) -> bool:
    """Whether it is a PNG that can be decoded to its last pixel."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


def bare(png: bytes) -> bytes:
    """The PNG without the chunks that do not concern its pixels; these stay as they are.

    A kept picture carries its prompts and parameters in text chunks. What of them may leave is
    said in the row; nothing else shall travel inside the picture. Raises HeldBack for a picture
    that is cut short in a way that decoders forgive.
    """
    parts, at = [png[: len(SIGNATURE)]], len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        length, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        end = at + 12 + length  # length, kind and checksum are 4 bytes each
        if end > len(png):
            raise HeldBack("unreadable_picture")
        if kind[:1].isupper() or kind in COLOURS:
            parts.append(png[at:end])
        at = end
    return b"".join(parts)


def content_hash(picture: bytes) -> str:
    return hashlib.sha256(picture).hexdigest()


def picture_name(picture: Picture) -> str:
    """Its place in an ImageFolder, by its content: the same picture is there once."""
    return f"images/{picture.content}.png"
