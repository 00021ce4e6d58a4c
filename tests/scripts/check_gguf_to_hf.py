#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/gguf_to_hf.py on a small model made here: every weight is compared with scalar arithmetic on the
blocks that were written, in exact fractions, and files that are not what they should be are refused."""
import fractions
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

try:
    import numpy  # noqa: F401  the script under test needs it
except ImportError:
    print("skipped: numpy is not there (./x deps demo)")
    sys.exit(77)

SCRIPT = pathlib.Path(os.environ["TRAWL_SOURCE"]) / "scripts" / "gguf_to_hf.py"
SEED = 20250101
HIDDEN, HEADS, KV_HEADS, INNER, LAYERS = 64, 4, 2, 96, 2
TOKENS = ["<|end|>", "<|start|>", "a", "b", "ab"]
random_ = random.Random(SEED)


def f16(value):
    return struct.unpack("<e", struct.pack("<e", value))[0]


def bf16_bits(value):
    """Nearest bfloat16 of an exact fraction that went through float32 first, ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    low, bits = bits & 0xFFFF, bits >> 16
    return bits + (low > 0x8000 or (low == 0x8000 and bits & 1))


def f32(exact):
    """Round a fraction to float32: through a double, which is exact for the sums of products made here."""
    double = float(exact)
    assert fractions.Fraction(double) == exact
    return struct.unpack("<f", struct.pack("<f", double))[0]


