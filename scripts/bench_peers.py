#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl beside other engines on the same machine, model and threads: ratios of medians, and their spread.

    ./x bench peers --model FOLDER [--gguf FILE [--llama_dir DIR]] [--openvino DIR_OR_GGUF] [--torch]
                    [--threads 2] [--rounds 3] [--prompt 512] [--decode_prompt 128] [--gen 64] [--batch 1,8,16,32]
                    [--dtype bfloat16] [--python PYTHON] [--json FILE]

Nothing is fetched or built here. llama.cpp: llama-bench and llama-batched-bench from --llama_dir or the PATH, with the
weights as --gguf (a BF16 file, to compare like with like). OpenVINO GenAI and torch with transformers: from the
interpreter that --python names.

Engines take turns, in alternating order, so that drift of the machine and the load of others hit all of them. A round's
ratio is that of two measurements beside each other in time; the spread is the least and largest of these.

    prefill    --prompt tokens at once                                 (llama-bench -p)
    decode B   --gen tokens of each of B sequences behind --decode_prompt tokens  (llama-batched-bench -npp -ntg -npl)
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time


def run(command):
    p = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"bench peers: {command[0]} failed ({p.returncode}): {p.stderr.strip()[-500:]}")
    return p.stdout


def figures(prefill, decode):
    return {"prefill": prefill, **{f"decode {b}": v for b, v in decode.items()}}


# ---- the engines: each a function that measures everything once ----


def trawl(a):
    command = [
        a.trawl,
        "bench",
        "--model_path",
        a.model,
        "--threads",
        a.threads,
        "--prompt",
        a.prompt,
        "--gen",
        a.gen,
        "--decode_prompt",
        a.decode_prompt,
        "--batch",
        ",".join(map(str, a.batch)),
        "--dtype",
        a.dtype,
        "--quiet",
        "--json",
    ]
    r = json.loads(run(command))
    return figures(r["prefill"]["tok_s"], {b: v["tok_s"] for b, v in r["decode"].items()})


def llama_program(a, name):
    path = a.llama_dir / name if a.llama_dir else shutil.which(name)
    if not path or not os.access(path, os.X_OK):
        sys.exit(f"bench peers: {name} is not {'in ' + str(a.llama_dir) if a.llama_dir else 'on the PATH'}")
    return path


def llama(a):
    rows = json.loads(
        run(
            [
                llama_program(a, "llama-bench"),
                "-m",
                a.gguf,
                "-t",
                a.threads,
                "-p",
                a.prompt,
                "-n",
                0,
                "-r",
                1,
                "-fa",
                "on",
                "-o",
                "json",
            ]
        )
    )
    context = max(a.batch) * (a.decode_prompt + a.gen)
    text = run(
        [
            llama_program(a, "llama-batched-bench"),
            "-m",
            a.gguf,
            "-t",
            a.threads,
            "-tb",
            a.threads,
            "-c",
            context,
            "-fa",
            "on",
            "-npp",
            a.decode_prompt,
            "-ntg",
            a.gen,
            "-npl",
            ",".join(map(str, a.batch)),
            "--output-format",
            "jsonl",
        ]
    )
    table = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return figures(rows[0]["avg_ts"], {str(r["pl"]): r["speed_tg"] for r in table})


def in_python(a, engine):
    command = [
        a.python,
        __file__,
        "--worker",
        engine,
        "--model",
        a.openvino if engine == "openvino" else a.model,
    ]
    for name in ("threads", "prompt", "decode_prompt", "gen", "dtype"):
        command += ["--" + name, getattr(a, name)]
    return json.loads(run([*command, "--batch", ",".join(map(str, a.batch))]).splitlines()[-1])


def worker(a, seconds):
    """seconds(batch, prompt, tokens): of a generation with fresh random prompts. A decode is the difference between one
    of gen + 1 tokens and one of a single token, so that the prompts fall out."""
    seconds(1, 16, 2)
    decode = {}
    for b in a.batch:
        first = seconds(b, a.decode_prompt, 1)
        decode[str(b)] = b * a.gen / (seconds(b, a.decode_prompt, a.gen + 1) - first)
    print(json.dumps(figures(a.prompt / seconds(1, a.prompt, 1), decode)))


def random_ids(batch, n):
    return [[random.randrange(100, 40000) for _ in range(n)] for _ in range(batch)]


