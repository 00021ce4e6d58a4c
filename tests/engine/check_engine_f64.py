#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare `trawl trace` with the same models computed in float64 by numpy: this file reads config.json and the weights
itself and knows nothing of trawl. Every site of every family; an error is measured against the element's own size plus
the root mean square of its site. float32 may err as much as numpy's own float32 does, and half as much again; bfloat16
is only looked at for being about right, its exact values are those of tests/engine/reference_forward.c."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("numpy is not there")
    sys.exit(77)

TRAWL = os.environ["TRAWL"]
MAKE_MODEL = pathlib.Path(os.environ["TRAWL_SOURCE"]) / "tests/golden/make_model.py"
MODELS = {
    "qwen2": "--hidden 64 --heads 4 --kv_heads 2 --layers 3 --vocab 131",
    "qwen2-wide-heads": "--hidden 40 --heads 5 --kv_heads 1 --head_dim 24 --intermediate 33 --layers 1 --untied --vocab 50",
    "llama": "--family llama --rope_llama3 --hidden 48 --heads 3 --kv_heads 3 --dtype float32 --layers 2 --untied",
    "mistral": "--family mistral --rope_yarn --hidden 64 --heads 2 --kv_heads 1 --layers 2 --vocab 99",
    "qwen3": "--family qwen3 --hidden 64 --heads 4 --kv_heads 2 --head_dim 32 --dtype float16 --layers 2",
}
LENGTHS = (1, 17, 150)  # the last one fills several blocks of keys
BFLOAT16_BOUND = 0.15


