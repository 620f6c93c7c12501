import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_models import MLP, ViT, from_torch, resnet20, to_torch

X = jnp.zeros((1, 4))


def state_dict(outputs=2):
    model = MLP((3, outputs))
    return to_torch(model.init(jax.random.key(1), X), model)


def test_names_and_layout():
    tensors = state_dict()
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "dense.0.weight": (3, 4),
        "dense.0.bias": (3,),
        "dense.1.weight": (2, 3),
        "dense.1.bias": (2,),
    }
    variables = from_torch(tensors, MLP((3, 2)), X)
    np.testing.assert_array_equal(
        variables["params"]["dense_0"]["kernel"], tensors["dense.0.weight"].T
    )


def test_names_of_stacked_blocks_and_of_torchvisions_vit():
    def names(model):
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return to_torch(zeros, model).keys()

    resnet_names = names(resnet20())
    assert {"layer1.0.conv1.weight", "layer3.2.bn2.running_var", "fc.bias"} <= resnet_names
    assert {
        "class_token",
        "conv_proj.weight",
        "encoder.pos_embedding",
        "encoder.layers.encoder_layer_0.ln_1.weight",
        "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
        "encoder.layers.encoder_layer_0.self_attention.out_proj.bias",
        "encoder.layers.encoder_layer_0.mlp.3.bias",
        "encoder.ln.weight",
        "heads.head.weight",
    } <= names(ViT(2, 4, 6, 1, 3, 6))


def test_all_problems_are_reported_together():
    tensors = state_dict()
    del tensors["dense.0.bias"]
    tensors["dense.1.weight"] = np.ones((2, 4), np.float32)
    tensors["dense.2.bias"] = np.ones(1, np.float32)
    with pytest.raises(ValueError, match="3 problems") as caught:
        from_torch(tensors, MLP((3, 2)), X)
    for problem in (
        "missing dense.0.bias",
        "misshapen dense.1.weight: expected (2, 3), got (2, 4)",
        "unused dense.2.bias",
    ):
        assert problem in str(caught.value)


def test_a_head_of_another_size_is_dropped_on_request_only():
    tensors = state_dict(outputs=7)
    with pytest.raises(ValueError, match=r"misshapen dense\.1\.weight"):
        from_torch(tensors, MLP((3, 2)), X)
    first, second = (
        from_torch(tensors, MLP((3, 2)), X, drop_head=True, key=jax.random.key(seed))["params"]
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(first["dense_0"]["kernel"], tensors["dense.0.weight"].T)
    assert first["dense_1"]["kernel"].shape == (3, 2)
    assert not jnp.array_equal(first["dense_1"]["kernel"], second["dense_1"]["kernel"])


def test_two_misshapen_layers_are_no_head():
    tensors = state_dict()
    with pytest.raises(ValueError, match=r"misshapen dense\.0\.weight"):
        from_torch(tensors, MLP((5, 2)), X, drop_head=True)


def test_a_batch_counter_is_ignored():
    tensors = {**state_dict(), "norm.num_batches_tracked": np.array(3)}
    assert from_torch(tensors, MLP((3, 2)), X)
