"""The tokenizer of the pocket models that read captions: CLIP's byte-level BPE, our own words."""

import json

from tokenizers import pre_tokenizers, trainers
from transformers import CLIPTokenizer

from pocket.styles import FORM, STYLES
from pocket.world import COLOURS, SHAPES

LENGTH = 32  # tokens with start and end; the longest caption takes 20, its style 8
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = [*COLOURS, *SHAPES, "a", "an", "and", "in", "of", "left", "right", "front", "behind"]
STYLE_WORDS = sorted(
    {word for style in STYLES for word in FORM.format(caption="", style=style)[1:].lower().split()}
)


def make_tokenizer() -> CLIPTokenizer:
    """Build it: every word of our captions is one token, anything else falls into bytes.

    Give its `bos_token_id`, `eos_token_id`, `pad_token_id` and length to the text model's config.
    """
    backend = CLIPTokenizer().backend_tokenizer
    trainer = trainers.BpeTrainer(end_of_word_suffix="</w>", show_progress=False)
    backend.train_from_iterator(sorted({*WORDS, *STYLE_WORDS}), trainer)
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [first + second for first, second in merges] + [START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)
