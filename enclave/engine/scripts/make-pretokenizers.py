#!/usr/bin/env python3
"""Writes down how llama.cpp splits text for each pre-tokenizer that the engine supports.

    venv/bin/python make-pretokenizers.py ../tests/reference/pretokenizers.json

(The environment is the one of make-reference.py.) The vocabulary is byte-pair encoding trained on the
texts without any splitting, so that its merges would cross every boundary, if the pre-tokenizer let them.
"""
import collections
import json
import random
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp

NAMES = ["gpt-2", "default", "smollm", "starcoder", "refact", "command-r", "qwen2", "deepseek-r1-qwen", "llama-bpe"]

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\r\n", " \n", "\n ", "\n  a", " \t\n x", "a  b   c    d",
    "Hello, world!", "hello", " hello", "  hello", "Hello World", "HELLO WORLD!", "don't I'M you'Re we'VE it'S he'LL she'd",
    "'s 'S 't'T ''s", "1", "12", "123", "1234", "12345", "1234567 89", "3.14159", "a1b22c333", "x=1;y=22", "v1.2.3-rc4",
    "!!!", "?!...", "... wait", "a.b,c;d", "$5.00 + 10% = ~6^2 | <a> `b`", "#include <stdio.h>\n\nint main() {\n\treturn 0;\n}\n",
    "https://example.org/path?x=1&y=2", "naïve café Ångström", "Привет, как дела?", "日本語の文章です。", "中文 字符，测试！",
    "नमस्ते दुनिया", "مرحبا بالعالم", "ภาษาไทย", "emoji 🦙🔒 and 👩‍💻 zwj", "½ ² Ⅷ ٣٤٥ १२३", "\u00a0nbsp\u00a0\u00a0x\u2003em",
    "\u200bzero width\ufeff", "line one\r\nline two\r\n\r\nend", "trailing space ", "trailing newline\n", "  indented\n    more\n",
    "CamelCaseWord snake_case_word kebab-case", "a\u0301 combining e\u0308", "ſtrange 'ſ", "\x1c\x1d separators \x85 next",
    "tab\tseparated\tvalues\t\t", "(parenthesised) [brackets] {braces}", "“quotes” — dashes – …", "word  \n\n  word",
]


def alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(0x100 + extra)
            extra += 1
    return table


def fuzz(count):
    source = random.Random(7)
    pieces = [" ", "  ", "\n", "\r\n", "\t", "'s", "'RE", "12", "3", "ab", "Cd", "é", "日", "!", "...", "/", "\u00a0", "\u0301", "²", "👍"]
    return ["".join(source.choice(pieces) for _ in range(source.randrange(2, 14))) for _ in range(count)]


def train(texts, table, count):
    words = [[table[byte] for byte in text.encode()] for text in texts if text]
    merges = []
    while len(merges) < count:
        pairs = collections.Counter(pair for word in words for pair in zip(word, word[1:]))
        # Ties by the pair itself: the outcome must not depend on the order of counting.
        (left, right), times = max(pairs.items(), key=lambda item: (item[1], item[0]))
        if times < 2:
            break
        merges.append(f"{left} {right}")
        for index, word in enumerate(words):
            merged, at = [], 0
            while at < len(word):
                if word[at : at + 2] == [left, right]:
                    merged.append(left + right)
                    at += 2
                else:
                    merged.append(word[at])
                    at += 1
            words[index] = merged
    return merges


def main():
    table = alphabet()
    texts = TEXTS + fuzz(120)
    merges = train(texts, table, 700)
    tokens = list(table.values())
    for merge in merges:
        token = merge.replace(" ", "")
        if token not in tokens:
            tokens.append(token)
    # Words that no merge makes: for tokenizers that look whole words up first.
    tokens += ["Ġhello", "Hello", "Ġworld"]
    tokens = list(dict.fromkeys(tokens))
    expected = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NAMES:
            path = Path(folder) / "vocabulary.gguf"
            writer = gguf.GGUFWriter(path, "llama")
            writer.add_context_length(64)
            writer.add_embedding_length(32)
            writer.add_block_count(1)
            writer.add_feed_forward_length(32)
            writer.add_head_count(1)
            writer.add_layer_norm_rms_eps(1e-6)
            writer.add_vocab_size(len(tokens))
            writer.add_tokenizer_model("gpt2")
            writer.add_tokenizer_pre(name)
            writer.add_token_list(tokens)
            writer.add_token_types([1] * len(tokens))
            writer.add_token_merges(merges)
            writer.add_add_bos_token(False)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            model = llama_cpp.Llama(model_path=str(path), vocab_only=True, verbose=False)
            expected[name] = [model.tokenize(text.encode(), add_bos=False, special=False) for text in texts]
    document = {"tokens": tokens, "merges": merges, "texts": texts, "expected": expected}
    Path(sys.argv[1]).write_text(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n")
    for name in NAMES:
        print(name, sum(map(len, expected[name])), sum(a != b for a, b in zip(expected[name], expected["gpt-2"])))


if __name__ == "__main__":
    main()
