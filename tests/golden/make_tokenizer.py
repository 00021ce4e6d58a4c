# SPDX-License-Identifier: MIT
"""Tiny BPE tokenizers, and encodings by a slow implementation that shares nothing with src/text.

    python3 tests/golden/make_tokenizer.py tests/text/data

Writes split/ (NFC, a Split pattern, added tokens of every kind, a BOS template, merges as pairs) and digits/ (Digits and
GPT-2's pattern, bytes missing from the vocabulary, ignore_merges, merges as strings, a chat_template.jinja), each with
tokenizer.json, tokenizer_config.json and encode.jsonl: text, ids (all added tokens parsed), no_special and no_added where they differ,
and pieces: the normalized text as the pre-tokenizer cuts it, added tokens not looked for. And three that mark spaces and
fall back to bytes, as those of Llama 2 and Mistral: prepend/ (normalizers), metaspace/ (the pre-tokenizer, a mark at the
beginning of the text only) and words/ (cut at the marks, one before every part). Their rows have no pieces, but the text
that the ids decode to.
"""
import json
import pathlib
import random
import sys
import unicodedata

SAMPLE = """The net goes down where nobody looks, and it comes up heavy. We count what is in it: 3 crabs, 12 eels, 144 small fish.
"Don't drop it," said the mate; they've dropped it before. It's 2024 and we'll do it again, I'm sure. You're late!
def haul(net, depth=10):\n    for fish in net:\n        if fish.weight > 0.5:\n            yield fish\n    return None\n
Das Netz fällt tief; très profond, où l'eau est noire. Рыба и сети. 网很深,海很黑。魚と海。 한국의 바다. naïve café Ångström
<b>bold</b> a&b = c|d; x**2 + y**2 == z**2 // comment\t\ttabs   and   spaces\r\n\r\nlines  \n
""" * 2


def byte_alphabet():
    own = [b for b in range(256) if 0x21 <= b <= 0x7e or 0xa1 <= b <= 0xac or 0xae <= b <= 0xff]
    table, extra = {}, 0x100
    for b in range(256):
        table[b] = chr(b) if b in own else chr(extra)
        extra += b not in own
    return table


LETTER = byte_alphabet()


def is_letter(c):
    return unicodedata.category(c)[0] == "L"


def is_number(c):
    return unicodedata.category(c)[0] == "N"


def is_space(c):
    return c in "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" or "\u2000" <= c <= "\u200a"


def run(text, i, test):
    while i < len(text) and test(text[i]):
        i += 1
    return i


def spaces_end(text, i):
    """\\s+(?!\\S) and else \\s+"""
    end = run(text, i, is_space)
    return end - 1 if end < len(text) and end - i > 1 else end


def split_match(text, i):
    """(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"""
    def other(c):
        return not is_space(c) and not is_letter(c) and not is_number(c)
    for s in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
        if text[i:i + len(s)].replace("\u017f", "s").lower() == s:
            return i + len(s)
    start = i + (text[i] not in "\r\n" and not is_letter(text[i]) and not is_number(text[i]))
    if run(text, start, is_letter) > start:
        return run(text, start, is_letter)
    if is_number(text[i]):
        return i + 1
    start = i + (text[i] == " ")
    if run(text, start, other) > start:
        return run(text, run(text, start, other), lambda c: c in "\r\n")
    end = run(text, i, is_space)
    while end > i and text[end - 1] not in "\r\n":
        end -= 1
    return end if end > i else spaces_end(text, i)


def gpt2_match(text, i):
    """'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"""
    for s in ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d"):
        if text.startswith(s, i):
            return i + len(s)
    start = i + (text[i] == " ")
    for test in (is_letter, is_number, lambda c: not is_space(c) and not is_letter(c) and not is_number(c)):
        if run(text, start, test) > start:
            return run(text, start, test)
    return spaces_end(text, i)


def pieces_of(text, match):
    out, i = [], 0
    while i < len(text):
        end = match(text, i)
        out.append(text[i:end])
        i = end
    return out


def digit_pieces(text):
    """Every numeric character alone, then GPT-2's pattern in what lies between."""
    out, last = [], 0
    for i, c in enumerate(text):
        if is_number(c):
            out += pieces_of(text[last:i], gpt2_match) + [c]
            last = i + 1
    return out + pieces_of(text[last:], gpt2_match)


def spell(piece):
    return [LETTER[b] for b in piece.encode()]


