"""What models are, told from the headers that real ones have at full size."""

from typing import Any

import full_size_headers as full
import pytest
from full_size_headers import Shapes, header_of, under
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from underpaint.backend.library.recognition import recognise
from underpaint.backend.worker.conditioning.unions import UNIONS, UnionId
from underpaint.protocol.models import FamilyId, ModelKind

F, K = FamilyId, ModelKind
UNET = "model.diffusion_model."


def seen(found: Shapes, dtype: str = "F16", **metadata: str) -> Any:
    """What a file with these tensors is."""
    return recognise(header_of(found, dtype, {key.replace("__", "."): value for key, value in metadata.items()}))


@pytest.mark.parametrize(("family", "expected"), [("sd15", F.SD15), ("sd2", F.SD2), ("sdxl", F.SDXL)])
def test_checkpoints_in_the_original_layout(family: str, expected: FamilyId) -> None:
    found = seen(full.checkpoint(family))
    assert (found.kind, found.family, found.precision, found.traits, found.problem) == (
        K.CHECKPOINT, expected, "float16", (), "",
    )  # fmt: skip
    alone = seen(full.unet(family))
    assert (alone.kind, alone.family) == (K.CHECKPOINT, expected)
    assert alone.traits == ("without text encoder", "without VAE")
    assert seen(under(UNET, full.unet(family))).family is expected
    assert seen(full.diffusers_unet(family)).family is expected


def test_checkpoints_that_are_made_for_something_else_are_told() -> None:
    assert seen(full.checkpoint("refiner")).traits == ("refiner",)
    assert "base model" in seen(full.checkpoint("refiner")).problem
    hole = seen(full.checkpoint("sd15", 9))
    assert (hole.traits, hole.problem) == (("inpainting",), "")
    assert "instruct-pix2pix" in seen(full.checkpoint("sd15", 8)).problem
    assert "depth" in seen(full.checkpoint("sd2", 5)).problem
    assert "EDM" in seen({**full.checkpoint("sdxl"), "edm_mean": (4,)}).problem


def test_what_tells_how_a_checkpoint_was_trained() -> None:
    base = full.checkpoint("sdxl")
    assert seen({**base, "v_pred": (0,), "ztsnr": (0,)}).traits == ("v-prediction", "zero-terminal SNR")
    assert seen(base, modelspec__prediction_type="v").traits == ("v-prediction",)
    assert seen(base, modelspec__prediction_type="epsilon", ss_v_parameterization="True").traits == ()
    assert seen(full.checkpoint("sd2"), modelspec__architecture="stable-diffusion-v2-768-v").traits == ("v-prediction",)
    assert seen({**base, "model_ema.decay": ()}).traits == ("EMA",)
    assert seen({**base, f"{UNET}time_embed.cond_proj.weight": (320, 256)}).traits == ("distilled",)


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [("F32", "float32"), ("BF16", "bfloat16"), ("F8_E4M3", "float8_e4m3fn"), ("F8_E5M2", "float8_e5m2")],
)
def test_precisions_are_told_by_the_bytes(dtype: str, precision: str) -> None:
    assert seen(full.vae(), dtype).precision == precision


def test_a_mixed_precision_is_told_as_that_of_most_bytes() -> None:
    header = header_of({"decoder.conv_in.weight": (512, 4, 3, 3), "encoder.conv_in.weight": (128, 3, 3, 3)})
    at = header["encoder.conv_in.weight"]["data_offsets"][0]
    header["encoder.conv_in.weight"] = {
        "dtype": "F32",
        "shape": [128, 3, 3, 3],
        "data_offsets": [at, at + 128 * 27 * 4],
    }
    found = recognise(header)
    assert (found.precision, found.traits) == ("float16", ("mixed precision",))


@pytest.mark.parametrize(("family", "expected"), [("sd15", F.SD15), ("sd2", F.SD2), ("sdxl", F.SDXL)])
@pytest.mark.parametrize("original", [True, False])
def test_controlnets_in_both_layouts(family: str, expected: FamilyId, original: bool) -> None:
    found = seen(full.controlnet(family, original))
    assert (found.kind, found.family, found.problem) == (K.CONTROLNET, expected, "")
    if original:
        assert seen(full.controlnet(family, original) | full.checkpoint(family)).kind is K.CONTROLNET
        bare = {key.removeprefix("control_model."): shape for key, shape in full.controlnet(family, True).items()}
        assert (seen(bare).kind, seen(bare).family) == (K.CONTROLNET, expected)


