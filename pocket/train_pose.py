"""Train pocket's key points: a ViTPose that finds COCO's 17 points of the person in a box."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)
from transformers.models.vitpose.image_processing_vitpose import box_to_center_and_scale

from pocket.data import Scenes, load
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import KEYPOINTS

STEPS = 1400
BATCH = 32
LEARNING_RATE = 1e-3
HEIGHT, WIDTH = 96, 72  # px of a crop
STRIDE = 2  # px of a crop to one of a heatmap
SIGMA = 2.0  # px of a heatmap; the processor smooths as much before it looks for the peak
HIDDEN_PEAK = 0.15  # hidden points get a confidence too low to be drawn
SHIFT, ZOOM = (
    0.08,
    0.15,
)  # how far boxes are off, as detected ones are; shares of their size
LAYERS = 4
MIRRORED = [
    0,
    2,
    1,
    4,
    3,
    6,
    5,
    8,
    7,
    10,
    9,
    12,
    11,
    14,
    13,
    16,
    15,
]  # left and right exchanged
CONFIG = dict(
    backbone_config=VitPoseBackboneConfig(
        image_size=[HEIGHT, WIDTH],
        patch_size=[8, 8],
        hidden_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        mlp_ratio=3,
        out_indices=[LAYERS],
    ),
    id2label=dict(enumerate(KEYPOINTS)),
    label2id={name: i for i, name in enumerate(KEYPOINTS)},
    scale_factor=8 // STRIDE,
)


def frame(box: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """Return centre and size (x, y) in px of what the processor crops for a box x0, y0, x1, y1."""
    x0, y0, x1, y1 = box
    centre, scale = box_to_center_and_scale([x0, y0, x1 - x0, y1 - y0], WIDTH, HEIGHT)
    return centre, scale * 200


def crop(
    image: NDArray[np.uint8],
    points: NDArray[np.float32],
    centre: NDArray,
    size: NDArray,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut a frame out as the processor does.

    Args:
        image: uint8 [H, W, 3].
        points: [17, 3], x and y in px of the image.
        centre: of the frame.
        size: of the frame.

    Returns:
        uint8 [HEIGHT, WIDTH, 3] and the points with x and y in px of a heatmap.
    """
    low = centre - size / 2
    zoom = (np.array([WIDTH, HEIGHT]) - 1) / size
    matrix = np.array([[zoom[0], 0, -low[0] * zoom[0]], [0, zoom[1], -low[1] * zoom[1]]])
    moved = points.copy()
    heatmap = np.array([WIDTH // STRIDE, HEIGHT // STRIDE])
    moved[:, :2] = (points[:, :2] - low) / size * (heatmap - 1)
    return cv2.warpAffine(image, matrix, (WIDTH, HEIGHT)), moved


def heatmaps(points: Tensor) -> Tensor:
    """Draw Gaussians [N, 17, h, w] around points [N, 17, 3] in px of the heatmap."""
    x = torch.arange(WIDTH // STRIDE, device=DEVICE)
    y = torch.arange(HEIGHT // STRIDE, device=DEVICE)
    along_x = (-((x - points[..., 0, None]) ** 2) / (2 * SIGMA**2)).exp()
    along_y = (-((y - points[..., 1, None]) ** 2) / (2 * SIGMA**2)).exp()
    peak = HIDDEN_PEAK + (1 - HIDDEN_PEAK) * points[..., 2, None, None]
    return peak * along_y[..., :, None] * along_x[..., None, :]


def loss(
    model: nn.Module,
    scenes: Scenes,
    people: NDArray[np.intp],
    rng: np.random.Generator,
) -> Tensor:
    """Return the loss of a random batch."""
    crops, points = [], []
    for i, k in people[rng.integers(len(people), size=BATCH)]:
        centre, size = frame(scenes.boxes[i, k])
        centre = centre + rng.uniform(-SHIFT, SHIFT, 2) * size
        size = size * np.exp(rng.uniform(-ZOOM, ZOOM))
        picture, found = crop(scenes.images[i], scenes.keypoints[i, k], centre, size)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
            found[:, 0] = WIDTH // STRIDE - 1 - found[:, 0]
            found = found[MIRRORED]
        crops.append(picture)
        points.append(found)
    guess = model(roughen(to_tensor(recolour(np.stack(crops), rng)), rng)).heatmaps
    error = guess - heatmaps(torch.from_numpy(np.stack(points)).to(DEVICE))
    return error.square().sum((2, 3)).mean()


@torch.no_grad()
def measure(
    model: nn.Module,
    processor: VitPoseImageProcessor,
    scenes: Scenes,
    people: NDArray[np.intp],
) -> dict[str, float]:
    """Return PCK@0.2 of visible points in true boxes, and how well visibility is told."""
    right, told = [], []
    for i, k in people:
        x0, y0, x1, y1 = scenes.boxes[i, k].tolist()
        boxes = [[[x0, y0, x1 - x0, y1 - y0]]]
        inputs = processor(scenes.images[i], boxes=boxes, return_tensors="pt").to(DEVICE)
        [[answer]] = processor.post_process_pose_estimation(model(**inputs), boxes=boxes)
        truth = scenes.keypoints[i, k]
        visible = truth[:, 2] > 0
        right += within(answer["keypoints"].numpy(), truth)[visible].tolist()
        told += ((answer["scores"].numpy() > 0.3) == visible).tolist()
    return {"PCK@0.2": float(np.mean(right)), "visibility told": float(np.mean(told))}


def within(points: NDArray, truth: NDArray, share: float = 0.2) -> NDArray[np.bool_]:
    """Return which points [17, 2] lie nearer to the truth [17, 3] than a share of the torso.

    The torso is measured from the left shoulder to the right hip, the stricter of the usual ways.
    """
    torso = np.linalg.norm(truth[5, :2] - truth[12, :2])
    return np.linalg.norm(points - truth[:, :2], axis=1) < share * torso


def find_people(scenes: Scenes) -> NDArray[np.intp]:
    """Return [n, 2]: scene and row of every person."""
    pairs = enumerate(scenes.objects)
    return np.array([(i, k) for i, row in pairs for k, (_, s) in enumerate(row) if s == "person"])


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    people = find_people(scenes)
    model = VitPoseForPoseEstimation(VitPoseConfig(**CONFIG))
    trained = train(
        model,
        lambda rng: loss(model, scenes, people, rng),
        options,
        name="pose",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    size = {"height": HEIGHT, "width": WIDTH}
    processor = VitPoseImageProcessor(size=size, image_mean=HALF, image_std=HALF)
    quality = measure(trained, processor, held_out, find_people(held_out))
    print(quality)
    card = model_card(
        "pocket: pose",
        "keypoint-detection",
        "`VitPoseForPoseEstimation` for the people in given boxes; 17 key points in COCO's order. "
        "Points hidden by another object get a score below .3.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH} people in boxes a little off; squared "
        "error of heatmaps; mirrored, recoloured, blurred and noisy pictures (`pocket/pictures.py`).",
        quality,
    )
    processor.save_pretrained(save({"": trained}, "pose", card))


if __name__ == "__main__":
    main()
