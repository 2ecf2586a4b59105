// Vercel's AI SDK over its provider for compatible servers, and over that for OpenAI, which asks for responses.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, experimental_generateImage as generateImage, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

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
const drawn = await generateImage({ model: aio.imageModel("flux-2"), prompt: "a fox", size: "1024x1536", maxRetries: 0 });
assert.deepEqual([drawn.image.mediaType, drawn.images.length], ["image/png", 1]);

const responses = createOpenAI({ baseURL: AIO_URL, apiKey: AIO_KEY })("gemini");
const said = await generateText({ model: responses, prompt: "Hello [sandbox tokens=12]", maxRetries: 0 });
assert.equal(said.text, text);
assert.equal(said.usage.outputTokens, 12);
let told = "";
const telling = streamText({ model: responses, prompt: "Hello [sandbox tokens=12]", maxRetries: 0 });
for await (const part of telling.textStream) told += part;
assert.equal(told, text);
// What was said before is only referred to.
const messages = [
  { role: "user", content: "Hello" },
  ...said.response.messages,
  { role: "user", content: "And again." },
];
const again = await generateText({ model: responses, messages, maxRetries: 0 });
assert.match(again.text, /Messages: 3 \(user, model, user\)/);
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const weather = tool({ inputSchema: jsonSchema(city), execute: async () => "sunny" });
const steps = await generateText({
  model: responses,
  prompt: "weather?",
  tools: { weather },
  prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  stopWhen: stepCountIs(2),
  maxRetries: 0,
});
assert.match(steps.text, /Parts: 3 \(text, functionCall, functionResponse\)/);
const strict = jsonSchema({ type: "object", properties: {}, additionalProperties: false });
const read = await generateObject({ model: responses, schema: strict, prompt: "Hello", maxRetries: 0 });
assert.equal(typeof read.object, "object");
