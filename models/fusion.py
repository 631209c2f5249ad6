"""Fusion of the views' embeddings into one embedding of the person.

A fusion maps embeddings [B,V,n] to [B,n]. `avg` and `attention` also take a mask keep [B,V] of the views to use.
`mlp` and `conv1d` are those of the published Multi-SPIN: they take a fixed number of views in a fixed order.
"""
import torch
from torch import nn

from utils.errors import BadConfig


class AverageFusion(nn.Module):
    """The mean over any number of views in any order."""
    fixed_views = None

    def forward(self, embeddings, keep=None):
        return masked_mean(embeddings, keep)


class AttentionFusion(nn.Module):
    """Views attend to each other without position embeddings, so their number and order are free (after Set
    Transformer, Lee et al., ICML 2019). The output is the mean embedding plus a correction from the attended views,
    which is zero at initialization."""
    fixed_views = None

    def __init__(self, features, width=256, heads=4, layers=2):
        super().__init__()
        self.project = nn.Linear(features, width)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, dropout=0.0, activation='gelu', batch_first=True,
                                           norm_first=True)
        self.attend = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.correct = nn.Linear(width, features)
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def forward(self, embeddings, keep=None):
        attended = self.attend(self.project(embeddings), src_key_padding_mask=None if keep is None else ~keep)
        return masked_mean(embeddings, keep) + self.correct(masked_mean(attended, keep))


class MLPFusion(nn.Module):
    """An MLP on the concatenated embeddings.

    Two variants are published: two layers with batch normalization (ConvNeXt), three layers without (ResNet).
    """

    def __init__(self, features, n_views, normalized):
        super().__init__()
        self.fixed_views = n_views
        joined = features * n_views
        if normalized:
            self.layers = nn.Sequential(nn.Linear(joined, 2048), nn.BatchNorm1d(2048), nn.GELU(),
                                        nn.Linear(2048, features))
        else:
            self.layers = nn.Sequential(nn.Linear(joined, joined), nn.GELU(), nn.Linear(joined, features), nn.GELU(),
                                        nn.Linear(features, features))

    def forward(self, embeddings):
        return self.layers(embeddings.flatten(1))


class ConvFusion(nn.Module):
    """Three 1D convolutions along the embedding, with the views as input channels."""

    def __init__(self, n_views):
        super().__init__()
        self.fixed_views = n_views
        self.layers = nn.Sequential(
            nn.Conv1d(n_views, 128, 3, padding=1), nn.BatchNorm1d(128), nn.GELU(),
            nn.Conv1d(128, 64, 3, padding=1), nn.BatchNorm1d(64), nn.GELU(),
            nn.Conv1d(64, 1, 3, padding=1))

    def forward(self, embeddings):
        return self.layers(embeddings).flatten(1)


def build_fusion(cfg, features):
    """The fusion that cfg.MULTIVIEW.FUSION names. Raises BadConfig for an unknown name."""
    name, n_views = cfg.MULTIVIEW.FUSION, cfg.MULTIVIEW.N_VIEWS
    makers = {'avg': AverageFusion, 'attention': lambda: AttentionFusion(features),
              'conv1d': lambda: ConvFusion(n_views),
              'mlp': lambda: MLPFusion(features, n_views, cfg.MODEL.BACKBONE.NAME.startswith('convnext'))}
    if name not in makers:
        raise BadConfig(f'MULTIVIEW.FUSION is {name!r}; use one of {", ".join(makers)}')
    return makers[name]()


def masked_mean(values, keep=None):
    """Mean of values [B,V,n] over the views where keep [B,V] is True, or over all views -> [B,n]."""
    if keep is None:
        return values.mean(1)
    weights = keep.to(values.dtype).unsqueeze(-1)
    return (values * weights).sum(1) / weights.sum(1)


def draw_kept_views(batch, n_views, share, device):
    """Mask [B,V] of views to keep: a random subset of 1 to V views in `share` of the rows, all views in the others."""
    order = torch.rand(batch, n_views, device=device).argsort(1)
    count = torch.randint(1, n_views + 1, (batch, 1), device=device)
    whole = torch.rand(batch, 1, device=device) >= share
    return whole | (order < count)