def read_tensors(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name == "__metadata__":
            continue
        begin, end = t["data_offsets"]
        raw = data[8 + n + begin:8 + n + end]
        if t["dtype"] == "BF16":
            a = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            a = np.frombuffer(raw, {"F32": "<f4", "F16": "<f2", "I32": "<i4"}[t["dtype"]])
        tensors[name] = a.reshape(t["shape"])
    return tensors


def norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def frequencies(config, width):
    f = config["rope_theta"] ** (-np.arange(0, width, 2) / width)
    r = config.get("rope_scaling")
    if r is None:
        return f
    if r.get("type") == "yarn":
        low, high = (width * np.log(r["original_max_position_embeddings"] / (turns * 2 * np.pi)) / (2 * np.log(config["rope_theta"]))
                     for turns in (32, 1))
        low, high = max(np.floor(low), 0), min(np.ceil(high), width - 1)
        slowly = np.clip((np.arange(width // 2) - low) / (high - low), 0, 1)
        return (1 - slowly) * f + slowly * f / r["factor"]
    turns = r["original_max_position_embeddings"] * f / (2 * np.pi)
    low, high = r["low_freq_factor"], r["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 - smooth) * f / r["factor"] + smooth * f


def magnitude(config):
    """Sines and cosines are multiplied by it."""
    r = config.get("rope_scaling") or {}
    return 0.1 * np.log(r["factor"]) + 1 if r.get("type") == "yarn" else 1


def rotate(x, f):
    """x [S, heads, width]: the halves are the two coordinates."""
    angle = np.arange(len(x), dtype=f.dtype)[:, None, None] * f
    a, b = np.split(x, 2, -1)
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], -1)


def attention(q, k, v, looks=None):
    """[S, heads, width] each, k and v repeated for the query heads that share them. `looks`: a list that gets the entropies
    of the probabilities, [heads, S]."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[2], dtype=q.dtype)
    scores = np.where(np.tril(np.ones(scores.shape[1:], bool)), scores, -np.inf)
    p = np.exp(scores - scores.max(-1, keepdims=True))
    p = p / p.sum(-1, keepdims=True)
    if looks is not None:
        looks.append(-(p * np.log(np.where(p > 0, p, 1))).sum(-1))
    return np.einsum("hqk,khd->qhd", p, v).reshape(len(q), -1)


def forward(config, weights, tokens, dtype, looks=None):
    """{site: rows} computed in `dtype`, by TransformerLens names, and "logits". `looks`: as in attention, a layer each."""
    w = {name: a.astype(dtype) for name, a in weights.items()}
    eps, n = config["rms_norm_eps"], len(tokens)
    width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    f = frequencies(config, width).astype(dtype)
    x = w["model.embed_tokens.weight"][tokens]
    out = {"hook_embed": x}
    for i in range(config["num_hidden_layers"]):
        at, site = f"model.layers.{i}.", f"blocks.{i}."
        out[site + "hook_resid_pre"] = x
        h = norm(x, w[at + "input_layernorm.weight"], eps)
        heads = {}
        for name in "qkv":
            y = h @ w[f"{at}self_attn.{name}_proj.weight"].T + w.get(f"{at}self_attn.{name}_proj.bias", 0)
            out[f"{site}attn.hook_{name}"] = y
            y = y.reshape(n, -1, width)
            if f"{at}self_attn.{name}_norm.weight" in w:
                y = norm(y, w[f"{at}self_attn.{name}_norm.weight"], eps)
            heads[name] = y if name == "v" else rotate(y, f) * dtype(magnitude(config))
        z = out[site + "attn.hook_z"] = attention(heads["q"], heads["k"], heads["v"], looks)
        attn = out[site + "hook_attn_out"] = z @ w[at + "self_attn.o_proj.weight"].T
        x = out[site + "hook_resid_mid"] = x + attn
        h = norm(x, w[at + "post_attention_layernorm.weight"], eps)
        gate = out[site + "mlp.hook_pre"] = h @ w[at + "mlp.gate_proj.weight"].T
        up = out[site + "mlp.hook_pre_linear"] = h @ w[at + "mlp.up_proj.weight"].T
        post = out[site + "mlp.hook_post"] = gate / (1 + np.exp(-gate)) * up
        mlp = out[site + "hook_mlp_out"] = post @ w[at + "mlp.down_proj.weight"].T
        x = out[site + "hook_resid_post"] = x + mlp
    x = out["ln_final.hook_normalized"] = norm(x, w["model.norm.weight"], eps)
    out["logits"] = x @ w["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"].T
    return out


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


SITES = ("hook_embed,blocks.*.hook_resid_pre,blocks.*.hook_resid_mid,blocks.*.hook_resid_post,blocks.*.hook_attn_out,"
         "blocks.*.hook_mlp_out,blocks.*.attn.hook_q,blocks.*.attn.hook_k,blocks.*.attn.hook_v,blocks.*.attn.hook_z,"
         "blocks.*.mlp.hook_pre,blocks.*.mlp.hook_pre_linear,blocks.*.mlp.hook_post,ln_final.hook_normalized,logits")


def compare(got, reference):
    """The largest error and its site."""
    worst, where = 0, ""
    for site, rows in reference.items():
        g = got[site]
        assert g.shape == rows.shape, (site, g.shape, rows.shape)
        error = (np.abs(g - rows) / (np.abs(rows) + np.sqrt((rows * rows).mean()))).max()
        if not error <= worst:
            worst, where = error, site
    return worst, where


def trace(model, folder, sequences, *flags):
    """What the command says: a list of {site: rows}, a sequence each."""
    (folder / "in.json").write_text(json.dumps(sequences))
    subprocess.run([TRAWL, "trace", "--quiet", "--model_path", model, "--tokens", folder / "in.json", "--sites", SITES,
                    "--out", folder / "out.safetensors", "--threads", "1", *flags], check=True)
    got = [{} for _ in sequences]
    for name, rows in read_tensors(folder / "out.safetensors").items():
        _, i, site = name.split(".", 2)
        got[int(i)][site] = rows
    return got


def check(name, model, folder):
    """Number of failures of one model."""
    failed = 0
    config = json.loads((model / "config.json").read_text())
    weights = read_tensors(model / "model.safetensors")
    rng = np.random.default_rng(7)
    sequences = [rng.integers(0, config["vocab_size"], n).tolist() for n in LENGTHS]
    want = [forward(config, weights, tokens, np.float64) for tokens in sequences]
    own = [forward(config, weights, tokens, np.float32) for tokens in sequences]
    float32_bound = 1.5 * max(compare(a, b)[0] for a, b in zip(own, want))
    for dtype, mesh, bound in (("float32", "1 1", float32_bound), ("float32", "2 2", float32_bound),
                               ("bfloat16", "1 1", BFLOAT16_BOUND)):
        worst, where = 0, ""
        got = trace(model, folder, sequences, "--dtype", dtype, "--mesh_shape", *mesh.split())
        for i, tokens in enumerate(sequences):
            assert set(got[i]) == {*want[i], "tokens", "logprobs"}, set(got[i]) ^ set(want[i])
            assert got[i]["tokens"].tolist() == tokens
            error, site = compare(got[i], want[i])
            if not error <= worst:
                worst, where = error, f"seq.{i}.{site}"
            p = log_softmax(got[i]["logits"].astype(np.float64))[np.arange(len(tokens) - 1), tokens[1:]]
            assert np.abs(got[i]["logprobs"] - p).max(initial=0) < 2e-6, "logprobs are not those of the logits"
        print(f"{name}, {dtype}, mesh {mesh}: worst error {worst:.1e} ({where}), at most {bound:.1e} expected")
        failed += not worst <= bound
    return failed


def check_entropies(name, model, folder):
    """Entropies of attention beside the tokens of an answer: mean over layers and heads, variance over heads."""
    config = json.loads((model / "config.json").read_text())
    weights = read_tensors(model / "model.safetensors")
    rng = np.random.default_rng(8)
    rows = [{"tokens": rng.integers(0, config["vocab_size"], n).tolist(), "max_tokens": 5, "attn_entropy": True,
             "ignore_eos": True} for n in LENGTHS]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    worst = 0
    for mesh in ("1 1", "2 2"):
        out = folder / f"{name}.{mesh[0]}.jsonl"
        subprocess.run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", folder / "in.jsonl",
                        "--output_filepath", out, "--threads", "1", "--dtype", "float32", "--mesh_shape", *mesh.split()],
                       check=True)
        for row, line in zip(rows, out.read_text().splitlines()):
            got, looks = json.loads(line), []
            forward(config, weights, row["tokens"] + got["tokens"][:-1], np.float64, looks)
            h = np.array(looks)[:, :, -len(got["tokens"]):]  # [layers, heads, tokens]
            for key, want in (("attn_entropy", h.mean((0, 1))), ("attn_varentropy", h.var(1).mean(0))):
                worst = max(worst, np.abs(np.array(got[key]) - want).max())
    print(f"{name}: entropies of attention within {worst:.1e}, at most 5e-6 expected")
    return not worst <= 5e-6


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        for name, arguments in MODELS.items():
            subprocess.run([sys.executable, MAKE_MODEL, tmp / name, *arguments.split()], check=True)
            failed += check(name, tmp / name, tmp) + check_entropies(name, tmp / name, tmp)
    print("FAILED" if failed else "all within their bounds")
    return 1 if failed else 0


sys.exit(main())
