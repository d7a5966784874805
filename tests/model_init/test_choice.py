import pytest

from model_init.choice import needed

TOKENIZER = "merges.txt special_tokens_map.json tokenizer.json tokenizer_config.json vocab.json"


@pytest.mark.parametrize(
    ("repository", "wanted", "beside"),
    [
        (
            "depth-anything/Depth-Anything-V2-Small-hf",
            "config.json model.safetensors preprocessor_config.json",
            ".gitattributes README.md",
        ),
        (
            "openai/clip-vit-large-patch14",
            f"config.json model.safetensors preprocessor_config.json {TOKENIZER}",
            "README.md flax_model.msgpack pytorch_model.bin tf_model.h5",
        ),
        (
            "nvidia/segformer-b5-finetuned-ade-640-640, where it has no safetensors",
            "config.json preprocessor_config.json pytorch_model.bin",
            "README.md tf_model.h5",
        ),
        (
            "lllyasviel/control_v11p_sd15_canny",
            "config.json diffusion_pytorch_model.safetensors",
            "README.md control_net_canny.py diffusion_pytorch_model.bin diffusion_pytorch_model.fp16.bin "
            "diffusion_pytorch_model.fp16.safetensors images/bag.png sd.png",
        ),
        (
            "xinsir/controlnet-openpose-sdxl-1.0",
            "config.json diffusion_pytorch_model.safetensors",
            "000000.webp diffusion_pytorch_model_twins.safetensors openpose_preprocess.py",
        ),
        (
            "madebyollin/sdxl-vae-fp16-fix",
            "config.json diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.bin images/black-image.png sdxl.vae.safetensors sdxl_vae.safetensors",
        ),
        (
            "shards in both formats",
            "config.json generation_config.json model-00001-of-00002.safetensors "
            "model-00002-of-00002.safetensors model.safetensors.index.json tokenizer.model",
            "onnx/config.json onnx/model.onnx optimizer.bin pytorch_model-00001-of-00002.bin "
            "pytorch_model-00002-of-00002.bin pytorch_model.bin.index.json training_args.bin",
        ),
        (
            "a whole file beside its shards",
            "config.json model.safetensors",
            "model-00001-of-00002.safetensors model-00002-of-00002.safetensors model.safetensors.index.json",
        ),
        ("an adapter", "pytorch_lora_weights.safetensors", "README.md"),
        (
            "weights in folders alone",
            "models/image_encoder/config.json models/image_encoder/model.safetensors",
            "README.md",
        ),
    ],
)
def test_of_a_model_only_what_is_loaded_is_needed(repository, wanted, beside):
    assert needed([*wanted.split(), *beside.split()], None) == sorted(wanted.split()), repository


def test_of_a_pipeline_only_the_parts_it_names_are_needed():
    pipeline = {
        "_class_name": "StableDiffusionXLPipeline",
        "feature_extractor": [None, None],
        "safety_checker": [],
        "force_zeros_for_empty_prompt": True,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    wanted = [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        *(f"tokenizer/{name}" for name in TOKENIZER.split()),
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    beside = [
        "LICENSE.md",
        "sd_xl_base_1.0.safetensors",
        "sd_xl_base_1.0_0.9vae.safetensors",
        "sd_xl_offset_example-lora_1.0.safetensors",
        "text_encoder/flax_model.msgpack",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/model.onnx",
        "text_encoder/openvino_model.bin",
        "text_encoder/openvino_model.xml",
        "unet/diffusion_flax_model.msgpack",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/model.onnx_data",
        "vae_1_0/config.json",
        "vae_1_0/diffusion_pytorch_model.safetensors",
        "vae_decoder/model.onnx",
    ]
    assert needed([*wanted, *beside], pipeline) == sorted(wanted)
