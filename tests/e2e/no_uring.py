# SPDX-License-Identifier: MIT
"""no_uring.py COMMAND...: runs it where io_uring_setup() is refused with EPERM, as containers do."""
import ctypes
import errno
import os
import platform
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
IO_URING_SETUP = 425  # on every architecture


def refuse(number, error):
    assert platform.machine() in ("x86_64", "aarch64"), "system calls have other numbers elsewhere"
    rules = [(LOAD, 0, 0, 0),  # seccomp_data.nr
             (EQUAL, 0, 1, number),
             (RETURN, 0, 0, ERRNO | error),
             (RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *r) for r in rules))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rules), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for args in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program)):
        if libc.prctl(*args, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse(IO_URING_SETUP, errno.EPERM)
    os.execvp(sys.argv[1], sys.argv[1:])
