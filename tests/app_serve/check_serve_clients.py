#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How trawl serve treats its clients: wrong ones, rude ones, slow ones, those that go away, too many of them, and all of
them when it stops."""
import http.client
import json
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading

from checks import failures
import serve_client
from serve_client import WAIT, Server, check, is_sanitized, make_model, resident

TOKENS = [5, 6, 7, 300, 20, 21]
LONG = {"prompt": TOKENS, "max_tokens": 4000, "ignore_eos": True, "seed": 1, "temperature": 1}
CHAT = "/v1/chat/completions"
COMPLETE = "/v1/completions"
HI = [{"role": "user", "content": "hi"}]


def refused(s, path, body, status, words, **more):
    got, headers, reply = s.ask(path, body, **more)
    said = reply.get("error", {}).get("message", "") if isinstance(reply, dict) else reply
    check(got == status and words in said, f"{path} {str(body)[:200]}: {got} {str(reply)[:300]}, expected {status} {words}")
    if isinstance(reply, dict):
        check(set(reply["error"]) == {"message", "type", "param", "code"}, f"form of an error {reply}")
    return headers


def check_wrong_bodies(s):
    p = {"prompt": TOKENS}
    for body, words in [
            ("", "not JSON"), ("{", "not JSON"), ("[1]", "the body is an array"), (b"\xff\xfe", "body"), ('{"prompt": "a", "prompt": "b"}', "dup"),
            ({}, '"prompt" is nothing'), ({"prompt": []}, '"prompt" is empty'), ({"prompt": 3}, '"prompt" is an integer'),
            ({"prompt": [[1], {}]}, '"prompt"[1] is an object'), ({"prompt": [1, "a"]}, '"prompt"[1] is a string'),
            ({"prompt": "", "add_special_tokens": False}, "the prompt is empty"), ({"prompt": [10**6]}, "1000000"), ({"prompt": [-1]}, "expected a token id"),
            (p | {"n": 0}, '"n" is 0'), (p | {"n": 5000}, '"n" is 5000'), (p | {"n": 600}, "wants 600 answers"),
            (p | {"max_tokens": -1}, '"max_tokens" is -1'), (p | {"max_tokens": "x"}, '"max_tokens" is a string'),
            (p | {"temperature": -1}, "temperature"), (p | {"temperature": "hot"}, '"temperature" is a string'),
            (p | {"top_p": 0}, "top_p"), (p | {"top_k": -2}, "top_k"), (p | {"min_p": 2}, "min_p"), (p | {"presence_penalty": 3}, "presence"),
            (p | {"stop": 3}, '"stop" is an integer'), (p | {"stop": [""]}, "empty"), (p | {"stop": ["a\0b"]}, "U+0000"),
            (p | {"logit_bias": {"x": 1}}, "is no token id"), (p | {"logit_bias": {"1": "x"}}, "expected a number"),
            (p | {"suffix": "x"}, '"suffix" is not supported'), (p | {"tools": [{}]}, '"tools" is not supported'),
            (p | {"best_of": 3, "stream": True}, "cannot be streamed"), (p | {"best_of": 2, "temperature": 0}, "best_of"),
            (p | {"stream_options": {}}, "goes with"), (p | {"stream": "yes"}, '"stream" is a string'),
            (p | {"guided_regex": "("}, "is not closed"), (p | {"guided_regex": "a", "guided_choice": ["b"]}, "more than one"),
            (p | {"guided_regex": "a", "response_format": {"type": "json_object"}}, "more than one"),
            (p | {"response_format": {"type": "xml"}}, "xml"), (p | {"response_format": {"type": "json_schema"}}, 'no "schema"'),
            (p | {"structured_outputs": {"grammar": "x"}}, "structured_outputs"), (p | {"logprobs": -1}, '"logprobs" is -1'),
            (p | {"timeout": -1}, "timeout"), (p | {"min_tokens": 9, "max_tokens": 3}, "min_tokens"),
            ({"prompt": [1] * 5000}, "the prompt has 5000 tokens, but the context of the model is 4096")]:
        refused(s, COMPLETE, body, 400, words)
        if isinstance(body, dict) and "stream" not in body and "stream_options" not in body:
            refused(s, COMPLETE, {**body, "stream": True}, 400, words)
    for body, words in [
            ({}, '"messages" is nothing'), ({"messages": []}, '"messages" is empty'), ({"messages": [3]}, '"role" is nothing'),
            ({"messages": [{"role": "user", "content": 3}]}, '"content" is an integer'),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
            ({"messages": HI, "top_logprobs": 3}, '"logprobs" is not true'), ({"messages": HI, "echo": True}, '"echo"'),
            ({"messages": HI, "max_tokens": 0}, '"max_tokens" is 0'), ({"messages": HI, "modalities": ["audio"]}, "modalities"),
            ({"messages": HI, "chat_template_kwargs": 3}, "chat_template_kwargs")]:
        refused(s, CHAT, body, 400, words)
    refused(s, CHAT, {"messages": HI, "model": "gpt-7"}, 404, "gpt-7")
    refused(s, "/tokenize", {}, 400, "none of")
    refused(s, "/detokenize", {"tokens": "x"}, 400, '"tokens" is a string')
    check(s.ask(COMPLETE, p | {"max_tokens": 1, "nobody_knows": 1, "metadata": {"a": "b"}, "store": False})[0] == 200, "unknown members")


def check_paths(s):
    refused(s, "/v1/nothing", None, 404, "there is nothing here")
    refused(s, CHAT, None, 405, "this takes POST")
    refused(s, "/health", {}, 405, "this takes GET")
    refused(s, "/v1/models", None, 405, "this takes GET", method="DELETE")
    models = s.ask("/v1/models")[2]
    check([m["id"] for m in models["data"]] == [s.name] and s.ask(f"/v1/models/{s.name}")[2] == models["data"][0], f"{models}")
    refused(s, "/v1/models/none", None, 404, "no such model")
    check(s.ask("/health")[2] == {"status": "ok"} and "<html" in s.ask("/")[2], "health and page")
    text = s.ask("/metrics")[2]
    for line in text.splitlines():
        check(line.startswith(("# HELP trawl_", "# TYPE trawl_")) or len(line.split()) == 2 and float(line.split()[1]) >= 0, f"metric {line}")


def check_origins(s):
    """Pages of others may not ask, not even by a name of theirs that leads here."""
    for host, origin, status in [("x.example", "http://x.example", 403), ("x.example:80", "https://x.example:80", 403),
                                 ("127.0.0.1", "http://x.example", 403), ("127.0.0.1", "null", 403),
                                 ("localhost:1", "http://localhost:1", 200), ("127.0.0.1:1", "http://127.0.0.1:1", 200),
                                 ("[::1]:1", "http://[::1]:1", 200), ("x.example", None, 200)]:
        headers = {"Host": host, **({"Origin": origin} if origin else {})}
        got, _, reply = s.ask(COMPLETE, {"prompt": TOKENS, "max_tokens": 1}, headers=headers)
        check(got == status, f"{headers}: {got} {reply}")


def check_malformed(s):
    """Each is answered or dropped, and the server goes on."""
    body = json.dumps({"prompt": TOKENS, "max_tokens": 2}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    for data, starts in [
            (b"\r\n\r\n", b""), (b"hello\r\n\r\n", b"HTTP/1.1 400"), (b"GET\r\n\r\n", b"HTTP/1.1 400"), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b""),
            (b"GET / HTTP/9.9\r\n\r\n", b"HTTP/1.1 400"), (head + b"Content-Length: x\r\n\r\n", b"HTTP/1.1 400"),
            (head + b"Content-Length: -5\r\n\r\n", b"HTTP/1.1 400"), (head + b"Content-Length: 99999999999999999999\r\n\r\n", b""),
            (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100000 + b"\r\n\r\n", b""), (b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b""),
            (head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", b""),
            (head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n", b"HTTP/1.1 200"),
            (head + b"Content-Length: %d\r\n\r\n" % len(body) + body, b"HTTP/1.1 200"),
            (b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(body) + body, b"HTTP/1.0 200"),
            (b"OPTIONS /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"HTTP/1.1 204")]:
        got = s.raw(data, half=b" 200" not in starts)
        check(got.startswith(starts), f"{data[:80]}: {got[:200]}")
    got = s.raw(head + b"Content-Length: 100\r\n\r\n" + body, half=True)
    check(got == b"" or got.startswith(b"HTTP/1.1 400"), f"a body that is cut short: {got[:100]}")
    check(s.ask("/health")[0] == 200, "the server goes on")


def check_pipelined(s):
    """The second request waits in the connection until the first is answered."""
    one = json.dumps({"prompt": TOKENS, "max_tokens": 300, "ignore_eos": True, "temperature": 0}).encode()
    request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(one)
    got = s.raw(request + b"\r\n" + one + request + b"\r\n" + one + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    check(got.count(b"HTTP/1.1 200") == 3 and got.count(b'"finish_reason": "length"') == 2, f"three replies, here {got.count(b'HTTP/1.1')}")
    c = s.connect()
    for _ in range(3):
        check(s.ask(COMPLETE, {"prompt": TOKENS, "max_tokens": 2}, connection=c)[0] == 200, "a connection is used again")
    c.close()


def check_big_bodies(s):
    big = json.dumps({"prompt": "x" * 70000}).encode()
    request = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(big)
    check(s.raw(request + big).startswith(b"HTTP/1.1 413"), "a body over the limit")
    check(s.raw(request.replace(b"Connection: close\r\n", b"Expect: 100-continue\r\nConnection: close\r\n") + big).startswith(b"HTTP/1.1 413"),
          "a body over the limit that is announced")
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    got = s.raw(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 3)
    check(got == b"" or got.startswith(b"HTTP/1.1 413"), f"a body that grows over the limit: {got[:100]}")


def begin_stream(s, body, receive_buffer=None):
    """A socket that has seen the beginning of a stream."""
    k = socket.socket()
    if receive_buffer:
        k.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    k.settimeout(WAIT)
    k.connect(("127.0.0.1", s.port))
    data = json.dumps({**body, "stream": True}).encode()
    k.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
    check(k.recv(100).startswith(b"HTTP/1.1 200"), "a stream begins")
    return k


def check_gone(s):
    """Who goes away frees the place: whole and streamed answers, with and without a last word on the wire."""
    for i in range(3):
        k = begin_stream(s, {**LONG, "n": 2})
        if i == 1:
            k.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        k.close()
    c = http.client.HTTPConnection("127.0.0.1", s.port, timeout=WAIT)
    c.request("POST", COMPLETE, json.dumps(LONG))
    before = s.metric('answers_total{finish_reason="length"}')
    c.close()
    s.wait_metric("requests_running", 0)
    s.wait_metric("requests_waiting", 0)
    s.wait_metric('answers_total{finish_reason="cancelled"}', 7)
    check(s.metric('answers_total{finish_reason="length"}') == before and s.metric('http_replies_total{code="499"}') == 4, "cancelled")


def check_too_many(model):
    with Server(model, "--max_concurrent_requests", 3, "--batch_size", 1, "--grace_period", 0) as s:
        refused(s, COMPLETE, {**LONG, "n": 4}, 400, "wants 4 answers")
        held = [begin_stream(s, LONG)]
        others = [threading.Thread(target=s.ask, args=(COMPLETE, LONG)) for _ in range(2)]
        for t in others:
            t.start()
        s.wait_metric("requests_waiting", 2)
        headers = refused(s, COMPLETE, LONG, 429, "try again")
        check(headers["Retry-After"] == "1", "when to try again")
        for k in held:
            k.close()
        s.stop()
        for t in others:
            t.join(WAIT)


def check_slow(model):
    """A client that does not read is dropped, and its answer with it; one that says nothing too."""
    with Server(model, "--client_timeout", 0.5, "--batch_size", 2) as s:
        k = begin_stream(s, {**LONG, "logprobs": 100}, 4096)
        idle = socket.create_connection(("127.0.0.1", s.port), timeout=WAIT)
        idle.sendall(b"POST /v1/comp")
        said = idle.recv(100)
        check(said == b"" or said.startswith(b"HTTP/1.1 4"), f"half a request: {said}")
        idle.close()
        s.wait_metric('http_replies_total{code="499"}', 1)
        s.wait_metric("requests_running", 0)
        k.close()
        check(s.complete({**LONG, "max_tokens": 1000})["usage"]["completion_tokens"] == 1000, "an answer may take its time")


def check_timeout(model):
    with Server(model, "--timeout", 0.05, "--batch_size", 1) as s:
        reply = s.complete(LONG)
        check(reply["choices"][0]["finish_reason"] == "timeout" and 0 < reply["usage"]["completion_tokens"] < 4000, f"{str(reply)[:200]}")
        refused(s, COMPLETE, {**LONG, "timeout": 1e-9}, 503, "had not begun")
        events = s.stream({**LONG, "timeout": 100, "max_tokens": 20})
        check(events[-1]["choices"][0]["finish_reason"] == "length", "a request's own timeout")


def check_keys(model):
    key = {"Authorization": "Bearer s3cret"}
    with Server(model, "--cors_origin", "https://a.example", "--served_model_name", "org/some model", env={"TRAWL_API_KEY": "s3cret"}) as s:
        refused(s, COMPLETE, {"prompt": TOKENS}, 401, "an API key is needed")
        refused(s, "/v1/models", None, 401, "wrong", headers={"Authorization": "Bearer s3cre"})
        refused(s, "/v1/models", None, 401, "wrong", headers={"Authorization": "Bearer s3crets3cret"})
        refused(s, "/v1/models/x", None, 401, "needed")
        refused(s, "/tokenize", {}, 401, "needed")
        check(s.ask("/health")[0] == 200 and s.ask("/")[0] == 200, "these are open")
        check(s.ask("/v1/models/org/some%20model", headers=key)[2]["id"] == "org/some model", "a name with a slash")
        status, headers, _ = s.ask("/v1/models", headers={**key, "Origin": "https://a.example"})
        check(status == 200 and headers["Access-Control-Allow-Origin"] == "https://a.example", "an origin that may")
        refused(s, COMPLETE, {"prompt": TOKENS}, 403, "origin", headers={**key, "Origin": "https://b.example"})
        own = {**key, "Origin": f"http://127.0.0.1:{s.port}"}
        check(s.ask(COMPLETE, {"prompt": TOKENS, "max_tokens": 1}, headers=own)[0] == 200, "the server's own page")
        status, headers, _ = s.ask(CHAT, method="OPTIONS", headers={"Origin": "https://a.example"})
        check(status == 204 and "POST" in headers["Access-Control-Allow-Methods"], "a preflight")


def check_stop(model):
    """Running answers end, new ones are refused; after the grace period they end with what they have."""
    s = Server(model, "--batch_size", 2)
    k = begin_stream(s, {**LONG, "max_tokens": 1500})
    s.process.send_signal(signal.SIGTERM)
    got = b""
    while piece := k.recv(65536):
        got += piece
    check(b'"finish_reason": "length"' in got and got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), f"an answer that ends {got[-300:]}")
    s.stop(how=None)
    s = Server(model, "--batch_size", 2, "--grace_period", 0.1)
    k = begin_stream(s, {**LONG, "n": 4, "logprobs": 20})
    s.process.send_signal(signal.SIGINT)
    got = b""
    while piece := k.recv(65536):
        got += piece
    check(got.count(b'"finish_reason": "cancelled"') + got.count(b'"finish_reason": "length"') == 4, f"answers that are cut {got[-300:]}")
    check(got.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"), "and their end is told")
    s.stop(how=None)


def check_memory(s):
    """Thousands of requests, most of them short, some cut off: no more memory than for the first thousand."""
    c = s.connect()

    def some(n):
        for i in range(n):
            s.ask(COMPLETE, {"prompt": [i % 500, 3, i % 7], "max_tokens": 1 + i % 3, "logprobs": 2, "seed": i}, connection=c)
            if i % 100 == 0:
                begin_stream(s, LONG).close()
        s.wait_metric("requests_running", 0)

    some(1000)
    before = resident(s.process)
    some(2000)
    if not is_sanitized():  # a sanitizer keeps what was freed
        check(resident(s.process) < before + 4096, f"{resident(s.process)} kB resident, {before} before")
    c.close()


def check_start(model, tmp):
    with Server(model) as s:
        p = subprocess.run([serve_client.TRAWL, "serve", "--model_path", model, "--port", str(s.port)], capture_output=True, text=True, timeout=WAIT)
        check(p.returncode == 1 and f"cannot listen at 127.0.0.1 port {s.port}" in p.stderr, f"a port in use: {p.stderr}")
    (tmp / "bare").mkdir()
    for f in ("config.json", "model.safetensors"):
        (tmp / "bare" / f).write_bytes((model / f).read_bytes())
    p = subprocess.run([serve_client.TRAWL, "serve", "--model_path", tmp / "bare", "--port", "0"], capture_output=True, text=True, timeout=WAIT)
    check(p.returncode == 1 and "tokenizer.json" in p.stderr, f"no tokenizer: {p.stderr}")


def main():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        model = make_model(tmp / "model")
        with Server(model, "--batch_size", 2, "--max_body_size", 60000, "--max_concurrent_requests", 500) as s:
            check_wrong_bodies(s)
            check_paths(s)
            check_origins(s)
            check_malformed(s)
            check_pipelined(s)
            check_big_bodies(s)
        with Server(model, "--batch_size", 2) as s:
            check_gone(s)
            check_memory(s)
        for part in (check_too_many, check_slow, check_timeout, check_keys, check_stop):
            part(model)
        check_start(model, tmp)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
