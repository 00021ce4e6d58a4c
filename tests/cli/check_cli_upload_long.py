#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""arc run and harvest --upload_to_cloud, and acts upload, against a fake Google Cloud Storage and a fake S3 (tests/cloud/fake_cloud.py):
what is in the bucket is what is on disk, after kills, refusals and restarts too, and nothing is sent twice."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from checks import MPI_ENV, check, failures

TRAWL, BUILD = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])


class Cloud:
    def __init__(self, folder):
        self.process = subprocess.Popen([sys.executable, SOURCE / "tests/cloud/fake_cloud.py", folder], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.base = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return opener.open(urllib.request.Request(self.base + path, data), timeout=60).read()

    def rules(self, *rules):
        self.ask("/_control", {"rules": rules, "forget": ["log"]})

    def state(self):
        return json.loads(self.ask("/_state"))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=20)


def command(out, *flags, upload=True):
    bucket = ("--upload_to_cloud", "--cloud_bucket", f"gs://bucket/{out.name}") if upload else ()
    return [str(w) for w in (TRAWL, "arc", "run", "--model_path", tmp / "model", "--dataset_path", tmp / "tasks.json",
            "--output_filepath", out / "s.json", "--activations_dir", out / "acts", "--batch_size", 2, "--threads", 1,
            "--predictions_per_task", 2, "--max_output_tokens", 20, "--layers_to_extract", 0, 1, "--save_every_n_batches", 1,
            "--quiet", *bucket, *flags)]


def run(words, code=0, ranks=1, env=()):
    mpi = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    p = subprocess.run(mpi + [str(w) for w in words], capture_output=True, text=True, timeout=100, env={**ENV, **dict(env)})
    check(p.returncode == code, f"{words[1:3]}: exit {p.returncode}, expected {code}: {p.stderr}")
    check("PRIVATE" not in p.stderr and "token-" not in p.stderr, f"a secret on stderr: {p.stderr}")
    return p


def on_disk(acts):
    """What has to be in the bucket: the files of the store, without our own notes and the statistics before the last."""
    left_out = ("uploads.jsonl", "statistics.previous.safetensors", "journal.jsonl")
    return {str(f.relative_to(acts)): hashlib.sha256(f.read_bytes()).hexdigest() for f in acts.rglob("*")
            if f.is_file() and f.name not in left_out}


def check_bucket(out, prefix=None, **more):
    prefix = prefix or f"gs/bucket/{out.name}/"
    objects = cloud.state()["objects"]
    got = {name[len(prefix):]: o["sha256"] for name, o in objects.items() if name.startswith(prefix)}
    wanted = {**on_disk(out / "acts"), **more}
    check(got == wanted and len(wanted) > 4, f"{out.name}: {sorted(got.items() ^ wanted.items())}")
    return {name: n for name, n in cloud.state()["puts"].items() if name.startswith(prefix)}


def ledger(out):
    try:
        lines = (out / "acts/uploads.jsonl").read_text().split("\n")[:-1]  # a last one without its end was cut by a kill
        return [json.loads(line) for line in lines]
    except OSError:
        return []


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_run():
    out = tmp / "plain"
    run(command(out, upload=False))
    cloud.rules({"on": "PUT /upload", "times": 2, "do": 503}, {"on": "POST /upload", "times": 1, "do": "drop"})
    up = tmp / "up"
    p = run(command(up, "--upload_results"))
    check("are in gs://bucket/up" in p.stderr, f"what was uploaded: {p.stderr}")
    puts = check_bucket(up, **{"results/s.json": sha(up / "s.json"), "results/s_task_results.json": sha(up / "s_task_results.json")})
    check(set(puts.values()) == {1}, f"sent twice: {puts}")
    check(on_disk(out / "acts") == on_disk(up / "acts"), "uploading changes what is stored")
    check({line["object"] for line in ledger(up)} == {"gs://" + name[3:] for name in puts}, "the ledger")
    return up


