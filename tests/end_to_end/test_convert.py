"""Weights from PyTorch's layout to ours and back, by the command line."""

import json

import numpy as np
import torch
from command import run
from safetensors.numpy import load_file

from benchmarks.torch_models.resnet import CifarResNet


def convert(*arguments):
    done = run("convert", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_and_back_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    tensors = CifarResNet(20).state_dict()
    source, ours, back = (
        tmp_path / name for name in ("torch.pth", "ours.safetensors", "back.safetensors")
    )
    torch.save(tensors, source)
    assert convert("resnet20", source, ours) == {"input": str(source), "output": str(ours)}
    assert "params/conv1/kernel" in load_file(ours)
    convert("resnet20", ours, back)
    returned = load_file(back)
    wanted = {k: v.numpy() for k, v in tensors.items() if "num_batches_tracked" not in k}
    assert returned.keys() == wanted.keys()
    assert all(np.array_equal(returned[name], wanted[name]) for name in wanted)


def assert_mistake(arguments, *words):
    done = run("convert", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_mistakes_are_named_and_nothing_is_written(tmp_path):
    source, target = tmp_path / "torch.pth", tmp_path / "ours.safetensors"
    assert_mistake(["resnet20", source, target], "no such file")
    source.write_text("no tensors")
    assert_mistake(["resnet20", source, target], "torch.pth", "not a readable file")
    torch.save(CifarResNet(20).state_dict(), source)
    assert_mistake(["resnet21", source, target], "resnet20")
    assert_mistake(["vgg16", source, target], "expected the tensors of vgg16")
    assert_mistake(["resnet20", source], "name an architecture and two files")
    assert [path.name for path in tmp_path.iterdir()] == ["torch.pth"]
