"""Large pages for large arrays, which Linux gives to a process whose allocator asks for them."""

import os
import platform
import sys
from pathlib import Path

KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLE = "glibc.malloc.hugetlb"


def restart_with_huge_pages() -> None:
    """Replace this process by the same one whose glibc asks for pages of 2 MB.

    XLA:CPU allocates the temporary memory of every step anew, and the kernel hands it out page by
    page: with pages of 4 KB that takes up to a third of a step (docs/performance.md). glibc reads
    its tunables when a process starts, hence the restart; for a program to do, not for a library.

    Returns where there is nothing to do: the tunable is set, to whatever value; the kernel gives
    large pages to all or to none; or the C library is not glibc 2.35 or newer.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if TUNABLE in tunables or not _would_help():
        return
    with_ours = ":".join(filter(None, [tunables, f"{TUNABLE}=1"]))
    arguments = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, arguments, {**os.environ, "GLIBC_TUNABLES": with_ours})


def _would_help() -> bool:
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) < (2, 35):
        return False
    try:
        return "[madvise]" in KERNEL.read_text()
    except OSError:
        return False