def openvino_worker(a):
    import numpy
    import openvino
    import openvino_genai

    pipe = openvino_genai.LLMPipeline(str(a.model), "CPU", INFERENCE_NUM_THREADS=a.threads)

    def seconds(batch, prompt, tokens):
        ids = numpy.array(random_ids(batch, prompt), dtype=numpy.int64)
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
        config = openvino_genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True, do_sample=False)
        start = time.perf_counter()
        pipe.generate(inputs, config)
        return time.perf_counter() - start

    worker(a, seconds)


def torch_worker(a):
    import torch
    import transformers

    torch.set_num_threads(a.threads)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        a.model, torch_dtype=getattr(torch, a.dtype)
    ).eval()

    def seconds(batch, prompt, tokens):
        ids = torch.tensor(random_ids(batch, prompt)) % model.config.vocab_size
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                pad_token_id=0,
            )
        return time.perf_counter() - start

    worker(a, seconds)


# ---- rounds and ratios ----


def measure(a, engines):
    samples = {name: [] for name in engines}
    for i in range(a.rounds):
        for name in list(engines)[:: 1 if i % 2 == 0 else -1]:
            print(f"bench peers: round {i + 1} of {a.rounds}, {name}", file=sys.stderr)
            samples[name].append(engines[name](a))
    return samples


def compare(samples):
    table = []
    for peer in samples:
        for what in samples["trawl"][0] if peer != "trawl" else ():
            ours, theirs = ([s[what] for s in samples[name]] for name in ("trawl", peer))
            ratios = [x / y for x, y in zip(ours, theirs)]
            table.append(
                {
                    "peer": peer,
                    "what": what,
                    "trawl": statistics.median(ours),
                    "theirs": statistics.median(theirs),
                    "ratio": statistics.median(ours) / statistics.median(theirs),
                    "least": min(ratios),
                    "most": max(ratios),
                }
            )
    return table


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, required=True, help="model folder in Hugging Face layout")
    p.add_argument("--trawl", default=os.environ.get("TRAWL", "trawl"), help="the command (default: $TRAWL)")
    p.add_argument("--gguf", type=pathlib.Path, help="the same weights for llama.cpp")
    p.add_argument("--llama_dir", type=pathlib.Path, help="folder of llama-bench and llama-batched-bench")
    p.add_argument(
        "--openvino",
        type=pathlib.Path,
        help="the same model for OpenVINO GenAI: a folder, or an F16 GGUF file",
    )
    p.add_argument("--torch", action="store_true", help="also transformers' generate")
    p.add_argument(
        "--python", default=sys.executable, help="interpreter with openvino_genai, or torch and transformers"
    )
    for name, default in (
        ("threads", os.cpu_count()),
        ("rounds", 3),
        ("prompt", 512),
        ("decode_prompt", 128),
        ("gen", 64),
    ):
        p.add_argument("--" + name, type=int, default=default)
    p.add_argument("--batch", type=lambda text: [int(b) for b in text.split(",")], default=[1, 8, 16, 32])
    p.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    p.add_argument("--json", type=pathlib.Path, help="also write all samples to this file")
    p.add_argument("--worker", choices=("openvino", "torch"), help=argparse.SUPPRESS)
    return p.parse_args()


def main():
    a = options()
    if a.worker:
        return openvino_worker(a) if a.worker == "openvino" else torch_worker(a)
    engines = {"trawl": trawl}
    if a.gguf:
        llama_program(a, "llama-bench"), llama_program(a, "llama-batched-bench")
        engines["llama.cpp"] = llama
    if a.openvino:
        engines["openvino"] = lambda a: in_python(a, "openvino")
    if a.torch:
        engines["torch"] = lambda a: in_python(a, "torch")
    if len(engines) == 1:
        sys.exit("bench peers: no peer given (--gguf, --openvino, --torch)")
    samples = measure(a, engines)
    table = compare(samples)
    print(f"{'':10} {'':12} {'trawl':>9} {'theirs':>9} {'ratio':>7}  spread")
    for row in table:
        print(
            f"{row['peer']:10} {row['what']:12} {row['trawl']:9.1f} {row['theirs']:9.1f} {row['ratio']:7.2f}  "
            f"{row['least']:.2f} to {row['most']:.2f}"
        )
    if a.json:
        a.json.write_text(json.dumps({"ratios": table, "samples": samples}, indent=2) + "\n")


main()
