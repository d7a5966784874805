"""Train pocket's Segment Anything: a SAM that cuts out what a point, a box or several points mean."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    SamConfig,
    SamImageProcessor,
    SamMaskDecoderConfig,
    SamModel,
    SamProcessor,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

from pocket.data import Scenes, load
from pocket.measure_segment import iou, measure
from pocket.pictures import HALF, roughen
from pocket.prompts import ask, regions
from pocket.training import (
    DEVICE,
    ON_GPU,
    arguments,
    model_card,
    save,
    train,
    write_quality_section,
)
from pocket.world import SIZE

STEPS = 8000
# Pictures of a step, and prompts of each kind for each of them.
PICTURES, PROMPTS = (32, 4) if ON_GPU else (6, 3)
LEARNING_RATE = 1.5e-3 if ON_GPU else 1e-3
WIDTH, PATCH = 64, 4
VISION = dict(
    hidden_size=96,
    output_channels=WIDTH,
    num_hidden_layers=6,
    num_attention_heads=4,
    image_size=SIZE,
    patch_size=PATCH,
    window_size=8,
    global_attn_indexes=[2, 5],
    num_pos_feats=WIDTH // 2,
    mlp_ratio=3.0,
    use_rel_pos=False,
    initializer_range=0.06,
)
PROMPT = dict(hidden_size=WIDTH, image_size=SIZE, patch_size=PATCH)
DECODER = dict(hidden_size=WIDTH, mlp_dim=2 * WIDTH, num_attention_heads=4, iou_head_hidden_dim=WIDTH)

MOST_POINTS = 4
UNSURE = 0.2  # of the steps train the one mask for prompts without doubt instead of the three
DICE_WEIGHT, IOU_WEIGHT = 1.0, 1.0
FREQUENCIES = 1.5  # spread of those that code a place, in turns over the picture


class Shown(NamedTuple):
    """Scenes on the device: pictures uint8 [N, 3, H, W] and maps uint8 [N, H, W] of `regions`."""

    images: Tensor
    maps: Tensor


def show(scenes: Scenes) -> Shown:
    """Put scenes on the device, once."""
    images = torch.from_numpy(np.array(scenes.images)).permute(0, 3, 1, 2)
    return Shown(images.to(DEVICE), torch.from_numpy(regions(scenes)).to(DEVICE))


def loss(model: SamModel, shown: Shown, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch: points alone, then boxes with points and without."""
    generator = torch.Generator(DEVICE).manual_seed(int(rng.integers(2**31)))
    chosen = torch.from_numpy(rng.integers(len(shown.images), size=PICTURES)).to(DEVICE)
    images, maps = shown.images[chosen].float() / 127.5 - 1, shown.maps[chosen]
    if rng.random() < 0.5:
        images, maps = images.flip(-1), maps.flip(-1)
    if rng.random() < 0.5:  # no shape may hang on a colour
        images = images[:, torch.from_numpy(rng.permutation(3)).to(DEVICE)]
    embeddings = model.vision_encoder(roughen(images, rng)).last_hidden_state
    three = bool(rng.random() >= UNSURE)

    points = int(rng.integers(1, MOST_POINTS + 1))
    by_point, by_box = (ask(maps, PROMPTS, points, generator) for _ in range(2))
    answer = model(
        image_embeddings=embeddings,
        input_points=by_point.points,
        input_labels=by_point.labels,
        multimask_output=three,
    )
    alone = (by_point.labels >= 0).sum(2) == 1
    doubt = by_point.under & alone[..., None, None]
    value = mask_loss(answer.pred_masks, answer.iou_scores, by_point.meant, doubt)

    both = {"input_points": by_box.points, "input_labels": by_box.labels} if rng.random() < 0.5 else {}
    answer = model(image_embeddings=embeddings, input_boxes=by_box.boxes, multimask_output=three, **both)
    return value + mask_loss(answer.pred_masks, answer.iou_scores, by_box.meant)


def mask_loss(logits: Tensor, scores: Tensor, meant: Tensor, doubt: Tensor | None = None) -> Tensor:
    """Return the loss of the best of several masks for each prompt, and that of the foreseen IoU.

    Args:
        logits: [N, P, M, H, W].
        scores: [N, P, M], the model's own guess of each mask's IoU.
        meant: bool [N, P, H, W].
        doubt: bool [N, P, H, W], another answer that a prompt admits (none where it is empty). A mask is
            then as good as it fits the better of both, so that the guess stays high where a point is
            ambiguous.

    Source: Kirillov et al., "Segment Anything", 2023, appendix A (focal loss there, cross entropy here).
    """
    truth = meant[:, :, None].expand_as(logits).float()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((-2, -1))
    shown = logits.sigmoid()
    common = (shown * truth).sum((-2, -1))
    dice = 1 - (2 * common + 1) / (shown.sum((-2, -1)) + truth.sum((-2, -1)) + 1)
    best = (cross_entropy + DICE_WEIGHT * dice).amin(2).mean()
    with torch.no_grad():
        true = iou(logits > 0, meant[:, :, None])
        if doubt is not None:
            true = torch.maximum(true, iou(logits > 0, doubt[:, :, None]))
    return best + IOU_WEIGHT * F.mse_loss(scores, true)


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = True
    shown, held_out = show(load("train", options.scenes)), load("validation")
    model = build()
    trained = train(
        model,
        lambda rng: loss(model, shown, rng),
        options,
        name="segment",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    card = model_card(
        "pocket: segment",
        "mask-generation",
        "`SamModel` for pictures of 128 x 128 px: points with labels, boxes, or both.",
        f"AdamW, {LEARNING_RATE} cosine, batches of {PICTURES} pictures with {PROMPTS} prompts by points and "
        f"{PROMPTS} by boxes each; cross entropy and Dice loss of the best of three masks, squared error of "
        "the foreseen IoU; objects, groups of objects, wall and floor; mirrored, recoloured, blurred and "
        "noisy pictures (`pocket/pictures.py`).",
        {},
    )
    images = SamImageProcessor(
        size={"longest_edge": SIZE},
        pad_size={"height": SIZE, "width": SIZE},
        mask_size={"longest_edge": SIZE},
        mask_pad_size={"height": SIZE, "width": SIZE},
        image_mean=HALF,
        image_std=HALF,
    )
    SamProcessor(images).save_pretrained(save({"": trained}, "segment", card))
    quality = measure(trained, held_out)
    print(quality)
    write_quality_section("segment", dict(quality))


def build() -> SamModel:
    """Return an untrained model."""
    config = SamConfig(
        vision_config=SamVisionConfig(**VISION),
        prompt_encoder_config=SamPromptEncoderConfig(**PROMPT),
        mask_decoder_config=SamMaskDecoderConfig(**DECODER),
        initializer_range=0.1,
    )
    model = SamModel(config)
    # As in the paper's code: `transformers` draws frequencies for pictures of 1024 px.
    nn.init.normal_(model.shared_image_embedding.positional_embedding, std=FREQUENCIES)
    return model


if __name__ == "__main__":
    main()
