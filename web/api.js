// Requests to the server, and its refusals as sentences. Who asks is tokens.js's business.

const wait = (s) => s < 90 ? `${s} s` : `${Math.ceil(s / 60)} minutes`;

export class ServerError extends Error {
	constructor(status, { code, message, retryable, details }, requestId, retryAfter) {
		let text = message || 'The server did not give the answer this page expects.';
		if (!/[.!?。！？]$/.test(text)) text += '.';
		if (retryAfter) text += ` Try again in ${wait(+retryAfter)}.`;
		else if (retryable) text += ' Trying again may help.';
		super(text + ` (${[code || `HTTP ${status}`, requestId && `request ${requestId}`].filter(Boolean).join(', ')})`);
		this.status = status;
		this.code = code || '';
		this.field = details?.field;
		this.plain = text;         // without what only an operator can use
	}
}

export async function refuse(response) {
	const body = !response.ok && await response.json().catch(() => null) || {};
	const after = response.headers.get('Retry-After');
	throw new ServerError(response.status, body, body.requestId || response.headers.get('X-Request-Id'), /^[1-9]\d*$/.test(after) ? after : '');
}

// The answer's Response if its status is 2xx, else it throws a ServerError.
export async function request(path, { method = 'GET', body, accept = 'application/json', token, signal } = {}) {
	const headers = { Accept: accept };
	if (body) headers['Content-Type'] = 'application/json';
	if (token) headers.Authorization = 'Bearer ' + token;
	const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal });
	if (!response.ok) await refuse(response);
	return response;
}

// What the envelope of an answer holds.
export async function dataOf(response) {
	const body = await response.json();
	if (body?.data === undefined) throw new SyntaxError('no data');
	return body.data;
}

export async function listOf(response) {
	const body = await response.json();
	if (!Array.isArray(body?.data)) throw new SyntaxError('no list');
	return { list: body.data, total: body.metadata?.pagination?.total ?? body.data.length };
}

export const sentence = (e) => e instanceof TypeError ? 'The server cannot be reached, or the connection broke.'
	: e instanceof SyntaxError ? 'The server sent something this page does not understand.'
	: e.name === 'TimeoutError' ? 'The server did not answer in time.' : e.message;

// Server-sent events from a byte stream. A read may end anywhere: within a character (the decoder keeps
// it), within a line (rest), between CR and LF (skipLf).
export async function* readEvents(body) {
	const reader = body.getReader(), decoder = new TextDecoder();
	let rest = '', skipLf = false, name = '', data = [];
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;                    // an event without its empty line does not count
			let text = decoder.decode(value, { stream: true });
			if (!text) continue;
			if (skipLf && text[0] === '\n') text = text.slice(1);
			skipLf = text.endsWith('\r');
			const lines = (rest + text).split(/\r\n|\r|\n/);
			rest = lines.pop();
			for (const line of lines) {
				const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
				if (field === 'event') name = value;
				else if (field === 'data') data.push(value);
				if (line) continue;
				if (data.length) yield { name, data: data.join('\n') };
				name = '';
				data = [];
			}
		}
	} finally {
		reader.cancel().catch(() => {});
	}
}
