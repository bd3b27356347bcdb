"""Asks the GGUF file the held-out questions and says how many answers are right.

    python evaluate.py                       # all held-out questions, greedy
    python evaluate.py --ask "What is a nonce?"

The questions are of two kinds: independent phrasings (the H lines of corpus/), and variants that
differ from a trained phrasing in a word or two. For each the script prints the share of answers
that equal the expected one exactly, the mean word overlap (F1), and every miss with --misses. It
fails if the chat template in the file does not render as the training did.
"""

import argparse
import collections
import json
import pathlib
import sys

import numpy as np

import corpus
import gguf_model

FOLDER = pathlib.Path(__file__).resolve().parent


def overlap(expected, got):
    """F1 of the two texts' words, as multisets."""
    a, b = collections.Counter(expected.split()), collections.Counter(got.split())
    common = sum((a & b).values())
    return 2 * common / max(1, sum(a.values()) + sum(b.values()))


def check_template(model):
    messages = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello!"), ("user", "Why?")]
    expected = corpus.render(messages, add_generation_prompt=True)
    got = model.template.render(messages=[{"role": r, "content": c} for r, c in messages],
                                add_generation_prompt=True)
    if got != expected:
        sys.exit(f"the chat template renders {got!r}, trained was {expected!r}")


def score(model, name, pairs, system, answers, options):
    rng = np.random.default_rng(1)
    exact, known, f1 = 0, 0, 0.0
    for question, expected in pairs:
        messages = ([("system", system)] if system else []) + [("user", question)]
        got = model.answer(messages, temperature=options.temperature, rng=rng)
        exact += got == expected
        known += got in answers
        f1 += overlap(expected, got)
        if options.misses and got != expected:
            print(f"  Q: {question}\n  A: {got}\n")
    count = max(1, len(pairs))
    print(f"{name:28} {len(pairs):4} questions: exact {exact / count:6.1%}, word overlap "
          f"{f1 / count:6.1%}, answer is one of the corpus's, word for word {known / count:6.1%}",
          flush=True)
    return {"questions": len(pairs), "exact": exact / count, "overlap": f1 / count,
            "verbatim": known / count}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, default=FOLDER / "vouchsafe-demo.gguf")
    parser.add_argument("--ask", action="append", help="ask this instead; may be repeated")
    parser.add_argument("--system", help="with this system prompt")
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--limit", type=int, help="this many questions of each kind at most")
    parser.add_argument("--misses", action="store_true", help="print every answer that is not exact")
    parser.add_argument("--json", type=pathlib.Path, help="write the scores here as well")
    options = parser.parse_args()

    model = gguf_model.Model(options.model)
    check_template(model)
    if options.ask:
        rng = np.random.default_rng(1)
        for question in options.ask:
            messages = ([("system", options.system)] if options.system else []) + [("user", question)]
            print(f"Q: {question}\nA: {model.answer(messages, temperature=options.temperature, rng=rng)}\n")
        return
    entries = corpus.load()
    answers = {t.answer for e in entries for t in e.turns}
    held = [(q, e.turns[0].answer) for e in entries for q in e.held]
    variants = [(q, e.turns[0].answer) for e in entries for q in e.variants_held]
    kinds = {"independent phrasings": held, "variants": variants}
    scores = {name: score(model, name, pairs[: options.limit], options.system, answers, options)
              for name, pairs in kinds.items()}
    if options.json:
        options.json.write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main()
