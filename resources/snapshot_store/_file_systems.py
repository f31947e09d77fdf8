"""Which file systems can hold the refs of a store."""

from functools import lru_cache
from pathlib import Path

import psutil

from automl_assets.core.errors import SnapshotError

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb",
        "smb2",
        "smb3",
        "smbfs",
        "afs",
        "afpfs",
        "ncpfs",
        "davfs",
        "webdav",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "gfs",
        "gfs2",
        "ocfs2",
        "orangefs",
        "pvfs2",
        "wekafs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.goofys",
        "fuse.juicefs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.davfs",
        "fuse.smbnetfs",
        "fuse.blobfuse",
        "fuse.blobfuse2",
        "fuse.mountpoint-s3",
    }
)
"""Types, as the kernel names them, that other machines may write to at the same time.

9p, virtiofs and overlay are not among them: containers and virtual machines use
them for folders of their own machine.
"""


@lru_cache(maxsize=64)
def refuse_network_file_system(folder: Path) -> None:
    """Raise SnapshotError if the folder, which need not exist, is on a network file system.

    SQLite's write-ahead log needs memory that all users of the file share, and locks
    that hold; see https://sqlite.org/wal.html#overview. Asked once per process.
    """
    real = folder.resolve()
    kinds = {
        Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)
    }  # of two mounts on one folder, the later one is seen
    mountpoint = next((path for path in (real, *real.parents) if path in kinds), None)
    if mountpoint is not None and kinds[mountpoint] in NETWORK_FILE_SYSTEMS:
        raise SnapshotError(
            "The snapshot store keeps its refs in SQLite, whose locks do not hold on network "
            f"file systems. {str(folder)!r} is on {kinds[mountpoint]!r}, mounted at "
            f"{str(mountpoint)!r}. Set AUTOML_HOME to a folder on a local disk, or use a lakeFS "
            "server (AUTOML_LAKEFS_ENDPOINT)."
        )