def train(words, count):
    merges = []
    while len(merges) < count:
        pairs = {}
        for w in words:
            for pair in zip(w, w[1:]):
                pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        words = [merge(w, best) for w in words]
    return merges


def merge(word, pair):
    out, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


class Slow:
    def __init__(self, vocab, merges, added, normalize, pieces, ignore_merges):
        self.vocab, self.added, self.normalize, self.pieces, self.ignore = vocab, added, normalize, pieces, ignore_merges
        self.rank = {m: i for i, m in enumerate(merges)}

    def word(self, piece):
        whole = "".join(spell(piece))
        if self.ignore and whole in self.vocab:
            return [self.vocab[whole]]
        word = [c for c in spell(piece) if c in self.vocab]
        while True:
            known = [(self.rank[p], i) for i, p in enumerate(zip(word, word[1:])) if p in self.rank]
            if not known:
                return [self.vocab[c] for c in word]
            _, i = min(known)
            word[i:i + 2] = [word[i] + word[i + 1]]

    def parts(self, text, tokens, no_special):
        """[(text or None, token or None)]: leftmost longest matches; a refused match still uses its text up."""
        out, i, done = [], 0, 0
        while i < len(text):
            hits = [t for t in tokens if text.startswith(t["content"], i)]
            if not hits:
                i += 1
                continue
            t = max(hits, key=lambda h: len(h["content"]))
            begin, end = i, i + len(t["content"])
            i = end
            if t["special"] and no_special:
                continue
            if t["single_word"] and (begin > 0 and word_character(text[begin - 1]) or end < len(text) and word_character(text[end])):
                continue
            if t["lstrip"]:
                while begin > done and is_space(text[begin - 1]):
                    begin -= 1
            if t["rstrip"]:
                end = run(text, end, is_space)
            if begin > done:
                out.append((text[done:begin], None))
            out.append((None, t))
            done = end
        return out + ([(text[done:], None)] if done < len(text) else [])

    def encode(self, text, no_special=False, no_added=False):
        ids = []
        raw = [] if no_added else [t for t in self.added if not t["normalized"]]
        normalized = [] if no_added else [t for t in self.added if t["normalized"]]
        for part, token in self.parts(text, raw, no_special):
            if token:
                ids.append(token["id"])
                continue
            for inner, found in self.parts(self.normalize(part), normalized, no_special):
                ids += [found["id"]] if found else [i for p in self.pieces(inner) for i in self.word(p)]
        return ids


def word_character(c):
    return unicodedata.category(c)[0] in "LM" or unicodedata.category(c) in ("Nd", "Nl", "Pc")


