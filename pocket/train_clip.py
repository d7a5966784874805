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
from pocket.styles import COLOURLESS, STYLES, in_style
from pocket.tokenizer import LENGTH, make_tokenizer
from pocket.training import DEVICE, ON_GPU, arguments, model_card, resident, save, train
from pocket.world import COLOURS, SHAPES, SIZE

STEPS = 1200
BATCH = 256 if ON_GPU else 64
STYLED_SHARE = 0.4  # of the pictures
WRONG = 4  # wrong captions of each picture; every batch has one of them
LEARNING_RATE = 1e-3
WIDTH, TEXT_WIDTH, JOINT = 128, 128, 96
SOLIDS = tuple(shape for shape in SHAPES if shape != "person")
OPPOSITE = {"left": "right", "right": "left", "in front of": "behind", "behind": "in front of"}
RELATION = re.compile(r"\b(left|right|in front of|behind)\b")
COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b")
STYLE = re.compile(rf"\b({'|'.join(STYLES)})\b")
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
    """Return the caption with one relation, colour, shape or style changed, so that it is wrong."""
    patterns = [RELATION, COLOUR, SOLID, STYLE]
    if any(caption.endswith(style) for style in COLOURLESS):
        patterns.remove(COLOUR)
    found = [m for pattern in patterns for m in pattern.finditer(caption)]
    match = found[rng.integers(len(found))]
    word = match.group()
    if word in OPPOSITE:
        other = OPPOSITE[word]
    else:
        words = next(names for names in (COLOURS, SOLIDS, STYLES) if word in names)
        other = str(rng.choice([w for w in words if w != word]))
    wrong = caption[: match.start()] + other + caption[match.end() :]
    return re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] == "o" else "a ", wrong)


class Lesson:
    """Pictures, plain and styled, with their captions and wrong ones, as batches."""

    def __init__(self, scenes: Scenes, tokenizer: CLIPTokenizer) -> None:
        rng = np.random.default_rng(0)
        captions = [*scenes.captions, *scenes.styled_captions]
        wrong = [spoil(caption, rng) for caption in captions for _ in range(WRONG)]
        numbers = np.unique(captions + wrong, return_inverse=True)[1]
        tokens = tokenizer(captions + wrong, padding="max_length", return_tensors="np").input_ids
        count = len(captions)
        self._right, self._wrong = resident(numbers[:count]), resident(numbers[count:].reshape(count, WRONG))
        self._right_tokens = resident(tokens[:count])
        self._wrong_tokens = resident(tokens[count:].reshape(count, WRONG, -1))
        self._images = resident(scenes.images), resident(scenes.styled)
        self._patches = patch_truth(scenes, np.arange(len(scenes)))

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return pictures, tokens of their captions and as many wrong ones, numbers of these, patches.

        Equal captions have equal numbers.
        """
        scenes = len(self._patches)
        plain, styled = np.split(rng.integers(scenes, size=BATCH), [BATCH - round(STYLED_SHARE * BATCH)])
        index = torch.from_numpy(np.concatenate([plain, styled + scenes])).to(DEVICE)
        which = torch.from_numpy(rng.integers(WRONG, size=BATCH)).to(DEVICE)
        parts = zip(self._images, (plain, styled), strict=True)
        images = torch.cat([images[torch.from_numpy(some).to(DEVICE)] for images, some in parts])
        tokens = torch.cat([self._right_tokens[index], self._wrong_tokens[index, which]])
        numbers = torch.cat([self._right[index], self._wrong[index, which]])
        return to_tensor(images), tokens, numbers, self._patches[index % scenes]


def loss(parts: nn.ModuleDict, lesson: Lesson, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    pictures, tokens, numbers, patches = lesson.batch(rng)
    answer = parts["clip"](input_ids=tokens, pixel_values=roughen(pictures, rng))
    # Equal captions are equally right.
    right = (numbers[:BATCH, None] == numbers).float()
    logits = answer.logits_per_image
    by_picture = F.cross_entropy(logits, right / right.sum(1, keepdim=True))
    equal = right[:, :BATCH]
    by_caption = F.cross_entropy(logits[:, :BATCH].T, equal / equal.sum(1, keepdim=True))
    return by_picture + by_caption + parts["patches"](answer.vision_model_output.last_hidden_state, patches)


@torch.no_grad()
def measure(model: CLIPModel, tokenizer: CLIPTokenizer, scenes: Scenes, count: int = 500) -> dict[str, float]:
    """Return how often the right caption comes first: of 32 of the split, a spoilt pair, four styles."""
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
    styled = [in_style(c, style) for c in captions for style in STYLES]
    tokens = tokenizer(styled, padding=True, return_tensors="pt").to(DEVICE)
    answer = model(**tokens, pixel_values=to_tensor(scenes.styled[:count]))
    of_style = answer.logits_per_image.cpu().numpy().reshape(count, count, len(STYLES))
    told = of_style[np.arange(count), np.arange(count)].argmax(1)
    before_spoilt = np.diag(scores[:, :count]) > np.diag(scores[:, count:])
    return {
        "right caption first of 32": float(np.mean(first)),
        "before one wrong by a word": float(np.mean(before_spoilt)),
        "right style first of four": float(np.mean(np.array(list(STYLES))[told] == scenes.styles[:count])),
    }


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    held_out = load("validation")
    tokenizer = make_tokenizer()
    lesson = Lesson(load("train", options.scenes), tokenizer)
    parts = nn.ModuleDict({"clip": make_model(tokenizer), "patches": PatchLesson(WIDTH)})
    trained = train(
        parts,
        lambda rng: loss(parts, lesson, rng),
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
        '"a red cube left of a person in green", also in the four styles of `pocket/styles.py`.',
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; contrastive, beside every caption one "
        "that is wrong by a word, equal captions equally right; the ViT also learns to name the "
        "object in each patch (`pocket/patches.py`); blurred and noisy pictures, "
        f"{STYLED_SHARE:.0%} of them styled.",
        quality,
    )
    size = {"height": SIZE, "width": SIZE}
    images = CLIPImageProcessor(size=size, do_center_crop=False, image_mean=HALF, image_std=HALF)
    processor = CLIPProcessor(image_processor=images, tokenizer=tokenizer)
    processor.save_pretrained(save({"": trained["clip"]}, "clip", card))


if __name__ == "__main__":
    main()
