#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page and `trawl serve` understand each other: the page that the server shows, under the server's Content-Security-Policy, talks
to it through a proxy that adds the script of the test."""
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile

import browser

from checks import check, failures

TRAWL = os.environ["TRAWL"]
EOS = 544  # <|end|> of tests/text/data/split


class Proxy(browser.Handler):
    def page_headers(self):
        return (("Content-Security-Policy", self.server.policy),)

    def get(self):
        self.post(None)

    def post(self, body):
        server = http.client.HTTPConnection("127.0.0.1", self.server.port)
        names = ("Content-Type", "Authorization")
        server.request(self.command, self.path, body, {n: self.headers[n] for n in names if self.headers[n]})
        answer = server.getresponse()
        self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while data := answer.read1():
                self.wfile.write(data)
                self.wfile.flush()
        except OSError:  # the page has gone away: so does the proxy
            pass
        server.close()


SCRIPT = r"""
    await until("a model", () => $("model").textContent !== "\u2026");
    seen.refused = $("server").textContent;
    set("key", "secret");
    await until("the model", () => $("model").textContent === "tiny");
    seen.context = $("server").textContent;
    set("view", "probability");
    set("n-temperature", "1");
    set("n-seed", "5");
    set("n-max_tokens", "12");
    set("system", "Sea.");
    say("crabs and eels");
    await said(1);
    seen.first = [turns[1].content, turns[1].note, turns[1].failure, turns[1].tokens];
    seen.spans = all(".turn.assistant .token").length;
    say("more");
    await said(2);
    seen.second = turns[3].content;
    set("n-max_tokens", "");
    set("n-temperature", "0"); /* greedy, this model repeats itself and comes to no end */
    say("endless");
    await until("the first token", () => turns[5] && turns[5].tokens.length);
    $("stop").click();
    await said(3);
    seen.stopped = turns[5].note;
    set("n-top_p", "7");
    say("wrong");
    await said(4);
    seen.failure = turns[7].failure;
    set("n-top_p", "");
    set("n-max_tokens", "9");
    $("raw").value = "The net";
    $("go").click();
    await until("a completion", () => !$("take").disabled);
    seen.completion = [grown, $("raw-out").textContent, all("#raw-out .token").length];
    set("words", "The net <b>");
    await until("tokens", () => all(".word").length);
    seen.words = all(".word").map((w) => [w.firstChild.textContent, w.lastChild.textContent]);
"""


def generate(model, rows):
    p = subprocess.run([TRAWL, "generate", "-q", "--model_path", model, "--prompts_file", "-", "--threads", "1"],
                       input="".join(json.dumps(r) + "\n" for r in rows), capture_output=True, text=True, timeout=60)
    check(p.returncode == 0, p.stderr)
    return [json.loads(line) for line in p.stdout.splitlines()]


def serve_and_look(model):
    flags = ["--model_path", model, "--port", "0", "--threads", "1", "--api_key", "secret", "--served_model_name", "tiny"]
    p = subprocess.Popen([TRAWL, "serve", *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        line = p.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", line).group(1))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/")
        answer = connection.getresponse()
        check(answer.read().decode() == browser.PAGE, "the server shows another page")
        return browser.run(Proxy, SCRIPT, port=port, policy=answer.headers["Content-Security-Policy"]).report
    finally:
        p.terminate()
        p.communicate(timeout=30)


with tempfile.TemporaryDirectory() as tmp:
    model = os.path.join(tmp, "model")
    subprocess.run([sys.executable, browser.SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab", "560", "--context",
                    "100000", "--eos", str(EOS), "--tokenizer", browser.SOURCE / "tests/text/data/split"], check=True)
    s = serve_and_look(model)
    sampling = {"temperature": 1, "seed": 5, "max_tokens": 12}
    said = [{"role": "system", "content": "Sea."}, {"role": "user", "content": "crabs and eels"}]
    more = said + [{"role": "assistant", "content": s["first"][0]}, {"role": "user", "content": "more"}]
    first, second = generate(model, [{"messages": said, "logprobs": 5} | sampling, {"messages": more} | sampling])
check("(401)" in s["refused"] and "100000" in s["context"], f"key: {s['refused']} {s['context']}")
content, note, failure, tokens = s["first"]
check(content == first["text"] and failure == "" and f"{len(first['tokens'])} tokens" in note, f"first: {s['first']} {first}")
check(len(tokens) == s["spans"] == len(first["tokens"]) and all(len(t["top"]) == 5 for t in tokens), f"tokens: {tokens}")
check(all(abs(t["logprob"] - l) < 1e-6 for t, l in zip(tokens, first["logprobs"])), f"log-probabilities: {tokens} {first}")
check(s["second"] == second["text"], f"second: {s['second']!r} {second}")
check("stopped" in s["stopped"] and "top_p" in s["failure"] and "(400)" in s["failure"], f"{s['stopped']} {s['failure']}")
check(s["completion"][1].startswith("The net") and s["completion"][2] >= 1, f"completion: {s['completion']}")
check("".join(w for w, _ in s["words"]) == "The net <b>" and all(i.isdigit() for _, i in s["words"]), f"words: {s['words']}")

sys.exit(1 if failures() else 0)
