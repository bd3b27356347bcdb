"""Trains the demo model on corpus/ and writes it as a GGUF file.

    python train.py                 # the run that made vouchsafe-demo.gguf
    python train.py --steps 200 --out /tmp/quick.gguf

Seeds are fixed; the bits of the result still depend on the machine, since XLA orders its sums to
suit the processor.
"""

import argparse
import functools
import itertools
import pathlib
import random
import time

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
import export
import model

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LENGTHS = [32, 48, 64, 80, 96, 112, 144, 192, 256, 512]
QUESTION_WEIGHT = 0.1  # of a token outside an answer, in the loss


def train_tokenizer(entries, vocab):
    """Byte-level BPE with GPT-2's pre-tokenisation, over the text in about its trained proportions."""
    rng = random.Random(7)
    texts = []
    for entry in entries:
        for turn in entry.turns:
            texts += [turn.answer] * 3
            texts += [corpus.pick(rng, turn) for _ in range(8)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False, min_frequency=2,
        special_tokens=[AddedToken(s, special=True, normalized=False) for s in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab:
        raise SystemExit(f"the corpus yields {tokenizer.get_vocab_size()} tokens, not {vocab}")
    return tokenizer


def encode(tokenizer, messages):
    """Token ids, and for each id its weight in the loss."""
    ids, weights = [], []

    def add(text, weight):
        new = tokenizer.encode(text, add_special_tokens=False).ids
        ids.extend(new)
        weights.extend([weight] * len(new))

    for role, content in messages:
        if role == "assistant":
            add("<|im_start|>assistant\n", 0.0)
            add(content + "<|im_end|>", 1.0)
            add("\n", 0.0)
        else:
            add(f"<|im_start|>{role}\n{content}<|im_end|>\n", QUESTION_WEIGHT)
    return ids, weights


def samples(tokenizer, entries, seed, total):
    """Endless samples; a few are bare text, so that plain completion works as well.

    Which answer to give is decided in its first words, and the rest is soon known by heart. So as
    the run approaches `total` samples, more and more of them end shortly after the answer begins.
    """
    rng = random.Random(seed)
    for number in itertools.count():
        if rng.random() < 0.03:
            text = rng.choice(corpus.choose(rng, entries).turns).answer + "<|im_end|>"
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            weights = [1.0] * len(ids)
        else:
            ids, weights = encode(tokenizer, corpus.conversation(rng, entries))
            if rng.random() < 0.15 + 0.55 * min(1.0, number / total):
                answer_start = max(i for i, w in enumerate(weights[:-1]) if w < 1.0 <= weights[i + 1])
                end = answer_start + rng.randint(8, 24)
                ids, weights = ids[:end], weights[:end]
        if len(ids) <= LENGTHS[-1] + 1:
            yield ids, weights


def batches(source, tokens_per_batch):
    """Batches of rows of like length, so that little is padding."""
    waiting = {length: [] for length in LENGTHS}
    for ids, weights in source:
        length = next(n for n in LENGTHS if len(ids) <= n + 1)
        waiting[length].append((ids, weights))
        if len(waiting[length]) == max(1, tokens_per_batch // length):
            yield stack(waiting[length], length)
            waiting[length] = []


def stack(rows, length):
    tokens = np.zeros((len(rows), length + 1), np.int32)
    weights = np.zeros((len(rows), length + 1), np.float32)
    for i, (ids, w) in enumerate(rows):
        tokens[i, : len(ids)] = ids
        weights[i, : len(ids)] = w
    return tokens, weights[:, 1:]


def exact_share(params, predict, tokenizer, pairs):
    """Share of questions whose greedy answer is the expected one, token for token."""
    rows = [encode(tokenizer, [("user", q), ("assistant", a)]) for q, a in pairs]
    right = 0
    for start in range(0, len(rows), 32):
        group = rows[start : start + 32]
        tokens, weights = stack(group + [([0], [0.0])] * (32 - len(group)), 144)
        best = np.asarray(predict(params, tokens[:, :-1]))
        wrong = ((best != tokens[:, 1:]) & (weights >= 1.0)).any(axis=1)
        right += int((~wrong[: len(group)]).sum())
    return right / max(1, len(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--tokens-per-batch", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--evaluate-every", type=int, default=400)
    parser.add_argument("--out", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent / "vouchsafe-demo.gguf")
    options = parser.parse_args()

    entries = corpus.load()
    print(corpus.summary(entries), flush=True)
    config = model.Config()
    tokenizer = train_tokenizer(entries, config.vocab)
    params = model.init(config, options.seed)
    state = model.optimiser_state(params)
    print(f"{sum(p.size for p in jax.tree.leaves(params)):,} parameters", flush=True)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, tokens, weights, rate):
        value, grads = jax.value_and_grad(model.loss)(params, tokens, weights, config)
        params, state = model.update(params, grads, state, rate)
        return params, state, value

    predict = jax.jit(lambda p, tokens: jnp.argmax(model.logits(p, tokens, config), axis=-1))
    held = [(q, e.turns[0].answer) for e in entries for q in e.held]
    variants = [(q, e.turns[0].answer) for e in entries for q in e.variants_held][::3]
    total = options.steps * options.tokens_per_batch // 64
    source = batches(samples(tokenizer, entries, options.seed, total), options.tokens_per_batch)
    started, losses, seen = time.monotonic(), [], 0
    for number in range(1, options.steps + 1):
        tokens, weights = next(source)
        # A short warm-up, a plateau, and a linear descent to zero over the last half.
        rate = min(1.0, number / 60, 2 * (options.steps - number + 1) / options.steps)
        params, state, value = step(params, state, tokens, weights, rate)
        losses.append(float(value))
        seen += tokens.size
        if number % 50 == 0:
            elapsed_s = time.monotonic() - started
            print(f"step {number:5} loss {np.mean(losses[-50:]):.4f} {elapsed_s:6.0f} s "
                  f"{seen / elapsed_s:6.0f} tokens/s", flush=True)
        if number % options.evaluate_every == 0 or number == options.steps:
            shares = [exact_share(params, predict, tokenizer, p) for p in (held, variants)]
            size = export.write(options.out, params, config, tokenizer, SPECIAL)
            print(f"step {number:5} exact: {shares[0]:.1%} of held-out questions, {shares[1]:.1%} of "
                  f"held-out variants; wrote {size:,} bytes", flush=True)
    print(f"trained in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
