"""Reads corpus/*.txt and turns it into training conversations.

An entry is a block of lines; a blank line ends it; a line that starts with `#` is a comment.

    Q: a phrasing of the question; [one|two] stands for either, [|really ] may be empty
    D: a noun phrase, expanded through DEFINE ("What is ...?", "Explain ...", ...)
    P: the same for a plural
    H: a phrasing that is never trained on, kept for evaluate.py
    A: the answer; lines after it that start with a space continue it

Questions that follow an answer within the same block are the conversation's next turn.
Besides the H lines, one expanded phrasing of each first turn is held out (`Entry.variants_held`).
"""

import hashlib
import itertools
import pathlib
import random
import re
from dataclasses import dataclass, field

OFF_TOPIC = "off-topic"
FOLDER = pathlib.Path(__file__).resolve().parent / "corpus"

DEFINE = [
    "What is {x}?", "What's {x}?", "what is {x} exactly?", "Explain {x}.", "Define {x}.",
    "Tell me about {x}.", "What does {x} mean?", "Can you explain {x}?", "What do you mean by {x}?",
    "What is meant by {x}?", "{x}", "{x}?", "Describe {x}.", "Explain {x} to me.",
    "How would you explain {x}?", "I have never heard of {x}. What is it?", "What do you know about {x}?",
    "Give me a definition of {x}.", "Could you tell me what {x} is?", "Explain what {x} is.",
]
DEFINE_PLURAL = [
    "What are {x}?", "Explain {x}.", "Define {x}.", "Tell me about {x}.", "What does {x} mean?",
    "Can you explain {x}?", "What do you mean by {x}?", "What is meant by {x}?", "{x}", "{x}?",
    "Describe {x}.", "Explain {x} to me.", "How would you explain {x}?",
    "I have never heard of {x}. What are they?", "What do you know about {x}?",
    "Could you tell me what {x} are?", "Explain what {x} are.",
]

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are a helpful AI assistant.", "You are a helpful assistant",
    "You are Vouchsafe's demo model.", "Answer briefly.", "Be concise.",
    "You are an expert in confidential computing.", "Answer the user's question.",
    "You are a friendly assistant. Keep your answers short.", "You are an assistant.",
]
BEFORE = [
    "Hi! ", "Hello, ", "Hey, ", "Hi there. ", "Please ", "Quick question: ", "Question: ",
    "I have a question. ", "Tell me, ", "Please tell me: ", "So, ", "OK, ", "Okay. ", "Thanks. ",
    "I am new to this. ", "Can you tell me: ", "I would like to know: ", "Just curious: ", "And ",
    "Could you explain: ", "I was wondering, ", "Well, ", "Sorry, ", "Good morning. ",
]
AFTER = [
    " Please be brief.", " Thanks!", " Thank you.", " Please.", " Answer in one sentence.",
    " Explain it simply.", " I am a beginner.", " Keep it short.", " In simple terms, please.",
    " Please explain.", " Be brief.", " Explain it to me like I am five.", " I want to understand it.",
]


@dataclass
class Turn:
    """One question in all its phrasings, and its answer."""

    lines: list[list[str]]  # per source line, its trained expansions
    answer: str


@dataclass
class Entry:
    topic: str
    turns: list[Turn]
    held: list[str] = field(default_factory=list)  # H lines of the first turn
    variants_held: list[str] = field(default_factory=list)


def expand(text):
    """All readings of a line with [a|b] alternatives."""
    parts = re.split(r"\[([^\]]*)\]", text)
    choices = [[p] if i % 2 == 0 else p.split("|") for i, p in enumerate(parts)]
    return ["".join(c) for c in itertools.product(*choices)]


def capital(text):
    return text[:1].upper() + text[1:]


def expand_line(kind, text):
    readings = expand(text)
    if kind in ("D", "P"):
        templates = DEFINE if kind == "D" else DEFINE_PLURAL
        readings = [t.format(x=x) for x in readings for t in templates]
    return [capital(r.strip()) for r in readings]


def parse_block(topic, block):
    turns, held, lines, answer = [], [], [], None
    for raw in block:
        if raw.startswith(" "):
            if answer is None:
                raise ValueError(f"{topic}: continuation before an answer: {raw!r}")
            answer += " " + raw.strip()
            continue
        kind, _, text = raw.partition(":")
        text = text.strip()
        if kind not in ("Q", "D", "P", "H", "A") or not text:
            raise ValueError(f"{topic}: not an entry line: {raw!r}")
        if kind == "A":
            if answer is not None or not lines:
                raise ValueError(f"{topic}: answer without a question: {raw!r}")
            answer = text
            continue
        if answer is not None:
            turns.append(Turn(lines, answer))
            lines, answer = [], None
        if kind == "H":
            held += expand_line("Q", text)
        else:
            lines.append(expand_line(kind, text))
    if answer is None:
        raise ValueError(f"{topic}: entry without an answer: {block!r}")
    turns.append(Turn(lines, answer))
    return Entry(topic, turns, held)


def hold_out_variant(entry):
    """Takes one phrasing, chosen by digest, out of a first turn that has at least six."""
    first = entry.turns[0]
    flat = sorted({q for line in first.lines for q in line})
    if len(flat) < 6:
        return
    chosen = min((q for line in first.lines if len(line) > 1 for q in line), default=None,
                 key=lambda q: hashlib.sha256(q.encode()).digest())
    if chosen is None:
        return
    entry.variants_held = [chosen]
    first.lines = [[q for q in line if q != chosen] for line in first.lines]
    first.lines = [line for line in first.lines if line]


