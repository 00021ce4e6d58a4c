#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""acts upload into moto, a fake S3 that other people wrote: whole objects and multipart ones arrive with their bytes."""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

try:
    import boto3
    import moto.server  # noqa: F401: run below, as a process of its own
except ImportError:
    print("skipped: moto[server] and boto3 are not installed for", sys.executable)
    sys.exit(77)
TRAWL, SOURCE = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_SOURCE"])
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(url):
    for _ in range(300):
        try:
            return urllib.request.urlopen(url, timeout=5)
        except OSError:
            time.sleep(0.1)
    raise SystemExit("moto does not start")


def run(*words):
    env = {**os.environ, **KEYS, "AWS_ENDPOINT_URL_S3": base, "no_proxy": "*"}
    p = subprocess.run([TRAWL, *map(str, words), "--quiet"], env=env, capture_output=True, text=True, timeout=100)
    if p.returncode != 0:
        raise SystemExit(f"{words[:2]}: exit {p.returncode}: {p.stderr}")
    return p.stderr


port = free_port()
base = f"http://127.0.0.1:{port}"
server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    with tempfile.TemporaryDirectory() as folder:
        tmp = pathlib.Path(folder)
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", tmp / "model", "--layers", "2", "--vocab", "560",
                        "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
        run("arc", "run", "--model_path", tmp / "model", "--dataset_path", SOURCE / "examples/arc-demo/tasks.json",
            "--output_filepath", tmp / "s.json", "--activations_dir", tmp / "acts", "--max_output_tokens", 5,
            "--save_every_n_batches", 100)
        wait_for(base + "/moto-api/")
        s3 = boto3.client("s3", endpoint_url=base, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret")
        s3.create_bucket(Bucket="bucket")
        for again in range(2):
            talk = run("acts", "upload", tmp / "acts", "--cloud_bucket", "s3://bucket/a/b")
        assert "from before" in talk, talk
        files = [f for f in (tmp / "acts").rglob("*") if f.is_file() and f.name != "uploads.jsonl"]
        objects = {}
        for file in files:
            got = s3.get_object(Bucket="bucket", Key="a/b/" + str(file.relative_to(tmp / "acts")))
            assert got["Body"].read() == file.read_bytes(), file
            objects[file.name] = got["ETag"]
        assert any("-" in tag for tag in objects.values()), f"no multipart upload: {objects}"
finally:
    server.terminate()
    server.wait()
print("passed")
