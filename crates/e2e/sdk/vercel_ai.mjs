// Vercel's AI SDK over its provider for compatible servers.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, jsonSchema, streamText, tool } from "ai";

const { AIO_URL, AIO_KEY } = process.env;
const aio = createOpenAICompatible({ name: "aio", baseURL: AIO_URL, apiKey: AIO_KEY, includeUsage: true });
const model = aio("gemini");

const answer = await generateText({ model, prompt: "Hello [sandbox tokens=12]", maxRetries: 0 });
assert.match(answer.text, /^Sandbox reply\./);
assert.equal(answer.usage.outputTokens, 12);
const stream = streamText({ model, prompt: "Hello [sandbox tokens=12]", maxRetries: 0 });
let text = "";
for await (const part of stream.textStream) text += part;
assert.equal(text, answer.text);
assert.equal((await stream.usage).outputTokens, 12);
const getWeather = tool({
  description: "The weather of a city",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }),
});
const called = await generateText({
  model,
  prompt: "weather?",
  tools: { getWeather },
  toolChoice: "required",
  maxRetries: 0,
});
assert.equal(called.toolCalls[0].toolName, "getWeather");
const schema = jsonSchema({ type: "object", properties: {} });
const made = await generateObject({ model, schema, prompt: "Hello", maxRetries: 0 });
assert.equal(typeof made.object, "object");
const vectors = await embedMany({
  model: aio.textEmbeddingModel("text-embedding-3-small"),
  values: ["a fox", "a bear"],
  maxRetries: 0,
});
assert.deepEqual(vectors.embeddings.map((row) => row.length), [1536, 1536]);
