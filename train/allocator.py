"""Where a program's memory comes from, which is a large part of a training step on a CPU.

XLA:CPU asks for the temporary memory of every step anew, and glibc takes what is large from the
kernel and gives it back each time. The kernel hands it out page by page: with pages of 4 KiB that
takes up to a third of a step (docs/performance.md). TCMalloc keeps what was freed; where it is not
installed, glibc can ask for pages of 2 MiB. Both are settled when a process starts, so a program
starts itself again; that is for a program to do, not for a library.
"""

import ctypes
import os
import platform
import sys
from pathlib import Path
from typing import NoReturn

KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLE = "glibc.malloc.hugetlb"
TCMALLOC = ("libtcmalloc_minimal.so.4", "libtcmalloc.so.4")
"""Of Debian's and Ubuntu's libtcmalloc-minimal4 and libgoogle-perftools4."""


def restart_with_faster_memory() -> None:
    """Replace this process by the same one with TCMalloc, or else with large pages.

    Returns where there is nothing to do: an allocator is preloaded (a name with malloc in it) or
    the tunable is set, to whatever value; or there is no TCMalloc, nor a way to ask for large
    pages.
    """
    preloaded = os.environ.get("LD_PRELOAD", "")
    if "malloc" in preloaded or TUNABLE in os.environ.get("GLIBC_TUNABLES", ""):
        return
    if library := _tcmalloc():
        _restart(LD_PRELOAD=":".join(filter(None, [preloaded, library])))
    restart_with_huge_pages()


def restart_with_huge_pages() -> None:
    """Replace this process by the same one whose glibc asks for pages of 2 MiB.

    Returns where there is nothing to do: the tunable is set, to whatever value; the kernel gives
    large pages to all or to none; or the C library is not glibc 2.35 or newer.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if TUNABLE not in tunables and offers_large_pages():
        _restart(GLIBC_TUNABLES=":".join(filter(None, [tunables, f"{TUNABLE}=1"])))


def offers_large_pages() -> bool:
    """Whether the kernel gives large pages to those who ask, and this C library can ask."""
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        return False
    try:
        return "[madvise]" in KERNEL.read_text()
    except OSError:
        return False


def _tcmalloc() -> str | None:
    """The name under which this system's loader finds TCMalloc."""
    for name in TCMALLOC:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return None


def _restart(**environment: str) -> NoReturn:
    arguments = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, arguments, {**os.environ, **environment})
