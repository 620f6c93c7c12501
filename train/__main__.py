"""``python -m train RECIPE ...`` in a clone: the same as ``flax-models train RECIPE ...``."""

import sys

from train.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
