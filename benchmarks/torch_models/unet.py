"""U-Net in PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNormActivation(nn.Module):
    """3x3 convolution, batch norm, ReLU."""

    def __init__(self, channels: int, width: int, use_norm: bool, padding_mode: str):
        super().__init__()
        self.conv = nn.Conv2d(
            channels, width, 3, padding=1, padding_mode=padding_mode, bias=not use_norm
        )
        self.norm = nn.BatchNorm2d(width) if use_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The same size."""
        return self.norm(self.conv(x)).relu()


class DoubleConv(nn.Module):
    """Two of them."""

    def __init__(self, channels: int, width: int, use_norm: bool, padding_mode: str):
        super().__init__()
        self.first = ConvNormActivation(channels, width, use_norm, padding_mode)
        self.second = ConvNormActivation(width, width, use_norm, padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """The same size."""
        return self.second(self.first(x))


class UNet(nn.Module):
    """[batch, channels, height, width] -> [batch, out_channels, height, width]."""

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        width: int = 32,
        depth: int = 4,
        skip: str = "concatenate",
        upsampling: str = "transposed",
        use_norm: bool = True,
        padding_mode: str = "zeros",
    ):
        super().__init__()
        options = (use_norm, padding_mode)
        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            map(lambda c, w: DoubleConv(c, w, *options), [in_channels, *widths[:-1]], widths)
        )
        self.skip = skip
        joined = 1 if skip == "add" else 2
        self.decoder = nn.ModuleList(DoubleConv(joined * w, w, *options) for w in widths[:-1])
        if upsampling == "transposed":
            self.upsample = nn.ModuleList(
                nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1]
            )
        else:
            self.upsample = nn.ModuleList(nn.Conv2d(2 * w, w, 1) for w in widths[:-1])
        self.bilinear = upsampling == "bilinear"
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of a mask, or an image."""
        skips = []
        x = self.encoder[0](images)
        for block in self.encoder[1:]:
            skips.append(x)
            x = block(F.max_pool2d(x, 2))
        for level in reversed(range(len(skips))):
            if self.bilinear:
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.upsample[level](x)
            skip = skips[level]
            rows, columns = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
            sides = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            x = F.pad(x, sides)
            x = x + skip if self.skip == "add" else torch.cat([skip, x], 1)
            x = self.decoder[level](x)
        return self.head(x)
