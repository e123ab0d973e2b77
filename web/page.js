// What every part of the page needs: elements, what is remembered, what is said. Text from the server becomes text nodes, never HTML.

export const $ = (id) => document.getElementById(id);

// Storage may be forbidden; the page then forgets, but works.
export function recall(key) { try { return localStorage.getItem('llmchat.' + key) || ''; } catch { return ''; } }
export function remember(key, value) { try { localStorage.setItem('llmchat.' + key, value); } catch { /* see above */ } }

export function element(tag, className, text = '') {
	const e = document.createElement(tag);
	e.className = className;
	e.textContent = text;
	return e;
}

// For screen readers.
export const say = (text) => { $('said').textContent = text; };

// Above the input; with `again` it has a button that tries again.
export function notice(text, again) {
	const box = $('notice');
	box.hidden = !text;
	box.firstElementChild.textContent = text;
	box.lastElementChild.hidden = !again;
	box.lastElementChild.onclick = again ? () => { notice(''); $('input').focus(); again(); } : null;
}
