"""On what kind of disk a file lies; SQLite's locks hold only where nobody else can write to it."""

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")  # of Linux; elsewhere nothing is known
ESCAPES = {"\\040": " ", "\\011": "\t", "\\012": "\n", "\\134": "\\"}

# File systems that other machines can write to, or that reach us through another program. A disk
# that only its format needs a program for (fuseblk) is as good as any other.
NETWORK = {
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fakeowner",
    "fuse",
    "gfs2",
    "glusterfs",
    "gpfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "ocfs2",
    "orangefs",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
}
LOCAL = {"fuse.fuse-overlayfs"}  # the root of containers that run without root's rights


def network_disk(path: Path) -> str | None:
    """The type of the network, bucket or shared file system of a path; None for a local disk."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    kind = file_system(path.resolve(), mounts)
    shared = kind in NETWORK or kind.startswith("fuse.")
    return kind if shared and kind not in LOCAL else None


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds the path, by the lines of mountinfo (see proc(5)).

    Of several mounts on one place the last one is seen.
    """
    deepest, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place = Path(unescaped(before.split(" ")[4]))
        if path.is_relative_to(place) and len(place.parts) >= deepest:
            deepest, kind = len(place.parts), after.split(" ")[0]
    return kind


def unescaped(place: str) -> str:
    for escape, character in ESCAPES.items():
        place = place.replace(escape, character)
    return place
