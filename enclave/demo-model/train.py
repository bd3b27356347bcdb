"""Trains the demo model on corpus/ and writes it as a GGUF file.

    python train.py                 # the run that made vouchsafe-demo.gguf
    python train.py --steps 200 --out /tmp/quick.gguf

Seeds are fixed; the bits of the result still depend on the machine, since XLA orders its sums to
suit the processor.
"""

import argparse
import functools
import pathlib
import random
import time

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

import corpus
import export
import gguf_model
import model

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
LENGTHS = [32, 64, 96, 128, 224, 416]
CHOICE_LENGTHS = [24, 40]
CUT_SHARE = 0.3
CHOICE_SHARE = 0.5  # of the loss for choosing, beside the loss for words
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


def samples(tokenizer, entries, seed):
    """Endless samples. A few are bare text, so that plain completion works as well; some end soon
    after the answer begins, since what comes later is easily learned by heart."""
    rng = random.Random(seed)
    while True:
        if rng.random() < 0.03:
            text = rng.choice(corpus.choose(rng, entries).turns).answer + "<|im_end|>"
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            weights = [1.0] * len(ids)
        else:
            ids, weights = encode(tokenizer, corpus.conversation(rng, entries))
            if rng.random() < CUT_SHARE:
                start = max(i for i, w in enumerate(weights) if w == 1.0 and weights[i - 1] < 1.0)
                end = start + rng.randint(4, 20)
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


def choice_batches(tokenizer, entries, answers, seed, tokens_per_batch):
    """Endless batches of questions: tokens, the place of each row's last one, the answer's number."""
    rng = random.Random(seed)
    number = {answer: i for i, answer in enumerate(answers)}
    waiting = {length: [] for length in CHOICE_LENGTHS}
    while True:
        entry = corpus.choose(rng, entries)
        messages = corpus.opening(rng, entry, system_share=0.12)
        prompt = corpus.render(messages, add_generation_prompt=True)
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        length = next((n for n in CHOICE_LENGTHS if len(ids) <= n), None)
        if length is None:
            continue
        rows = waiting[length]
        rows.append((ids, number[entry.turns[0].answer]))
        if len(rows) == tokens_per_batch // length:
            tokens = np.zeros((len(rows), length), np.int32)
            for i, (ids, _) in enumerate(rows):
                tokens[i, : len(ids)] = ids
            ends = np.array([len(ids) - 1 for ids, _ in rows], np.int32)
            yield tokens, ends, np.array([label for _, label in rows], np.int32)
            waiting[length] = []


def exact_share(params, predict, tokenizer, pairs):
    """Share of questions whose greedy answer is the expected one, token for token."""
    rows = [encode(tokenizer, [("user", q), ("assistant", a)]) for q, a in pairs]
    length = max(len(ids) for ids, _ in rows)
    right = 0
    for start in range(0, len(rows), 32):
        group = rows[start : start + 32]
        tokens, weights = stack(group + [([], [])] * (32 - len(group)), length)
        best = np.asarray(predict(params, tokens[:, :-1]))
        wrong = ((best != tokens[:, 1:]) & (weights >= 1.0)).any(axis=1)
        right += int((~wrong[: len(group)]).sum())
    return right / max(1, len(rows))


def weights_of(path, params, tokenizer):
    """`params` with the weights of an exported file in their place."""
    exported = gguf_model.Model(path)
    if exported.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise SystemExit(f"{path} has another tokenizer: its corpus was another")
    tensor = lambda name: jnp.asarray(exported.tensors[f"{name}.weight"].T)
    layers = range(exported.layers)
    blocks = {ours: jnp.stack([tensor(f"blk.{i}.{theirs}") for i in layers])
              for ours, theirs in export.BLOCK_NAMES.items()}
    return params | {"embed": tensor("token_embd").T, "norm": tensor("output_norm"), "blocks": blocks}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--choice-steps", type=int, default=1400, help="first, of choosing alone")
    parser.add_argument("--steps", type=int, default=1700, help="then, of words and choosing")
    parser.add_argument("--tokens-per-batch", type=int, default=1280)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", type=pathlib.Path, dest="start", metavar="FILE.gguf",
                        help="go on from these weights, which must be of the same tokenizer")
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
    if options.start:
        params = weights_of(options.start, params, tokenizer)
    state = model.optimiser_state(params)
    exported = sum(p.size for name, p in params.items() if name != "blocks" and name != "choice")
    exported += sum(p.size for p in params["blocks"].values())
    print(f"{exported:,} parameters", flush=True)

    word_grads = jax.jit(lambda p, *batch: jax.value_and_grad(model.loss)(p, *batch, config))
    choice_grads = jax.jit(lambda p, *batch: jax.value_and_grad(model.choice_loss)(p, *batch, config))
    predict = jax.jit(lambda p, tokens: jnp.argmax(model.logits(p, tokens, config), axis=-1))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, words, choice, rate):
        grads = jax.tree.map(lambda w, c: w + CHOICE_SHARE * c, words, choice)
        return model.update(params, grads, state, rate)

    held = [(q, e.turns[0].answer) for e in entries for q in e.held]
    variants = [(q, e.turns[0].answer) for e in entries for q in e.variants_held][::3]
    source = batches(samples(tokenizer, entries, options.seed), options.tokens_per_batch)
    questions = choice_batches(tokenizer, entries, answers, options.seed + 1, 2048)
    nothing = jax.tree.map(jnp.zeros_like, params)
    started, words_lost, choices_lost = time.monotonic(), [], []

    def choose():
        lost, grads = choice_grads(params, *next(questions))
        choices_lost.append(float(lost))
        return grads

    def report(number):
        words = f"words {np.mean(words_lost[-50:]):.4f} " if words_lost else ""
        print(f"step {number:5} loss: {words}choice {np.mean(choices_lost[-25:]):.4f} "
              f"{time.monotonic() - started:6.0f} s", flush=True)

    # Questions alone are short: recognising them is learned first and cheaply.
    for number in range(1, options.choice_steps + 1):
        params, state = update(params, state, nothing, choose(), min(1.0, number / 40))
        if number % 100 == 0:
            report(number)
    for number in range(1, options.steps + 1):
        # A plateau, and a linear descent to zero over the last two thirds.
        rate = min(1.0, number / 40, 1.5 * (1 - number / options.steps) + 0.01)
        lost, words = word_grads(params, *next(source))
        words_lost.append(float(lost))
        params, state = update(params, state, words, choose() if number % 2 == 0 else nothing, rate)
        if number % 50 == 0:
            report(number)
        if number % options.evaluate_every == 0 or number == options.steps:
            shares = [exact_share(params, predict, tokenizer, p) for p in (held, variants)]
            size = export.write(options.out, params, config, tokenizer, SPECIAL)
            print(f"step {number:5} exact: {shares[0]:.1%} of held-out questions, {shares[1]:.1%} of "
                  f"held-out variants; wrote {size:,} bytes", flush=True)
    print(f"{options.choice_steps} + {options.steps} steps in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
