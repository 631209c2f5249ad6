"""DaNet: dense body parts to SMPL (Zhang et al., TPAMI 2020)."""
