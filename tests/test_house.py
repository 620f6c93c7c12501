"""The rooms import one way only: train may use flax_models and data, and nothing points back."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "flax_models": {"flax_models"},
    "data": {"data"},
    "train": {"train", "data", "flax_models"},
    "benchmarks": {"benchmarks", "train", "data", "flax_models"},
}
SOURCES = [path for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py"))]


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            assert node.level == 0, f"{path}: relative import"
        else:
            continue
        yield from {name.partition(".")[0] for name in names} & (MAY_IMPORT.keys() | {"tests"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_arrow_points_against_the_houses_direction(path):
    room = path.relative_to(ROOT).parts[0]
    assert set(imported_rooms(path)) <= MAY_IMPORT[room]


def test_the_walk_sees_a_wrong_arrow(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from train.loop import Loop\n    import benchmarks.run\n")
    assert set(imported_rooms(wrong)) == {"train", "benchmarks"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short_enough_to_read(path):
    limit = 250 if path.parts[-2] == "flax_models" else 300
    assert len(path.read_text().splitlines()) <= limit


def test_no_address_of_a_registry_and_no_absolute_path_is_committed():
    found = re.compile(r"https?://\S*(?:/simple|/packages|pypi)|(?<![\w.])/(?:work|root|home)/")
    texts = [path for suffix in ("toml", "md", "txt") for path in ROOT.glob(f"*.{suffix}")]
    files = [*SOURCES, *texts, ROOT / "Makefile", ROOT / ".ci" / "run"]
    for path in files:
        assert not found.search(path.read_text()), path


def test_test_files_have_names_of_their_own():
    """pytest imports them by name, and two of one name cannot be collected together."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) > 50
    assert sorted(set(names)) == sorted(names)
