// What is on the screen: the chat, or one of the sections of the panel. Nothing is thrown away by looking at another one.
import { $, element } from './page.js';
import { me } from './tokens.js';

const SECTIONS = ['login', 'register', 'account'];

// What the server allows without an account; main.js asks.
export const options = { anonymous: false, registration: false };
export const mayChat = () => !!me || options.anonymous;

let leaving = () => {};              // of the view that is shown

// view: 'chat' or a section's id; the chat becomes the login form for whom it is closed. why is said above the form.
// onLeave is called when something else is shown.
export function show(view, why = '', onLeave = () => {}) {
	if (view === 'chat' && !mayChat()) view = 'login';
	leaving();
	leaving = onLeave;
	const chatting = view === 'chat';
	for (const id of ['scroller', 'foot']) $(id).hidden = !chatting;
	$('panel').hidden = chatting;
	for (const id of ['agent', 'fresh', 'about']) $(id).hidden = !chatting;
	for (const id of SECTIONS) $(id).hidden = id !== view;
	for (const e of document.querySelectorAll('.to-chat')) e.hidden = !mayChat();
	for (const e of document.querySelectorAll('.to-register')) e.hidden = !options.registration;
	$('who').hidden = !chatting;
	$('who').textContent = me ? me.username : 'Log in';
	$('who').title = me ? 'Your account' : '';
	$('visitor').hidden = !!me;
	if (chatting) return $('input').focus();
	const section = $(view);
	section.querySelector('.why')?.replaceChildren(...(why ? [element('span', '', why)] : []));
	$('panel').scrollTop = 0;
	(section.querySelector('input:not([type=hidden]):not(.unseen)') ?? section).focus();
}