def load(folder=FOLDER):
    entries = []
    for path in sorted(folder.glob("*.txt")):
        block = []
        for line in path.read_text(encoding="utf-8").splitlines() + [""]:
            if line.startswith("#"):
                continue
            if line.strip():
                block.append(line)
            elif block:
                entries.append(parse_block(path.stem, block))
                block = []
    held = {q.casefold() for e in entries for q in e.held}
    asked = {bare(q) for e in entries if e.topic != OFF_TOPIC for line in e.turns[0].lines for q in line}
    for entry in entries:
        # What another file answers is not off topic, and what is held out is never trained on.
        answered_elsewhere = asked if entry.topic == OFF_TOPIC else set()
        for turn in entry.turns:
            turn.lines = [
                [q for q in line if q.casefold() not in held and bare(q) not in answered_elsewhere]
                for line in turn.lines
            ]
            turn.lines = [line for line in turn.lines if line]
        hold_out_variant(entry)
    return entries


def bare(question):
    return question.casefold().strip("?.! ")


def typo(rng, text):
    """One slip of the keyboard in a word of at least four letters."""
    spots = [m.span() for m in re.finditer(r"[A-Za-z]{4,}", text)]
    if not spots:
        return text
    start, end = rng.choice(spots)
    i = rng.randrange(start + 1, end - 1)
    how = rng.random()
    if how < 0.4:
        return text[:i] + text[i + 1] + text[i] + text[i + 2:]
    if how < 0.75:
        return text[:i] + text[i + 1:]
    return text[:i] + text[i] + text[i:]


def roughen(rng, question):
    """Varies what people vary: greetings, manners, case, punctuation, slips."""
    q = question
    if rng.random() < 0.22:
        lead = rng.choice(BEFORE)
        keep = lead.rstrip()[-1] in ".!:" or q[:2].isupper() or q.startswith("I ")
        q = lead + (q if keep else q[:1].lower() + q[1:])
    if rng.random() < 0.14:
        q = q + rng.choice(AFTER)
    if rng.random() < 0.2:
        q = q.rstrip("?.! ")
    if rng.random() < 0.22:
        q = q.lower()
    elif rng.random() < 0.015:
        q = q.upper()
    if rng.random() < 0.14:
        q = typo(rng, q)
    if rng.random() < 0.05:
        q = typo(rng, q)
    words = q.split(" ")
    if len(words) > 5 and rng.random() < 0.12:
        del words[rng.randrange(len(words))]
        q = " ".join(words)
    if rng.random() < 0.08:
        q = hurried(rng, q)
    return q


def pick(rng, turn):
    """One phrasing; a line with many readings comes up more often, but not in their proportion."""
    line = rng.choices(turn.lines, [len(line) ** 0.5 for line in turn.lines])[0]
    return roughen(rng, rng.choice(line))


# Words that a hurried question does without.
LIGHT = frozenset("""a an the is are was were be do does did can could would should will i you me my your it its
this that these those there of to in on for with by at from as and or so please what how why when which who
tell explain exactly actually really just""".split())


def hurried(rng, text):
    """The question as somebody types it into a search box: most light words are left out."""
    words = [w for w in text.split(" ") if w.lower().strip("?.,!'") not in LIGHT or rng.random() < 0.3]
    return " ".join(words) if len(words) >= 2 else text


# Subjects that are asked about most, or that need the most varied examples, come up more often.
TOPIC_WEIGHTS = {
    "confidential-inference": 1.6, "receipts": 1.4, "vouchsafe": 1.4, "attestation": 1.3,
    "identity": 1.4, "off-topic": 2.2, "simulation": 1.2, "dialogues": 1.2,
}


def choose(rng, entries):
    return rng.choices(entries, [TOPIC_WEIGHTS.get(e.topic, 1.0) for e in entries])[0]


def opening(rng, entry, system_share):
    """A conversation's first messages: perhaps a system prompt, and an entry's first question."""
    system = [("system", rng.choice(SYSTEM_PROMPTS))] if rng.random() < system_share else []
    return system + [("user", pick(rng, entry.turns[0]))]


def conversation(rng, entries):
    """A random list of messages; most are one question, some change the subject on the way."""
    messages = []
    for n in range(rng.choices([1, 2, 3, 5], [0.92, 0.06, 0.015, 0.005])[0]):
        entry = choose(rng, entries)
        messages += opening(rng, entry, system_share=0.25 if n == 0 else 0.0)
        messages.append(("assistant", entry.turns[0].answer))
        for turn in entry.turns[1:]:
            messages += [("user", pick(rng, turn)), ("assistant", turn.answer)]
    return messages


def render(messages, add_generation_prompt=False):
    """The chat template's result; evaluate.py checks that the template in the GGUF agrees."""
    text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in messages)
    return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def summary(entries):
    turns = [t for e in entries for t in e.turns]
    phrasings = sum(len(set(q for line in t.lines for q in line)) for t in turns)
    return (f"{len(entries)} entries, {len(turns)} answers, {phrasings} trained phrasings, "
            f"{sum(len(e.held) for e in entries)} held-out questions, "
            f"{sum(len(e.variants_held) for e in entries)} held-out variants")


if __name__ == "__main__":
    loaded = load()
    print(summary(loaded))
    sample = random.Random(1)
    for _ in range(8):
        print(render(conversation(sample, loaded)), end="\n---\n")
