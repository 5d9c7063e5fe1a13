"""Disks that others can write to as well: SQLite is not opened there."""

from pathlib import Path

import pytest

from db import mounts
from db.engine import Database, UnsafeDatabase
from db.mounts import file_system, network_disk

MOUNTS = r"""
21 26 0:19 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:25 / /mnt rw - tmpfs tmpfs rw
31 30 0:40 / /mnt/share rw,relatime shared:2 master:3 - nfs4 server:/export rw,vers=4.2
32 30 0:41 / /mnt/share/local rw - xfs /dev/sdb1 rw
33 30 0:42 / /mnt/my\040bucket rw - fuse.hf-mount hf-mount rw
34 30 0:43 / /mnt/windows rw - fuseblk /dev/sdc1 rw
35 30 0:44 / /mnt/covered rw - cifs //server/share rw
36 30 0:45 / /mnt/covered rw - ext4 /dev/sdd1 rw
37 30 0:46 / /mnt/rootless rw - fuse.fuse-overlayfs overlay rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/ann/data", "ext4"),
        ("/mnt/app", "tmpfs"),
        ("/mnt/share/data/app.db", "nfs4"),
        ("/mnt/shared", "tmpfs"),
        ("/mnt/share/local/app.db", "xfs"),
        ("/mnt/my bucket/app.db", "fuse.hf-mount"),
        ("/mnt/covered/app.db", "ext4"),
    ],
)
def test_the_deepest_and_last_mount_counts(path, kind):
    assert file_system(Path(path), MOUNTS) == kind


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Say that a folder is a mount of some kind."""
    listed = tmp_path / "mountinfo"
    monkeypatch.setattr(mounts, "MOUNTS", listed)

    def mounted(folder, kind):
        listed.write_text(f"{MOUNTS}\n40 21 0:50 / {folder} rw - {kind} somewhere rw\n")

    return mounted


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.hf-mount", "fuse.gcsfuse"]
)
def test_a_database_on_a_shared_disk_is_refused_with_advice(tmp_path, mounted, kind):
    mounted(tmp_path, kind)

    with pytest.raises(UnsafeDatabase, match=rf"\({kind}\).*GENLOOP_REPLICA"):
        Database(f"sqlite:///{tmp_path / 'app.db'}")
    assert not (tmp_path / "app.db").exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay", "fuseblk", "btrfs"])
def test_a_local_disk_is_none_of_these(tmp_path, mounted, kind):
    mounted(tmp_path, kind)

    assert network_disk(tmp_path / "app.db") is None
    Database(f"sqlite:///{tmp_path / 'app.db'}").close()


def test_the_disk_of_the_tests_is_looked_at(tmp_path):
    """The real list of mounts, where there is one."""
    assert network_disk(tmp_path) is None
    if mounts.MOUNTS.exists():
        assert file_system(Path("/proc/self"), mounts.MOUNTS.read_text()) == "proc"


def test_where_nothing_is_known_of_mounts_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "MOUNTS", tmp_path / "nowhere")

    assert network_disk(tmp_path) is None
