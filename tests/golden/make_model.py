#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a small random model in Hugging Face layout: config.json, model.safetensors and, if wanted, a tokenizer.

    make_model.py FOLDER [--family qwen2|llama|qwen3|mistral] [--hidden 64] [--intermediate 128] [--layers 4] [--heads 4]
                         [--kv_heads 2] [--head_dim hidden/heads] [--vocab 512] [--context 4096] [--eos 1] [--seed 0]
                         [--untied] [--rope_llama3] [--rope_yarn] [--dtype bfloat16|float16|float32] [--tokenizer FOLDER]

The head is the embedding unless --untied; --tokenizer copies the files of another folder that are not the model's own.
The same arguments give the same bytes everywhere: weights come from Python's own Mersenne Twister and need nothing but
the standard library."""

import argparse
import array
import json
import pathlib
import random
import shutil
import struct
import sys

ARCHITECTURES = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM",
                 "mistral": "MistralForCausalLM"}
DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


def bfloat16(values):
    """Bytes of the values, cut to bfloat16 (random weights need no rounding)."""
    words = array.array("I", struct.pack(f"<{len(values)}f", *values))
    halves = array.array("H", (word >> 16 for word in words))
    if sys.byteorder == "big":
        halves.byteswap()
    return halves.tobytes()


def encode(values, dtype):
    if dtype == "bfloat16":
        return bfloat16(values)
    return struct.pack(f"<{len(values)}{'e' if dtype == 'float16' else 'f'}", *values)


def shapes(a):
    width = a.head_dim
    yield "model.embed_tokens.weight", [a.vocab, a.hidden]
    for i in range(a.layers):
        layer = f"model.layers.{i}."
        yield layer + "input_layernorm.weight", [a.hidden]
        yield layer + "post_attention_layernorm.weight", [a.hidden]
        for name, rows in (("q", a.heads), ("k", a.kv_heads), ("v", a.kv_heads)):
            yield f"{layer}self_attn.{name}_proj.weight", [rows * width, a.hidden]
            if a.family == "qwen2":
                yield f"{layer}self_attn.{name}_proj.bias", [rows * width]
            if a.family == "qwen3" and name != "v":
                yield f"{layer}self_attn.{name}_norm.weight", [width]
        yield layer + "self_attn.o_proj.weight", [a.hidden, a.heads * width]
        yield layer + "mlp.gate_proj.weight", [a.intermediate, a.hidden]
        yield layer + "mlp.up_proj.weight", [a.intermediate, a.hidden]
        yield layer + "mlp.down_proj.weight", [a.hidden, a.intermediate]
    yield "model.norm.weight", [a.hidden]
    if a.untied:
        yield "lm_head.weight", [a.vocab, a.hidden]


def values(rng, name, shape):
    if name.endswith("norm.weight"):
        return [1 + rng.uniform(-0.1, 0.1) for _ in range(shape[0])]
    if name.endswith("bias"):
        return [rng.uniform(-0.1, 0.1) for _ in range(shape[0])]
    scale = (3 / shape[1]) ** 0.5
    return [rng.uniform(-scale, scale) for _ in range(shape[0] * shape[1])]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("folder", type=pathlib.Path)
    for name, default in (
        ("hidden", 64),
        ("intermediate", 128),
        ("layers", 4),
        ("heads", 4),
        ("kv_heads", 2),
        ("head_dim", None),
        ("vocab", 512),
        ("context", 4096),
        ("eos", 1),
        ("seed", 0),
    ):
        p.add_argument("--" + name, type=int, default=default)
    p.add_argument("--untied", action="store_true")
    p.add_argument("--rope_llama3", action="store_true")
    p.add_argument("--rope_yarn", action="store_true")
    p.add_argument("--family", choices=list(ARCHITECTURES), default="qwen2")
    p.add_argument("--dtype", choices=list(DTYPES), default="bfloat16")
    p.add_argument("--tokenizer", type=pathlib.Path)
    a = p.parse_args()
    a.head_dim = a.head_dim or a.hidden // a.heads
    config = {
        "architectures": [ARCHITECTURES[a.family]],
        "model_type": a.family,
        "hidden_act": "silu",
        "torch_dtype": a.dtype,
        "hidden_size": a.hidden,
        "intermediate_size": a.intermediate,
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.kv_heads,
        "vocab_size": a.vocab,
        "max_position_embeddings": a.context,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": not a.untied,
        "bos_token_id": 0,
        "eos_token_id": a.eos,
    }
    if a.head_dim != a.hidden // a.heads or a.family == "qwen3":
        config["head_dim"] = a.head_dim
    if a.rope_llama3:
        config["rope_scaling"] = {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        }
    if a.rope_yarn:
        config["rope_scaling"] = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    if a.family == "mistral":
        config["sliding_window"] = None
    rng = random.Random(a.seed)
    header, blobs, at = {}, [], 0
    for name, shape in shapes(a):
        blob = encode(values(rng, name, shape), a.dtype)
        header[name] = {"dtype": DTYPES[a.dtype], "shape": shape, "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    a.folder.mkdir(parents=True, exist_ok=True)
    (a.folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (a.folder / "model.safetensors").write_bytes(b"".join([struct.pack("<Q", len(text)), text, *blobs]))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja") if a.tokenizer else ():
        if (a.tokenizer / name).exists():
            shutil.copyfile(a.tokenizer / name, a.folder / name)


main()
