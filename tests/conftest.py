"""Eight virtual CPU devices and a compilation cache for every test, set before JAX starts."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # or each program restarts for it
user_cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(user_cache / "flax-models" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402  (the settings above come first)
import pytest  # noqa: E402

if not hasattr(jax, "enable_x64"):  # JAX 0.7 has it under another name
    from jax.experimental import enable_x64

    jax.enable_x64 = enable_x64


@pytest.fixture
def bfloat16_loops() -> None:
    """For what multiplies bfloat16 in a loop; jax 0.7 on a CPU cannot, and may end the process."""
    if jax.__version_info__ < (0, 8):
        pytest.skip("XLA:CPU of jax 0.7 cannot multiply bfloat16 in a loop")
