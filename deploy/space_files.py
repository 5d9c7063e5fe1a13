"""What a Space is made of: the files that the app needs, its requirements and its front matter."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from config import ROOT

PYTHON = "3.12"  # ZeroGPU has 3.12.12 and 3.10.13; the default of all Spaces is 3.10
# The newest torch that ZeroGPU lists (2.8 to 2.11), and the package that lends its GPUs.
ZERO_TORCH = "2.11.0"
SPACES = "0.51.3"
ALWAYS = ("README.md", "Dockerfile", ".dockerignore")  # beside what the app needs to run


@dataclass(frozen=True)
class Shape:
    """What kind of Space it is to be."""

    sdk: str = "gradio"  # or docker
    hardware: str = "zero-a10g"
    torch_index: str = ""  # address of an index for pip, where torch is looked for too

    @property
    def is_zero(self) -> bool:
        return self.hardware.startswith("zero-")


def space_files(shape: Shape, root: Path = ROOT) -> dict[str, bytes]:
    """The Space's files by their names: those of this folder, and the two that are its own."""
    files = {name: (root / name).read_bytes() for name in sorted(needed(root))}
    files["README.md"] = readme(files["README.md"].decode(), files["requirements.txt"], shape)
    files["requirements.txt"] = requirements(files["requirements.txt"].decode(), shape).encode()
    return files


def needed(root: Path) -> Iterator[str]:
    """Names of what .dockerignore lets into the container, as far as git knows it."""
    lines = (root / ".dockerignore").read_text(encoding="utf-8").split()
    allowed = tuple(line[1:] for line in lines if line.startswith("!"))
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        if name in ALWAYS or any(name == one or name.startswith(one + "/") for one in allowed):
            yield name


def commit_of(root: Path = ROOT) -> str:
    """Which commit the files are of, with a plus where they have been changed since."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True, check=True
    )
    return said.stdout.decode().strip()


def requirements(text: str, shape: Shape) -> str:
    """The requirements of the Space; ZeroGPU needs a torch that it knows."""
    if shape.torch_index:
        text = f"--extra-index-url {shape.torch_index}\n{text}"
    if not shape.is_zero:
        return text
    text, replaced = re.subn(r"(?m)^torch==.*$", f"torch=={ZERO_TORCH}", text)
    assert replaced == 1, "requirements.txt pins torch once"
    return f"{text.rstrip()}\nspaces=={SPACES}\n"


def readme(text: str, requirements_txt: bytes, shape: Shape) -> bytes:
    """The README with the front matter that this Space needs; what it says otherwise stays."""
    found = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    assert found is not None, "README.md begins with front matter"
    front = yaml.safe_load(found[1])
    front |= {"sdk": shape.sdk, "suggested_hardware": shape.hardware, "hf_oauth": True}
    if shape.sdk == "docker":
        for name in ("sdk_version", "python_version", "app_file"):
            front.pop(name, None)
        front["app_port"] = 7860
    else:
        front["sdk_version"] = pinned("gradio", requirements_txt.decode())
        front["python_version"] = PYTHON
    written = yaml.safe_dump(front, allow_unicode=True, sort_keys=False)
    return f"---\n{written}---\n{found[2]}".encode()


def pinned(package: str, text: str) -> str:
    found = re.search(rf"(?m)^{package}==(\S+)$", text)
    assert found is not None, f"requirements.txt pins {package}"
    return found[1]
