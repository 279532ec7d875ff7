"""Where an engine reads what a customer has made: a process that can reach nothing but what it serves.

A model's file is read by a great deal of C++, and whoever has made it may have made it for that. So the
process that opens it has no capabilities, may read its files and the system's libraries only, write nothing,
call nobody (Landlock), start no program and open no socket but of TCP (seccomp). Kernels differ in how much
of it they can do (https://docs.kernel.org/userspace-api/landlock.html); what was possible is told.
"""

import ctypes
import errno
import os
import platform
import signal
import socket
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
SECCOMP_MODE_FILTER = 2
LAST_CAPABILITY = 63
CAPABILITY_VERSION = 0x20080522

# Landlock has the same numbers everywhere.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
PATH_BENEATH, NET_PORT = 1, 2
EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
# How many rights over files each version knows.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
NEWEST_FILE_RIGHTS = 16
BIND, CONNECT = 1, 2
NETWORK_SINCE, SCOPES_SINCE = 4, 6
ABSTRACT_SOCKETS, SIGNALS = 1, 2

# What libraries read while they load and count processors; never what the portal keeps.
SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/stat", "/sys/devices/system", "/dev/null", "/dev/urandom",
)  # fmt: skip

# New calls have the same numbers everywhere, too.
_SINCE_5_1 = {
    "io_uring_setup": 425, "pidfd_getfd": 438, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466,
}  # fmt: skip
# By machine: how the kernel names it, `socket`, `prlimit64`, and what nobody needs who serves. Landlock lets
# pass what changes a file's rights, owner, times or marks, and before its third version what cuts it short.
_CALLS = {
    "x86_64": (
        0xC000003E, 41, 302,
        {"shmget": 29, "shmat": 30, "shmctl": 31, "execve": 59, "semget": 64, "semctl": 66, "msgget": 68,
         "msgctl": 71, "truncate": 76, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94,
         "ptrace": 101, "utime": 132, "setpriority": 141, "sched_setparam": 142, "sched_setscheduler": 144,
         "mount": 165, "umount2": 166, "init_module": 175, "setxattr": 188, "lsetxattr": 189,
         "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
         "sched_setaffinity": 203, "utimes": 235, "kexec_load": 246, "add_key": 248, "request_key": 249,
         "keyctl": 250, "fchownat": 260, "futimesat": 261, "fchmodat": 268, "unshare": 272, "utimensat": 280,
         "perf_event_open": 298, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
         "finit_module": 313, "sched_setattr": 314, "bpf": 321, "execveat": 322, "userfaultfd": 323,
         **_SINCE_5_1},
    ),
    "aarch64": (
        0xC00000B7, 198, 261,
        {"setxattr": 5, "lsetxattr": 6, "fsetxattr": 7, "removexattr": 14, "lremovexattr": 15,
         "fremovexattr": 16, "umount2": 39, "mount": 40, "truncate": 45, "fchmod": 52, "fchmodat": 53,
         "fchownat": 54, "fchown": 55, "utimensat": 88, "unshare": 97, "kexec_load": 104,
         "init_module": 105, "ptrace": 117, "sched_setparam": 118, "sched_setscheduler": 119,
         "sched_setaffinity": 122, "setpriority": 140, "msgget": 186, "msgctl": 187, "semget": 190,
         "semctl": 191, "shmget": 194, "shmctl": 195, "shmat": 196, "add_key": 217, "request_key": 218,
         "keyctl": 219, "execve": 221, "perf_event_open": 241, "setns": 268, "process_vm_readv": 270,
         "process_vm_writev": 271, "finit_module": 273, "sched_setattr": 274, "bpf": 280, "execveat": 281,
         "userfaultfd": 282, **_SINCE_5_1},
    ),
}  # fmt: skip
_OTHER_ABI = 0x40000000  # x86_64 answers calls with 32-bit pointers under numbers from here on
# Instructions of the filter, and where it finds the call, the machine and the first two arguments.
_LOAD, _AND, _IS, _AT_LEAST, _ANSWER = 0x20, 0x54, 0x15, 0x35, 0x06
_CALL, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # with "operation not permitted"
_KIND_OF_SOCKET = 0xF

