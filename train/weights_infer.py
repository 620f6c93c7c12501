"""Which module a torch state_dict belongs to, read off the shapes of its tensors."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

import flax_models as models

State = Mapping[str, np.ndarray]

VGG_NAMES = tuple(f"vgg{depth}" for depth in (11, 13, 16, 19))
RESNET_NAMES = tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152))
CIFAR_NAMES = tuple(f"resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202))


def infer_model(arch: str, tensors: State, **fields: Any) -> tuple[nn.Module, tuple[Any, ...]]:
    """The module called `arch` that `tensors` fit, and the shapes of its inputs.

    `fields` replaces what was read. Raises ValueError for an unknown name and for tensors that lack
    what the size is read from.
    """
    _, infer = family(arch)
    try:
        model, *shapes = infer(arch, tensors, fields)
    except (KeyError, IndexError) as error:
        raise ValueError(f"state_dict: expected the tensors of {arch}, found no {error}") from error
    dtypes = [np.int32 if isinstance(model, models.Seq2Seq) else np.float32 for _ in shapes]
    return model, tuple(map(jax.ShapeDtypeStruct, shapes, dtypes))


def family(arch: str) -> tuple[type[nn.Module], Callable[..., tuple[Any, ...]]]:
    """The module class called `arch`, and what reads its size; ValueError lists the known names."""
    if arch not in FAMILIES:
        raise ValueError(f"arch: expected one of {', '.join(sorted(FAMILIES))}, got {arch!r}")
    return FAMILIES[arch]


def recognise(tensors: State) -> str | None:
    """The name of the architecture that all of these tensors, and no others, belong to."""
    for arch in FAMILIES:
        try:
            model, inputs = infer_model(arch, tensors)
            models.from_torch(tensors, model, *inputs)
        except ValueError:
            continue
        return arch
    return None


def _outputs(tensors: State, name: str) -> int:
    return tensors[f"{name}.weight"].shape[0]


def _inputs(tensors: State, name: str) -> int:
    return tensors[f"{name}.weight"].shape[1]


def _layers(tensors: State, prefix: str) -> list[tuple[int, ...]]:
    """Shapes of `prefix`.0.weight, `prefix`.1.weight, ..."""
    shapes: list[tuple[int, ...]] = []
    while f"{prefix}.{len(shapes)}.weight" in tensors:
        shapes.append(tensors[f"{prefix}.{len(shapes)}.weight"].shape)
    if not shapes:
        raise KeyError(f"{prefix}.0.weight")
    return shapes


def _mlp(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    shapes = _layers(tensors, "dense")
    features = tuple(shape[0] for shape in shapes)
    return models.MLP(**{"features": features, **fields}), (1, shapes[0][1])


def _cnn(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    convolutions, dense = _layers(tensors, "conv"), _layers(tensors, "dense")
    read = {
        "widths": tuple(shape[0] for shape in convolutions[::2]),
        "hidden_features": tuple(shape[0] for shape in dense[:-1]),
        "num_classes": dense[-1][0],
    }
    scale = 2 ** (len(convolutions) // 2)
    pixels = dense[0][1] // convolutions[-1][0]
    return models.CNN(**{**read, **fields}), (1, pixels * scale, scale, convolutions[0][1])


def _vgg(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    width = _outputs(tensors, "features.0")
    read = {
        "depth": int(arch.removeprefix("vgg")),
        "num_classes": _outputs(tensors, "classifier.6"),
        "hidden_features": _outputs(tensors, "classifier.0"),
        "pooled_size": math.isqrt(_inputs(tensors, "classifier.0") // (8 * width)),
        "width": width,
        "batch_norm": "features.1.running_mean" in tensors,
    }
    return models.VGG(**{**read, **fields}), (1, 32, 32, _inputs(tensors, "features.0"))


def _resnet(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    read = {"small_images": tensors["conv1.weight"].shape[-1] == 3}
    model = getattr(models, arch)(_outputs(tensors, "fc"), **{**read, **fields})
    return model, (1, 32, 32, _inputs(tensors, "conv1"))


def _cifar_resnet(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    projected = "layer2.0.downsample.0.weight" in tensors
    read = {"shortcut": "projection" if projected else "padding"}
    model = getattr(models, arch)(_outputs(tensors, "fc"), **{**read, **fields})
    return model, (1, 8, 8, _inputs(tensors, "conv1"))


def _unet(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    depth = len({name.split(".")[1] for name in tensors if name.startswith("encoder.")}) - 1
    width = _outputs(tensors, "encoder.0.first.conv")
    transposed = tensors["upsample.0.weight"].shape[-1] == 2
    read = {
        "out_channels": _outputs(tensors, "head"),
        "width": width,
        "depth": depth,
        "skip": "add" if _inputs(tensors, "decoder.0.first.conv") == width else "concatenate",
        "upsampling": "transposed" if transposed else "bilinear",
        "use_norm": "encoder.0.first.norm.weight" in tensors,
    }
    side = 2**depth
    channels = _inputs(tensors, "encoder.0.first.conv")
    return models.UNet(**{**read, **fields}), (1, side, side, channels)


def _coder(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    layers = _layers(tensors, "encoder.layer")
    codes = _outputs(tensors, "encoder.code")
    dense = len(layers[0]) == 2
    channels = fields.get("channels", 1 if dense else layers[0][1])
    read = {
        "latent_features": codes // 2 if arch == "vae" else codes,
        "widths": tuple(shape[0] for shape in layers),
        "kind": "dense" if dense else "convolutional",
        "channels": channels,
    }
    if dense:
        height, width = layers[0][1] // channels, 1
    else:
        width = 2 ** len(layers)
        height = width * (_inputs(tensors, "encoder.code") // layers[-1][0])
    module = models.VAE if arch == "vae" else models.Autoencoder
    return module(**{**read, **fields}), (1, height, width, channels)


def _generator(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    convolutions = [t.shape for t in tensors.values() if t.ndim == 4]
    read = {
        "channels": convolutions[-1][1],
        "image_size": 2 ** (len(convolutions) + 1),
        "width": convolutions[-1][0],
    }
    return models.Generator(**{**read, **fields}), (1, convolutions[0][0])


def _discriminator(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    convolutions = [t.shape for t in tensors.values() if t.ndim == 4]
    size = 2 ** (len(convolutions) + 1)
    read = {
        "image_size": size,
        "width": convolutions[0][0],
        "spectral_norm": "main.0.parametrizations.weight.original" in tensors,
    }
    return models.Discriminator(**{**read, **fields}), (1, size, size, convolutions[0][1])


def _vit(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    features, channels, patch, _ = tensors["conv_proj.weight"].shape
    read = {
        "num_classes": _outputs(tensors, "heads.head"),
        "patch_size": patch,
        "features": features,
        "depth": len({n.split(".")[2] for n in tensors if n.startswith("encoder.layers.")}),
        "num_heads": features // 64,
        "mlp_features": _outputs(tensors, "encoder.layers.encoder_layer_0.mlp.0"),
    }
    patches = tensors["encoder.pos_embedding"].shape[1] - 1
    return models.ViT(**{**read, **fields}), (1, patches * patch, patch, channels)


def _recurrent(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    model = getattr(models, arch.upper())(**{**_recurrent_sizes(tensors, ""), **fields})
    return model, (1, 1, tensors["weight_ih_l0"].shape[1])


def _recurrent_sizes(tensors: State, prefix: str) -> dict[str, Any]:
    layers = {m[1] for name in tensors if (m := re.fullmatch(rf"{prefix}weight_hh_l(\d+)", name))}
    return {
        "hidden_size": tensors[f"{prefix}weight_hh_l0"].shape[1],
        "num_layers": len(layers),
        "bidirectional": f"{prefix}weight_hh_l0_reverse" in tensors,
    }


def _crnn(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    widths = tuple(
        _outputs(tensors, f"block.{index}.conv1")
        for index in range(len({n.split(".")[1] for n in tensors if n.startswith("block.")}))
    )
    read = {
        "num_classes": _outputs(tensors, "output"),
        "stem_features": _outputs(tensors, "stem.conv"),
        "widths": widths,
        "dense_features": _outputs(tensors, "dense"),
        **_recurrent_sizes(tensors, "recurrent."),
    }
    del read["bidirectional"]
    height = 2 ** (len(widths) + 1) * (_inputs(tensors, "dense") // widths[-1])
    return models.CRNN(**{**read, **fields}), (1, height, 4, _inputs(tensors, "stem.conv"))


def _seq2seq(arch: str, tensors: State, fields: dict[str, Any]) -> tuple[Any, ...]:
    # "dot" and "scaled_dot" have no tensors: `fields` tells which.
    attention = "dot"
    if "attend.score.weight" in tensors:
        attention = "additive"
    elif "attend.in_proj_weight" in tensors:
        attention = "multi_head"
    read = {
        "source_vocabulary": _outputs(tensors, "source_embedding"),
        "target_vocabulary": _outputs(tensors, "target_embedding"),
        "embedding_size": _inputs(tensors, "source_embedding"),
        "attention": attention,
        **_recurrent_sizes(tensors, "encoder."),
    }
    del read["bidirectional"]
    return models.Seq2Seq(**{**read, **fields}), (1, 2), (1, 2)


FAMILIES: dict[str, tuple[type[nn.Module], Callable[..., tuple[Any, ...]]]] = {
    **dict.fromkeys(VGG_NAMES, (models.VGG, _vgg)),
    **dict.fromkeys(RESNET_NAMES, (models.ResNet, _resnet)),
    **dict.fromkeys(CIFAR_NAMES, (models.CifarResNet, _cifar_resnet)),
    "autoencoder": (models.Autoencoder, _coder),
    "cnn": (models.CNN, _cnn),
    "crnn": (models.CRNN, _crnn),
    "discriminator": (models.Discriminator, _discriminator),
    "generator": (models.Generator, _generator),
    "gru": (models.GRU, _recurrent),
    "lstm": (models.LSTM, _recurrent),
    "mlp": (models.MLP, _mlp),
    "rnn": (models.RNN, _recurrent),
    "seq2seq": (models.Seq2Seq, _seq2seq),
    "unet": (models.UNet, _unet),
    "vae": (models.VAE, _coder),
    "vit": (models.ViT, _vit),
}