def test_acts_upload(up):
    acts = up / "acts"
    cloud.rules()
    before = cloud.state()["puts"]
    p = run([TRAWL, "acts", "upload", acts, "--cloud_bucket", "gs://bucket/up", "--dry_run"])
    check(p.stdout == "" and "0 files, 0.0 MB to upload" in p.stderr, f"nothing is left: {p.stdout}{p.stderr}")
    run([TRAWL, "acts", "upload", acts, "--cloud_bucket", "gs://bucket/up"])
    check(cloud.state()["puts"] == before, "sent again")
    # Without its ledger: the checksums in the bucket are as good.
    (acts / "uploads.jsonl").unlink()
    run([TRAWL, "acts", "upload", acts, "--cloud_bucket", "gs://bucket/up"])
    check(cloud.state()["puts"] == before, "sent again without the ledger")
    # Elsewhere, by the other protocol.
    p = run([TRAWL, "acts", "upload", acts, "--cloud_bucket", "s3://bucket/copy", "--dry_run"])
    check(len(p.stdout.splitlines()) == len(list(acts.glob("layer_*.pkl"))), f"dry run: {p.stdout}")
    run([TRAWL, "acts", "upload", acts, "--cloud_bucket", "s3://bucket/copy"])
    check_bucket(up, prefix="s3/bucket/copy/")
    # What is damaged here does not go there.
    shutil.copytree(acts, tmp / "damaged")
    (tmp / "damaged/uploads.jsonl").unlink()
    victim = sorted((tmp / "damaged").glob("layer_*.pkl"))[0]
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    p = run([TRAWL, "acts", "upload", tmp / "damaged", "--cloud_bucket", "gs://bucket/damaged"], code=3)
    check(f"{victim.name}: " in p.stderr and "is not what was committed" in p.stderr, f"damage: {p.stderr}")
    there = {name for name in cloud.state()["objects"] if name.startswith("gs/bucket/damaged/")}
    check(f"gs/bucket/damaged/{victim.name}" not in there and "gs/bucket/damaged/manifest.jsonl" not in there,
          f"uploaded all the same: {there}")


def test_refused(up):
    cloud.rules()
    other = tmp / "other"
    for flags, words in ((("--upload_to_cloud",), "needs a --cloud_bucket"), (("--cloud_bucket", "gs://bucket/x"), "without --upload_to_cloud"),
                         (("--upload_to_cloud", "--cloud_bucket", "bucket/x"), "expected gs://bucket/path"),
                         (("--upload_to_cloud", "--cloud_bucket", "gs://bucket/a/../b"), "a part of the path"),
                         (("--upload_to_cloud", "--cloud_bucket", "gs://bucket/x", "--no_extract_activations"), "nothing to upload"),
                         (("--upload_results",), "goes with --upload_to_cloud")):
        p = run(command(other, *flags, upload=False), code=2)
        check(words in p.stderr, f"{flags}: {p.stderr}")
    p = run(command(other, "--upload_to_cloud", "--cloud_bucket", "gs://missing/x", upload=False), code=1)
    check("The specified bucket does not exist" in p.stderr and not other.exists(), f"no such bucket: {p.stderr}")
    p = run(command(other), code=1, env={"GOOGLE_APPLICATION_CREDENTIALS": str(tmp / "nowhere.json")})
    check("nowhere.json" in p.stderr and not other.exists(), f"no credentials: {p.stderr}")
    p = run([TRAWL, "acts", "upload", tmp, "--cloud_bucket", "gs://bucket/x"], code=2)
    check("is no store of activations" in p.stderr, f"no store: {p.stderr}")
    # Another run into the same place: nothing of the first one is replaced.
    before = {k: v for k, v in cloud.state()["objects"].items() if k.startswith("gs/bucket/up/")}
    p = run(command(other, "--random_seed", 5, "--upload_to_cloud", "--cloud_bucket", "gs://bucket/up", upload=False), code=3)
    check("not of this run" in p.stderr and f"trawl acts upload {other}/acts" in p.stderr, f"in use: {p.stderr}")
    check({k: v for k, v in cloud.state()["objects"].items() if k.startswith("gs/bucket/up/")} == before, "another run's files changed")


def test_fails_and_goes_on():
    out = tmp / "fails"
    cloud.rules({"on": "POST /upload", "times": 1000, "do": 403})
    p = run(command(out), code=3)
    check("403 Forbidden" in p.stderr and f"`trawl acts upload {out}/acts --cloud_bucket gs://bucket/fails` goes on" in p.stderr,
          f"what to do: {p.stderr}")
    check((out / "s.json").exists(), "the run itself is complete")
    cloud.rules()
    run([TRAWL, "acts", "upload", out / "acts", "--cloud_bucket", "gs://bucket/fails"])
    check(set(check_bucket(out).values()) == {1}, "sent twice")


