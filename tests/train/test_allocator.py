"""A program restarts itself once for faster memory, and keeps its arguments."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from train.allocator import TCMALLOC, offers_large_pages

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, sys
from train import allocator
getattr(allocator, sys.argv[1])()
settings = [os.environ.get(name, "") for name in ("LD_PRELOAD", "GLIBC_TUNABLES")]
print(json.dumps([os.getpid(), *settings, *sys.argv[2:]]))
"""


def said(function, **settings):
    """What a program that calls the function prints, but for its process's number."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": "", "GLIBC_TUNABLES": ""}
    command = [sys.executable, "-c", PROGRAM, function, "a b", "c"]
    process = subprocess.Popen(
        command, env={**environment, **settings}, stdout=subprocess.PIPE, text=True
    )
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    number, *rest = json.loads(out)
    assert number == process.pid
    return rest


def test_the_tunable_is_added_to_those_that_are_set():
    """Where this kernel and C library have such a choice; else all stays as it was."""
    with_others, alone = "glibc.malloc.arena_max=4:glibc.malloc.hugetlb=1", "glibc.malloc.hugetlb=1"
    if not offers_large_pages():
        with_others, alone = "glibc.malloc.arena_max=4", ""
    others = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=4"}
    assert said("restart_with_huge_pages", **others) == ["", with_others, "a b", "c"]
    assert said("restart_with_huge_pages") == ["", alone, "a b", "c"]


def test_tcmalloc_is_preloaded_where_the_loader_finds_it(tmp_path):
    """On Linux; elsewhere nothing has this name, and all stays as it was."""
    preloaded = ""
    if sys.platform == "linux":
        # another library under its name: it is the loader that is asked, and that preloads
        lines = Path("/proc/self/maps").read_text().splitlines()
        library = next(line.split()[-1] for line in lines if "/libm.so" in line)
        preloaded = shutil.copy(library, tmp_path / TCMALLOC[0]).name
    settings = {"LD_LIBRARY_PATH": str(tmp_path)}
    assert said("restart_with_faster_memory", **settings) == [preloaded, "", "a b", "c"]


@pytest.mark.parametrize(
    "settings",
    [{"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, {"LD_PRELOAD": "libanothermalloc.so"}],
)
def test_a_person_may_refuse(settings):
    preloaded, tunables = settings.get("LD_PRELOAD", ""), settings.get("GLIBC_TUNABLES", "")
    assert said("restart_with_faster_memory", **settings) == [preloaded, tunables, "a b", "c"]
