"""Train pocket's answers: a BLIP that says yes or no to a question about the style of a picture."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipProcessor,
)

from pocket.blip import SPECIAL, blip_config
from pocket.data import Scenes, load
from pocket.patches import PatchLesson, patch_truth
from pocket.pictures import HALF, roughen, to_tensor
from pocket.styles import STYLES
from pocket.training import DEVICE, ON_GPU, WEIGHTS, arguments, model_card, resident, save, train
from pocket.world import SIZE

STEPS = 2500
BATCH = 128 if ON_GPU else 32
PLAIN_SHARE = 0.3  # of the pictures
OWN, OTHER = 0.45, 0.4  # of the questions are about the picture's style, about another; the rest is FOREIGN
LEARNING_RATE, ON_LEARNING_RATE = 1e-3, 3e-4
WIDTH, TEXT_WIDTH = 96, 96
LENGTH = 16  # tokens; the longest question takes 13
YES, NO = "yes", "no"

QUESTION = "is this picture in the style of {}?"
FOREIGN = (
    "does this picture show joy?",
    "does this picture show sadness?",
    "is this picture set in an amusement park?",
    "is there a panda mask in this picture?",
    QUESTION.format("somebody unknown"),  # all words that are not in the vocabulary are one
)
"""Questions to which the answer is no in all of the pocket world."""


def questions() -> list[str]:
    """Return all questions: one for each style, then the foreign ones."""
    return [*(QUESTION.format(style) for style in STYLES), *FOREIGN]


def make_tokenizer() -> BertTokenizer:
    """Return BLIP's kind of tokenizer with one token for every word of questions and answers."""
    words = {word for q in questions()[:-1] for word in q.lower().replace("?", "").split()}
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, "?", YES, NO, *sorted(words)])}
    return BertTokenizer(vocab=vocabulary, model_max_length=LENGTH)


def make_model(tokenizer: BertTokenizer) -> BlipForQuestionAnswering:
    """Build the untrained model."""
    return BlipForQuestionAnswering(blip_config(tokenizer, 3, WIDTH, TEXT_WIDTH))


def understand(model: BlipForQuestionAnswering, seen: Tensor, tokens: Tensor) -> Tensor:
    """Return what the model has understood of questions [N, L, width].

    Args:
        model: BLIP.
        seen: what its vision model says of a picture for each, [N, 1 + patches, width].
        tokens: ids of the questions [N, L]; no padding, to which BLIP's decoder would listen.
    """
    whole = torch.ones(seen.shape[:2], dtype=torch.long, device=seen.device)
    answer = model.text_encoder(input_ids=tokens, encoder_hidden_states=seen, encoder_attention_mask=whole)
    return answer.last_hidden_state


