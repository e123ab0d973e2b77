// Messages on the screen, and following their text. Knows nothing of the server.
import { $, element } from './page.js';

// Content is a string or a list of parts.
export const textOf = (content) => Array.isArray(content) ? content.map((p) => p?.text ?? `[${p?.type ?? 'part'}]`).join('\n') : String(content ?? '');
export const seconds = (ms) => (ms / 1000).toFixed(ms < 9950 ? 2 : 1) + ' s';
export const tokens = (usage) => usage?.completion_tokens >= 0 ? `${usage.completion_tokens} tokens` : '';

export const STATES = {             // a stored status or a finishReason → [class, words]
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

export function makeMessage(role, text, name) {
	const who = role === 'user' ? 'You' : role === 'assistant' ? name || 'Assistant' : role;
	const m = {
		box: element('article', 'message ' + role), body: makeText(text), error: element('p', 'error'),
		foot: element('p', 'foot'), state: element('span', 'state'), numbers: element('span', 'numbers'), reasoning: null,
	};
	m.text = m.body.firstChild;
	m.foot.append(m.state, m.numbers);
	m.box.append(element('h2', '', who), m.body, m.error, m.foot);
	return m;
}

export function setState(m, state, words) {
	const [className, text] = STATES[state] || ['', state];
	m.box.classList.remove('live', 'interrupted', 'failed');
	if (className) m.box.classList.add(className);
	m.state.textContent = words || text;
}

export function addReasoning(m, content) {
	if (!m.reasoning) {
		const details = element('details', 'reasoning'), body = makeText('');
		details.append(element('summary', '', 'Reasoning'), body);
		m.body.before(details);
		m.reasoning = body.firstChild;
	}
	m.reasoning.appendData(content);
}

// ---- following ----

// Follow the text only while the reader is at the bottom. Moving up lets go; growth alone does not.
const scroller = $('scroller');
let following = true, lastTop = 0;
scroller.addEventListener('scroll', () => {
	if (scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40) following = true;
	else if (scroller.scrollTop < lastTop) following = false;
	lastTop = scroller.scrollTop;
}, { passive: true });
const toBottom = () => { if (following) scroller.scrollTop = scroller.scrollHeight; };
// From now on, wherever the reader was.
export function follow() { following = true; toBottom(); }
const sizes = new ResizeObserver(toBottom);
sizes.observe($('log'));
sizes.observe(scroller);
