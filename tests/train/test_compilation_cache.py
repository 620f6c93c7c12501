"""Compiled programs are kept apart by the number of cores that they were cut into tasks for."""

import os
import subprocess
import sys
from pathlib import Path

from train.parallel import usable_cores

PROGRAM = """
import os, sys
from pathlib import Path
if cores := sys.argv[2:]:
    os.sched_setaffinity(0, set(map(int, cores)))
import jax
from train.parallel import use_compilation_cache
use_compilation_cache(Path(sys.argv[1]))
jax.jit(lambda x: x + 1)(1.0)
"""


def _compile(folder: Path, *cores: int) -> set[str]:
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-c", PROGRAM, str(folder), *map(str, cores)]
    subprocess.run(command, env=environment, check=True)
    return {path.parent.name for path in folder.rglob("*-cache")}


def test_each_number_of_cores_has_a_folder_of_its_own(tmp_path):
    several = f"{usable_cores()}-cores"
    assert _compile(tmp_path) == {several}
    if hasattr(os, "sched_setaffinity"):
        first = min(os.sched_getaffinity(0))
        assert _compile(tmp_path, first) == {several, "1-cores"}
