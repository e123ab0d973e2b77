// Asks the stand-in provider with the official SDKs, which know nothing of us: node sdks.mjs DIRECTORY URL KEY SCENARIO.
// DIRECTORY has them in node_modules. Prints what they made of the answer, as JSON.
import { createRequire } from "node:module";

const [directory, url, key, scenario] = process.argv.slice(2);
const require = createRequire(`${directory}/package.json`);
const OpenAI = require("openai");
const Anthropic = require("@anthropic-ai/sdk");

const openai = new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0 });
const anthropic = new Anthropic({ apiKey: key, baseURL: url, maxRetries: 0 });

const question = { role: "user", content: "Hello, 世界" };
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];
const anthropicTools = [{ name: "get_weather", input_schema: { type: "object", properties: {} } }];

const chat = (model, more = {}) => openai.chat.completions.create({ model, messages: [question], ...more });
const message = (model, more = {}) => anthropic.messages.create({ model, max_tokens: 99, messages: [question], ...more });

// What an SDK throws, and all that came before.
async function failure(ask, text) {
	let got = "";
	try {
		for await (const piece of await ask()) got += text(piece);
	} catch (e) {
		return { got, error: e.constructor.name, status: e.status ?? null, code: e.code ?? null, type: e.type ?? null, body: e.error ?? null, why: `${e.message} ${e.cause?.message ?? ""}`,
			retryAfter: e.headers?.["retry-after"] ?? e.headers?.get?.("retry-after") ?? null };
	}
	return { got, error: null };
}

async function openaiStream(model) {
	const seen = { content: "", reasoning: "", finish: null, usage: null, roles: [], chunks: 0 };
	for await (const chunk of await chat(model, { stream: true, stream_options: { include_usage: true } })) {
		const choice = chunk.choices[0];
		seen.chunks++;
		seen.content += choice?.delta.content ?? "";
		seen.reasoning += choice?.delta.reasoning_content ?? "";
		seen.finish = choice?.finish_reason ?? seen.finish;
		seen.usage = chunk.usage ?? seen.usage;
		if (choice?.delta.role) seen.roles.push(choice.delta.role);
	}
	return seen;
}

async function anthropicEvents(model) {
	const types = [];
	for await (const event of await message(model, { stream: true })) types.push(event.type);
	return types;
}

const openaiText = (chunk) => chunk.choices[0]?.delta.content ?? "";
const anthropicText = (event) => event.delta?.text ?? "";

const scenarios = {
	"openai-plain": () => chat("sim-n5-d0-zh"),
	"openai-stream": () => openaiStream("sim-n5-d2-emoji-reason2"),
	"openai-tool": () => chat("sim-n2-d0-tool", { tools }),
	"openai-tool-stream": () => openai.beta.chat.completions.stream({ model: "sim-n2-d0-tool", messages: [question], tools }).finalChatCompletion(),
	"openai-models": async () => (await openai.models.list()).data.map((model) => model.id),
	"openai-errors": () => Promise.all([400, 401, 403, 404, 422, 429, 500, 529].map((status) =>
		failure(() => chat(`sim-err${status}-ra7`, { stream: true }), openaiText))),
	"openai-mid": () => failure(() => chat("sim-n9-d0-mid3", { stream: true }), openaiText),
	"openai-cut": () => failure(() => chat("sim-n9-d2-cut3", { stream: true }), openaiText),
	"openai-no-key": () => failure(() => new OpenAI({ apiKey: "wrong", baseURL: `${url}/v1`, maxRetries: 0 }).chat.completions.create(
		{ model: "sim", messages: [question], stream: true }), openaiText),
	"anthropic-plain": () => message("sim-n5-d0-zh-reason2"),
	"anthropic-stream": () => anthropic.messages.stream({ model: "sim-n5-d2-emoji-reason2", max_tokens: 99, messages: [question] }).finalMessage(),
	"anthropic-events": () => anthropicEvents("sim-n2-d0"),
	"anthropic-tool": () => message("sim-n2-d0-tool", { tools: anthropicTools }),
	"anthropic-tool-stream": () => anthropic.messages.stream(
		{ model: "sim-n2-d0-tool", max_tokens: 99, messages: [question], tools: anthropicTools }).finalMessage(),
	"anthropic-errors": () => Promise.all([400, 401, 403, 404, 422, 429, 500, 529].map((status) =>
		failure(() => message(`sim-err${status}-ra7`, { stream: true }), anthropicText))),
	"anthropic-mid": () => failure(() => message("sim-n9-d0-mid3", { stream: true }), anthropicText),
	"anthropic-cut": () => failure(() => message("sim-n9-d2-cut3", { stream: true }), anthropicText),
	"anthropic-no-key": () => failure(() => new Anthropic({ apiKey: "wrong", baseURL: url, maxRetries: 0 }).messages.create(
		{ model: "sim", max_tokens: 9, messages: [question], stream: true }), anthropicText),
};

console.log(JSON.stringify(await scenarios[scenario]()));
