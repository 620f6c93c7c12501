"""``python -m train RECIPE ...`` in a clone: the same as ``flax-models train RECIPE ...``."""

import sys

from train.cli import main
from train.huge_pages import restart_with_huge_pages

restart_with_huge_pages()
sys.exit(main(["train", *sys.argv[1:]]))
