// The chat page. Everything that comes from the server is shown through text nodes only, never as HTML.

const $ = (id) => document.getElementById(id);
const agentBox = $('agent'), scroller = $('scroller'), log = $('log'), input = $('input');

let agents = [];
let agent = null;      // the chosen one
let chatId = '';       // the chat on the screen, '' before the first question
let live = null;       // the answer being read now: {abort}
let ready = false;     // stored messages are loaded, so questions may follow
let view = 0;          // counts what the screen was set to; whoever awaited compares it afterwards
let shown = [];        // the stored messages on the screen, as JSON, to redraw only what changed
let pollTimer = 0;

// ---- small helpers ----

// Storage may be forbidden; the page then forgets, but works.
function recall(key) { try { return localStorage.getItem('llmchat.' + key) || ''; } catch { return ''; } }
function remember(key, value) { try { localStorage.setItem('llmchat.' + key, value); } catch { /* see above */ } }

function element(tag, className, text = '') {
	const e = document.createElement(tag);
	e.className = className;
	e.textContent = text;
	return e;
}

// Each agent has its own current chat.
function setChat(id) {
	chatId = id;
	if (agent) remember('chat.' + agent.id, id);
}

// The page names the chat, so that a reload finds it even before the first event.
const newChatId = () => 'web-' + crypto.getRandomValues(new Uint32Array(4)).join('-');
// Content is a string or a list of parts.
const textOf = (content) => Array.isArray(content) ? content.map((p) => p?.text ?? `[${p?.type ?? 'part'}]`).join('\n') : String(content ?? '');
const seconds = (ms) => (ms / 1000).toFixed(ms < 9950 ? 2 : 1) + ' s';
const tokens = (usage) => usage?.completion_tokens >= 0 ? `${usage.completion_tokens} tokens` : '';
const say = (text) => { $('said').textContent = text; };

function notice(text, again) {
	const box = $('notice');
	box.hidden = !text;
	box.firstElementChild.textContent = text;
	box.lastElementChild.hidden = !again;
	box.lastElementChild.onclick = again ? () => { notice(''); input.focus(); again(); } : null;
}

// ---- talking to the server ----

class ServerError extends Error {
	constructor(status, { message, code, retryable }, requestId, retryAfter) {
		let text = message || 'The server did not give the answer this page expects.';
		if (!/[.!?。！？]$/.test(text)) text += '.';
		if (status === 401) text += ' This page has no login; the setting CHAT_ANONYMOUS on the server allows chats without one.';
		if (retryAfter) text += ` Try again in ${retryAfter} s.`;
		else if (retryable) text += ' Trying again may help.';
		super(text + ` (${[code || `HTTP ${status}`, requestId && `request ${requestId}`].filter(Boolean).join(', ')})`);
		this.status = status;
	}
}

async function refuse(response) {
	const body = !response.ok && await response.json().catch(() => null) || {};
	const after = response.headers.get('Retry-After');
	throw new ServerError(response.status, body, body.requestId || response.headers.get('X-Request-Id'), /^[1-9]\d*$/.test(after) ? after : '');
}

async function getList(path) {
	const response = await fetch(path, { headers: { Accept: 'application/json' } });
	if (!response.ok) await refuse(response);
	const body = await response.json();
	if (!Array.isArray(body?.data)) throw new SyntaxError('no list');
	return { list: body.data, total: body.metadata?.pagination?.total ?? body.data.length };
}

const sentence = (e) => e instanceof TypeError ? 'The server cannot be reached, or the connection broke.'
	: e instanceof SyntaxError ? 'The server sent something this page does not understand.' : e.message;

