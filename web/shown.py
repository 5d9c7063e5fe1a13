"""Pictures as answers: shown in the page, and kept by the browser of their visitor alone."""

from fastapi.responses import FileResponse, Response

from db.media import Media, MediaStore
from web.thumbnails import thumbnail

# What a handle stands for never changes.
CACHE = {"Cache-Control": "private, max-age=31536000, immutable"}


def shown(media: Media, sha256: str, name: str, thumb: bool) -> Response:
    """A kept picture, or its small version; `name` is ours, without an ending.

    Raises FileNotFoundError, or TargetDown where it lies elsewhere and that is away.
    """
    data, kind = thumbnail(media, sha256) if thumb else (None, "png")
    name, media_type = f"{name}.{kind}", f"image/{kind}"
    if isinstance(media, MediaStore):
        path = media.small_path(sha256) if kind == "webp" else media.path(sha256)
        if not path.is_file():
            raise FileNotFoundError(path)
        return FileResponse(
            path,
            media_type=media_type,
            filename=name,
            content_disposition_type="inline",
            headers=CACHE,
        )
    headers = {
        **CACHE,
        "Content-Disposition": f'inline; filename="{name}"',
        "ETag": f'"{sha256}-{kind}"',
    }
    return Response(data or media.read(sha256), media_type=media_type, headers=headers)
