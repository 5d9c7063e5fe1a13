"""Small pictures for galleries, made once and kept beside their originals."""

import io

from PIL import Image

from db.media import Media

SIDE = 192  # pixels of the longer side at most
CRISP = 128  # pixels of a side; what is smaller is shown enlarged and must not blur
QUALITY = 80


def thumbnail(media: Media, sha256: str) -> tuple[bytes, str]:
    """The small picture and its format: webp, or png where the original is no larger.

    Raises FileNotFoundError when the original is gone.
    """
    kept = media.small(sha256)
    if kept is not None:
        return kept, "webp"
    original = media.read(sha256)
    small = made_small(original)
    if len(small) >= len(original):
        return original, "png"
    media.put_small(sha256, small)
    return small, "webp"


def made_small(original: bytes) -> bytes:
    with Image.open(io.BytesIO(original)) as image:
        picture = image.convert("RGB")
    tiny = max(picture.size) <= CRISP
    picture.thumbnail((SIDE, SIDE))
    small = io.BytesIO()
    picture.save(small, "WEBP", lossless=tiny, quality=QUALITY, method=4)
    return small.getvalue()
