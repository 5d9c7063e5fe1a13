"""Pairs of pictures in the columns of Pick-a-Pic, for Diffusion-DPO and reward models.

The columns are those of Kirstain et al. 2023 (arXiv:2305.01569) that make sense here. Their scripts
open the bytes of `jpg_0` and `jpg_1` with Pillow, whatever the format: PNGs stay PNGs, so that no
pixel is lost.
"""

import hashlib
from collections.abc import Iterator

from feedback.formats.candidate import Candidate, Row
from feedback.formats.format import Format, Rules, Schema
from feedback.formats.image_pairs import both, check, hashes, picture_pairs, says
from feedback.formats.pictures import Pictures
from feedback.formats.reader import Reader
from feedback.formats.shapes import plain_prompt
from feedback.spec import Recipe


def schema(_recipe: Recipe) -> Schema:
    return {
        "caption": "string",
        "jpg_0": "binary",
        "jpg_1": "binary",
        "label_0": "double",
        "label_1": "double",
        "image_0_uid": "string",
        "image_1_uid": "string",
        "best_image_uid": "string",
        "are_different": "bool",
        "has_label": "bool",
        "model_0": "string",
        "model_1": "string",
        "margin": "double",
    }


def candidates(reader: Reader, recipe: Recipe, rules: Rules) -> Iterator[Candidate]:
    """Pairs of pictures; the label says whether the better one is picture 0."""
    for pair in picture_pairs(reader, recipe, rules):
        pair.label = is_first(*hashes(pair))
        yield pair


def is_first(better: str, worse: str) -> bool:
    """Whether the better picture is picture 0: a coin that falls the same way every time.

    It looks at the pictures and not at who won, so that nothing can be learned from the place.
    """
    low, high = sorted((better, worse))
    heads = hashlib.sha256(f"{low} {high}".encode()).digest()[0] % 2 == 0
    return heads == (better == low)


def row(candidate: Candidate, _recipe: Recipe, pictures: Pictures) -> Row:
    sides = list(zip(candidate.made, both(candidate, pictures), strict=True))
    (first, picture_0), (second, picture_1) = sides if candidate.label else sides[::-1]
    uids = picture_0.content, picture_1.content
    return Row(
        {
            "caption": plain_prompt(candidate.inputs),
            "jpg_0": picture_0,
            "jpg_1": picture_1,
            "label_0": 1.0 if candidate.label else 0.0,
            "label_1": 0.0 if candidate.label else 1.0,
            "image_0_uid": uids[0],
            "image_1_uid": uids[1],
            "best_image_uid": uids[0] if candidate.label else uids[1],
            "are_different": True,  # ties are not written
            "has_label": True,
            "model_0": first.version.name,
            "model_1": second.version.name,
            "margin": round(candidate.value, 4),
        }
    )


FORMAT = Format(
    "image-preferences",
    "learning which of two pictures is better (Diffusion-DPO, reward models)",
    "image",
    schema,
    candidates,
    check,
    says,
    row,
)