def added(i, content, **flags):
    base = dict(id=i, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    return {**base, **flags}


MARK = "\u2581"


class SlowMarks(Slow):
    """Marks for spaces; characters that the vocabulary lacks are spelt by tokens of bytes."""

    def __init__(self, vocab, merges, added, normalizes, prefix, split):
        super().__init__(vocab, merges, added, None, None, False)
        self.normalizes, self.prefix, self.split = normalizes, prefix, split

    def mark(self, text, first):
        marked = text.replace(" ", MARK)
        wanted = self.prefix == "every" or not marked.startswith(MARK) and (self.prefix == "always" or self.prefix == "first" and first)
        return MARK + marked if wanted else marked

    def word(self, piece):
        word = [s for c in piece for s in ([c] if c in self.vocab else [f"<0x{b:02X}>" for b in c.encode()])]
        while True:
            known = [(self.rank[p], i) for i, p in enumerate(zip(word, word[1:])) if p in self.rank]
            if not known:
                return [self.vocab[c] for c in word]
            _, i = min(known)
            word[i:i + 2] = [word[i] + word[i + 1]]

    def words(self, text):
        if not self.split:
            return [text]
        cuts = [i for i, c in enumerate(text) if c == MARK and i > 0]
        return [text[a:b] for a, b in zip([0] + cuts, cuts + [len(text)])]

    def encode(self, text, no_special=False, no_added=False):
        ids = []
        raw = [] if no_added else [t for t in self.added if not t["normalized"]]
        late = [] if no_added else [t for t in self.added if t["normalized"]]
        if self.normalizes:
            late = [{**t, "content": self.mark(t["content"], True)} for t in late]
        for i, (part, token) in enumerate(self.parts(text, raw, no_special)):
            if token:
                ids.append(token["id"])
                continue
            for k, (inner, found) in enumerate(self.parts(self.mark(part, i == 0) if self.normalizes else part, late, no_special)):
                if found:
                    ids.append(found["id"])
                    continue
                marked = inner if self.normalizes else self.mark(inner, i == 0 and k == 0)
                ids += [n for w in self.words(marked) for n in self.word(w)]
        return ids

    def decode(self, ids):
        names = {i: t for t, i in self.vocab.items()}
        names.update({t["id"]: self.mark(t["content"], True) if self.normalizes and t["normalized"] else t["content"] for t in self.added})
        text = b"".join(bytes([int(n[3:5], 16)]) if n.startswith("<0x") else n.replace(MARK, " ").encode() for n in (names[i] for i in ids))
        text = text.decode("utf-8", "replace")
        return text[1:] if text.startswith(" ") else text


def texts(tokens):
    rng = random.Random(7)
    words = SAMPLE.split(" ") + ["\u00e9", "e\u0301", "\u212b", "K\u212a", "'\u017fx", "\u0660\u0661", "\u00bd", "\u2163", "\U0001f41f", "\x00", "\x1c", "\u180e", "\u2003",
                                 "\ud55c", "\u1112\u1161\u11ab", "\u0344", "a\u0327\u0301", "wordy", "word", "\x85"] + [t["content"] for t in tokens] * 3
    seps = [" ", " ", " ", "", "  ", "\n", "\t", "\r\n", "\u00a0", " \n "]
    fixed = ["", " ", "\n", "a", "'", "''", "   x", "x   ", "\n\n\n", " \n \n x", "12345", "it's IT'S It'S", "word words wordword a.word _word word1", "a <mask> b  <mask>", "<pad>  x <pad>\n",
             "<|end|><|end|>", "<|end|", "<|end|>>", "e<|end|>\u0301", "<tool><tool>", "caf\u00e9 cafe\u0301", "fishnet fish net"]
    return fixed + ["".join(rng.choice(words) + rng.choice(seps) for _ in range(rng.randint(1, 10))) for _ in range(40)]


def write(folder, tokenizer, config, slow, chat=None):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, separators=(",", ":")) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    if chat:
        (folder / "chat_template.jinja").write_text(chat)
    with open(folder / "encode.jsonl", "w") as f:
        marks = isinstance(slow, SlowMarks)
        for t in texts(slow.added) + ([MARK, MARK + "the", " " + MARK + " x", "<s> x", "<s>x", "x</s>y", "<0x41>", "\U0001f41f" * 3] if marks else []):
            row = dict(text=t, ids=slow.encode(t))
            if marks:
                row["decoded"] = slow.decode(row["ids"])
            else:
                row["pieces"] = slow.pieces(slow.normalize(t))
            for key in ("no_special", "no_added"):
                ids = slow.encode(t, **{key: True})
                if ids != row["ids"]:
                    row[key] = ids
            f.write(json.dumps(row, separators=(",", ":")) + "\n")


def make_split(out):
    pieces = pieces_of(unicodedata.normalize("NFC", SAMPLE), split_match)
    merges = train([spell(p) for p in pieces], 320)
    vocab = {c: i for i, c in enumerate(dict.fromkeys([LETTER[b] for b in range(256)] + ["".join(m) for m in merges]))}
    n = len(vocab)
    tokens = [added(n, "<|begin|>", special=True), added(n + 1, "<|end|>", special=True), added(n + 2, "<tool>"), added(n + 3, "<mask>", special=True, lstrip=True),
              added(n + 4, "<pad>", special=True, rstrip=True), added(n + 5, "word", single_word=True, normalized=True), added(n + 6, "caf\u00e9", normalized=True),
              added(n + 7, "<tool>x"), added(n + 8, "<\u4f60>", special=True)]
    slow = Slow(vocab, merges, tokens, lambda t: unicodedata.normalize("NFC", t), lambda t: pieces_of(t, split_match), False)
    pattern = split_match.__doc__
    post = dict(type="Sequence", processors=[dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False), dict(
        type="TemplateProcessing", single=[{"SpecialToken": {"id": "<|begin|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], pair=[],
        special_tokens={"<|begin|>": dict(id="<|begin|>", ids=[n], tokens=["<|begin|>"])})])
    tokenizer = dict(version="1.0", truncation=None, padding=None, added_tokens=tokens, normalizer=dict(type="NFC"), pre_tokenizer=dict(type="Sequence", pretokenizers=[
        dict(type="Split", pattern=dict(Regex=pattern), behavior="Isolated", invert=False), dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False)]),
        post_processor=post, decoder=dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False),
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False, byte_fallback=False, vocab=vocab, merges=[list(m) for m in merges]))
    template = "{% for m in messages %}\n{{ '<|begin|>' + m.role + ':' + m.content + eos_token }}\n{% endfor %}\n{% if add_generation_prompt %}\n<|begin|>assistant:\n{%- endif %}\n"
    config = dict(bos_token=dict(content="<|begin|>", lstrip=False), eos_token="<|end|>", pad_token="<pad>", unk_token=None, chat_template=[
        dict(name="default", template=template), dict(name="tool_use", template="{{ tools | tojson }}" + template)],
        added_tokens_decoder={str(n + 1): tokens[1], str(n + 9): added(n + 9, "<late>", special=True)})
    write(out, tokenizer, config, slow)


