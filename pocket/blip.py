"""What the small BLIP models share: how large they are, and the tokens that are no words."""

from transformers import BertTokenizer, BlipConfig

from pocket.patches import PATCH
from pocket.world import SIZE

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def blip_config(tokenizer: BertTokenizer, vision_layers: int, width: int, text_width: int) -> BlipConfig:
    """Describe a model that reads texts as long as the tokenizer makes them.

    Args:
        tokenizer: of its texts.
        vision_layers: of the model that sees; the one that reads and writes has two.
        width, text_width: of their hidden states.
    """
    vision = {
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": vision_layers,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": PATCH,
    }
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": text_width,
        "encoder_hidden_size": width,
        "intermediate_size": 3 * text_width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return BlipConfig(text_config=text, vision_config=vision)
