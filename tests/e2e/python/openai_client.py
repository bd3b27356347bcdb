"""The official `openai` package against a running endpoint: what a user's own program does.

Usage: openai_client.py ENDPOINT. Exits 0 when every expectation holds.
"""

import json
import math
import sys
from typing import Literal

import openai
from pydantic import BaseModel

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
    said = lambda seed: ask(temperature=1.5, seed=seed, max_tokens=30).choices[0].message.content
    assert said(7) == said(7), "one seed, two answers"
    assert len({said(seed) for seed in range(5)}) > 1, "five seeds, one answer"


def ask(**arguments):
    return client.chat.completions.create(
        **{"model": MODEL, "messages": QUESTION, "temperature": 0, "max_tokens": 40, **arguments})


def shapes_the_answer():
    whole = ask().choices[0].message.content
    word = whole.split()[2]
    assert ask(stop=[word]).choices[0].message.content == whole[: whole.index(word)]
    several = ask(n=3, seed=1, temperature=1.2)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in several.choices}) > 1, several
    short = ask(max_completion_tokens=3, max_tokens=openai.NOT_GIVEN)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 3
    assert ask(frequency_penalty=-2, presence_penalty=2, max_tokens=5).choices[0].message.content


def probabilities():
    choice = ask(logprobs=True, top_logprobs=4, max_tokens=6).choices[0]
    tokens = choice.logprobs.content
    assert "".join(token.token for token in tokens) == choice.message.content
    for token in tokens:
        top = token.top_logprobs
        assert len(top) == 4 and top[0].logprob == token.logprob, token
        assert sum(math.exp(other.logprob) for other in top) <= 1.0001
    first = client.completions.create(model=MODEL, prompt="Attestation is", max_tokens=1, temperature=0, logprobs=2)
    logprobs = first.choices[0].logprobs
    assert len(logprobs.top_logprobs[0]) == 2 and logprobs.tokens == [first.choices[0].text], logprobs


def biases():
    # One token is wanted above all others, wherever it stands.
    answer = client.completions.create(
        model=MODEL, prompt="Attestation is", max_tokens=3, temperature=0, logit_bias={"70": 100}, logprobs=0)
    assert len(set(answer.choices[0].logprobs.tokens)) == 1, answer


def prompts_as_tokens():
    answer = client.completions.create(model=MODEL, prompt=[[70, 71, 72], [70, 71, 72]], max_tokens=4, temperature=0)
    assert answer.choices[0].text == answer.choices[1].text and answer.usage.prompt_tokens == 6, answer


def echoes():
    shared = {"model": MODEL, "max_tokens": 4, "temperature": 0}
    plain = client.completions.create(prompt="Attestation is", **shared).choices[0].text
    echoed = client.completions.create(prompt="Attestation is", echo=True, **shared).choices[0].text
    assert echoed == "Attestation is" + plain, echoed
    streamed = client.completions.create(prompt="Attestation is", echo=True, stream=True, **shared)
    assert "".join(chunk.choices[0].text for chunk in streamed) == echoed


class Verdict(BaseModel):
    proved: bool
    level: Literal["none", "attested", "settled"]
    receipts: list[Literal[1, 2, 3]]


VERDICT = {
    "type": "object",
    "properties": {
        "proved": {"type": "boolean"},
        "level": {"enum": ["none", "attested", "settled"]},
        "receipts": {"type": "array", "items": {"enum": [1, 2, 3]}, "maxItems": 3},
    },
    "required": ["proved", "level", "receipts"],
    "additionalProperties": False,
}


def answers_in_a_form():
    schema = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": VERDICT, "strict": True}}
    for temperature in (0, 1.5):
        answer = ask(response_format=schema, temperature=temperature, seed=5, max_tokens=80).choices[0]
        Verdict.model_validate_json(answer.message.content)
        assert answer.finish_reason == "stop", answer
    streamed = ask(response_format=schema, stream=True, max_tokens=80)
    Verdict.model_validate_json("".join(chunk.choices[0].delta.content or "" for chunk in streamed))
    parsed = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, response_format=schema, temperature=0, max_tokens=80)
    assert Verdict.model_validate_json(parsed.choices[0].message.content)
    free = ask(response_format={"type": "json_object"}, temperature=1, seed=3).choices[0]
    assert free.message.content.startswith("{"), free
    if free.finish_reason == "stop":
        assert isinstance(json.loads(free.message.content), dict)


