"""Pairs of pictures as sd-scripts takes them: `w/NAME.png` won over `l/NAME.png`.

The layout is that of kohya-ss/sd-scripts#1427 (Diffusion-DPO, MaPO), with captions in `.txt` files
beside the pictures. `metadata.jsonl` lists the pairs for everybody else.
"""

import hashlib

from feedback.formats.candidate import Candidate, Row, utf8
from feedback.formats.format import Format, Layout, Schema
from feedback.formats.image_pairs import both, check, hashes, picture_pairs, says
from feedback.formats.pictures import Pictures
from feedback.formats.shapes import plain_prompt
from feedback.spec import Recipe


def schema(_recipe: Recipe) -> Schema:
    return {"w_file_name": "string", "l_file_name": "string", "text": "string"}


def layout(_recipe: Recipe) -> Layout:
    return "pairs_of_folders"


def row(candidate: Candidate, _recipe: Recipe, pictures: Pictures) -> Row:
    better, worse = both(candidate, pictures)
    caption = plain_prompt(candidate.inputs)
    name = pair_name(candidate, caption)
    line = " ".join(caption.splitlines())  # sd-scripts reads no further than one
    return Row(
        {"w_file_name": f"w/{name}.png", "l_file_name": f"l/{name}.png", "text": caption},
        {
            f"w/{name}.png": better,
            f"w/{name}.txt": line,
            f"l/{name}.png": worse,
            f"l/{name}.txt": line,
        },
    )


def pair_name(candidate: Candidate, caption: str) -> str:
    """A name that both sides share, by what they hold."""
    content = " ".join((*hashes(candidate), caption))
    return hashlib.sha256(utf8(content)).hexdigest()[:32]


FORMAT = Format(
    "kohya",
    "pairs of pictures in the folders of sd-scripts",
    "image",
    schema,
    picture_pairs,
    check,
    says,
    row,
    layout=layout,
)
