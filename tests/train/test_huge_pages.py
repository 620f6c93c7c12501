"""A program restarts itself once with glibc's tunable, and keeps its arguments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.huge_pages import _would_help

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, sys
from train.huge_pages import restart_with_huge_pages
restart_with_huge_pages()
print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:])
"""


def said(tunables):
    """What the program prints, and its process's number."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLIBC_TUNABLES": tunables}
    command = [sys.executable, "-c", PROGRAM, "a b", "c"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    number, *rest = out.split()
    assert int(number) == process.pid
    return rest


@pytest.mark.skipif(not _would_help(), reason="this kernel or C library has no such choice")
def test_the_tunable_is_added_to_those_that_are_set():
    ours = "glibc.malloc.arena_max=4:glibc.malloc.hugetlb=1"
    assert said("glibc.malloc.arena_max=4") == [ours, "a", "b", "c"]
    assert said("") == ["glibc.malloc.hugetlb=1", "a", "b", "c"]


def test_a_person_may_refuse():
    assert said("glibc.malloc.hugetlb=0") == ["glibc.malloc.hugetlb=0", "a", "b", "c"]
