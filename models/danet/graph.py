"""Graph convolution on the kinematic tree (Kipf and Welling, ICLR 2017; DaNet, section 3.3)."""
import torch
import torch.nn.functional as F
from torch import nn

from models.danet.parts import NUM_JOINTS
from utils.keypoints import SMPL_JOINTS, SMPL_PARENTS


class GraphLayer(nn.Module):
    """features [B,24,n], graph [24,24] -> [B,24,m]: a linear map of the neighbours' features, batch normalization per
    joint, ReLU."""

    def __init__(self, channels_in, channels_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_in, channels_out))
        self.bias = nn.Parameter(torch.zeros(channels_out))
        self.norm = nn.BatchNorm1d(NUM_JOINTS)
        nn.init.xavier_uniform_(self.weight, gain=nn.init.calculate_gain('relu'))

    def forward(self, features, graph):
        return F.relu(self.norm(graph @ features @ self.weight + self.bias))


class LearnedGraph(nn.Module):
    """Learned weights of the edges between joints at most two steps apart -> [24,24], symmetrically normalized, with
    self-links."""

    def __init__(self):
        super().__init__()
        self.edge_weight = nn.Parameter(torch.ones(1, NUM_JOINTS, NUM_JOINTS))
        self.register_buffer('links', near_links(), persistent=False)
        self.register_buffer('self_links', torch.eye(NUM_JOINTS), persistent=False)

    def forward(self):
        graph = self.self_links + self.links * F.relu(self.edge_weight[0])
        degree = graph.sum(0).rsqrt()
        return degree[:, None] * graph * degree


def _parent_links():
    links = torch.zeros(NUM_JOINTS, NUM_JOINTS)
    for joint, parent in enumerate(SMPL_PARENTS[1:], 1):
        links[joint, parent] = 1
    return links


def near_links():
    """[24,24] of 0 and 1: joints one or two steps apart in the tree, and the neck with both shoulders."""
    parent = _parent_links()
    step = parent + parent.T
    links = ((step + step @ step) > 0).float()
    neck = SMPL_JOINTS.index('neck')
    for shoulder in ('left_shoulder', 'right_shoulder'):
        links[neck, SMPL_JOINTS.index(shoulder)] = links[SMPL_JOINTS.index(shoulder), neck] = 1
    return links.fill_diagonal_(0)


def ancestor_graph():
    """[24,24]: each joint averages its ancestors, whose rotations determine its position. The root's row is zero."""
    parent = _parent_links()
    reach, step = torch.zeros_like(parent), parent
    while step.any():
        reach, step = reach + step, step @ parent
    return reach / reach.sum(1, keepdim=True).clamp_min(1)


def neighbour_graph():
    """[24,24]: each joint averages itself, its parent and its children, whose positions determine its rotation."""
    parent = _parent_links()
    links = torch.eye(NUM_JOINTS) + parent + parent.T
    return links / links.sum(1, keepdim=True)
