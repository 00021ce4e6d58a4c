#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl plan and trawl shard as a user meets them: JSON keys, exit codes, sentences, the same bits from packed weights,
and damaged files refused. Makes its own model of a few kilobytes."""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

TRAWL = os.environ["TRAWL"]
HIDDEN, HEADS, KV_HEADS, MIDDLE, LAYERS, VOCAB = 32, 4, 2, 72, 2, 67
SEED = 4

failures = []


def check(ok, what):
    if not ok:
        failures.append(what)
        print("FAILED:", what)


def run(*words):
    done = subprocess.run([TRAWL, *map(str, words)], capture_output=True)
    return done.returncode, done.stdout, done.stderr.decode()


def refused(code, words, *command):
    got, _, err = run(*command)
    check(got == code and words in err, "exit %d and \"%s\", found exit %d and \"%s\": %s"
          % (code, words, got, err.strip(), " ".join(map(str, command))))


# ---- a model ----

def tensors():
    d = HIDDEN // HEADS
    yield "model.embed_tokens.weight", [VOCAB, HIDDEN]
    for i in range(LAYERS):
        p = "model.layers.%d." % i
        for name, shape in [("input_layernorm.weight", [HIDDEN]), ("post_attention_layernorm.weight", [HIDDEN]),
                            ("self_attn.q_proj.weight", [HEADS * d, HIDDEN]), ("self_attn.q_proj.bias", [HEADS * d]),
                            ("self_attn.k_proj.weight", [KV_HEADS * d, HIDDEN]), ("self_attn.k_proj.bias", [KV_HEADS * d]),
                            ("self_attn.v_proj.weight", [KV_HEADS * d, HIDDEN]), ("self_attn.v_proj.bias", [KV_HEADS * d]),
                            ("self_attn.o_proj.weight", [HIDDEN, HEADS * d]),
                            ("mlp.gate_proj.weight", [MIDDLE, HIDDEN]), ("mlp.up_proj.weight", [MIDDLE, HIDDEN]),
                            ("mlp.down_proj.weight", [HIDDEN, MIDDLE])]:
            yield p + name, shape
    yield "model.norm.weight", [HIDDEN]


def write_model(folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": VOCAB,
                   "hidden_size": HIDDEN, "intermediate_size": MIDDLE, "num_hidden_layers": LAYERS,
                   "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 2048,
                   "tie_word_embeddings": True, "torch_dtype": "bfloat16"}, f)
    draw = random.Random(SEED)
    header, data = {}, b""
    for name, shape in tensors():
        n = shape[0] * (shape[1] if len(shape) == 2 else 1)
        values = [draw.gauss(1 if "norm" in name else 0, 0.2) for _ in range(n)]
        raw = b"".join(struct.pack("<f", v)[2:] for v in values)  # the upper half of a float32: bfloat16
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


# ---- plan ----

PLAN_KEYS = {"model", "load", "available", "fits", "reason", "mesh", "device", "process_bytes", "largest_batch",
             "longest_len", "traffic", "speed"}
DEVICE_KEYS = {"rank", "weights_bytes", "embedding_bytes", "kv_bytes", "activations_bytes", "scratch_bytes",
               "logits_bytes", "total_bytes"}


def check_plan(model):
    code, out, _ = run("plan", "--model_path", model, "--mesh_shape", 2, 2, "--batch_size", 4, "--max_model_len", 512,
                       "--device_memory_gb", 1, "--read_gbs", 10, "--gflops", 100, "--verify_sharding", "--json")
    plan = json.loads(out)
    device = plan["device"]
    check(code == 0 and set(plan) == PLAN_KEYS | {"sharding"} and set(device) == DEVICE_KEYS, "keys of the plan")
    check(plan["mesh"] == {"data": 2, "model": 2} and plan["fits"] is True and plan["reason"] is None, "the mesh fits")
    parts = sum(v for k, v in device.items() if k not in ("rank", "total_bytes"))
    check(device["total_bytes"] == parts, "the parts add up")
    check(device["kv_bytes"] == LAYERS * 2 * (KV_HEADS // 2) * (HIDDEN // HEADS) * 2 * 512 * 4, "bytes of the KV cache")
    check(plan["traffic"]["bytes_per_token"] == LAYERS * 2 * HIDDEN * 4, "traffic of a token")
    check(plan["speed"]["decode_tok_s"] > 0 and plan["speed"]["prefill_tok_s"] > 0, "expected speed")
    names = [p["name"] for p in plan["sharding"]]
    check(len(names) == len(list(tensors())) and names[0] == "embed_tokens", "every parameter's sharding")
    check(plan["sharding"][0]["ranges"] == [[0, 16], [16, 32]], "ranges of the embedding")

    code, out, _ = run("plan", "--model_path", model, "--mesh_shape", 1, 2, "--embedding", "vocab", "--verify_sharding",
                       "--max_model_len", 512)
    text = out.decode()
    check(code == 0 and "embed_tokens: shape=(67, 32), sharding=PartitionSpec('model', None)" in text,
          "spec of an embedding split by rows")
    check("    split along 0: [0,48) [48,67)" in text and "Every element of 26 parameters is held" in text,
          "ranges of an embedding split by rows")

    # Largest and longest: one more is refused, and so is what does not fit, in JSON too.
    base = ["plan", "--preset", "13B", "--mesh_shape", 1, 4, "--device_memory_gb", 32, "--max_model_len", 4096]
    plan = json.loads(run(*base, "--json")[1])
    most = plan["largest_batch"]
    check(run(*base, "--batch_size", most)[0] == 0, "the largest batch fits")
    refused(1, "mesh 1x4 does not fit: a device needs 32.", *base, "--batch_size", most + 1)
    code, out, _ = run(*base, "--batch_size", most + 1, "--json")
    plan = json.loads(out)
    check(code == 1 and plan["fits"] is False and plan["reason"].startswith("mesh 1x4 does not fit"), "does not fit, JSON")

    auto = ["plan", "--preset", "20b", "--mesh_shape", "auto", "--max_model_len", 4096, "--batch_size", 1]
    plan = json.loads(run(*auto, "--devices", 4, "--device_memory_gb", 32, "--json")[1])
    check(plan["mesh"] == {"data": 2, "model": 2}, "auto takes the smallest degree that fits")
    refused(1, "no mesh of 4 devices fits; at best, split over 4: a device needs", *auto, "--devices", 4,
            "--device_memory_gb", 8)
    refused(2, "can be split over 1, 2, 4 or 8 devices, not over 3", "plan", "--preset", "7B", "--mesh_shape", 1, 3)
    refused(2, "--preset \"9B\" is unknown, expected all, 1B, 3B", "plan", "--preset", "9B")
    refused(2, "one of them", "plan")
    refused(2, "--devices is 3, --mesh_shape 1x2 has 2", "plan", "--preset", "7B", "--mesh_shape", 1, 2, "--devices", 3)
    refused(2, "belong together", "plan", "--preset", "1B", "--read_gbs", 3, "--max_model_len", 512)
    refused(2, "the context of 7B (meta-llama/Llama-2-7b-hf) is 4096", "plan", "--preset", "7B", "--max_model_len", 5000)
    code, out, _ = run("plan", "--preset", "all", "--devices", 4, "--device_memory_gb", 32, "--mesh_shape", "auto",
                       "--max_model_len", 4096, "--batch_size", 1, "--json")
    plans = json.loads(out)
    check(code == 0 and len(plans) >= 10 and any(not p["fits"] for p in plans) and any(p["fits"] for p in plans),
          "the table of presets")
    # Rates that are measured: of both dtypes, of products smaller and larger than the memory that is walked over.
    for words, devices in ([["--model_path", model], 1], [["--model_path", model, "--dtype", "float32"], 2],
                           [["--preset", "1B", "--max_model_len", 512], 1]):
        code, out, _ = run("plan", *words, "--mesh_shape", 1, devices, "--threads", 1, "--batch_size", 1, "--measure", "--json")
        speed = json.loads(out)["speed"]
        check(code == 0 and min(speed[key] for key in ("read_gbs", "gflops", "decode_tok_s", "prefill_tok_s")) > 0,
              "measured rates of %s: %s" % (words, speed))


# ---- shard ----

def trace(model, out, *more):
    tokens = os.path.join(os.path.dirname(out), "tokens.json")
    with open(tokens, "w") as f:
        json.dump([[1, 5, 9, 33, 60, 2, 2, 7], [66, 0, 3]], f)
    code, _, err = run("trace", "--model_path", model, "--tokens", tokens, "--sites",
                       "blocks.*.hook_resid_post,blocks.*.mlp.hook_post,logits", "--out", out, "--quiet", *more)
    check(code == 0, "trace of %s: %s" % (model, err))
    with open(out, "rb") as f:
        return f.read()


def check_shard(work, model):
    packed = os.path.join(work, "packed")
    code, out, _ = run("shard", "--model_path", model, "--output_dir", packed, "--quiet")
    check(code == 0 and b"serves bfloat16 and float32" in out, "shard")
    with open(os.path.join(model, "config.json"), "rb") as a, open(os.path.join(packed, "config.json"), "rb") as b:
        check(a.read() == b.read(), "config.json is copied")
    check(sorted(os.listdir(packed)) == ["config.json", "weights.trawl"], "nothing else in the folder")
    for more in [[], ["--dtype", "float32"], ["--mesh_shape", 1, 4, "--threads", 1], ["--mesh_shape", 2, 2, "--threads", 1],
                 ["--verify_weights"]]:
        want = trace(model, os.path.join(work, "a.safetensors"), *more)
        check(trace(packed, os.path.join(work, "b.safetensors"), *more) == want, "the same bits: %s" % more)
    check(run("shard", "--model_path", packed, "--verify")[0] == 0, "verify")
    refused(2, "--output_dir DIR is missing", "shard", "--model_path", model)
    refused(2, "leave --output_dir out", "shard", "--model_path", packed, "--verify", "--output_dir", packed)
    refused(1, "holds packed weights, the checkpoint is wanted", "shard", "--model_path", packed, "--output_dir",
            os.path.join(work, "again"))

    file = os.path.join(packed, "weights.trawl")
    with open(file, "rb") as f:
        good = f.read()
    tokens = os.path.join(work, "tokens.json")
    open_it = ["trace", "--model_path", packed, "--tokens", tokens, "--out", os.path.join(work, "c.safetensors"), "--quiet"]

    def put(data):
        with open(file, "wb") as f:
            f.write(data)
    put(good[:-5])
    refused(1, "truncated or damaged", *open_it)
    put(b"x" + good[1:])
    refused(1, "is no file of packed weights", *open_it)
    put(good[:12] + b"\x63" + good[13:])
    refused(1, "has layout version 99, this build reads 1", *open_it)
    put(good[:200] + bytes([good[200] ^ 1]) + good[201:])
    refused(1, "the checksum of header and table is wrong", *open_it)
    put(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
    check(run(*open_it)[0] == 0, "opening reads no weights")
    refused(1, "model.embed_tokens.rows", *open_it, "--verify_weights")
    refused(1, "model.embed_tokens.rows", "shard", "--model_path", packed, "--verify")
    put(good)
    check(run(*open_it, "--verify_weights")[0] == 0, "whole again")


def main():
    work = tempfile.mkdtemp(prefix="trawl-plan-")
    try:
        print("seed %d" % SEED)
        model = os.path.join(work, "model")
        write_model(model)
        check_plan(model)
        check_shard(work, model)
    finally:
        shutil.rmtree(work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
