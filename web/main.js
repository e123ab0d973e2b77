// Puts the page together: what the server allows, who is logged in, what is shown then.
import { showAccount } from './account.js';
import { dataOf, request, sentence } from './api.js';
import * as chat from './chat.js';
import { onSubmit, reset } from './forms.js';
import { $, notice } from './page.js';
import { enter, me, token, whenChanged } from './tokens.js';
import { options, show } from './views.js';

// Nothing that was typed is lost: the chat is only hidden.
const WHY = {
	ended: 'Your login has ended. Please log in again; what you have typed is kept.',
	needed: 'Please log in to chat; what you have typed is kept.',
};

function showForm(id, why) {
	show(id, why, () => { $(id + '-form').reset(); reset($(id + '-form')); });
}

// The chat as it was, if it is still that person's.
function showChat() {
	show('chat');
	chat.open();
}

whenChanged((why) => {
	if (why === 'in') return showChat();
	if (why !== 'out') return showForm('login', WHY[why]);
	chat.close();
	if (options.anonymous) showChat();
	else showForm('login');
});

onSubmit($('login-form'), ({ username, password }) => enter('login', { username, password }), 'password');
onSubmit($('register-form'), ({ username, email, password }) => enter('register', { username, password, ...(email && { email }) }));
$('who').addEventListener('click', () => me ? showAccount() : showForm('login'));
for (const e of document.querySelectorAll('.to-chat')) e.addEventListener('click', showChat);
for (const e of document.querySelectorAll('.to-login')) e.addEventListener('click', () => showForm('login'));
for (const e of document.querySelectorAll('.to-register')) e.addEventListener('click', () => showForm('register'));

async function start() {
	try {
		Object.assign(options, await dataOf(await request('/api/auth/options')));
	} catch (e) {
		$('foot').hidden = false;
		return notice('The server could not be asked who may chat: ' + sentence(e), start);
	}
	if (!me) return options.anonymous ? showChat() : showForm('login');
	showChat();
	token().catch(() => {});             // a login that ended meanwhile is noticed now, not with the first question
}

start();
