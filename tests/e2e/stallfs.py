# SPDX-License-Identifier: MIT
"""
stallfs: a directory seen through a FUSE filesystem whose disk stalls on demand.

    stallfs.py BACKING MOUNTPOINT STALL

While the file STALL exists, reads and writes of a file named "store" hang; everything else works. It
preallocates nothing (FUSE has no fallocate here), and ends when it is unmounted.
"""
import errno
import os
import stat
import sys
import time

from fusepy import FUSE, FuseOSError, Operations


class Stall(Operations):
    def __init__(self, backing, stall):
        self.backing, self.stall = backing, stall
        self.slow = set()  # descriptors of what stalls

    def __call__(self, op, path, *args):
        try:
            return getattr(self, op)(self.backing + path, *args)
        except AttributeError:
            raise FuseOSError(errno.ENOSYS) from None

    def _wait(self, fh):
        while fh in self.slow and os.path.exists(self.stall):
            time.sleep(0.02)

    def getattr(self, path, fh=None):
        st = os.lstat(path)
        return {k: getattr(st, k) for k in ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size",
                                            "st_atime", "st_mtime", "st_ctime")}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(path)]

    def mkdir(self, path, mode):
        return os.mkdir(path, mode)

    def rmdir(self, path):
        return os.rmdir(path)

    def unlink(self, path):
        return os.unlink(path)

    def chmod(self, path, mode):
        return os.chmod(path, stat.S_IMODE(mode))

    def statfs(self, path):
        st = os.statvfs(path)
        return {k: getattr(st, k) for k in ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail",
                                            "f_ffree", "f_files", "f_frsize", "f_namemax")}

    def _opened(self, path, fd):
        if os.path.basename(path) == "store":
            self.slow.add(fd)
        return fd

    def open(self, path, flags):
        # O_DIRECT asks for aligned memory, which Python's is not.
        return self._opened(path, os.open(path, flags & ~os.O_DIRECT))

    def create(self, path, mode, fi=None):
        return self._opened(path, os.open(path, os.O_RDWR | os.O_CREAT, mode))

    def read(self, path, size, offset, fh):
        self._wait(fh)
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        self._wait(fh)
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        return os.truncate(path if fh is None else fh, length)

    def fsync(self, path, datasync, fh):
        return os.fdatasync(fh)

    def flush(self, path, fh):
        return 0

    def release(self, path, fh):
        self.slow.discard(fh)
        return os.close(fh)


if __name__ == "__main__":
    FUSE(Stall(sys.argv[1], sys.argv[3]), sys.argv[2], foreground=True, big_writes=True, raw_fi=False, max_read=1 << 17)
