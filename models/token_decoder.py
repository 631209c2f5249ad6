"""A transformer decoder with a single query on a feature map: the head of HMR2.0.

Goel et al., "Humans in 4D: Reconstructing and Tracking Humans with Transformers", ICCV 2023, section 3.
"""
import torch
import torch.nn.functional as F
from torch import nn

from models.backbones.vit import Mlp


class TokenDecoder(nn.Module):
    """features [B,N,C] -> the decoded query [B,dim].

    Each of the `depth` layers has self-attention, cross-attention to the features and an MLP with `hidden` units. The
    initial query is learned.
    """

    def __init__(self, channels, dim, depth, heads, head_dim, hidden):
        super().__init__()
        self.embedding = nn.Linear(1, dim)  # of a token that is always 0, so only the bias is learned
        self.position = nn.Parameter(torch.randn(1, 1, dim))
        self.layers = nn.ModuleList(DecoderLayer(channels, dim, heads, head_dim, hidden) for _ in range(depth))

    def forward(self, features):
        token = self.embedding(features.new_zeros(len(features), 1, 1)) + self.position
        for layer in self.layers:
            token = layer(token, features)
        return token.squeeze(1)


class DecoderLayer(nn.Module):
    """token [B,1,dim], features [B,N,C] -> token [B,1,dim]. Each part is pre-normalized and residual."""

    def __init__(self, channels, dim, heads, head_dim, hidden):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.self_attention = LoneAttention(dim, heads * head_dim)
        self.cross_attention = CrossAttention(channels, dim, heads, head_dim)
        self.mlp = Mlp(dim, hidden)

    def forward(self, token, features):
        token = token + self.self_attention(self.norm1(token))
        token = token + self.cross_attention(self.norm2(token), features)
        return token + self.mlp(self.norm3(token))


class LoneAttention(nn.Module):
    """Self-attention of a sequence of one token. The attention weight is 1, so the output depends on the value only.

    The published weights of queries and keys are kept but have no effect.
    """

    def __init__(self, dim, inner):
        super().__init__()
        self.inner = inner
        self.qkv = nn.Linear(dim, 3 * inner, bias=False)
        self.proj = nn.Linear(inner, dim)

    def forward(self, token):
        return self.proj(F.linear(token, self.qkv.weight[2 * self.inner:]))


class CrossAttention(nn.Module):
    """Attention of tokens [B,M,dim] to features [B,N,C]."""

    def __init__(self, channels, dim, heads, head_dim):
        super().__init__()
        self.heads = heads
        self.kv = nn.Linear(channels, 2 * heads * head_dim, bias=False)
        self.q = nn.Linear(dim, heads * head_dim, bias=False)
        self.proj = nn.Linear(heads * head_dim, dim)

    def forward(self, tokens, features):
        keys, values = self.kv(features).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries = self.q(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(attended.transpose(1, 2).flatten(2))
