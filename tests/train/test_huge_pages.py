"""A program restarts itself once with glibc's tunable, and keeps its arguments."""

import json
import os
import subprocess
import sys
from pathlib import Path

from train.huge_pages import _would_help

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, sys
from train.huge_pages import restart_with_huge_pages
restart_with_huge_pages()
print(json.dumps([os.getpid(), os.environ["GLIBC_TUNABLES"], *sys.argv[1:]]))
"""


def said(tunables):
    """What the program prints, and its process's number."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLIBC_TUNABLES": tunables}
    command = [sys.executable, "-c", PROGRAM, "a b", "c"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    number, *rest = json.loads(out)
    assert number == process.pid
    return rest


def test_the_tunable_is_added_to_those_that_are_set():
    """Where this kernel and C library have such a choice; else all stays as it was."""
    with_others, alone = "glibc.malloc.arena_max=4:glibc.malloc.hugetlb=1", "glibc.malloc.hugetlb=1"
    if not _would_help():
        with_others, alone = "glibc.malloc.arena_max=4", ""
    assert said("glibc.malloc.arena_max=4") == [with_others, "a b", "c"]
    assert said("") == [alone, "a b", "c"]


def test_a_person_may_refuse():
    assert said("glibc.malloc.hugetlb=0") == ["glibc.malloc.hugetlb=0", "a b", "c"]
