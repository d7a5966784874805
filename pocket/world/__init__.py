"""A small 3-D world in the manner of CLEVR with exact truth, drawn by vectorised ray casting.

Spheres, cubes, cones, cylinders and jointed people stand on a textured floor before a wall, lit by
one lamp. Everything is a function of (seed, split), so scenes need no storage to be repeated.

    python -m pocket.world --bench              scenes per second on this core
    python -m pocket.world --sheet sheet.png    a contact sheet to look at

Conventions: world x right, y up, z away from the camera, which stands at (0, height, 0). Image
coordinates are (x, y) with pixel centres at whole numbers. Ray arrays are [3, rays] and ray
directions have length 1 along the camera's axis, so a ray parameter is a distance in depth.
"""

from pocket.world.kinds import CLASSES, COLOURS, KEYPOINTS, PALETTE, SHAPES, SIZE, SPLITS, UNSEEN
from pocket.world.placing import SceneObject
from pocket.world.scene import Scene, make_scene

__all__ = [
    "CLASSES",
    "COLOURS",
    "KEYPOINTS",
    "PALETTE",
    "SHAPES",
    "SIZE",
    "SPLITS",
    "UNSEEN",
    "Scene",
    "SceneObject",
    "make_scene",
]