_libc = ctypes.CDLL(None, use_errno=True)


def confine(readable: Iterable[Path]) -> list[str]:
    """Give up everything but reading these, and the system; answers what of it this kernel could do.

    For this thread and all that it starts. Raises OSError when something that the kernel offers fails.
    """
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return [*_drop_capabilities(), *_restrict(readable), *_filter()]


def die_with(parent: int) -> None:
    """End when the parent does, however that ends."""
    _call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _call(name: str, *values: object) -> int:
    found: int = getattr(_libc, name)(*values)
    if found < 0:
        problem = ctypes.get_errno()
        raise OSError(problem, f"{name}: {os.strerror(problem)}")
    return found


def _drop_capabilities() -> list[str]:
    for capability in range(LAST_CAPABILITY + 1):
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused to those who have none to drop
    _call("capset", struct.pack("<Ii", CAPABILITY_VERSION, 0), bytes(24))
    return ["no capabilities"]


def version() -> int:
    """Landlock's version here; 0 without it."""
    return max(int(_libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASK_VERSION)), 0)


def _restrict(readable: Iterable[Path]) -> list[str]:
    known = version()
    if not known:
        return []
    said = ["reads its model only"]
    rights = [(1 << FILE_RIGHTS.get(known, NEWEST_FILE_RIGHTS)) - 1]
    if known >= NETWORK_SINCE:
        rights.append(BIND | CONNECT)
        said.append("calls nobody")
    if known >= SCOPES_SINCE:
        rights.append(ABSTRACT_SOCKETS | SIGNALS)
        said.append("signals nobody")
    wanted = struct.pack(f"<{len(rights)}Q", *rights)
    ruleset = _call("syscall", CREATE_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0)
    for path in (*SYSTEM, sys.prefix, sys.base_prefix, *map(str, readable)):
        _let_read(ruleset, path)
    if known >= NETWORK_SINCE:  # any port that is free, and no other
        _call("syscall", ADD_RULE, ruleset, NET_PORT, struct.pack("<QQ", BIND, 0), 0)
    _call("syscall", RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return said


def _let_read(ruleset: int, path: str) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    rights = READ_FILE | (READ_DIR | EXECUTE if os.path.isdir(path) else 0)
    _call("syscall", ADD_RULE, ruleset, PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
    os.close(place)


def _filter() -> list[str]:
    """No other calls than those of a server: as a program of the kernel's, one refusal after another."""
    if platform.machine() not in _CALLS:
        return []
    machine, opens_socket, limits, refused = _CALLS[platform.machine()]
    program = [
        (_LOAD, 0, 0, _MACHINE), (_IS, 1, 0, machine), (_ANSWER, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _CALL), (_AT_LEAST, 0, 1, _OTHER_ABI), (_ANSWER, 0, 0, _REFUSE),
    ]  # fmt: skip
    for number in refused.values():
        program += [(_IS, 0, 1, number), (_ANSWER, 0, 0, _REFUSE)]
    program += [  # its own limits are looked at by libraries; those of others are nothing to it
        (_IS, 0, 4, limits), (_LOAD, 0, 0, _FIRST), (_IS, 1, 0, 0), (_ANSWER, 0, 0, _REFUSE),
        (_ANSWER, 0, 0, _ALLOW),
        (_IS, 1, 0, opens_socket), (_ANSWER, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST), (_IS, 2, 0, socket.AF_INET), (_IS, 1, 0, socket.AF_INET6),
        (_ANSWER, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _SECOND), (_AND, 0, 0, _KIND_OF_SOCKET), (_IS, 1, 0, socket.SOCK_STREAM),
        (_ANSWER, 0, 0, _REFUSE), (_ANSWER, 0, 0, _ALLOW),
    ]  # fmt: skip
    code = b"".join(struct.pack("<HBBI", *one) for one in program)
    held = ctypes.create_string_buffer(code, len(code))
    whole = struct.pack("@HP", len(program), ctypes.addressof(held))
    try:
        _call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, whole, 0, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:  # which says that this kernel has no filters
            raise
        return []
    return ["starts nothing"]
