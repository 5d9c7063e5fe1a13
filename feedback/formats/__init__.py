"""The dataset formats, one module each: which feedback becomes a row, and its checks."""

from feedback.formats import (
    captions,
    dpo,
    image_preferences,
    kohya,
    kto,
    prompts,
    rewards,
    rubric,
    sft,
    vae_pairs,
    vae_samples,
)
from feedback.formats.format import Format

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        sft,
        dpo,
        kto,
        prompts,
        rewards,
        rubric,
        captions,
        image_preferences,
        kohya,
        vae_samples,
        vae_pairs,
    )
}
