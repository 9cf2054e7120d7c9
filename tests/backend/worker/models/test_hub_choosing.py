"""Which files of a repository are fetched, by listings as the hub has them."""

import pytest
from underpaint.backend.worker.hub.choosing import just, needed, one_file
from underpaint.protocol.errors import ModelMissing

ID = "owner/name"


def chosen(paths: str, index: dict[str, object] | None = None, file: str = "") -> set[str]:
    choose = one_file(file) if file else needed
    return set(choose(ID, paths.split(), index or {}))


SDXL = """
    .gitattributes LICENSE.md README.md 01.png model_index.json scheduler/scheduler_config.json
    sd_xl_base_1.0.safetensors sd_xl_base_1.0_0.9vae.safetensors sd_xl_offset_example-lora_1.0.safetensors
    text_encoder/config.json text_encoder/flax_model.msgpack text_encoder/model.fp16.safetensors
    text_encoder/model.onnx text_encoder/model.safetensors text_encoder/openvino_model.bin
    tokenizer/merges.txt tokenizer/special_tokens_map.json tokenizer/tokenizer_config.json tokenizer/vocab.json
    unet/config.json unet/diffusion_pytorch_model.fp16.safetensors unet/diffusion_pytorch_model.safetensors
    unet/diffusion_pytorch_model.non_ema.safetensors unet/model.onnx_data
    vae/config.json vae/diffusion_pytorch_model.fp16.safetensors vae/diffusion_pytorch_model.safetensors
    vae_1_0/config.json vae_1_0/diffusion_pytorch_model.safetensors vae_decoder/config.json vae_decoder/model.onnx
    safety_checker/config.json safety_checker/model.safetensors
"""
SDXL_INDEX: dict[str, object] = {
    "_class_name": "StableDiffusionXLPipeline",
    "_diffusers_version": "0.19.0.dev0",
    "force_zeros_for_empty_prompt": True,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "feature_extractor": [None, None],
}


def test_of_a_checkpoint_the_components_that_it_names_and_no_twins() -> None:
    assert chosen(SDXL, SDXL_INDEX) == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    }


def test_shards_come_with_their_index_and_parts_that_were_left_out_do_not() -> None:
    paths = """
        model_index.json flux1-dev.safetensors ae.safetensors text_encoders/t5xxl_fp16.safetensors
        transformer/config.json transformer/diffusion_pytorch_model.safetensors.index.json
        transformer/diffusion_pytorch_model-00001-of-00002.safetensors
        transformer/diffusion_pytorch_model-00002-of-00002.safetensors
        transformer/diffusion_pytorch_model.fp16-00001-of-00002.safetensors
        text_encoder_2/config.json text_encoder_2/model.safetensors
    """
    index: dict[str, object] = {"transformer": ["diffusers", "X"], "text_encoder_2": [None, None]}
    assert chosen(paths, index) == {
        "model_index.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
    }


def test_half_precision_is_taken_where_there_is_nothing_else() -> None:
    paths = "model_index.json unet/config.json unet/diffusion_pytorch_model.fp16.safetensors unet/x.fp16.bin"
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in chosen(paths, {"unet": ["diffusers", "X"]})


UNION = """
    README.md config.json config_promax.json diffusion_pytorch_model.safetensors
    diffusion_pytorch_model_promax.safetensors images/1.png
"""


def test_of_a_controlnet_its_config_and_its_weights() -> None:
    assert chosen(UNION) == {"config.json", "diffusion_pytorch_model.safetensors"}
    paths = "config.json diffusion_pytorch_model.bin diffusion_pytorch_model.fp16.safetensors control.png"
    assert chosen(paths) == {"config.json", "diffusion_pytorch_model.fp16.safetensors"}


def test_a_file_brings_the_config_that_it_needs() -> None:
    file = "diffusion_pytorch_model_promax.safetensors"
    assert chosen(UNION, file=file) == {file, "config_promax.json", "config.json"}
    assert chosen("a.safetensors b.safetensors config.json", file="a.safetensors") == {"a.safetensors"}


@pytest.mark.parametrize(
    ("adapter", "encoder"),
    [
        ("models/ip-adapter_sd15.safetensors", "models/image_encoder"),
        ("sdxl_models/ip-adapter_sdxl.safetensors", "sdxl_models/image_encoder"),
        ("sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors", "models/image_encoder"),
    ],
)
def test_an_ip_adapter_brings_its_image_encoder(adapter: str, encoder: str) -> None:
    paths = """
        models/image_encoder/config.json models/image_encoder/model.safetensors
        models/image_encoder/pytorch_model.bin models/ip-adapter_sd15.bin models/ip-adapter_sd15.safetensors
        sdxl_models/image_encoder/config.json sdxl_models/image_encoder/model.safetensors
        sdxl_models/ip-adapter_sdxl.safetensors sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors
    """
    assert chosen(paths, file=adapter) == {adapter, f"{encoder}/config.json", f"{encoder}/model.safetensors"}


def test_an_adapter_alone_in_its_repository_is_meant() -> None:
    assert chosen("README.md pixel.safetensors") == {"pixel.safetensors"}
    paths = "pytorch_lora_weights.safetensors other.safetensors"
    assert chosen(paths) == {"pytorch_lora_weights.safetensors"}


def test_of_several_one_has_to_be_named() -> None:
    with pytest.raises(ModelMissing, match=r"a.safetensors, b.safetensors. .* underpaint download owner/name --file"):
        chosen("a.safetensors b.safetensors")


def test_a_file_that_is_not_there_is_told_with_those_that_are_like_it() -> None:
    with pytest.raises(ModelMissing, match=r"no file \"pixl.safetensors\".* pixel.safetensors"):
        chosen("README.md pixel.safetensors", file="pixl.safetensors")


@pytest.mark.parametrize(
    ("paths", "index", "file"),
    [
        ("pytorch_model.bin config.json", {}, ""),
        ("model_index.json unet/config.json unet/diffusion_pytorch_model.bin", {"unet": ["diffusers", "X"]}, ""),
        ("v1-5.ckpt v1-5.safetensors", {}, "v1-5.ckpt"),
        ("run.py a.safetensors", {}, "run.py"),
    ],
)
def test_pickles_and_programs_are_never_fetched(paths: str, index: dict[str, object], file: str) -> None:
    with pytest.raises(ModelMissing, match="is a pickle or of another format"):
        chosen(paths, index, file)


def test_a_repository_without_weights_says_so() -> None:
    with pytest.raises(ModelMissing, match="holds no weights"):
        chosen("README.md config.json")


def test_files_by_name_as_far_as_they_are_there() -> None:
    assert just("model_index.json", "unet/config.json")(ID, ["unet/config.json"], {}) == ("unet/config.json",)
