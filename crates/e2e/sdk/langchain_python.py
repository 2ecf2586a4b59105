"""LangChain over its OpenAI package."""

import os

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

about = {"base_url": os.environ["AIO_URL"], "api_key": os.environ["AIO_KEY"], "max_retries": 0}
chat = ChatOpenAI(model="gemini", stream_usage=True, **about)


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return "sunny"


answer = chat.invoke("Hello [sandbox tokens=12]")
assert answer.content.startswith("Sandbox reply."), answer
assert answer.usage_metadata["output_tokens"] == 12, answer
parts = list(chat.stream("Hello [sandbox tokens=12]"))
assert "".join(part.content for part in parts) == answer.content, parts
called = chat.bind_tools([get_weather], tool_choice="get_weather").invoke("weather?")
assert called.tool_calls[0]["name"] == "get_weather", called

# The same by responses.
by_id = ChatOpenAI(model="gemini", use_responses_api=True, use_previous_response_id=True, **about)
said = by_id.invoke("Hello [sandbox tokens=12]")
assert said.text.startswith("Sandbox reply.") and said.usage_metadata["output_tokens"] == 12, said
parts = list(by_id.stream("Hello [sandbox tokens=12]"))
assert "".join(part.text for part in parts) == said.text, parts
again = by_id.invoke([HumanMessage("Hello [sandbox tokens=12]"), said, HumanMessage("And again.")])
assert "Messages: 3 (user, model, user)" in again.text, again
by_hand = ChatOpenAI(model="gemini", use_responses_api=True, **about)
asked = [HumanMessage("weather?")]
called = by_hand.bind_tools([get_weather], tool_choice="get_weather").invoke(asked)
assert called.tool_calls[0]["name"] == "get_weather", called
asked += [called, ToolMessage("sunny", tool_call_id=called.tool_calls[0]["id"])]
answered = by_hand.invoke(asked)
assert "Parts: 3 (text, functionCall, functionResponse)" in answered.text, answered
vectors = OpenAIEmbeddings(model="text-embedding-3-small", dimensions=8, check_embedding_ctx_length=False, **about)
assert [len(row) for row in vectors.embed_documents(["a fox", "a bear"])] == [8, 8]
