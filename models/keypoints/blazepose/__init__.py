"""BlazePose (Apache-2.0) from its TFLite files."""
from models.keypoints.blazepose.estimator import BlazePose

__all__ = ['BlazePose']
