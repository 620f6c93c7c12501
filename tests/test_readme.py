"""The README's table is what the run folders say."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_results_table_comes_from_run_folders():
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "docs/results_table.py")
    results_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(results_table)
    readme = (ROOT / "README.md").read_text()
    assert results_table.renewed(readme) == readme
    assert "| `mnist` | tfds:mnist/3.0.1 |" in readme