@pytest.mark.parametrize(("modes", "union"), [(6, UnionId.XINSIR), (8, UnionId.XINSIR_PROMAX)])
def test_union_nets_tell_their_kinds_by_their_modes(modes: int, union: UnionId) -> None:
    found = seen(full.union(modes))
    assert (found.kind, found.family, found.traits[0]) == (K.CONTROLNET, F.SDXL, "union")
    assert {kind.value for kind in UNIONS[union].modes} <= set(found.control_kinds)
    assert ("promax" in found.traits) == (modes == 8)


_RELATIVES: dict[str, Shapes] = {
    "Control-LoRA": {"lora_controlnet": (0,), "input_hint_block.0.weight": (16, 3, 3, 3), "time_embed.0.up": (1, 1)},
    "ControlNet-LLLite": {"lllite_unet_middle_block_1_attn1_to_q.conditioning1.0.weight": (16, 3, 4, 4)},
    "T2I-Adapter": {"adapter.body.0.resnets.0.block1.weight": (320, 320, 3, 3), "adapter.conv_in.bias": (320,)},
}  # fmt: skip


@pytest.mark.parametrize("name", _RELATIVES)
def test_relatives_of_controlnets_are_told_with_a_way_out(name: str) -> None:
    found = seen(_RELATIVES[name])
    assert found.kind is K.CONTROLNET
    assert name in found.problem
    assert "Use" in found.problem
    original = seen({"body.0.block1.weight": (320, 320, 3, 3), "conv_in.weight": (320, 192, 3, 3)})
    assert "T2I-Adapter" in original.problem


_FLUX: Shapes = {
    "img_in.weight": (3072, 64), "txt_in.weight": (3072, 4096), "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
    "single_blocks.0.linear1.weight": (21504, 3072),
}  # fmt: skip
_GUIDED: Shapes = {**_FLUX, "guidance_in.in_layer.weight": (3072, 256)}
_SD3: Shapes = {"x_embedder.proj.weight": (1536, 16, 2, 2), "pos_embed": (1, 36864, 1536)}
_QWEN: Shapes = {
    "img_in.weight": (3072, 64), "txt_in.weight": (3072, 3584), "txt_norm.weight": (3584,),
    "transformer_blocks.0.img_mod.1.weight": (18432, 3072),
}  # fmt: skip
_Z: Shapes = {"layers.0.adaLN_modulation.0.weight": (15360, 256), "cap_embedder.0.weight": (2560,)}


@pytest.mark.parametrize("prefix", ["", UNET])
@pytest.mark.parametrize(
    ("found", "family", "trait", "problem"),
    [
        (_GUIDED, F.FLUX, "dev", ""),
        (_FLUX, F.FLUX, "schnell", ""),
        ({**_GUIDED, "img_in.weight": (3072, 384)}, F.FLUX, "inpainting", "384 channels"),
        ({**_GUIDED, "img_in.weight": (3072, 128)}, F.FLUX, "depth or canny", "128 channels"),
        ({**_SD3, "joint_blocks.23.x_block.attn.qkv.weight": (4608, 1536)}, F.SD3, "3", ""),
        ({**_SD3, "joint_blocks.23.x_block.attn2.qkv.weight": (4608, 1536)}, F.SD3, "3.5 medium", ""),
        ({**_SD3, "joint_blocks.37.x_block.attn.qkv.weight": (7296, 2432)}, F.SD3, "3.5 large", ""),
        (_QWEN, F.QWEN_IMAGE, "without VAE", ""),
        (_Z, F.Z_IMAGE, "without VAE", ""),
    ],
)
def test_transformers(prefix: str, found: Shapes, family: FamilyId, trait: str, problem: str) -> None:
    what = seen(under(prefix, found))
    assert (what.kind, what.family) == (K.CHECKPOINT, family)
    assert trait in what.traits
    assert problem in what.problem


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("single_stream_modulation.lin.weight", "Flux.2"),
        ("distilled_guidance_layer.in_proj.bias", "Chroma"),
        ("head.modulation", "Wan"),
        ("cap_embedder.0.weight", "Lumina"),
        ("patchify_proj.weight", "LTX"),
    ],
)
def test_families_that_are_not_painted_with_are_named(key: str, title: str) -> None:
    found = seen({**_FLUX, f"{UNET}{key}": (1, 1)} if "Flux" in title else {f"{UNET}{key}": (1, 1)})
    assert found.kind is K.UNKNOWN
    assert title in found.problem


