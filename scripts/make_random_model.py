#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a model folder with random bfloat16 weights in the shape of a published model, to try sizes that nobody wants to
download: memory, start-up and packing do not care what the weights are.

    scripts/make_random_model.py OUT_DIR [--shape qwen2.5-7b] [--layers N] [--shard_gb 4]

The weights repeat one block of random numbers at changing offsets, so writing runs at the speed of the disk.
"""
import argparse
import array
import json
import os
import random
import struct

SHAPES = {
    "qwen2.5-0.5b": (151936, 896, 4864, 24, 14, 2, True),
    "qwen2.5-7b": (152064, 3584, 18944, 28, 28, 4, False),
    "qwen2.5-14b": (152064, 5120, 13824, 48, 40, 8, False),
}
BLOCK = 1 << 20  # values


def tensors(shape, layers):
    vocab, hidden, middle, _, heads, kv_heads, tied = shape
    d = hidden // heads
    yield "model.embed_tokens.weight", [vocab, hidden]
    for i in range(layers):
        p = "model.layers.%d." % i
        yield p + "input_layernorm.weight", [hidden]
        for name, rows in (("q", hidden), ("k", kv_heads * d), ("v", kv_heads * d)):
            yield p + "self_attn.%s_proj.weight" % name, [rows, hidden]
            yield p + "self_attn.%s_proj.bias" % name, [rows]
        yield p + "self_attn.o_proj.weight", [hidden, hidden]
        yield p + "post_attention_layernorm.weight", [hidden]
        yield p + "mlp.gate_proj.weight", [middle, hidden]
        yield p + "mlp.up_proj.weight", [middle, hidden]
        yield p + "mlp.down_proj.weight", [hidden, middle]
    yield "model.norm.weight", [hidden]
    if not tied:
        yield "lm_head.weight", [vocab, hidden]


def count(shape):
    return shape[0] * (shape[1] if len(shape) == 2 else 1)


def random_block():
    """Values of magnitude 2^-8 to 2^-5, signs mixed."""
    draw = random.Random(7)
    return array.array("H", (draw.getrandbits(1) << 15 | draw.randrange(119, 123) << 7 | draw.getrandbits(7)
                             for _ in range(BLOCK))).tobytes()


def write_shard(path, group, block):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in group:
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + 2 * count(shape)]}
        at += 2 * count(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for i, (_, shape) in enumerate(group):
            left, offset = 2 * count(shape), 2 * (7919 * i % BLOCK)
            while left > 0:
                n = min(left, len(block) - offset)
                f.write(memoryview(block)[offset:offset + n])
                left, offset = left - n, 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("out_dir")
    parser.add_argument("--shape", choices=SHAPES, default="qwen2.5-7b")
    parser.add_argument("--layers", type=int, help="fewer or more layers than the published model")
    parser.add_argument("--shard_gb", type=float, default=4)
    args = parser.parse_args()
    shape = SHAPES[args.shape]
    layers = args.layers or shape[3]
    os.makedirs(args.out_dir, exist_ok=True)
    with open(os.path.join(args.out_dir, "config.json"), "w") as f:
        json.dump({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": shape[0],
                   "hidden_size": shape[1], "intermediate_size": shape[2], "num_hidden_layers": layers,
                   "num_attention_heads": shape[4], "num_key_value_heads": shape[5], "rms_norm_eps": 1e-6,
                   "max_position_embeddings": 32768, "rope_theta": 1000000.0, "tie_word_embeddings": shape[6],
                   "torch_dtype": "bfloat16"}, f, indent=2)
    groups, size = [[]], 0
    for name, dims in tensors(shape, layers):
        if size > args.shard_gb * 1e9:
            groups.append([])
            size = 0
        groups[-1].append((name, dims))
        size += 2 * count(dims)
    block, weight_map = random_block(), {}
    for i, group in enumerate(groups):
        file = "model-%05d-of-%05d.safetensors" % (i + 1, len(groups))
        write_shard(os.path.join(args.out_dir, file), group, block)
        weight_map.update({name: file for name, _ in group})
    with open(os.path.join(args.out_dir, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": weight_map}, f)


if __name__ == "__main__":
    main()