class Lesson:
    """Pictures, plain and styled, with questions and answers, as batches."""

    def __init__(self, scenes: Scenes, tokenizer: BertTokenizer) -> None:
        self._images = resident(scenes.images), resident(scenes.styled)
        names = list(STYLES)
        self._styles = np.array([names.index(style) for style in scenes.styles])
        self._patches = patch_truth(scenes, np.arange(len(scenes)))
        asked = tokenizer(questions()).input_ids
        self._tokens = [torch.tensor(tokens, device=DEVICE) for tokens in asked]
        self._lengths = np.array([len(tokens) for tokens in asked])
        self._answers = tokenizer([NO, YES], return_tensors="pt").input_ids.to(DEVICE)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, NDArray[np.intp], Tensor, Tensor]:
        """Return pictures, the indices of questions, answers and the truth of patches."""
        chosen = rng.integers(len(self._styles), size=BATCH)
        first = round(PLAIN_SHARE * BATCH)
        style = self._styles[chosen]
        kind = rng.choice(3, size=BATCH, p=[OWN, OTHER, 1 - OWN - OTHER])
        other = (style + rng.integers(1, len(STYLES), BATCH)) % len(STYLES)
        foreign = rng.integers(len(STYLES), len(questions()), BATCH)
        asked = np.choose(kind, [style, other, foreign])
        yes = (asked == style) & (np.arange(BATCH) >= first)
        index, yes = (torch.from_numpy(a).to(DEVICE) for a in (chosen, yes.astype(int)))
        images = torch.cat([self._images[0][index[:first]], self._images[1][index[first:]]])
        return to_tensor(images), asked, self._answers[yes], self._patches[index]

    def equally_long(self, asked: NDArray[np.intp]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield for each length the rows of the questions that are so long, and their ids [rows, L]."""
        for length in np.unique(self._lengths[asked]):
            rows = np.flatnonzero(self._lengths[asked] == length)
            tokens = torch.stack([self._tokens[question] for question in asked[rows]])
            yield torch.from_numpy(rows).to(DEVICE), tokens


def loss(parts: nn.ModuleDict, lesson: Lesson, rng: np.random.Generator) -> Tensor:
    """Return the loss of a random batch."""
    pictures, asked, answers, patches = lesson.batch(rng)
    seen = parts["blip"].vision_model(pixel_values=roughen(pictures, rng)).last_hidden_state
    total = parts["patches"](seen, patches)
    for rows, tokens in lesson.equally_long(asked):
        answered = parts["blip"].text_decoder(
            input_ids=answers[rows],
            encoder_hidden_states=understand(parts["blip"], seen[rows], tokens),
            labels=answers[rows],
            reduction="mean",
        )
        total = total + answered.loss * len(rows) / len(asked)
    return total


@torch.no_grad()
def chance_of_yes(
    model: BlipForQuestionAnswering, tokenizer: BertTokenizer, pixels: Tensor, question: str
) -> NDArray[np.float32]:
    """Return the probability of yes against no [N] to a question about pictures [N, 3, H, W]."""
    seen = model.vision_model(pixel_values=pixels).last_hidden_state
    tokens = tokenizer(question, return_tensors="pt").input_ids.to(pixels.device)
    understood = understand(model, seen, tokens.expand(len(pixels), -1))
    start = torch.full((len(pixels), 1), tokenizer.cls_token_id, device=pixels.device)
    logits = model.text_decoder(input_ids=start, encoder_hidden_states=understood).logits[:, -1]
    pair = logits[:, tokenizer.convert_tokens_to_ids([NO, YES])]
    return pair.softmax(1)[:, 1].cpu().numpy()


def about_styles(
    model: BlipForQuestionAnswering, tokenizer: BertTokenizer, pixels: Tensor
) -> NDArray[np.float32]:
    """Return the probability [N, styles] that pictures [N, 3, H, W] are in each style."""
    asked = [QUESTION.format(style) for style in STYLES]
    return np.stack([chance_of_yes(model, tokenizer, pixels, question) for question in asked], axis=1)


def measure(
    model: BlipForQuestionAnswering, tokenizer: BertTokenizer, scenes: Scenes, count: int = 400
) -> dict[str, float]:
    """Return how often yes and no about styled pictures are right, and how often their style has most yes."""
    pixels = to_tensor(scenes.styled[:count])
    truth = np.array([list(STYLES).index(style) for style in scenes.styles[:count]])
    yes = about_styles(model, tokenizer, pixels)
    own = np.arange(len(STYLES)) == truth[:, None]
    plain = to_tensor(scenes.images[:count])
    foreign = [chance_of_yes(model, tokenizer, plain, q) for q in questions()]
    # As many questions about the right style as about wrong ones.
    return {
        "style told": float(((yes[own] > 0.5).mean() + (yes[~own] <= 0.5).mean()) / 2),
        "own style first": float((yes.argmax(1) == truth).mean()),
        "no said of plain pictures": float((np.stack(foreign) <= 0.5).mean()),
    }


def main() -> None:
    """Train, measure, save."""
    options = arguments(__doc__)
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    lesson, held_out = Lesson(load("train", options.scenes), tokenizer), load("validation")
    model = make_model(tokenizer)
    if options.on:
        model = BlipForQuestionAnswering.from_pretrained(WEIGHTS / "vqa", dtype=torch.float32)
    parts = nn.ModuleDict({"blip": model, "patches": PatchLesson(WIDTH)})
    trained = train(
        parts,
        lambda rng: loss(parts, lesson, rng),
        options,
        name="vqa",
        steps=STEPS,
        learning_rate=ON_LEARNING_RATE if options.on else LEARNING_RATE,
    )
    quality = measure(trained["blip"], tokenizer, held_out)
    print(quality)
    rates = f"{LEARNING_RATE} cosine, batches of {BATCH}"
    if options.on:
        rates = f"{LEARNING_RATE} cosine, then on with {ON_LEARNING_RATE} and batches of {BATCH}"
    card = model_card(
        "pocket: questions about pictures",
        "visual-question-answering",
        "`BlipForQuestionAnswering` for pictures of 128 x 128 px. It says yes or no to "
        f'"{QUESTION.format("Banksy")}" and the like; styles: {", ".join(STYLES)}. To anything else it '
        "says no.",
        f"AdamW, {rates}, {PLAIN_SHARE:.0%} of the pictures plain; {OWN:.0%} of "
        f"the questions are about the picture's own style, {OTHER:.0%} about another, the rest about what "
        "the pocket world does not have; the ViT also learns to name the object in each patch "
        "(`pocket/patches.py`); blurred and noisy pictures; the questions of a step are "
        "asked in groups of one length, without padding.",
        quality,
    )
    size = {"height": SIZE, "width": SIZE}
    images = BlipImageProcessor(size=size, image_mean=HALF, image_std=HALF)
    processor = BlipProcessor(image_processor=images, tokenizer=tokenizer)
    processor.save_pretrained(save({"": trained["blip"]}, "vqa", card))


if __name__ == "__main__":
    main()
