import numpy as np
import pytest
import torch
from harness import check_parity

from benchmarks.torch_models.text_classifier import TextClassifier as TorchTextClassifier
from flax_models.text_classifier import TextClassifier


@pytest.mark.parametrize("longest_run", [1, 3])
def test_text_classifier_is_its_twin(longest_run):
    sizes = {"embedding_size": 5, "hidden_size": 4, "longest_run": longest_run, "run_bits": 4}
    torch.manual_seed(0)
    check_parity(
        TextClassifier(9, 3, **sizes),
        TorchTextClassifier(9, 3, **sizes),
        np.random.default_rng(0).integers(0, 9, (4, 7)),
        np.array([7, 3, 1, 6]),
    )