def make_tensor(kind, count):
    """-> (bytes, float32 values) of `count` random values of one type."""
    data, values = b"", []
    if kind == 0:
        values = [struct.unpack("<f", struct.pack("<f", random_.uniform(-2, 2)))[0] for _ in range(count)]
        return struct.pack(f"<{count}f", *values), values
    for _ in range(count // 32):
        scale = f16(random_.uniform(0.001, 0.02))
        if kind == 8:
            words = [random_.randint(-128, 127) for _ in range(32)]
            data += struct.pack("<e32b", scale, *words)
            values += [f32(fractions.Fraction(scale) * w) for w in words]
        else:
            low = f16(random_.uniform(-0.1, 0))
            words = [random_.randint(0, 15) for _ in range(32)]
            data += struct.pack("<ee", scale, low)
            data += bytes(words[i] | words[i + 16] << 4 for i in range(16))
            values += [f32(fractions.Fraction(f32(fractions.Fraction(scale) * w)) + fractions.Fraction(low))
                       for w in words]
    return data, values


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def field(name, kind, data):
    return string(name) + struct.pack("<I", kind) + data


def strings(items):
    return struct.pack("<IQ", 8, len(items)) + b"".join(map(string, items))


def write_gguf(path, pre="smollm"):
    numbers = {"llama.block_count": LAYERS, "llama.context_length": 256, "llama.embedding_length": HIDDEN,
               "llama.feed_forward_length": INNER, "llama.attention.head_count": HEADS,
               "llama.attention.head_count_kv": KV_HEADS, "tokenizer.ggml.bos_token_id": 1,
               "tokenizer.ggml.eos_token_id": 0, "tokenizer.ggml.unknown_token_id": 0,
               "tokenizer.ggml.padding_token_id": 0}
    fields = [field(name, 4, struct.pack("<I", value)) for name, value in numbers.items()]
    fields += [field("llama.rope.freq_base", 6, struct.pack("<f", 10000.0)),
               field("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))]
    fields += [field(name, 8, string(text)) for name, text in (
        ("general.architecture", "llama"), ("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", pre),
        ("tokenizer.chat_template", "{{ messages[0]['content'] }}é"))]
    fields += [field("tokenizer.ggml.tokens", 9, strings(TOKENS)), field("tokenizer.ggml.merges", 9, strings(["a b"])),
               field("tokenizer.ggml.token_type", 9, struct.pack("<IQ5i", 5, 5, 3, 3, 1, 1, 1))]
    size = HIDDEN // HEADS
    shapes = {"token_embd": (8, len(TOKENS), HIDDEN), "output_norm": (0, HIDDEN)}
    for i in range(LAYERS):
        shapes |= {f"blk.{i}.{name}": shape for name, shape in {
            "attn_norm": (0, HIDDEN), "ffn_norm": (0, HIDDEN), "attn_q": (3, HIDDEN, HIDDEN),
            "attn_k": (3, KV_HEADS * size, HIDDEN), "attn_v": (8, KV_HEADS * size, HIDDEN),
            "attn_output": (3, HIDDEN, HIDDEN), "ffn_gate": (3, INNER, HIDDEN), "ffn_up": (8, INNER, HIDDEN),
            "ffn_down": (3, HIDDEN, INNER)}.items()}
    infos, body, expected = b"", b"", {}
    for name, (kind, *shape) in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        data, values = make_tensor(kind, count)
        infos += string(name + ".weight") + struct.pack("<I", len(shape))
        infos += struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", kind, len(body))
        body += data + b"\0" * (-len(data) % 32)
        expected[name] = (shape, values)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(fields)) + b"".join(fields) + infos
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return expected


def rows_as_torch(name, shape, values):
    """Row r of a q or k head of GGUF is member r % 2 of rotary pair r // 2."""
    heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(name.split(".")[-1])
    if heads is None:
        return values
    size, width, out = shape[0] // heads, shape[1], []
    for head in range(heads):
        for row in range(size):
            source = head * size + (2 * row if row < size // 2 else 2 * (row - size // 2) + 1)
            out += values[source * width:(source + 1) * width]
    return out


def run(*args):
    return subprocess.run([sys.executable, SCRIPT, *map(str, args)], capture_output=True, text=True)


def refused(words, *args):
    done = run(*args)
    assert done.returncode == 1 and words in done.stderr, (words, done.returncode, done.stderr)


def check_weights(folder, expected):
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    inner = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    for i in range(LAYERS):
        names |= {f"blk.{i}.{ours}": f"model.layers.{i}.{theirs}" for ours, theirs in inner.items()}
    blob = (folder / "model.safetensors").read_bytes()
    (size,) = struct.unpack("<Q", blob[:8])
    header, start = json.loads(blob[8:8 + size]), 8 + size
    assert start % 64 == 0 and set(header) == {"__metadata__"} | {n + ".weight" for n in names.values()}
    for ours, (shape, values) in expected.items():
        entry = header[names[ours] + ".weight"]
        begin, end = entry["data_offsets"]
        got = struct.unpack(f"<{(end - begin) // 2}H", blob[start + begin:start + end])
        assert entry["shape"] == list(shape) and entry["dtype"] == "BF16", ours
        assert list(got) == [bf16_bits(v) for v in rows_as_torch(ours, shape, values)], ours


def main():
    print(f"seed {SEED}")
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        model = work / "tiny.gguf"
        expected = write_gguf(model)
        done = run(model, work / "tiny")
        assert done.returncode == 0, done.stderr
        check_weights(work / "tiny", expected)
        config = json.loads((work / "tiny/config.json").read_text())
        assert config["num_key_value_heads"] == KV_HEADS and config["rms_norm_eps"] == 1e-5, config
        tokenizer = json.loads((work / "tiny/tokenizer.json").read_text())
        assert tokenizer["model"]["vocab"] == {t: i for i, t in enumerate(TOKENS)}
        assert [t["content"] for t in tokenizer["added_tokens"]] == TOKENS[:2]
        assert json.loads((work / "tiny/tokenizer_config.json").read_text())["chat_template"].endswith("é")

        refused("is there already", model, work / "tiny")
        refused("expected 00", model, work / "other", "--sha256", "00")
        (work / "cut.gguf").write_bytes(model.read_bytes()[:-64])
        refused("goes past the end", work / "cut.gguf", work / "other")
        (work / "no.gguf").write_bytes(b"PK" + bytes(100))
        refused("does not begin with GGUF", work / "no.gguf", work / "other")
        write_gguf(work / "pre.gguf", pre="qwen2")
        refused("tokenizer.ggml.pre is 'qwen2'", work / "pre.gguf", work / "other")
        assert not (work / "other").exists()


main()