// Server-sent events from a byte stream. A read may end anywhere: within a character (the decoder keeps
// it), within a line (rest), between CR and LF (skipLf).
async function* readEvents(body) {
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

// ---- messages on the screen ----

const STATES = {             // a stored status or a finishReason → [class, words]
	complete: ['', 'complete'], stop: ['', 'complete'],
	length: ['interrupted', 'ended at the length limit'], content_filter: ['interrupted', 'ended by the content filter'],
	tool_calls: ['', 'complete, the model asks for a tool'],
	interrupted: ['interrupted', 'interrupted'], stopped: ['interrupted', 'stopped'], cancelled: ['interrupted', 'stopped'],
	failed: ['failed', 'failed'], error: ['failed', 'failed'],
	streaming: ['live', 'still being written on the server'], pending: ['live', 'waiting for its turn on the server'],
};

// Holds one text node, which grows by appendData.
function makeText(text) {
	const body = element('div', 'text');
	body.dir = 'auto';
	body.append(document.createTextNode(text));
	return body;
}

function makeMessage(role, text) {
	const who = role === 'user' ? 'You' : role === 'assistant' ? agent?.name || 'Assistant' : role;
	const m = {
		box: element('article', 'message ' + role), body: makeText(text), error: element('p', 'error'),
		foot: element('p', 'foot'), state: element('span', 'state'), numbers: element('span', 'numbers'), reasoning: null,
	};
	m.text = m.body.firstChild;
	m.foot.append(m.state, m.numbers);
	m.box.append(element('h2', '', who), m.body, m.error, m.foot);
	return m;
}

function setState(m, state, words) {
	const [className, text] = STATES[state] || ['', state];
	m.box.classList.remove('live', 'interrupted', 'failed');
	if (className) m.box.classList.add(className);
	m.state.textContent = words || text;
}

function addReasoning(m, content) {
	if (!m.reasoning) {
		const details = element('details', 'reasoning'), body = makeText('');
		details.append(element('summary', '', 'Reasoning'), body);
		m.body.before(details);
		m.reasoning = body.firstChild;
	}
	m.reasoning.appendData(content);
}

function offerStored(m) {
	const button = element('button', '', 'Show the stored answer');
	button.type = 'button';
	button.onclick = () => { input.focus(); showStored(); };
	m.foot.append(' ', button);
}

// Follow the text only while the reader is at the bottom. Moving up lets go; growth alone does not.
let following = true, lastTop = 0;
scroller.addEventListener('scroll', () => {
	if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40) following = true;
	else if (scroller.scrollTop < lastTop) following = false;
	lastTop = scroller.scrollTop;
}, { passive: true });
const toBottom = () => { if (following) scroller.scrollTop = scroller.scrollHeight; };
const sizes = new ResizeObserver(toBottom);
sizes.observe(log);
sizes.observe(scroller);

function setLive(run) {
	live = run;
	$('send').hidden = !!run;
	$('stop').hidden = !run;
	$('send').disabled = !ready;
	$('empty').hidden = !ready || log.childElementCount > 0;
}

// Sets the screen to nothing. An answer being read goes on without us.
function clear() {
	view++;
	clearTimeout(pollTimer);
	live?.abort.abort();
	log.replaceChildren();
	shown = [];
	following = true;
	notice('');
}

// ---- stored messages ----

async function fetchStored() {      // the newest 200, oldest first
	const path = `/api/chat/sessions/${encodeURIComponent(chatId)}/messages?limit=200`;
	let { list, total } = await getList(path);
	if (list[0]?.createdAt > list.at(-1)?.createdAt) list.reverse();
	else if (total > list.length) ({ list } = await getList(`${path}&offset=${total - list.length}`));
	if (total > list.length) list.unshift({ role: 'Note', content: `${total - list.length} older messages are stored, but not shown here.` });
	return list;
}

function drawStored(list) {
	list.forEach((row, i) => {
		const key = JSON.stringify(row);
		if (shown[i] === key) return;
		shown[i] = key;
		const m = makeMessage(row.role, textOf(row.content));
		if (row.role === 'assistant') setState(m, row.status === 'complete' && row.finishReason || row.status);
		m.numbers.textContent = [row.errorCode, tokens(row.usage)].filter(Boolean).join(' · ');
		if (log.children[i]) log.children[i].replaceWith(m.box); else log.append(m.box);
	});
}

// Shows the chat as it is stored and, while its last answer is still being written, looks again.
async function showStored() {
	clear();
	ready = !chatId;
	setLive(null);
	if (!chatId) return;
	const mine = view;
	const look = async () => {
		try {
			const stored = await fetchStored();
			if (mine !== view) return;
			drawStored(stored);
			const last = stored.at(-1);
			if (last && STATES[last.status]?.[0] === 'live' && last.role === 'assistant') pollTimer = setTimeout(look, 2000);
			else say(ready ? 'Answer: ' + textOf(last?.content) : `${stored.length} stored messages.`);      // ready: it ended while we looked
		} catch (e) {
			if (mine !== view) return;
			if (e.status === 404) {                // deleted, purged, another visitor's, or refused before it was stored
				setChat('');
				notice('The chat of your last visit is not stored on the server. The next question starts a new one.');
			} else notice('The stored messages could not be loaded: ' + sentence(e), showStored);
		}
		ready = true;
		setLive(live);
	};
	await look();
}

// ---- asking ----

