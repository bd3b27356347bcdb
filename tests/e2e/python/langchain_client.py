"""LangChain's OpenAI adapter against a running endpoint: what an agent's program does.

Usage: langchain_client.py ENDPOINT. Exits 0 when every expectation holds.
"""

import sys
from typing import Literal

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


def model(**options):
    return ChatOpenAI(model="vouchsafe-demo", base_url=sys.argv[1], api_key="unused", max_retries=0,
                      temperature=0, max_tokens=200, **options)


@tool
def verify(level: Literal["attested", "settled"]) -> str:
    """Verifies."""
    return "accepted"


class Verdict(BaseModel):
    proved: bool
    level: Literal["attested", "settled"]


QUESTION = [SystemMessage("Be brief."), HumanMessage("What does a receipt prove?")]

answer = model().invoke(QUESTION)
assert answer.content and answer.usage_metadata["output_tokens"] > 0, answer
assert "".join(chunk.content for chunk in model().stream(QUESTION)) == answer.content
assert all(one.content == answer.content for one in model().batch([QUESTION, QUESTION]))

# Strict: otherwise a model this small goes on with members of its own invention.
with_tools = model().bind_tools([verify], tool_choice="required", parallel_tool_calls=False, strict=True)
called = with_tools.invoke(QUESTION)
[call] = called.tool_calls
assert call["name"] == "verify" and call["args"]["level"] in ("attested", "settled"), called
streamed = None
for chunk in with_tools.stream(QUESTION):
    streamed = chunk if streamed is None else streamed + chunk
assert streamed.tool_calls[0]["args"] == call["args"], streamed
history = [*QUESTION, called, ToolMessage(verify.invoke(call["args"]), tool_call_id=call["id"])]
assert model().invoke(history).content

for method in ("json_schema", "function_calling"):
    verdict = model().with_structured_output(Verdict, method=method, strict=True).invoke(QUESTION)
    assert isinstance(verdict, Verdict), (method, verdict)
print("langchain: all expectations hold")
