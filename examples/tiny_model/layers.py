import torch
from torch import nn

from .tiles import tile_scale


class Block(nn.Module):
    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.proj = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.proj(scaled(hidden))


def scaled(hidden: torch.Tensor) -> torch.Tensor:
    return hidden / tile_scale(hidden, hidden.size(0))