async function send() {
	const question = input.value;
	if (!question.trim() || live || !ready) return;
	if (!agent) return notice('There is no agent to ask.', loadAgents);
	view++;                                        // a look at stored messages under way is void
	clearTimeout(pollTimer);
	notice('');
	if (!chatId) setChat(newChatId());

	const run = { abort: new AbortController() };
	const asked = makeMessage('user', question), m = makeMessage('assistant', '');
	log.append(asked.box, m.box);
	setState(m, 'streaming', 'waiting…');
	setLive(run);
	input.value = '';
	fit();
	input.focus();
	following = true;
	toBottom();
	say('Waiting for the answer.');

	const began = performance.now();
	let first = 0, usage = null, finish = '', failure = null, requestId = '';
	try {
		const response = await fetch('/api/chat/completions', {
			method: 'POST',
			headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream' },
			body: JSON.stringify({ agentId: agent.id, chatId, stream: true, messages: [{ role: 'user', content: question }] }),
			signal: run.abort.signal,
		});
		requestId = response.headers.get('X-Request-Id') || '';
		if (!response.ok || !/^text\/event-stream\b/.test(response.headers.get('Content-Type'))) await refuse(response);
		for await (const event of readEvents(response.body)) {
			const data = JSON.parse(event.data);
			if ((event.name === 'chunk' || event.name === 'reasoning') && !first) {
				first = performance.now();
				m.numbers.textContent = 'first token after ' + seconds(first - began);
			}
			if (event.name === 'chatId' && data.chatId && live === run) setChat(data.chatId);
			else if (event.name === 'chunk') {
				if (!m.text.length) setState(m, 'streaming', 'writing…');
				m.text.appendData(data.content);
			} else if (event.name === 'reasoning') {
				if (!m.reasoning) setState(m, 'streaming', 'thinking…');
				addReasoning(m, data.content);
			} else if (event.name === 'status' && data.moduleName) setState(m, 'streaming', data.moduleName + '…');
			else if (event.name === 'interactive') m.error.textContent = 'The agent asks for a choice or a form, which this page cannot show.';
			else if (event.name === 'usage') usage = data;
			else if (event.name === 'error') failure = new ServerError(response.status, data, requestId);
			else if (event.name === 'end') { finish = data.finishReason || 'stop'; break; }
		}
	} catch (e) {
		failure = e;
	}

	const took = performance.now() - began;
	const characters = Array.from(m.text.data).length;
	if (first) {
		m.numbers.textContent = [`first token after ${seconds(first - began)}`, `${seconds(took)} in all`,
			tokens(usage), `${characters} characters`].filter(Boolean).join(' · ');
	}
	if (run.abort.signal.aborted) {
		setState(m, 'interrupted', 'You stopped reading. The server goes on by default and stores the whole answer.');
		offerStored(m);
	} else if (failure instanceof ServerError || finish) {
		setState(m, failure ? 'failed' : finish);
		if (failure) m.error.textContent = failure.message;
		else if (!characters) m.state.textContent += ', without text';
	} else {                                       // no end: we do not know what the server made of it
		setState(m, 'interrupted');
		m.error.textContent = `${failure ? sentence(failure) : 'The connection closed before the answer ended.'}${requestId && ` (request ${requestId})`}`;
		offerStored(m);
	}
	if (live !== run) return;                      // another chat is on the screen by now
	if (failure && !first && !run.abort.signal.aborted && !input.value) input.value = question;   // nothing came: keep it
	fit();
	setLive(null);
	say(m.error.textContent || (finish ? 'Answer: ' + m.text.data : m.state.textContent));
}

// ---- agents ----

async function loadAgents() {
	try {
		agents = (await getList('/api/agents')).list;
	} catch (e) {
		return notice('The agents could not be loaded: ' + sentence(e), loadAgents);
	}
	const usable = agents.filter((a) => a.status === 'active');
	if (!usable.length) return notice('This server has no active agent.', loadAgents);
	agentBox.replaceChildren(...usable.map((a) => new Option(a.name, a.id)));
	agentBox.disabled = false;
	choose((usable.find((a) => a.id === recall('agent')) || usable[0]).id);
}

function choose(id) {
	agent = agents.find((a) => a.id === id);
	agentBox.value = id;
	remember('agent', id);
	$('about').textContent = [agent.model, agent.description].filter(Boolean).join(' · ');
	chatId = recall('chat.' + id);
	showStored();
}

// ---- the controls ----

function fit() {             // as high as its text; the style sheet sets the limit
	input.style.height = 'auto';
	input.style.height = input.scrollHeight + input.offsetHeight - input.clientHeight + 'px';
}

input.addEventListener('input', fit);
input.addEventListener('keydown', (e) => {
	// Enter also picks a candidate of an input method; 229 is how Safari says so after the composition's end.
	if (e.key !== 'Enter' || e.shiftKey || e.isComposing || e.keyCode === 229) return;
	e.preventDefault();
	if (!e.repeat) send();
});
$('form').addEventListener('submit', (e) => { e.preventDefault(); send(); });
$('stop').addEventListener('click', () => { live?.abort.abort(); input.focus(); });
$('fresh').addEventListener('click', () => { setChat(''); showStored(); input.focus(); say('New chat.'); });
agentBox.addEventListener('change', () => choose(agentBox.value));

loadAgents();
