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

VOCABULARY, WIDTH, FEED, FEED_EXPERT, LAYERS, HEADS, HEADS_KV, HEAD_WIDTH = 288, 32, 48, 16, 2, 4, 2, 16
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


def write(path, architecture, seed, norms=False, factors=False, joint=False, experts=0, embeds=False):
    # llama.cpp expects Phi-3's heads to be as wide as the state together.
    head_width = WIDTH // HEADS if joint else HEAD_WIDTH
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    # llama.cpp expects particular tokens of what is named after Phi-3.
    writer.add_name("random" if joint else f"{architecture}-random")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS_KV)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
        writer.add_expert_feed_forward_length(FEED_EXPERT)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    # Phi-4-mini's kind: a quarter of each head is not turned, and the context has been extended.
    rotary = head_width * 3 // 4 if joint else head_width
    writer.add_rope_dimension_count(rotary)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(500000.0)
    writer.add_vocab_size(VOCABULARY)
    if embeds:
        writer.add_pooling_type(gguf.PoolingType.LAST)
        writer.add_add_eos_token(True)
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
    if joint:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_attn_factors(1.19)
        writer.add_rope_scaling_orig_ctx_len(256)
        writer.add_tensor("rope_factors_long.weight", np.array([1, 1.5, 8], dtype=np.float32))
        writer.add_tensor("rope_factors_short.weight", np.ones(rotary // 2, dtype=np.float32))
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        norm(name + "attn_norm.weight", WIDTH)
        if joint:
            matrix(name + "attn_qkv.weight", (HEADS + 2 * HEADS_KV) * head_width, WIDTH)
        else:
            matrix(name + "attn_q.weight", HEADS * head_width, WIDTH)
            matrix(name + "attn_k.weight", HEADS_KV * head_width, WIDTH)
            matrix(name + "attn_v.weight", HEADS_KV * head_width, WIDTH)
        if norms:
            norm(name + "attn_q_norm.weight", head_width)
            norm(name + "attn_k_norm.weight", head_width)
        matrix(name + "attn_output.weight", WIDTH, HEADS * head_width)
        norm(name + "ffn_norm.weight", WIDTH)
        if joint:
            matrix(name + "ffn_up.weight", 2 * FEED, WIDTH)
        elif experts:
            matrix(name + "ffn_gate_inp.weight", experts, WIDTH)
            for part, shape in [("gate", (FEED_EXPERT, WIDTH)), ("up", (FEED_EXPERT, WIDTH)), ("down", (WIDTH, FEED_EXPERT))]:
                values = random.normal(0, 1.5 / np.sqrt(shape[1]), (experts, *shape)).astype(np.float32)
                writer.add_tensor(f"{name}ffn_{part}_exps.weight", values)
            continue
        else:
            matrix(name + "ffn_gate.weight", FEED, WIDTH)
            matrix(name + "ffn_up.weight", FEED, WIDTH)
        matrix(name + "ffn_down.weight", WIDTH, FEED)
    norm("output_norm.weight", WIDTH)
    if joint:
        matrix("output.weight", VOCABULARY, WIDTH)
    # Elsewhere the output is tied to the embedding: there is no output.weight.
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


TEXTS = ["", "a", "Wie geht es?", "\u65e5\u672c\u8a9e", "twelve " * 30]


def embed(path):
    model = llama_cpp.Llama(
        model_path=str(path), embedding=True, n_ctx=512, n_batch=512, n_ubatch=512, n_threads=1, verbose=False,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_UNSPECIFIED,
    )
    vectors = [np.array(model.embed(text), dtype=np.float64) for text in TEXTS]
    return [{"text": text, "tokens": len(model.tokenize(text.encode(), add_bos=True)), "vector": list(vector / np.linalg.norm(vector))}
            for text, vector in zip(TEXTS, vectors)]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, architecture, seed, options in [
        ("qwen3-f32", "qwen3", 1, {"norms": True}),
        ("llama-factors-f32", "llama", 2, {"factors": True}),
        ("phi3-f32", "phi3", 3, {"joint": True}),
        ("qwen3moe-f32", "qwen3moe", 4, {"norms": True, "experts": 6}),
    ]:
        path = folder / f"{name}.gguf"
        write(path, architecture, seed, **options)
        logits, reference = evaluate(path)
        np.save(folder / f"{name}.logits.npy", logits)
        (folder / f"{name}.json").write_text(json.dumps(reference) + "\n")
        print(name, path.stat().st_size, logits.std(), reference["greedy"][:8], min(reference["greedy_margin"]))
    path = folder / "qwen3-embedding-f32.gguf"
    write(path, "qwen3", 5, norms=True, embeds=True)
    (folder / "qwen3-embedding-f32.json").write_text(json.dumps(embed(path)) + "\n")


if __name__ == "__main__":
    main()
