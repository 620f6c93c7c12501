"""The shapes in the signatures are checked while every image module is called once.

In a process of its own: the checks come with the import, and would answer bad input before the
modules' own errors do.
"""

import subprocess
import sys

SCRIPT = """
from jaxtyping import install_import_hook, TypeCheckError
with install_import_hook("flax_models", "beartype.beartype"):
    import flax_models as m
    from flax_models import max_pooling, pooling
import jax, jax.numpy as jnp

def run(model, *shapes):
    key = jax.random.key(0)
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    jax.eval_shape(model.init_with_output, key, *inputs)

images = (2, 32, 40, 3)
for model in (
    m.MLP((4, 3)), m.CNN((4,), (5,)), m.VGG(11, 5, True, hidden_features=4, pooled_size=1),
    m.ResNet((1, 1), True, 5), m.CifarResNet(14), m.CifarResNet(14, scan=True, remat=True),
    m.UNet(width=4, depth=2), m.UNet(2, 4, 1, "add", "bilinear"),
    m.Autoencoder(4, (5,), channels=3), m.Autoencoder(4, (5, 6), "convolutional", 3),
    m.ViT(5, 8, 12, 1, 3, 6),
):
    run(model, images)
run(m.VAE(4, (5,), channels=3), images, (2, 4))
run(m.Generator(3, 16, 4), (2, 5))
run(m.Discriminator(16, 4), (2, 16, 16, 3))
run(m.Discriminator(16, 4, True), (2, 16, 16, 3))
x = jnp.zeros((1, 6, 6, 2))
max_pooling.max_pool(x, 2)
pooling.avg_pool(x, 3, 2, 1)
pooling.adaptive_avg_pool(x, (4, 4))
pooling.global_avg_pool(x)
m.kl_divergence(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
try:
    max_pooling.max_pool(x[0], 2)
except TypeCheckError:
    print("checked")
"""


def test_shape_annotations_hold_at_run_time():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "checked\n"
