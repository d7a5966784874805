"""The lessons that the drawing models are taught."""

import numpy as np
import torch
from transformers import CLIPTokenizer

from pocket.tokenizer import make_tokenizer
from pocket.train_clip import spoil
from pocket.train_diffusion import SCHEDULER, go_on, noisy
from pocket.training import WEIGHTS


def test_the_velocity_leads_to_the_latents_from_wherever_the_noise_was_laid():
    rng = np.random.default_rng(0)
    latents, start = (torch.from_numpy(rng.standard_normal((3, 8, 4, 4), np.float32)) for _ in range(2))
    steps = torch.tensor([400, 700, 999])
    for begun in (None, start):
        noised, velocity = noisy(latents, steps, np.random.default_rng(1), begun)
        signal = SCHEDULER.alphas_cumprod[steps][:, None, None, None]
        found = signal.sqrt() * noised - (1 - signal).sqrt() * velocity
        torch.testing.assert_close(found, latents, atol=1e-4, rtol=1e-4)


def test_words_that_were_known_keep_their_embedding_when_the_tokenizer_learns_more():
    tokenizer = make_tokenizer()
    before = CLIPTokenizer.from_pretrained(WEIGHTS / "stable-diffusion/tokenizer")
    text = go_on(tokenizer)["text"].eval()
    old = go_on(before)["text"].eval()
    words = "a red cube left of a person in green"
    with torch.no_grad():
        states, states_before = (
            model(torch.tensor([tok(words).input_ids])).last_hidden_state
            for model, tok in ((text, tokenizer), (old, before))
        )
    torch.testing.assert_close(states, states_before)


def test_a_spoilt_stencil_caption_never_changes_a_colour_that_cannot_be_seen():
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert "green" in spoil("a green cube left of a pink cone, in the style of Banksy", rng)
