import jax
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from benchmarks.torch_models.autoencoder import VAE as TorchVAE
from benchmarks.torch_models.autoencoder import Autoencoder as TorchAutoencoder
from benchmarks.torch_models.cnn import CNN as TorchCNN
from benchmarks.torch_models.crnn import CRNN as TorchCRNN
from benchmarks.torch_models.gan import Discriminator as TorchDiscriminator
from benchmarks.torch_models.gan import Generator as TorchGenerator
from benchmarks.torch_models.mlp import MLP as TorchMLP
from benchmarks.torch_models.resnet import CifarResNet as TorchCifarResNet
from benchmarks.torch_models.resnet import ResNet as TorchResNet
from benchmarks.torch_models.seq2seq import Seq2Seq as TorchSeq2Seq
from benchmarks.torch_models.unet import UNet as TorchUNet
from benchmarks.torch_models.vgg import VGG as TorchVGG
from benchmarks.torch_models.vit import ViT as TorchViT
from flax_models import MLP
from train.weights import convert, load_torch, load_variables, save_torch, save_variables

TWINS = {
    "vgg11": lambda: TorchVGG(11, 5, True, hidden_features=8, pooled_size=2),
    "resnet18": lambda: TorchResNet((2, 2, 2, 2), False, 5, small_images=True),
    "resnet20": lambda: TorchCifarResNet(20, 4, "projection"),
    "mlp": lambda: TorchMLP(7, (6, 3)),
    "cnn": lambda: TorchCNN((16, 24), 3, (4, 6), (5,), 3),
    "unet": lambda: TorchUNet(1, 2, 4, 2, "add", "bilinear"),
    "autoencoder": lambda: TorchAutoencoder((6, 5), 3, (8, 4)),
    "vae": lambda: TorchVAE((9, 8), 3, (4, 6), "convolutional", 2),
    "generator": lambda: TorchGenerator(7, 3, 16, 4),
    "discriminator": lambda: TorchDiscriminator(3, 16, 4, spectral_norm=True),
    "vit": lambda: TorchViT((8, 12), 5, 4, 64, 2, 1, 16),
    "rnn": lambda: torch.nn.RNN(3, 4, 2, batch_first=True),
    "lstm": lambda: torch.nn.LSTM(3, 4, bidirectional=True, batch_first=True),
    "gru": lambda: torch.nn.GRU(3, 4, 2, bidirectional=True, batch_first=True),
    "crnn": lambda: TorchCRNN(5, 16, 1, 4, (4, 6, 8), 6, 5),
    "seq2seq": lambda: TorchSeq2Seq(7, 6, 4, 5, attention="additive"),
}


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("arch", TWINS)
def test_convert_there_and_back_bit_for_bit(arch, ending, tmp_path):
    state_dict = {name: t.numpy().copy() for name, t in TWINS[arch]().state_dict().items()}
    source, ours, back = (
        tmp_path / f"a{ending}",
        tmp_path / "b.safetensors",
        tmp_path / f"c{ending}",
    )
    save_torch(source, state_dict)
    convert(arch, source, ours)
    convert(arch, ours, back)
    got = load_torch(back)
    wanted = {n: t for n, t in state_dict.items() if not n.endswith("num_batches_tracked")}
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(got[name], tensor, err_msg=name)
    TWINS[arch]().load_state_dict({name: torch.from_numpy(t) for name, t in got.items()})


def test_metadata_are_kept(tmp_path):
    source, ours, back = (tmp_path / f"{name}.safetensors" for name in "abc")
    save_file({n: t.numpy() for n, t in TWINS["mlp"]().state_dict().items()}, source, {"run": "7"})
    convert("mlp", source, ours)
    assert load_variables(ours)[1]["run"] == "7"
    convert("mlp", ours, back)
    with safe_open(back, framework="numpy") as file:
        assert file.metadata() == {"format": "pt", "run": "7"}


def test_variables_come_back_bit_for_bit(tmp_path):
    model = MLP((3, 2))
    variables = model.init(jax.random.key(0), np.ones((1, 4), np.float32))
    save_variables(tmp_path / "m.safetensors", variables, model, {"seed": "0"})
    got, metadata = load_variables(tmp_path / "m.safetensors")
    jax.tree.map(np.testing.assert_array_equal, got, dict(variables))
    assert metadata["module"] == "MLP"
    assert metadata["seed"] == "0"


class Payload:
    def __reduce__(self):
        return print, ("run by unpickling",)


def test_a_pth_runs_no_code(tmp_path, capsys):
    torch.save({"a": Payload()}, tmp_path / "bad.pth")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_torch(tmp_path / "bad.pth")
    assert "run by unpickling" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arch", "state_dict", "message"),
    [
        ("vgg17", {}, "arch: expected one of autoencoder, cnn,.*got 'vgg17'"),
        ("mlp", {"fc.weight": np.ones((2, 3))}, "state_dict: expected the tensors of mlp"),
        (
            "mlp",
            {"dense.0.weight": np.ones((2, 3)), "x": np.ones(1)},
            "missing dense.0.bias; unused",
        ),
    ],
)
def test_convert_explains_and_writes_nothing(arch, state_dict, message, tmp_path):
    save_file({"empty": np.ones(1), **state_dict}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=message):
        convert(arch, tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_weights_of_a_sister_network_are_refused(tmp_path):
    source, ours, back = (tmp_path / name for name in ("a.pth", "b.safetensors", "c.pth"))
    save_torch(source, {k: t.numpy() for k, t in TWINS["resnet20"]().state_dict().items()})
    convert("resnet20", source, ours)
    with pytest.raises(ValueError, match="missing"):
        convert("resnet32", ours, back)
    assert not back.exists()