@pytest.mark.parametrize(
    ("found", "family", "traits"),
    [
        ({"controlnet_x_embedder.weight": (3072, 64), "controlnet_blocks.0.weight": (3072, 3072)}, F.FLUX, ()),
        (
            {
                "controlnet_x_embedder.weight": (3072, 64),
                "controlnet_blocks.0.weight": (3072, 3072),
                "controlnet_mode_embedder.weight": (10, 3072),
            },
            F.FLUX,
            ("union",),
        ),
        ({"pos_embed_input.proj.weight": (1536, 16, 2, 2), "controlnet_blocks.0.weight": (1536, 1536)}, F.SD3, ()),
        (
            {
                "controlnet_x_embedder.weight": (3072, 68),
                "controlnet_blocks.0.weight": (3072, 3072),
                "transformer_blocks.0.img_mlp.net.0.proj.weight": (12288, 3072),
            },
            F.QWEN_IMAGE,
            (),
        ),
        (
            {"control_all_x_embedder.2-1.weight": (3840, 64), "control_layers.0.before_proj.weight": (1, 1)},
            F.Z_IMAGE,
            (),
        ),
    ],
)
def test_controlnets_of_transformers(found: Shapes, family: FamilyId, traits: tuple[str, ...]) -> None:
    what = seen(found)
    assert (what.kind, what.family, what.traits) == (K.CONTROLNET, family, traits)


@pytest.mark.parametrize(("family", "expected"), [("sd15", F.SD15), ("sd2", F.SD2), ("sdxl", F.SDXL)])
@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_loras_of_unets_tell_their_family_by_the_text_that_they_read(
    family: str, expected: FamilyId, kind: str
) -> None:
    found = seen(full.kohya_lora(family, kind=kind))
    assert (found.kind, found.family, found.problem) == (K.LORA, expected, "")
    assert found.traits == {"lora": ("rank 16",), "loha": ("LoHa",), "lokr": ("LoKr",)}[kind]
    assert seen(full.peft_lora(family)).family is expected
    dora = {**full.kohya_lora(family), "lora_unet_mid_block_attentions_0_proj_in.dora_scale": (1280, 1)}
    assert "DoRA" in seen(dora).traits


_DOWN = ".lora_down.weight"


@pytest.mark.parametrize(
    ("found", "family"),
    [
        ({f"lora_unet_double_blocks_0_img_attn_proj{_DOWN}": (16, 3072)}, F.FLUX),
        ({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (16, 3072)}, F.FLUX),
        ({"double_blocks.0.processor.qkv_lora1.down.weight": (16, 3072), "x.lora_down.weight": (1, 1)}, F.FLUX),
        ({f"lora_unet_joint_blocks_0_x_block_attn_qkv{_DOWN}": (16, 1536)}, F.SD3),
        ({"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight": (16, 1536)}, F.SD3),
        ({"transformer.transformer_blocks.59.attn.add_k_proj.lora_A.weight": (16, 3072)}, F.QWEN_IMAGE),
        ({"diffusion_model.transformer_blocks.0.img_mlp.net.2.lora_A.weight": (16, 12288)}, F.QWEN_IMAGE),
        ({"diffusion_model.layers.0.attention.to_q.lora_A.weight": (16, 3840)}, F.Z_IMAGE),
        ({f"lora_unet_layers_0_attention_to_q{_DOWN}": (16, 3840)}, F.Z_IMAGE),
        ({f"lora_te_text_model_encoder_layers_0_self_attn_q_proj{_DOWN}": (16, 768)}, F.SD15),
        ({f"lora_te_text_model_encoder_layers_0_self_attn_q_proj{_DOWN}": (16, 1024)}, F.SD2),
        ({f"lora_te2_text_model_encoder_layers_0_self_attn_q_proj{_DOWN}": (16, 1280)}, F.SDXL),
        ({f"lora_unet_input_blocks_7_1_transformer_blocks_9_attn2_to_k{_DOWN}": (16, 2048)}, F.SDXL),
        (
            {"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight": (4, 768)},
            F.SD15,
        ),
        ({f"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q{_DOWN}": (16, 1280)}, None),
    ],
)
def test_loras_of_every_layout(found: Shapes, family: FamilyId | None) -> None:
    what = seen(found)
    assert (what.kind, what.family) == (K.LORA, family)


