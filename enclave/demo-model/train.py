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
LENGTHS = [32, 48, 64, 96, 128, 192, 512]
QUESTION_WEIGHT = 0.02  # of a token outside an answer, in the loss


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


class Sample:
    """Token ids; each one's weight in the loss; where answers begin, and which they are."""

    def __init__(self, tokenizer, messages, answer_ids):
        self.ids, self.weights, self.starts = [], [], []
        for role, content in messages:
            if role == "assistant":
                self.add(tokenizer, "<|im_start|>assistant\n", 0.0)
                self.starts.append((len(self.ids) - 1, answer_ids.get(content, -1)))
                self.add(tokenizer, content + "<|im_end|>", 1.0)
                self.add(tokenizer, "\n", 0.0)
            elif role == "text":
                self.add(tokenizer, content + "<|im_end|>", 1.0)
            else:
                self.add(tokenizer, f"<|im_start|>{role}\n{content}<|im_end|>\n", QUESTION_WEIGHT)

    def add(self, tokenizer, text, weight):
        new = tokenizer.encode(text, add_special_tokens=False).ids
        self.ids += new
        self.weights += [weight] * len(new)

    def cut(self, answer_tokens):
        """Ends the sample this many tokens into its last answer."""
        end = self.starts[-1][0] + 1 + answer_tokens
        self.ids, self.weights = self.ids[:end], self.weights[:end]


def samples(tokenizer, entries, answer_ids, seed, progress):
    """Endless samples; a few are bare text, so that plain completion works as well.

    An answer is soon known by heart, whereas choosing the right one takes many questions. So as
    `progress()` goes from 0 to 1, more and more samples end shortly after the answer begins.
    """
    rng = random.Random(seed)
    while True:
        if rng.random() < 0.03:
            messages = [("text", rng.choice(corpus.choose(rng, entries).turns).answer)]
            sample = Sample(tokenizer, messages, answer_ids)
        else:
            sample = Sample(tokenizer, corpus.conversation(rng, entries), answer_ids)
            if rng.random() < 0.35 + 0.35 * progress():
                sample.cut(rng.randint(2, 16))
        if len(sample.ids) <= LENGTHS[-1] + 1:
            yield sample


def batches(source, tokens_per_batch):
    """Batches of rows of like length, so that little is padding."""
    waiting = {length: [] for length in LENGTHS}
    for sample in source:
        length = next(n for n in LENGTHS if len(sample.ids) <= n + 1)
        waiting[length].append(sample)
        if len(waiting[length]) == max(1, tokens_per_batch // length):
            yield stack(waiting[length], length)
            waiting[length] = []


def stack(group, length):
    tokens = np.zeros((len(group), length + 1), np.int32)
    weights = np.zeros((len(group), length + 1), np.float32)
    starts = np.zeros((3, len(group) + 8), np.int32)
    starts[2] = -1
    found = [(i, at, label) for i, s in enumerate(group) for at, label in s.starts if at < length]
    for n, start in enumerate(found[: starts.shape[1]]):
        starts[:, n] = start
    for i, s in enumerate(group):
        tokens[i, : len(s.ids)] = s.ids
        weights[i, : len(s.ids)] = s.weights
    return tokens, weights[:, 1:], *starts


def exact_share(params, predict, tokenizer, pairs):
    """Share of questions whose greedy answer is the expected one, token for token."""
    rows = [Sample(tokenizer, [("user", q), ("assistant", a)], {}) for q, a in pairs]
    empty = Sample(tokenizer, [], {})
    length = max(len(row.ids) for row in rows)
    right = 0
    for start in range(0, len(rows), 32):
        group = rows[start : start + 32]
        tokens, weights, *_ = stack(group + [empty] * (32 - len(group)), length)
        best = np.asarray(predict(params, tokens[:, :-1]))
        wrong = ((best != tokens[:, 1:]) & (weights >= 1.0)).any(axis=1)
        right += int((~wrong[: len(group)]).sum())
    return right / max(1, len(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--minutes", type=float, help="train for this long instead of --steps")
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
    answers = sorted({turn.answer for entry in entries for turn in entry.turns})
    params = model.init(config, options.seed, len(answers))
    state = model.optimiser_state(params)
    exported = sum(p.size for name, p in params.items() if name != "blocks" and name != "choice")
    exported += sum(p.size for p in params["blocks"].values())
    print(f"{exported:,} parameters", flush=True)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, rate, *batch):
        (_, parts), grads = jax.value_and_grad(model.loss, has_aux=True)(params, *batch, config)
        params, state = model.update(params, grads, state, rate)
        return params, state, jnp.stack(parts)

    predict = jax.jit(lambda p, tokens: jnp.argmax(model.forward(p, tokens, config)[0], axis=-1))
    held = [(q, e.turns[0].answer) for e in entries for q in e.held]
    variants = [(q, e.turns[0].answer) for e in entries for q in e.variants_held][::3]
    started, losses, seen, number = time.monotonic(), [], 0, 0

    def progress():
        if options.minutes:
            return min(1.0, (time.monotonic() - started) / 60 / options.minutes)
        return number / options.steps

    answer_ids = {answer: i for i, answer in enumerate(answers)}
    source = samples(tokenizer, entries, answer_ids, options.seed, progress)
    source = batches(source, options.tokens_per_batch)
    while progress() < 1:
        number += 1
        # A short warm-up, a plateau, and a linear descent to zero over the last half.
        rate = min(1.0, number / 60, 2 * (1 - progress()) + 0.01)
        batch = next(source)
        params, state, parts = step(params, state, rate, *batch)
        losses.append(np.asarray(parts))
        seen += batch[0].size
        if number % 50 == 0:
            elapsed_s = time.monotonic() - started
            words, choice = np.mean(losses[-50:], axis=0)
            print(f"step {number:5} loss: words {words:.4f} choice {choice:.4f} {elapsed_s:6.0f} s "
                  f"{seen / elapsed_s:6.0f} tokens/s", flush=True)
        if number % options.evaluate_every == 0 or progress() >= 1:
            shares = [exact_share(params, predict, tokenizer, p) for p in (held, variants)]
            size = export.write(options.out, params, config, tokenizer, SPECIAL)
            print(f"step {number:5} exact: {shares[0]:.1%} of held-out questions, {shares[1]:.1%} of "
                  f"held-out variants; wrote {size:,} bytes", flush=True)
    print(f"{number} steps in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
