// The chat: agents, what is stored, asking and reading the answer.
import { listOf, readEvents, refuse, request, sentence, ServerError } from './api.js';
import { addReasoning, follow, makeMessage, seconds, setState, STATES, textOf, tokens } from './messages.js';
import { $, element, notice, recall, remember, say } from './page.js';
import { LoginEnded, me, send } from './tokens.js';

const PATIENCE_MS = 5000;

const agentBox = $('agent'), log = $('log'), input = $('input');

let agents = [];
let agent = null;      // the chosen one
let whose = '';        // whose chat it is: a user's id, '' for a visitor
let isOpen = false;    // it is on the screen, or being loaded
let chatId = '';       // the chat on the screen, '' before the first question
let live = null;       // the answer being read now: {abort, id, stopping}
let ready = false;     // stored messages are loaded, so questions may follow
let view = 0;          // counts what the screen was set to; whoever awaited compares it afterwards
let shown = [];        // the stored messages on the screen, as JSON, to redraw only what changed
let pollTimer = 0;

// Each person has a current chat with each agent.
const chatKey = () => `chat.${whose && whose + '.'}${agent.id}`;

function setChat(id) {
	chatId = id;
	if (agent) remember(chatKey(), id);
}

// The page names the chat, so that a reload finds it even before the first event, and the answer, so that it can be stopped by then.
const newId = () => 'web-' + crypto.getRandomValues(new Uint32Array(4)).join('-');

function offerStored(m) {
	const button = element('button', '', 'Show the stored answer');
	button.type = 'button';
	button.onclick = () => { input.focus(); showStored(); };
	m.foot.append(' ', button);
}

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
	follow();
	notice('');
}

// ---- stored messages ----

const getList = async (path) => listOf(await send(path));

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
		const m = makeMessage(row.role, textOf(row.content), agent?.name);
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
			if (e instanceof LoginEnded) {
				isOpen = false;                    // whoever logs in next loads it
				return;
			}
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

async function ask() {
	const question = input.value;
	if (!question.trim() || live || !ready) return;
	if (!agent) return notice('There is no agent to ask.', loadAgents);
	view++;                                        // a look at stored messages under way is void
	clearTimeout(pollTimer);
	notice('');
	if (!chatId) setChat(newId());

	const run = { abort: new AbortController(), id: newId(), stopping: false };
	const asked = makeMessage('user', question), m = makeMessage('assistant', '', agent.name);
	log.append(asked.box, m.box);
	setState(m, 'streaming', 'waiting…');
	setLive(run);
	input.value = '';
	fit();
	input.focus();
	follow();
	say('Waiting for the answer.');

	const began = performance.now();
	let first = 0, usage = null, finish = '', failure = null, requestId = '';
	try {
		const response = await send('/api/chat/completions', {
			method: 'POST', accept: 'text/event-stream', signal: run.abort.signal,
			body: { agentId: agent.id, chatId, stream: true, responseChatItemId: run.id, messages: [{ role: 'user', content: question }] },
		});
		requestId = response.headers.get('X-Request-Id') || '';
		if (!/^text\/event-stream\b/.test(response.headers.get('Content-Type'))) await refuse(response);
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

	if (failure instanceof LoginEnded) return takeBack(question, [asked, m], run);
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

// The server stops, and says so where the answer is read. If it cannot be told, or is asked twice, we stop reading.
async function stop() {
	const run = live;
	input.focus();
	if (!run || run.stopping) return run?.abort.abort();
	run.stopping = true;
	try {
		await send(`/api/chat/messages/${run.id}/stop`, { method: 'POST', signal: AbortSignal.timeout(PATIENCE_MS) });
	} catch {
		run.abort.abort();
	}
}

// The question never reached the server: it is for the person to send it again, once he has logged in.
function takeBack(question, messages, run) {
	for (const m of messages) m.box.remove();
	input.value = [question, input.value].filter(Boolean).join('\n\n');
	if (live === run) setLive(null);
}

// ---- agents ----

async function loadAgents() {
	try {
		agents = (await listOf(await request('/api/agents'))).list;
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
	chatId = recall(chatKey());
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
	if (!e.repeat) ask();
});
$('form').addEventListener('submit', (e) => { e.preventDefault(); ask(); });
$('stop').addEventListener('click', stop);
$('fresh').addEventListener('click', () => { setChat(''); showStored(); input.focus(); say('New chat.'); });
agentBox.addEventListener('change', () => choose(agentBox.value));

// ---- whose chat it is ----

// Shows the chat of whoever is logged in, unless it is on the screen already.
export function open() {
	fit();                                         // it had no height while it was hidden
	const now = me?.id ?? '';
	if (isOpen && now === whose) return;
	isOpen = true;
	whose = now;
	clear();
	if (agent) choose(agent.id); else loadAgents();
}

// Whoever comes next does not see it.
export function close() {
	isOpen = ready = false;
	chatId = '';
	clear();
	setLive(null);
}