TOOL = {
    "type": "function",
    "function": {
        "name": "verify",
        "parameters": {
            "type": "object",
            "properties": {"level": {"enum": ["attested", "settled"]}, "strict": {"type": "boolean"}},
            "required": ["level", "strict"],
            "additionalProperties": False,
        },
    },
}


def checked(call):
    arguments = json.loads(call.function.arguments)
    assert call.id and call.type == "function" and call.function.name == "verify", call
    assert arguments["level"] in ("attested", "settled") and arguments["strict"] in (True, False), call


def tools():
    named = {"type": "function", "function": {"name": "verify"}}
    for choice in ("required", named):
        answer = ask(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False, max_tokens=80).choices[0]
        assert answer.finish_reason == "tool_calls" and answer.message.content is None, answer
        [call] = answer.message.tool_calls
        checked(call)
    stream = client.chat.completions.stream(
        model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice="required", parallel_tool_calls=False,
        temperature=0, max_tokens=80)
    with stream as events:
        for _ in events:
            pass
        [streamed] = events.get_final_completion().choices[0].message.tool_calls
    checked(streamed)
    # The result goes back, and the model answers in words.
    history = [*QUESTION, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "accepted"}]
    after = ask(messages=history, tools=[TOOL], tool_choice="none", max_tokens=20).choices[0]
    assert after.message.content and not after.message.tool_calls, after
    assert ask(tools=[TOOL], max_tokens=20).choices[0].finish_reason in ("stop", "length", "tool_calls")


def responses():
    shared = {"model": MODEL, "input": QUESTION[0]["content"], "temperature": 0, "max_output_tokens": 60}
    plain = client.responses.create(**shared)
    assert plain.output_text and plain.status in ("completed", "incomplete") and plain.usage.output_tokens > 0, plain
    assert plain.output_text == ask(max_tokens=60).choices[0].message.content, "a chat says something else"
    with client.responses.stream(**shared) as events:
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == plain.output_text, text
    form = {"format": {"type": "json_schema", "name": "verdict", "schema": VERDICT, "strict": True}}
    formed = client.responses.create(**{**shared, "max_output_tokens": 80}, text=form)
    Verdict.model_validate_json(formed.output_text)
    tool = {"type": "function", **TOOL["function"]}
    required = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    called = client.responses.create(**{**shared, "max_output_tokens": 80}, **required)
    [call] = called.output
    assert call.type == "function_call" and call.name == "verify" and json.loads(call.arguments), call
    with client.responses.stream(**{**shared, "max_output_tokens": 80}, **required) as events:
        [streamed] = events.get_final_response().output
    assert streamed.arguments == call.arguments, streamed
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "accepted"}
    history = [*QUESTION, *called.output, result]
    assert client.responses.create(**{**shared, "input": history}).output_text
    try:
        client.responses.create(**shared, previous_response_id=plain.id)
    except openai.BadRequestError as raised:
        assert raised.body["param"] == "previous_response_id", raised.body
    else:
        raise AssertionError("what is not stored was found")


def leaving():
    stream = ask(stream=True, max_tokens=100, temperature=1.5, seed=2)
    next(iter(stream))
    stream.close()
    assert ask(max_tokens=2).choices[0].message.content, "after a client left"


def refusals():
    for error, arguments in [
        (openai.BadRequestError, {"model": MODEL, "messages": QUESTION, "frequency_penalty": 3}),
        (openai.BadRequestError, {"model": MODEL, "messages": QUESTION, "reasoning_effort": "low"}),
        (openai.BadRequestError, {"model": MODEL, "messages": QUESTION, "logit_bias": {"99999999": 1}}),
        (openai.BadRequestError, {"model": MODEL, "messages": QUESTION, "tool_choice": "required"}),
        (openai.BadRequestError, {"model": MODEL, "messages": QUESTION, "response_format": {
            "type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}}),
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
shapes_the_answer()
probabilities()
biases()
prompts_as_tokens()
echoes()
answers_in_a_form()
tools()
responses()
leaving()
refusals()
print("openai client: all expectations hold")
