"""The notebooks run from top to bottom on a CPU, and are stored without what they put out."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs a notebook in an empty folder, in a kernel of its own on one CPU device."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))

    def run(name):
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        place = {"metadata": {"path": str(tmp_path)}}
        NotebookClient(notebook, timeout=500, resources=place).execute()
        return [
            output.get("text", "") + output.get("data", {}).get("text/plain", "")
            for cell in notebook.cells
            for output in cell.get("outputs", [])
        ], notebook

    return run


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    badge = f"https://colab.research.google.com/github/OWNER/flax-models/blob/main/notebooks/{path.name}"
    assert badge in notebook.cells[0].source.splitlines()[0]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "jax.devices()" in code[0].source
    for cell in code:
        assert cell.outputs == []
        assert cell.execution_count is None


def test_quickstart(execute, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGES", "320")
    monkeypatch.setenv("SAVE_TO", str(tmp_path / "drive"))
    said, notebook = execute("quickstart")
    assert any("test/exact_match" in text for text in said)
    assert any("\rcaptcha:" in text for text in said), "a notebook sees a bar"
    assert any('"input": "picture.png", "text":' in text for text in said)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
    assert (tmp_path / "drive" / "reader" / "summary.json").is_file()
    assert (tmp_path / "runs" / "reader.jax.json").is_file()


def test_jax_vs_pytorch(execute, monkeypatch):
    monkeypatch.setenv("BLOCKS", "2")
    said, _ = execute("jax_vs_pytorch")
    together = "".join(said)
    assert "269722 parameters" in together
    assert "bit for bit" in together
    assert "times as long as JAX" in together
