"""Vision transformers of ViTPose and HMR2.0: a plain ViT whose output tokens form a feature map.

Dosovitskiy et al., ICLR 2021; Xu et al., "ViTPose", NeurIPS 2022. Parameter names are ViTPose's, so its weights fit.
The image is padded by two pixels before it is cut into patches. There is no class token; its position embedding is
added to every position.
"""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from torchvision.ops import StochasticDepth

# Width, blocks, heads.
VITS = {'vit_t': (192, 12, 3), 'vit_s': (384, 12, 12), 'vit_b': (768, 12, 12), 'vit_l': (1024, 24, 16),
        'vit_h': (1280, 32, 16)}
PATCH, _PADDING = 16, 2
GRID = (16, 12)  # rows and columns of the position embedding, for pictures of 256 x 192


class ViTBackbone(nn.Module):
    """images [B,3,H,W] -> features [B,out_channels,H/16,W/16].

    The position embedding is made for 256 x 192 pixels and is interpolated for other sizes. drop_path: share of rows
    that skip the last block in training; it falls linearly to 0 at the first block. checkpoint_blocks: recompute the
    activations of a block in the backward pass instead of storing them.
    """

    def __init__(self, name, drop_path=0.0, checkpoint_blocks=False):
        super().__init__()
        self.name, self.checkpoint_blocks = name, checkpoint_blocks
        self.out_channels, depth, heads = VITS[name]
        self.patch_embed = nn.ModuleDict({'proj': nn.Conv2d(3, self.out_channels, PATCH, PATCH, _PADDING)})
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + GRID[0] * GRID[1], self.out_channels))
        self.blocks = nn.ModuleList(Block(self.out_channels, heads, drop_path * number / (depth - 1))
                                    for number in range(depth))
        self.last_norm = nn.LayerNorm(self.out_channels, eps=1e-6)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, images):
        patches = self.patch_embed['proj'](images)
        grid = patches.shape[2:]
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = tokens + grid_embedding(self.pos_embed[:, 1:], grid) + self.pos_embed[:, :1]
        for block in self.blocks:
            if self.checkpoint_blocks and self.training:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        return self.last_norm(tokens).transpose(1, 2).unflatten(2, grid)

    def layers(self):
        """Lists of parameters from input to output: the embedding, each block, the last normalization."""
        return [[self.pos_embed, *self.patch_embed.parameters()], *(list(block.parameters()) for block in self.blocks),
                list(self.last_norm.parameters())]


def grid_embedding(embedding, grid):
    """Interpolate a position embedding [1,GRID,C] to another grid (rows, columns), bicubic -> [1,rows * columns,C]."""
    if tuple(grid) == GRID:
        return embedding
    laid_out = embedding.transpose(1, 2).unflatten(2, GRID)
    return F.interpolate(laid_out, tuple(grid), mode='bicubic', align_corners=False).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """tokens [B,N,C] -> [B,N,C]: attention and a two-layer MLP, each pre-normalized and residual."""

    def __init__(self, width, heads, drop_path=0.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = StochasticDepth(drop_path, 'row') if drop_path else nn.Identity()

    def forward(self, tokens):
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B,N,C]."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens):
        queries, keys, values = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(attended.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens):
        return self.fc2(F.gelu(self.fc1(tokens)))