def test_a_lora_that_leaves_its_family_open_is_asked_for_its_notes() -> None:
    open_one = {f"lora_unet_mid_block_attentions_0_proj_in{_DOWN}": (16, 1280, 1, 1)}
    assert seen(open_one, ss_base_model_version="sdxl_base_v1-0").family is F.SDXL
    assert seen(open_one, modelspec__architecture="stable-diffusion-v1/lora").family is F.SD15
    assert seen(open_one, ss_base_model_version="flux2").family is None
    read = seen(full.kohya_lora("sd15"), ss_base_model_version="sdxl_base_v1-0")
    assert read.family is F.SD15  # what can be measured counts more than what is said


def test_a_lycoris_that_is_not_read_is_told() -> None:
    found = seen({"lora_unet_mid_block_attentions_0_proj_in.oft_blocks": (4, 320, 320)})
    assert found.kind is K.LORA
    assert "OFT" in found.problem


def test_the_words_of_a_lora() -> None:
    lora = full.kohya_lora("sd15")
    tags = '{"10_cat": {"mycat": 20, "sitting": 4}, "5_more": {" mycat": 9, "photo": 29}}'
    assert seen(lora, ss_tag_frequency=tags).words == ("mycat", "photo")
    assert seen(lora, ss_tag_frequency=tags, modelspec__trigger_phrase="red cat, hat").words == ("red cat", "hat")
    for broken in ("", "[", "[]", "{}", '{"a": []}', '{"a": {"b": "c"}}', '{"a": {"b": null}}', "[" * 100_000):
        assert seen(lora, ss_tag_frequency=broken).words == ()
    assert seen(lora, modelspec__license="CreativeML\n Open RAIL-M").licence == "CreativeML Open RAIL-M"


@pytest.mark.parametrize(
    ("found", "family", "words"),
    [
        ({"emb_params": (8, 768)}, F.SD15, ()),
        ({"emb_params": (8, 1024)}, F.SD2, ()),
        ({"clip_l": (8, 768), "clip_g": (8, 1280)}, F.SDXL, ()),
        ({"<cat-toy>": (768,)}, F.SD15, ("<cat-toy>",)),
        ({"emb_params": (8, 32)}, None, ()),
    ],
)
def test_textual_inversions(found: Shapes, family: FamilyId | None, words: tuple[str, ...]) -> None:
    what = seen(found)
    assert (what.kind, what.family, what.words) == (K.EMBEDDING, family, words)


def ip_adapter(text: int, projection: Shapes) -> Shapes:
    return under("image_proj.", projection) | {
        f"ip_adapter.{n}.to_{p}_ip.weight": (320, text) for n in (1, 3) for p in "kv"
    }


@pytest.mark.parametrize(("text", "family"), [(768, F.SD15), (2048, F.SDXL)])
@pytest.mark.parametrize(
    ("projection", "traits"),
    [
        ({"proj.weight": (3072, 1024), "norm.weight": (768,)}, ("plain", "looks with ViT-H")),
        ({"proj.weight": (8192, 1280), "norm.weight": (2048,)}, ("plain", "looks with ViT-bigG")),
        ({"latents": (1, 16, 768), "proj_in.weight": (768, 1280)}, ("plus", "looks with ViT-H")),
        (
            {"proj.0.weight": (1280, 1280), "proj.2.weight": (768, 1280), "proj.3.weight": (768,)},
            ("full face", "looks with ViT-H"),
        ),
    ],
)  # fmt: skip
def test_ip_adapters(text: int, family: FamilyId, projection: Shapes, traits: tuple[str, ...]) -> None:
    what = seen(ip_adapter(text, projection))
    assert (what.kind, what.family, what.traits, what.problem) == (K.IP_ADAPTER, family, traits, "")


def test_adapters_for_faces_by_identity_are_told() -> None:
    face = {"proj.0.weight": (1024, 512), "proj.2.weight": (3072, 1024), "norm.weight": (768,)}
    lora = {"ip_adapter.0.to_q_lora.down.weight": (128, 320)}
    for projection in (face, {"perceiver_resampler.proj_in.weight": (768, 1280), "proj.0.weight": (1024, 512)}):
        what = seen(ip_adapter(768, projection) | lora)
        assert (what.kind, what.family) == (K.IP_ADAPTER, F.SD15)
        assert "FaceID" in what.problem


