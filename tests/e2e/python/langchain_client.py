"""LangChain's OpenAI adapter against a running endpoint: what an agent's program does.

Usage: langchain_client.py ENDPOINT. Exits 0 when every expectation holds.
"""

import sys

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI


def model(**options):
    return ChatOpenAI(model="vouchsafe-demo", base_url=sys.argv[1], api_key="unused", max_retries=0,
                      temperature=0, max_tokens=60, **options)


QUESTION = [SystemMessage("Be brief."), HumanMessage("What does a receipt prove?")]

answer = model().invoke(QUESTION)
assert answer.content and answer.usage_metadata["output_tokens"] > 0, answer
assert "".join(chunk.content for chunk in model().stream(QUESTION)) == answer.content
assert all(one.content == answer.content for one in model().batch([QUESTION, QUESTION]))
print("langchain: all expectations hold")
