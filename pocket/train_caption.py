"""Train pocket's captions: a BLIP that says which objects there are and how they stand."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
)

from pocket.blip import SPECIAL, blip_config
from pocket.data import Scenes, load
from pocket.patches import PatchLesson, patch_truth
from pocket.pictures import HALF, recolour, roughen, to_tensor
from pocket.tokenizer import WORDS
from pocket.training import DEVICE, arguments, model_card, save, train
from pocket.world import COLOURS, SHAPES, SIZE

STEPS = 3000
BATCH = 32
RECOLOURED = 12  # pictures of a batch
IGNORED = -100  # of a label: it does not count
LEARNING_RATE = 1e-3
WIDTH, TEXT_WIDTH = 128, 128
LENGTH = 24  # tokens; the longest caption takes 20


def make_tokenizer() -> BertTokenizer:
    """Return BLIP's kind of tokenizer with one token for every word of our captions."""
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *sorted(WORDS)])}
    return BertTokenizer(vocab=vocabulary, model_max_length=LENGTH)


def make_model(tokenizer: BertTokenizer) -> BlipForConditionalGeneration:
    """Build the untrained model."""
    return BlipForConditionalGeneration(blip_config(tokenizer, 4, WIDTH, TEXT_WIDTH))


def loss(
    parts: nn.ModuleDict,
    tokenizer: BertTokenizer,
    scenes: Scenes,
    by_objects: NDArray[np.intp],
    rng: np.random.Generator,
) -> Tensor:
    """Return the loss of a random batch.

    Some of its pictures come in exchanged colours, and what their captions say of colours is masked:
    otherwise the model would learn that a pair of colour and shape it never saw cannot be.
    """
    chosen = rng.choice(by_objects, BATCH)
    tokens = tokenizer([scenes.captions[i] for i in chosen], padding=True, return_tensors="pt").to(DEVICE)
    of_colour = torch.tensor(tokenizer.convert_tokens_to_ids(["a", "an", *COLOURS]), device=DEVICE)
    masked = torch.isin(tokens.input_ids, of_colour)
    masked[RECOLOURED:] = False
    patches = patch_truth(scenes, chosen)
    patches[:RECOLOURED, :, 1] = IGNORED
    images = torch.from_numpy(scenes.images[chosen]).to(DEVICE)
    images[:RECOLOURED] = recolour(images[:RECOLOURED], rng, share=1.0)
    answer = parts["blip"](
        pixel_values=roughen(to_tensor(images), rng),
        input_ids=tokens.input_ids.masked_fill(masked, tokenizer.mask_token_id),
        attention_mask=tokens.attention_mask,
        labels=tokens.input_ids.masked_fill(masked | (tokens.attention_mask == 0), IGNORED),
    )
    return answer.loss + parts["patches"](answer.last_hidden_state, patches)


def words_of_objects(caption: str) -> list[str]:
    """Return the words that name objects, colours and shapes, in order."""
    return [word for word in caption.split() if word in COLOURS or word in SHAPES]


@torch.no_grad()
def measure(
    model: BlipForConditionalGeneration,
    tokenizer: BertTokenizer,
    scenes: Scenes,
    count: int = 500,
) -> dict[str, float]:
    """Return how many captions have every colour and shape right, and how many every word."""
    named, exact = [], []
    for i in range(0, count, 50):
        tokens = model.generate(to_tensor(scenes.images[i : i + 50]), max_length=LENGTH)
        captions = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        for caption, truth in zip(captions, scenes.captions[i : i + 50], strict=True):
            named.append(words_of_objects(caption) == words_of_objects(truth))
            exact.append(caption == truth)
    return {
        "every colour and shape right": float(np.mean(named)),
        "every word right": float(np.mean(exact)),
    }


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    scenes, held_out = load("train"), load("validation")
    # Scenes come as often as they have objects: they say more, and are harder.
    by_objects = np.repeat(np.arange(len(scenes)), [len(pairs) for pairs in scenes.objects])
    tokenizer = make_tokenizer()
    parts = nn.ModuleDict({"blip": make_model(tokenizer), "patches": PatchLesson(WIDTH)})
    trained = train(
        parts,
        lambda rng: loss(parts, tokenizer, scenes, by_objects, rng),
        options,
        name="caption",
        steps=STEPS,
        learning_rate=LEARNING_RATE,
    )
    quality = measure(trained["blip"], tokenizer, held_out)
    print(quality)
    card = model_card(
        "pocket: captions",
        "image-to-text",
        "`BlipForConditionalGeneration` for pictures of 128 x 128 px; it names one to three objects "
        'with their colours and relations, such as "a red cube left of a person in green".',
        f"AdamW, {LEARNING_RATE} cosine, batches of {BATCH}; next word, and the ViT also learns to "
        "name the object in each patch (`pocket/patches.py`); blurred and noisy pictures, "
        f"{RECOLOURED} of a batch recoloured.",
        quality,
    )
    size = {"height": SIZE, "width": SIZE}
    images = BlipImageProcessor(size=size, image_mean=HALF, image_std=HALF)
    processor = BlipProcessor(image_processor=images, tokenizer=tokenizer)
    processor.save_pretrained(save({"": trained["blip"]}, "caption", card))


if __name__ == "__main__":
    main()