def test_vaes_and_tiny_ones() -> None:
    for original in (True, False):
        what = seen(full.vae(original))
        assert (what.kind, what.family, what.traits, what.problem) == (K.VAE, None, (), "")
    sixteen = seen({**full.vae(), "decoder.conv_in.weight": (512, 16, 3, 3)})
    assert sixteen.traits == ("16 latent channels",)
    qwen = {"decoder.middle.0.residual.0.gamma": (384, 1, 1, 1), "encoder.conv1.weight": (96, 3, 3, 3, 3)}
    assert seen(qwen).family is F.QWEN_IMAGE
    tiny = seen({"decoder.layers.0.weight": (64, 4, 3, 3), "encoder.layers.0.weight": (64, 3, 3, 3)})
    assert tiny.kind is K.TINY_DECODER
    half = seen({"1.weight": (64, 4, 3, 3), "3.conv.0.weight": (64, 64, 3, 3)})
    assert half.kind is K.TINY_DECODER
    assert not half.problem
    other_half = seen({"0.weight": (64, 3, 3, 3), "1.conv.0.weight": (64, 64, 3, 3)})
    assert "Use the decoder" in other_half.problem
    assert seen({"decoder.conv_in.weight": (512, 4, 3, 3)}).problem


@pytest.mark.parametrize(("width", "name"), [(1024, "ViT-L"), (1280, "ViT-H"), (1664, "ViT-bigG")])
def test_image_encoders_and_safety_checkers(width: int, name: str) -> None:
    vision = {"vision_model.embeddings.class_embedding": (width,), "visual_projection.weight": (1024, width)}
    assert (seen(vision).kind, seen(vision).traits) == (K.IMAGE_ENCODER, (name,))
    checker = {**vision, "concept_embeds": (17, 768), "special_care_embeds": (3, 768)}
    assert seen(checker).kind is K.SAFETY_CHECKER


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "no tensors"),
        ({"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)}, "upscaler"),
        ({"encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096), "decoder.x": (1, 1)}, "text encoder"),
        ({"text_model.embeddings.token_embedding.weight": (49408, 768)}, "text encoder"),
        ({"embeddings.token_embedding.weight": (49408, 768), "encoder.layers.0.x.weight": (768, 768)}, "text encoder"),
        ({"what.ever": (3, 3, 3), "else.where": (2,)}, "no kind of model"),
    ],
)
def test_what_is_of_no_use_is_told(found: Shapes, words: str) -> None:
    what = seen(found)
    assert what.kind is K.UNKNOWN
    assert words in what.problem


PARTS = st.sampled_from(
    [
        "model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.time_embed.0.weight",
        "model.diffusion_model.label_emb.0.0.weight",
        "control_model.input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight", "task_embedding",
        "controlnet_down_blocks.0.weight", "controlnet_blocks.0.weight", "lora_unet_x_attn2_to_k.lora_down.weight",
        "lora_unet_x_attn2_to_k.lokr_w1", "lora_unet_x_attn2_to_k.lokr_w2", "lora_unet_x.hada_w1_a", "emb_params",
        "clip_l", "clip_g", "image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight", "image_proj.latents",
        "decoder.conv_in.weight", "encoder.conv_in.weight", "decoder.layers.0.weight", "img_in.weight", "1.weight",
        "double_blocks.0.x", "single_blocks.0.x", "joint_blocks.7.x", "x_embedder.proj.weight", "pos_embed",
        "vision_model.embeddings.class_embedding", "layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight",
        "transformer_blocks.0.attn.add_k_proj.weight", "conv_in.weight", "time_embedding.linear_1.weight",
        "up_blocks.0.x",
    ]
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(
    found=st.dictionaries(PARTS | st.text(max_size=10), st.lists(st.integers(0, 9), max_size=5).map(tuple), max_size=9),
    told=st.dictionaries(
        st.sampled_from(
            ["ss_tag_frequency", "modelspec.architecture", "modelspec.prediction_type", "modelspec.license"]
        ),
        st.text(max_size=30),
    ),
)
def test_any_tensors_and_any_notes_are_recognised_as_something(found: Shapes, told: dict[str, str]) -> None:
    what = recognise(header_of(found, metadata=told))
    assert what.kind is not K.UNKNOWN or what.problem
