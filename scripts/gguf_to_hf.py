#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write a GGUF model as a Hugging Face folder: config.json, generation_config.json, tokenizer.json,
tokenizer_config.json and model.safetensors in bfloat16.

    gguf_to_hf.py MODEL.gguf FOLDER [--sha256 HEX]

Weights are dequantised to float32 and rounded to the nearest bfloat16, ties to even. Needs NumPy.
It knows what the demo model is: architecture llama, a byte-level BPE of the smollm kind, tensors of type
F32, Q4_1 and Q8_0, the output head tied to the embedding. Anything else is refused by name.
FOLDER appears whole or not at all.
"""
import argparse
import hashlib
import json
import os
import shutil
import struct
import sys

import numpy as np

# GGUF value types: struct format of the scalars, then the two that are made of others.
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
NORMAL_TOKEN, CONTROL_TOKEN = 1, 3


class Gguf:
    """Metadata and tensors of one file, read through a memory map."""

    def __init__(self, path):
        self.path = path
        self.data = np.memmap(path, mode="r")
        self.at = 0
        if bytes(self.data[:4]) != b"GGUF":
            sys.exit(f"{path}: does not begin with GGUF")
        self.at = 4
        version, n_tensors, n_fields = self.scalar("I"), self.scalar("Q"), self.scalar("Q")
        if version not in (2, 3):
            sys.exit(f"{path}: GGUF version {version}, expected 2 or 3")
        self.fields = {}
        for _ in range(n_fields):
            name = self.string()
            self.fields[name] = self.value(self.scalar("I"))
        self.tensors = {}
        for _ in range(n_tensors):
            name = self.string()
            shape = [self.scalar("Q") for _ in range(self.scalar("I"))]
            self.tensors[name] = (self.scalar("I"), shape[::-1], self.scalar("Q"))
        align = self.fields.get("general.alignment", 32)
        self.start = -(-self.at // align) * align

    def scalar(self, kind):
        size = struct.calcsize("<" + kind)
        (value,) = struct.unpack("<" + kind, self.data[self.at:self.at + size].tobytes())
        self.at += size
        return value

    def string(self):
        size = self.scalar("Q")
        self.at += size
        return self.data[self.at - size:self.at].tobytes().decode("utf-8")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.scalar("I"), self.scalar("Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(SCALARS[kind])

    def tensor(self, name):
        """The tensor as float32, in the shape of a torch weight."""
        if name not in self.tensors:
            sys.exit(f"{self.path}: tensor {name} is missing")
        kind, shape, offset = self.tensors[name]
        if kind not in DECODERS:
            sys.exit(f"{self.path}: tensor {name} has type {kind}, expected one of {sorted(DECODERS)}")
        block_values, block_bytes, decode = DECODERS[kind]
        size = int(np.prod(shape)) // block_values * block_bytes
        raw = self.data[self.start + offset:self.start + offset + size]
        if raw.size != size:
            sys.exit(f"{self.path}: tensor {name} goes past the end of the file")
        return decode(raw.reshape(-1, block_bytes)).reshape(shape)


def half(blocks, column):
    """The float16 at byte `column` of each block, as float32, [blocks, 1]."""
    return np.ascontiguousarray(blocks[:, column:column + 2]).view(np.float16).astype(np.float32)


def decode_q4_1(blocks):
    """scale, minimum, then 16 bytes: the low nibbles are values 0..15, the high ones 16..31."""
    nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return half(blocks, 0) * nibbles.astype(np.float32) + half(blocks, 2)


def decode_q8_0(blocks):
    """scale, then 32 signed bytes."""
    return half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)


def decode_f32(blocks):
    return np.ascontiguousarray(blocks).view(np.float32)


# type number -> (values per block, bytes per block, decoder)
DECODERS = {0: (1, 4, decode_f32), 3: (32, 20, decode_q4_1), 8: (32, 34, decode_q8_0)}


def to_bf16(values):
    """float32 -> the upper halves of the words, rounded to nearest even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def half_split_rows(weight, heads):
    """GGUF keeps the rows of a Llama q or k head as rotary pairs (0, 1), (2, 3), ...; Hugging Face keeps
    all first members of the pairs, then all second ones."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def weights(model, layers, heads, kv_heads):
    """(Hugging Face name, bf16 words) of every parameter, in the order of the layers."""
    yield "model.embed_tokens.weight", to_bf16(model.tensor("token_embd.weight"))
    plain = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
             "mlp.down_proj": "ffn_down"}
    for layer in range(layers):
        for name, theirs in plain.items():
            weight = model.tensor(f"blk.{layer}.{theirs}.weight")
            if theirs in ("attn_q", "attn_k"):
                weight = half_split_rows(weight, heads if theirs == "attn_q" else kv_heads)
            yield f"model.layers.{layer}.{name}.weight", to_bf16(weight)
    yield "model.norm.weight", to_bf16(model.tensor("output_norm.weight"))


def write_safetensors(path, tensors):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, words in tensors.items():
        header[name] = {"dtype": "BF16", "shape": list(words.shape),
                        "data_offsets": [offset, offset + words.nbytes]}
        offset += words.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for words in tensors.values():
            out.write(words.tobytes())


def model_config(model, field, vocab_size):
    heads, hidden = field("attention.head_count"), field("embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab_size,
        "hidden_size": hidden, "intermediate_size": field("feed_forward_length"),
        "num_hidden_layers": field("block_count"), "num_attention_heads": heads,
        "num_key_value_heads": field("attention.head_count_kv"), "head_dim": hidden // heads,
        "hidden_act": "silu", "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False,
        "max_position_embeddings": field("context_length"), "initializer_range": 0.02,
        # the shortest decimal that is this float32: 1e-05 and not 9.999999747378752e-06
        "rms_norm_eps": float(str(np.float32(field("attention.layer_norm_rms_epsilon")))),
        "rope_theta": field("rope.freq_base"), "rope_scaling": None, "tie_word_embeddings": True,
        "use_cache": True, "torch_dtype": "bfloat16",
        **{f"{kind}_token_id": model.fields[f"tokenizer.ggml.{name}_token_id"]
           for kind, name in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}}


def tokenizer(model):
    """tokenizer.json: digits one by one, then the byte-level words of GPT-2, then BPE."""
    fields = model.fields
    kinds = dict(enumerate(fields["tokenizer.ggml.token_type"]))
    tokens = fields["tokenizer.ggml.tokens"]
    if set(kinds.values()) - {NORMAL_TOKEN, CONTROL_TOKEN}:
        sys.exit(f"{model.path}: the vocabulary has tokens that are neither normal nor control tokens")
    byte_level = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}
                         for i, text in enumerate(tokens) if kinds[i] == CONTROL_TOKEN],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, {**byte_level, "add_prefix_space": False}]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": False, "vocab": {text: i for i, text in enumerate(tokens)},
                  "merges": fields["tokenizer.ggml.merges"]}}


def convert(model, folder):
    fields = model.fields
    for key, known in (("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2"),
                       ("tokenizer.ggml.pre", "smollm")):
        if fields.get(key) != known:
            sys.exit(f"{model.path}: {key} is {fields.get(key)!r}, expected {known!r}")
    if "output.weight" in model.tensors:
        sys.exit(f"{model.path}: the output head is not tied to the embedding")

    def field(name):
        return fields["llama." + name]

    tokens = fields["tokenizer.ggml.tokens"]
    config = model_config(model, field, len(tokens))
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    files = {
        "config.json": config,
        "generation_config.json": {**ids, "do_sample": False},
        "tokenizer.json": tokenizer(model),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False,
            "model_max_length": field("context_length"),
            **{key[:-3]: tokens[i] for key, i in ids.items()},
            "unk_token": tokens[fields["tokenizer.ggml.unknown_token_id"]],
            "chat_template": fields["tokenizer.chat_template"]}}
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False, indent=None if name == "tokenizer.json" else 2)
            out.write("\n")
    write_safetensors(os.path.join(folder, "model.safetensors"), dict(weights(
        model, field("block_count"), field("attention.head_count"), field("attention.head_count_kv"))))


def main():
    parser = argparse.ArgumentParser(description="Write a GGUF model as a Hugging Face folder in bfloat16.")
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--sha256", help="refuse a file with another checksum")
    args = parser.parse_args()
    if os.path.exists(args.folder):
        sys.exit(f"{args.folder}: is there already")
    if args.sha256:
        digest = hashlib.sha256(np.memmap(args.model, mode="r")).hexdigest()
        if digest != args.sha256:
            sys.exit(f"{args.model}: SHA-256 is {digest}, expected {args.sha256}")
    part = f"{args.folder}.part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    convert(Gguf(args.model), part)
    open(os.path.join(part, ".complete"), "w").close()
    os.rename(part, args.folder)


if __name__ == "__main__":
    main()
