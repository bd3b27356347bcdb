"""Reads the GGUF file and computes it in numpy: a second implementation, apart from model.py.

Everything comes from the file: sizes, weights, tokenizer, chat template. Written for checking, one
sequence at a time with a key-value cache; not for speed.
"""

import re

import gguf
import jinja2
import numpy as np
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers


class Model:
    def __init__(self, path):
        reader = GGUFReader(str(path))
        self.meta = {name: field.contents() for name, field in reader.fields.items()}
        if self.meta["general.architecture"] != "llama":
            raise ValueError(f"not a llama file: {self.meta['general.architecture']}")
        self.tensors = {}
        for t in reader.tensors:
            self.tensors[t.name] = gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32)
        self.layers = self.meta["llama.block_count"]
        self.heads = self.meta["llama.attention.head_count"]
        self.kv_heads = self.meta["llama.attention.head_count_kv"]
        self.eps = self.meta["llama.attention.layer_norm_rms_epsilon"]
        self.context = self.meta["llama.context_length"]
        self.head_width = self.meta["llama.embedding_length"] // self.heads
        half = self.meta["llama.rope.dimension_count"] // 2
        self.frequencies = self.meta["llama.rope.freq_base"] ** (-np.arange(half) / half)
        self.eos = self.meta["tokenizer.ggml.eos_token_id"]
        self.tokenizer = tokenizer_from(self.meta)
        self.template = jinja2.Environment(keep_trailing_newline=True).from_string(
            self.meta["tokenizer.chat_template"])

    def prompt(self, messages):
        """Token ids for a list of (role, content), up to where the assistant begins."""
        text = self.template.render(messages=[{"role": r, "content": c} for r, c in messages],
                                    add_generation_prompt=True)
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def new_cache(self):
        shape = (self.context, self.kv_heads, self.head_width)
        return [(np.zeros(shape, np.float32), np.zeros(shape, np.float32)) for _ in range(self.layers)]

    def step(self, ids, start, cache):
        """Logits [len(ids), vocab] of tokens that stand at positions from `start` on."""
        count = len(ids)
        positions = np.arange(start, start + count)
        angle = np.outer(positions, self.frequencies)
        cos, sin = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
        ahead = np.arange(start + count)[None, :] > positions[:, None]
        x = self.tensors["token_embd.weight"][ids]
        for i in range(self.layers):
            w = lambda name: self.tensors[f"blk.{i}.{name}.weight"]
            h = self.norm(x, w("attn_norm"))
            q = rotate((h @ w("attn_q").T).reshape(count, self.heads, self.head_width), cos, sin)
            k = rotate((h @ w("attn_k").T).reshape(count, self.kv_heads, self.head_width), cos, sin)
            v = (h @ w("attn_v").T).reshape(count, self.kv_heads, self.head_width)
            keys, values = cache[i]
            keys[start : start + count], values[start : start + count] = k, v
            group = self.heads // self.kv_heads
            mixed = np.empty_like(q)
            for head in range(self.heads):
                ks, vs = keys[: start + count, head // group], values[: start + count, head // group]
                scores = q[:, head] @ ks.T / np.sqrt(self.head_width)
                scores[ahead] = -np.inf
                scores = np.exp(scores - scores.max(axis=1, keepdims=True))
                mixed[:, head] = scores / scores.sum(axis=1, keepdims=True) @ vs
            x = x + mixed.reshape(count, -1) @ w("attn_output").T
            h = self.norm(x, w("ffn_norm"))
            gate = h @ w("ffn_gate").T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w("ffn_up").T)) @ w("ffn_down").T
        out = self.tensors.get("output.weight", self.tensors["token_embd.weight"])
        return self.norm(x, self.tensors["output_norm.weight"]) @ out.T

    def norm(self, x, weight):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.eps) * weight

    def generate(self, ids, tokens_max=200, temperature=0.0, rng=None):
        """The answer's token ids, greedy at temperature zero, without the end token."""
        cache, answer = self.new_cache(), []
        logits = self.step(ids, 0, cache)[-1]
        while len(answer) < tokens_max:
            if temperature > 0:
                p = np.exp((logits - logits.max()) / temperature)
                token = int(rng.choice(len(p), p=p / p.sum()))
            else:
                token = int(logits.argmax())
            if token == self.eos or len(ids) + len(answer) >= self.context:
                break
            answer.append(token)
            logits = self.step([token], len(ids) + len(answer) - 1, cache)[-1]
        return answer

    def answer(self, messages, **options):
        return self.tokenizer.decode(self.generate(self.prompt(messages), **options))


def rotate(x, cos, sin):
    out = np.empty_like(x)
    out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
    out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
    return out


def tokenizer_from(meta):
    """The tokenizer that the metadata describes: byte-level BPE as in GPT-2."""
    if (meta["tokenizer.ggml.model"], meta["tokenizer.ggml.pre"]) != ("gpt2", "gpt-2"):
        raise ValueError("not a GPT-2 style tokenizer")
    texts = meta["tokenizer.ggml.tokens"]
    merges = [tuple(re.split(" ", m)) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(texts)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(texts, meta["tokenizer.ggml.token_type"])
               if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    return tokenizer
