#!/usr/bin/env python3
"""Makes the small checkpoints in tests/checkpoints and writes down what transformers computes on them.

    python3 -m venv venv && venv/bin/pip install torch==2.15.0 transformers==5.23.0
    venv/bin/python make-checkpoints.py ../tests/checkpoints

The weights are random, in bfloat16. Beside each checkpoint's own files: reference.json with a prompt, and with
texts and their tokens by `tokenizers`; reference.logits.npy with the logits at each position of the prompt,
computed in float32 from those weights.
"""
import json
import sys
from pathlib import Path

import numpy as np
import tokenizers
import torch
import transformers

WIDTH, FEED, HEADS, HEADS_KV, HEAD_WIDTH = 32, 48, 4, 2, 16
PROMPT = [1, 30, 275, 38, 97, 29, 53, 99, 112, 200, 124, 130, 199, 287, 150, 42]
TEXT = "Wie geht es? the theme then there hello hello he 1984 and 12 more, it's I'M   spaces\n\n\tand lines\n"
TEXTS = ["", " ", "hello there", "  it's  1984 \n\n and\tI'M 12345", "日本語 é e\u0301 🎉", "<|end|>", "a<|end|>b", TEXT]

QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level(pattern, normalizer=None, begins=False):
    from tokenizers import models, pre_tokenizers, processors, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE(ignore_merges=begins))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    if begins:
        begin = tokenizer.token_to_id("<|begin|>")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", begin)]
        )
    return tokenizer


def sentence_piece(scheme):
    from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

    texts = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    texts += list("\u2581helotm s") + ["th", "he", "the", "\u2581the", "ll", "hell", "hello", "\u2581hello", "em", "me", "\u2581t"]
    vocabulary = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    merges = [("t", "h"), ("h", "e"), ("l", "l"), ("th", "e"), ("t", "he"), ("\u2581", "the"), ("\u2581t", "he"),
              ("he", "ll"), ("hell", "o"), ("\u2581", "hello"), ("e", "m"), ("m", "e"), ("\u2581", "t")]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if scheme is None:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", scheme, split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in ["<unk>", "<s>", "</s>", "<|end|>"]])
    return tokenizer


def make(folder, kind, figures, tokenizer, begin, end, shard_size="1GB", seed=0):
    figures["bos_token_id"] = None if begin is None else tokenizer.token_to_id(begin)
    config = kind(**figures, eos_token_id=end)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    gemma = "gemma" in config.model_type
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            centre = 0.0 if gemma or name.endswith("bias") else 1.0
            torch.nn.init.normal_(parameter, centre, 0.1)
        else:
            torch.nn.init.normal_(parameter, 0.0, 1.5 / parameter.shape[-1] ** 0.5)
    model = model.to(torch.bfloat16)
    model.generation_config = transformers.GenerationConfig(eos_token_id=[end])
    model.save_pretrained(folder, max_shard_size=shard_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": begin, "eos_token": tokenizer.id_to_token(end)}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings) + "\n")
    # Loaded anew: the conversion has rounded the rotary frequencies too.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = model(torch.tensor([PROMPT])).logits[0].numpy().astype(np.float32)
    np.save(folder / "reference.logits.npy", logits)
    texts = [{"text": text, "tokens": tokenizer.encode(text, add_special_tokens=False).ids} for text in TEXTS]
    (folder / "reference.json").write_text(json.dumps({"prompt": PROMPT, "texts": texts}) + "\n")
    print(folder.name, sum(file.stat().st_size for file in folder.iterdir()), logits.std())


def main():
    folder = Path(sys.argv[1])
    common = dict(
        vocab_size=288, hidden_size=WIDTH, intermediate_size=FEED, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=HEADS_KV, max_position_embeddings=512, rms_norm_eps=1e-6, head_dim=HEAD_WIDTH,
        pad_token_id=None, tie_word_embeddings=False,
    )
    scaled = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                  original_max_position_embeddings=64)
    plain = dict(rope_type="default", rope_theta=10000.0)
    level = byte_level(LLAMA, begins=True)
    qwen = byte_level(QWEN, tokenizers.normalizers.NFC())
    end = level.token_to_id("<|end|>")
    begins, ends = "<|begin|>", qwen.token_to_id("<|end|>")
    make(folder / "llama", transformers.LlamaConfig, {**common, "rope_parameters": scaled}, level, begins, end, seed=1)
    common["rope_parameters"] = plain
    make(folder / "mistral", transformers.MistralConfig, {**common, "sliding_window": None}, sentence_piece("first"), "<s>", 2, seed=2)
    make(folder / "qwen2", transformers.Qwen2Config, {**common, "head_dim": 8, "tie_word_embeddings": True}, qwen, None, ends, seed=3)
    make(folder / "qwen3", transformers.Qwen3Config, {**common}, qwen, None, ends, shard_size="25KB", seed=4)
    experts = dict(num_experts=6, num_experts_per_tok=2, moe_intermediate_size=16, norm_topk_prob=True, decoder_sparse_step=1)
    make(folder / "qwen3-moe", transformers.Qwen3MoeConfig, {**common, **experts}, qwen, None, ends, seed=5)
    kinds = {"full_attention": dict(rope_type="linear", rope_theta=1000000.0, factor=8.0), "sliding_attention": plain}
    gemma = dict(num_hidden_layers=7, tie_word_embeddings=True, sliding_window=8, query_pre_attn_scalar=HEAD_WIDTH, rope_parameters=kinds)
    make(folder / "gemma3", transformers.Gemma3TextConfig, {**common, **gemma}, sentence_piece("never"), "<s>", 2, seed=6)
    # Longer than the context it was trained with, so that both sides take the long factors.
    turned = HEAD_WIDTH // 2 * 3 // 4 // 2
    longrope = dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, original_max_position_embeddings=8,
                    long_factor=[1.0 + 0.7 * at for at in range(turned)], short_factor=[1.0] * turned)
    phi = dict(head_dim=8, max_position_embeddings=128, original_max_position_embeddings=8, partial_rotary_factor=0.75,
               sliding_window=None, rope_parameters=longrope)
    make(folder / "phi3", transformers.Phi3Config, {**common, **phi}, sentence_piece(None), "<s>", 2, seed=7)


if __name__ == "__main__":
    main()