def test_killed():
    for files in (1, 3):  # in the ledger when the kill comes
        out = tmp / f"killed{files}"
        cloud.rules({"on": "PUT /upload", "times": 3, "do": "late"})
        p = subprocess.Popen(command(out), env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while p.poll() is None and len(ledger(out)) < files:
            time.sleep(0.002)
        p.kill()
        p.wait()
        noted = {line["object"] for line in ledger(out)}
        cloud.rules()
        run(command(out, "--resume"))
        puts = check_bucket(out)
        check(all(puts["gs/" + name[5:]] == 1 for name in noted), f"sent again after it was noted: {noted}, {puts}")
    check(on_disk(out / "acts") == on_disk(tmp / "up/acts"), "the resumed store")


def test_interrupted():
    out = tmp / "stopped"
    cloud.rules({"on": "PUT /upload", "times": 1000, "do": "drop"})
    p = subprocess.Popen(command(out), env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and not (out / "s.stats.json").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    err = p.communicate(timeout=60)[1]
    check(p.returncode == 130 and "goes on with the rest" in err, f"stopped while it uploads: exit {p.returncode}, {err}")
    cloud.rules()
    run([TRAWL, "acts", "upload", out / "acts", "--cloud_bucket", "gs://bucket/stopped"])
    check_bucket(out)


def test_mpi():
    if shutil.which("mpirun") is None or not (BUILD / "libtrawl-mpi.so").exists():
        return
    cloud.rules()
    out = tmp / "mpi"
    run(command(out, "--mesh_shape", 2, 1), ranks=2)
    check_bucket(out)
    check(on_disk(out / "acts") == on_disk(tmp / "up/acts"), "the store of two processes")


def test_harvest():
    cloud.rules()
    out = tmp / "harvest"
    texts = [tmp / f"text{i}.txt" for i in range(3)]
    for i, text in enumerate(texts):
        text.write_text(f"document {i}: " + "the sea is wide " * 9)
    words = [TRAWL, "harvest", "--model_path", tmp / "model", "--input", *texts, "--activations_dir", out / "acts", "--layers_to_extract", 0,
             1, "--context_size", 16, "--batch_size", 1, "--save_every_n_batches", 1, "--threads", 1, "--quiet"]
    cloud.rules({"on": "POST /upload", "times": 1000, "do": 403})
    p = run([*words, "--upload_to_cloud", "--cloud_bucket", "gs://bucket/harvest"], code=3)
    check(f"`trawl acts upload {out}/acts --cloud_bucket gs://bucket/harvest` goes on" in p.stderr, f"what to do: {p.stderr}")
    cloud.rules()
    run([*words, "--upload_to_cloud", "--cloud_bucket", "gs://bucket/harvest", "--resume"])
    puts = check_bucket(out)
    check(set(puts.values()) == {1} and "gs/bucket/harvest/documents.jsonl" in puts, f"the corpus' bucket: {puts}")


with tempfile.TemporaryDirectory() as folder:
    tmp = pathlib.Path(folder)
    cloud = Cloud(folder)
    ENV = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GOOGLE_", "CLOUDSDK_", "STORAGE_", "GCE_"))}
    ENV |= {"GOOGLE_APPLICATION_CREDENTIALS": folder + "/service_account.json", "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": cloud.base,
            "AWS_ENDPOINT_URL_S3": cloud.base, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/key+1",
            "HOME": folder, "no_proxy": "*", **MPI_ENV}
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", tmp / "model", "--layers", "2", "--vocab", "560",
                    "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
    demo = json.loads((SOURCE / "examples/arc-demo/tasks.json").read_text())
    (tmp / "tasks.json").write_text(json.dumps(dict(list(demo.items())[:3])))
    try:
        uploaded = test_run()
        test_acts_upload(uploaded)
        test_refused(uploaded)
        test_fails_and_goes_on()
        test_killed()
        test_interrupted()
        test_mpi()
        test_harvest()
    finally:
        cloud.stop()
print("failed" if failures() else "passed")
sys.exit(failures() > 0)
