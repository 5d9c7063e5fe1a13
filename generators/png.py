"""Pictures as PNG files that say how they were made."""

import io
import json
from typing import Any

from PIL import Image
from PIL.Image import DecompressionBombError
from PIL.PngImagePlugin import PngInfo

from generators.base import InvalidRequest

OURS = "genloop"  # all parameters, as JSON
USUAL = "parameters"  # the text that other picture programs write and read


def png_bytes(image: Image.Image, parameters: dict[str, Any]) -> bytes:
    """The picture with its parameters; the same of both give the same bytes."""
    words = PngInfo()
    words.add_itxt(USUAL, usual_text(parameters))
    words.add_itxt(OURS, json.dumps(parameters, ensure_ascii=False, sort_keys=True))
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=words)
    return file.getvalue()


def usual_text(parameters: dict[str, Any]) -> str:
    """The parameters as Stable Diffusion web UIs write them: prompt, negative prompt, one line.

    What shaped nothing, or is not known of an engine's picture, is left out.
    """
    rest = {
        "Steps": parameters.get("steps"),
        "Sampler": parameters.get("scheduler"),
        "CFG scale": parameters.get("guidance"),
        "Seed": parameters.get("seed"),
        "Size": f"{parameters['width']}x{parameters['height']}",
        "Model hash": parameters.get("weights_sha256", "")[:10] or None,
        "Model": parameters["model"],
    }
    lines = [parameters["prompt"]]
    if parameters["negative_prompt"]:
        lines.append(f"Negative prompt: {parameters['negative_prompt']}")
    known = [f"{name}: {value}" for name, value in rest.items() if value is not None]
    lines.append(", ".join(known))
    return "\n".join(lines)


def read_parameters(png: bytes) -> dict[str, Any]:
    """What `png_bytes` was given; raises InvalidRequest for any other file."""
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            parameters = json.loads(image.info[OURS])  # stands before the pixels: none is decoded
    except (OSError, ValueError, KeyError, RecursionError, DecompressionBombError) as problem:
        raise InvalidRequest("no_parameters") from problem
    if not isinstance(parameters, dict):
        raise InvalidRequest("no_parameters")
    return parameters
