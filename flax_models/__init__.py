"""Classical deep-learning architectures as Flax Linen modules and pure functions of arrays."""

from flax_models.cifar_resnet import CifarResNet as CifarResNet
from flax_models.cifar_resnet import resnet20 as resnet20
from flax_models.cifar_resnet import resnet32 as resnet32
from flax_models.cifar_resnet import resnet44 as resnet44
from flax_models.cifar_resnet import resnet56 as resnet56
from flax_models.cifar_resnet import resnet110 as resnet110
from flax_models.cifar_resnet import resnet1202 as resnet1202
from flax_models.mlp import MLP as MLP
from flax_models.resnet import ResNet as ResNet
from flax_models.resnet import resnet18 as resnet18
from flax_models.resnet import resnet34 as resnet34
from flax_models.resnet import resnet50 as resnet50
from flax_models.resnet import resnet101 as resnet101
from flax_models.resnet import resnet152 as resnet152
from flax_models.torch_weights import from_torch as from_torch
from flax_models.torch_weights import to_torch as to_torch
from flax_models.vgg import VGG as VGG
from flax_models.vgg import vgg11 as vgg11
from flax_models.vgg import vgg13 as vgg13
from flax_models.vgg import vgg16 as vgg16
from flax_models.vgg import vgg19 as vgg19