def make_digits(out):
    merges = train([spell(p) for p in digit_pieces(SAMPLE)], 250)
    missing = {LETTER[b] for b in (0x00, 0x1c, 0xf0)}
    tokens = [added(0, "<|end|>", special=True), added(1, "<tool>")]
    names = ["<|end|>", "<tool>"] + [LETTER[b] for b in range(256) if LETTER[b] not in missing] + ["".join(m) for m in merges] + ["fishnet"]
    vocab = {c: i for i, c in enumerate(dict.fromkeys(names))}
    slow = Slow(vocab, merges, tokens, lambda t: t, digit_pieces, True)
    byte_level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True)
    tokenizer = dict(version="1.0", truncation=None, padding=None, added_tokens=tokens, normalizer=None,
                     pre_tokenizer=dict(type="Sequence", pretokenizers=[dict(type="Digits", individual_digits=True), byte_level]), post_processor=None, decoder=byte_level,
                     model=dict(type="BPE", dropout=None, unk_token=None, fuse_unk=False, byte_fallback=False, ignore_merges=True, vocab=vocab, merges=[" ".join(m) for m in merges]))
    write(out, tokenizer, dict(eos_token="<|end|>", chat_template="not used: the file goes first"), slow,
          "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] | trim }}\n{% endfor %}")


def make_marks(out, normalizer, pre_tokenizer, prefix, split):
    sample = SAMPLE.replace(" ", " " + MARK).split(" ")
    merges = train([[c for c in w if ord(c) < 0x2E80] for w in [MARK + sample[0]] + sample[1:]], 250) + [(MARK, MARK)]
    alphabet = sorted({c for w in sample for c in w if ord(c) < 0x400})
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + [MARK] + alphabet + ["".join(m) for m in merges]
    vocab = {c: i for i, c in enumerate(dict.fromkeys(names))}
    merges = [m for m in merges if m[0] in vocab and m[1] in vocab]
    n = len(vocab)
    tokens = [added(0, "<unk>", special=True), added(1, "<s>", special=True), added(2, "</s>", special=True), added(n, "<tool>"), added(n + 1, MARK + "<mid>", special=True),
              added(n + 2, "fish", normalized=True), added(n + 3, "<pad>", special=True, rstrip=True)]
    slow = SlowMarks(vocab, merges, tokens, normalizer is not None, prefix, split)
    post = dict(type="TemplateProcessing", single=[{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], pair=[],
                special_tokens={"<s>": dict(id="<s>", ids=[1], tokens=["<s>"])})
    decoder = dict(type="Sequence", decoders=[dict(type="Replace", pattern=dict(String=MARK), content=" "), dict(type="ByteFallback"), dict(type="Fuse"),
                                              dict(type="Strip", content=" ", start=1, stop=0)])
    tokenizer = dict(version="1.0", truncation=None, padding=None, added_tokens=tokens, normalizer=normalizer, pre_tokenizer=pre_tokenizer, post_processor=post, decoder=decoder,
                     model=dict(type="BPE", dropout=None, unk_token="<unk>", fuse_unk=True, byte_fallback=True, vocab=vocab, merges=[" ".join(m) for m in merges]))
    write(out, tokenizer, dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>"), slow)


folder = pathlib.Path(sys.argv[1])
make_split(folder / "split")
make_digits(folder / "digits")
make_marks(folder / "prepend", dict(type="Sequence", normalizers=[dict(type="Prepend", prepend=MARK), dict(type="Replace", pattern=dict(String=" "), content=MARK)]), None, "every", False)
make_marks(folder / "metaspace", None, dict(type="Metaspace", replacement=MARK, prepend_scheme="first", split=False), "first", False)
make_marks(folder / "words", None, dict(type="Metaspace", replacement=MARK, add_prefix_space=True), "always", True)
