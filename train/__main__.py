"""``python -m train RECIPE ...`` in a clone: the same as ``flax-models train RECIPE ...``."""

import sys

from train.allocator import restart_with_faster_memory
from train.cli import main

restart_with_faster_memory()
sys.exit(main(["train", *sys.argv[1:]]))
