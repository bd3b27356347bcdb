#!/usr/bin/env python3
"""Makes the small models in tests/reference and writes down what llama.cpp computes on them.

    python3 -m venv venv && venv/bin/pip install llama-cpp-python==0.3.36 gguf==0.19.0
    venv/bin/python make-reference.py ../tests/reference

The weights are random. For each NAME.gguf: NAME.json with a prompt, greedy tokens and the margin of each,
NAME.logits.npy with the logits at each prompt position. One thread, f32 key-value cache, no flash attention.
"""
import json
import sys
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

VOCABULARY, WIDTH, FEED, LAYERS, HEADS, HEADS_KV, HEAD_WIDTH = 288, 32, 48, 2, 4, 2, 16
PROMPT = [1, 30, 275, 38, 97, 29, 53, 99, 112, 200, 124, 130, 199, 287, 150, 42]
STEPS = 24


def vocabulary(writer):
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += [f"t{number}" for number in range(VOCABULARY - len(tokens))]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (VOCABULARY - 259)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def write(path, architecture, seed, norms=False, factors=False):
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"{architecture}-random")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS_KV)
    writer.add_key_length(HEAD_WIDTH)
    writer.add_value_length(HEAD_WIDTH)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(VOCABULARY)
    vocabulary(writer)

    def matrix(name, rows, columns):
        writer.add_tensor(name, random.normal(0, 1.5 / np.sqrt(columns), (rows, columns)).astype(np.float32))

    def norm(name, width):
        writer.add_tensor(name, random.normal(1, 0.2, width).astype(np.float32))

    matrix("token_embd.weight", VOCABULARY, WIDTH)
    if factors:
        # Llama 3.1's kind: the slow frequencies are slowed further.
        values = np.array([1, 1, 1, 1.5, 3, 8, 8, 8], dtype=np.float32)
        writer.add_tensor("rope_freqs.weight", values)
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        norm(name + "attn_norm.weight", WIDTH)
        matrix(name + "attn_q.weight", HEADS * HEAD_WIDTH, WIDTH)
        matrix(name + "attn_k.weight", HEADS_KV * HEAD_WIDTH, WIDTH)
        matrix(name + "attn_v.weight", HEADS_KV * HEAD_WIDTH, WIDTH)
        if norms:
            norm(name + "attn_q_norm.weight", HEAD_WIDTH)
            norm(name + "attn_k_norm.weight", HEAD_WIDTH)
        matrix(name + "attn_output.weight", WIDTH, HEADS * HEAD_WIDTH)
        norm(name + "ffn_norm.weight", WIDTH)
        matrix(name + "ffn_gate.weight", FEED, WIDTH)
        matrix(name + "ffn_up.weight", FEED, WIDTH)
        matrix(name + "ffn_down.weight", WIDTH, FEED)
    norm("output_norm.weight", WIDTH)
    # The output is tied to the embedding: there is no output.weight.
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def evaluate(path):
    model = llama_cpp.Llama(
        model_path=str(path), n_ctx=512, n_batch=512, n_threads=1, n_threads_batch=1, logits_all=True,
        type_k=0, type_v=0, flash_attn=False, verbose=False, seed=0,
    )
    model.eval(PROMPT)
    logits = np.array(model.scores[: len(PROMPT)], dtype=np.float32)
    greedy, margins = [], []
    row = logits[-1]
    for _ in range(STEPS):
        order = np.argsort(-row, kind="stable")
        greedy.append(int(order[0]))
        margins.append(float(row[order[0]] - row[order[1]]))
        model.eval([greedy[-1]])
        row = np.array(model.scores[model.n_tokens - 1], dtype=np.float32)
    return logits, {"prompt": PROMPT, "greedy": greedy, "greedy_margin": margins}


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, architecture, seed, options in [
        ("qwen3-f32", "qwen3", 1, {"norms": True}),
        ("llama-factors-f32", "llama", 2, {"factors": True}),
    ]:
        path = folder / f"{name}.gguf"
        write(path, architecture, seed, **options)
        logits, reference = evaluate(path)
        np.save(folder / f"{name}.logits.npy", logits)
        (folder / f"{name}.json").write_text(json.dumps(reference) + "\n")
        print(name, path.stat().st_size, logits.std(), reference["greedy"][:8], min(reference["greedy_margin"]))


if __name__ == "__main__":
    main()
