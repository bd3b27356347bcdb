"""The official `openai` package against a running endpoint: what a user's own program does.

Usage: openai_client.py ENDPOINT. Exits 0 when every expectation holds.
"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="unused", max_retries=0, timeout=120)
MODEL = client.models.list().data[0].id
QUESTION = [{"role": "user", "content": "What does a receipt prove?"}]


def plain():
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=60)
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content.strip(), answer
    assert choice.finish_reason in ("stop", "length"), answer
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    return choice.message.content


def streamed():
    stream = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, max_tokens=60, stream=True,
        stream_options={"include_usage": True},
    )
    text, usage, finish = "", None, None
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    assert finish in ("stop", "length"), finish
    assert usage and usage.completion_tokens > 0, usage
    return text


def receipt_header():
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=QUESTION, temperature=0, max_tokens=5)
    for name in ("vouchsafe-receipt", "vouchsafe-opening", "vouchsafe-token"):
        assert raw.headers.get(name), f"no {name} header"


def completions():
    answer = client.completions.create(model=MODEL, prompt="Attestation is", max_tokens=8, temperature=0)
    assert answer.choices[0].text, answer


def seeds():
    ask = lambda seed: client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=1.5, seed=seed, max_tokens=30).choices[0].message.content
    assert ask(7) == ask(7), "one seed, two answers"
    assert len({ask(seed) for seed in range(5)}) > 1, "five seeds, one answer"


def refusals():
    for error, arguments in [
        (openai.NotFoundError, {"model": "no-such-model", "messages": QUESTION}),
        (openai.BadRequestError, {"model": MODEL, "messages": QUESTION, "temperature": 99}),
        (openai.BadRequestError, {"model": MODEL, "messages": []}),
        (openai.BadRequestError, {"model": MODEL, "messages": [{"role": "user", "content": "word " * 20_000}]}),
    ]:
        try:
            client.chat.completions.create(**arguments)
        except error as refusal:
            assert refusal.body and refusal.body["message"], refusal
        else:
            raise AssertionError(f"accepted: {str(arguments)[:80]}")


whole, pieces = plain(), streamed()
assert whole == pieces, f"streamed and plain answers differ:\n{whole!r}\n{pieces!r}"
receipt_header()
completions()
seeds()
refusals()
print("openai client: all expectations hold")
