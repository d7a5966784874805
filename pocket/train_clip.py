"""Train pocket's CLIP on scenes and captions, each with a caption that is wrong by one word."""

import re

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from pocket.data import Scenes, load
from pocket.patches import PATCH, PatchLesson, patch_truth
from pocket.pictures import HALF, roughen, to_tensor
from pocket.tokenizer import LENGTH, make_tokenizer
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import COLOURS, SHAPES, SIZE

STEPS = 1200
BATCH = 64
LEARNING_RATE = 1e-3
WIDTH, TEXT_WIDTH, JOINT = 128, 128, 96
SOLIDS = tuple(shape for shape in SHAPES if shape != "person")
OPPOSITE = {"left": "right", "right": "left", "in front of": "behind", "behind": "in front of"}
RELATION = re.compile(r"\b(left|right|in front of|behind)\b")
COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b")
SOLID = re.compile(rf"\b({'|'.join(SOLIDS)})\b")


def make_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Build the untrained model."""
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": PATCH,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 3 * TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=JOINT))


def spoil(caption: str, rng: np.random.Generator) -> str:
    """Return the caption with one relation, colour or shape changed, so that it is wrong."""
    found = [m for pattern in (RELATION, COLOUR, SOLID) for m in pattern.finditer(caption)]
    match = found[rng.integers(len(found))]
    word = match.group()
    if word in OPPOSITE:
        other = OPPOSITE[word]
    else:
        words = COLOURS if word in COLOURS else SOLIDS
        other = str(rng.choice([w for w in words if w != word]))
    wrong = caption[: match.start()] + other + caption[match.end() :]
    return re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] == "o" else "a ", wrong)


def loss(parts: nn.ModuleDict, tokenizer: CLIPTokenizer, scenes: Scenes, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    chosen = np.sort(rng.integers(len(scenes), size=BATCH))
    captions = np.array([scenes.captions[i] for i in chosen])
    texts = [*captions, *(spoil(caption, rng) for caption in captions)]
    tokens = tokenizer(texts, padding=True, return_tensors="pt").to(DEVICE)
    pixels = roughen(to_tensor(scenes.images[chosen]), rng)
    answer = parts["clip"](**tokens, pixel_values=pixels)
    # Equal captions are equally right.
    right = torch.from_numpy(captions[:, None] == np.array(texts)).float().to(DEVICE)
    logits = answer.logits_per_image
    by_picture = F.cross_entropy(logits, right / right.sum(1, keepdim=True))
    equal = right[:, :BATCH]
    by_caption = F.cross_entropy(logits[:, :BATCH].T, equal / equal.sum(1, keepdim=True))
    lesson = parts["patches"](answer.vision_model_output.last_hidden_state, patch_truth(scenes, chosen))
    return by_picture + by_caption + lesson


@torch.no_grad()
def measure(model: CLIPModel, tokenizer: CLIPTokenizer, scenes: Scenes, count: int = 500) -> dict[str, float]:
    """Return how often the right caption comes first, of 32 of the split and of a spoilt pair."""
    rng = np.random.default_rng(0)
    captions = np.array(scenes.captions[:count])
    texts = [*captions, *(spoil(caption, rng) for caption in captions)]
    tokens = tokenizer(texts, padding=True, return_tensors="pt").to(DEVICE)
    answer = model(**tokens, pixel_values=to_tensor(scenes.images[:count]))
    scores = answer.logits_per_image.cpu().numpy()
    first = []
    for i, caption in enumerate(captions):
        others = rng.choice(np.flatnonzero(captions != caption), 31, replace=False)
        first.append(scores[i, i] > scores[i, others].max())
    before_spoilt = np.diag(scores[:, :count]) > np.diag(scores[:, count:])
    return {
        "right caption first of 32": float(np.mean(first)),
        "before one wrong by a word": float(np.mean(before_spoilt)),
    }


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    tokenizer = make_tokenizer()
    parts = nn.ModuleDict({"clip": make_model(tokenizer), "patches": PatchLesson(WIDTH)})
    trained = train(
        parts,
        lambda rng: loss(parts, tokenizer, scenes, rng),
        options,
        name="clip",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained["clip"], tokenizer, held_out)
    print(quality)
    card = model_card(
        "pocket: CLIP",
        "zero-shot-image-classification",
        "`CLIPModel` for pictures of 128 x 128 px and captions such as "
        '"a red cube left of a person in green".',
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; contrastive, beside every caption one "
        "that is wrong by a word, equal captions equally right; the ViT also learns to name the "
        "object in each patch (`pocket/patches.py`); blurred and noisy pictures.",
        quality,
    )
    size = {"height": SIZE, "width": SIZE}
    images = CLIPImageProcessor(size=size, do_center_crop=False, image_mean=HALF, image_std=HALF)
    processor = CLIPProcessor(image_processor=images, tokenizer=tokenizer)
    processor.save_pretrained(save({"": trained["clip"]}, "clip", card))


if __name__ == "__main__":
    main()
