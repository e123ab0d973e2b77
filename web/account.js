// The account of whoever is logged in: logging out, the password, API keys.
import { dataOf, listOf, sentence } from './api.js';
import { onSubmit, reset } from './forms.js';
import { $, element, notice, say } from './page.js';
import { LoginEnded, leave, me, send } from './tokens.js';
import { mayChat, show } from './views.js';

const forms = [$('password-form'), $('key-form')];
const made = $('key-made');         // the key of data-key, in full

function hideMade() {
	made.hidden = true;
	made.querySelector('input').value = '';
}

export function showAccount() {
	show('account', '', () => {
		hideMade();
		for (const form of forms) { form.reset(); reset(form); }
		$('password-done').textContent = '';
	});
	$('account-who').textContent = [me.username, me.role === 'admin' && 'administrator', me.email].filter(Boolean).join(' · ');
	$('password-name').value = me.username;            // password managers want to know whose it is
	$('account').focus();
	loadKeys();
}

$('logout').addEventListener('click', async () => {
	try {
		await leave();
		say('Logged out.');
	} catch (e) {
		const text = 'This browser has forgotten the login, but the server could not be told: ' + sentence(e);
		if (mayChat()) notice(text); else show('login', text);
	}
});

onSubmit($('password-form'), async (fields) => {
	$('password-done').textContent = '';
	await send('/api/auth/change-password', { method: 'POST', body: { currentPassword: fields.currentPassword, newPassword: fields.newPassword } });
	$('password-done').textContent = 'Your password is changed. Logins elsewhere have ended.';
}, 'currentPassword');

// ---- keys ----

const day = (iso) => new Date(iso).toLocaleDateString('en-GB', { dateStyle: 'medium' });

function keyRow(key) {
	const row = element('li', ''), what = element('div', ''), revoke = element('button', '', 'Revoke');
	const facts = [`made ${day(key.createdAt)}`, key.lastUsedAt ? `last used ${day(key.lastUsedAt)}` : 'not used yet',
		key.expiresAt && (new Date(key.expiresAt) < new Date() ? 'expired' : `ends ${day(key.expiresAt)}`), key.agents && `only for ${key.agents.join(', ')}`];
	what.append(element('strong', '', key.name), ' ', element('code', '', key.prefix + '…'), element('p', 'faint', facts.filter(Boolean).join(' · ')));
	revoke.type = 'button';
	revoke.setAttribute('aria-label', 'Revoke ' + key.name);
	revoke.onclick = async () => {
		if (!confirm(`Revoke the key “${key.name}”? Programs that use it are refused from then on.`)) return;
		revoke.disabled = true;
		await tryKeys(() => send('/api/auth/keys/' + key.id, { method: 'DELETE' }));
		if (made.dataset.key === key.id) hideMade();
		await loadKeys();
	};
	row.append(what, revoke);
	return row;
}

async function tryKeys(action) {
	try {
		$('keys-error').textContent = '';
		await action();
	} catch (e) {
		if (!(e instanceof LoginEnded)) $('keys-error').textContent = sentence(e);
	}
}

const loadKeys = () => tryKeys(async () => {
	const { list } = await listOf(await send('/api/auth/keys?pageSize=200'));
	$('keys').replaceChildren(...list.map(keyRow));
	$('no-keys').hidden = list.length > 0;
});

onSubmit($('key-form'), async ({ name, days }) => {
	const key = await dataOf(await send('/api/auth/keys', { method: 'POST', body: { name, ...(days && { expiresInDays: +days }) } }));
	const box = made.querySelector('input');
	made.hidden = false;
	made.dataset.key = key.id;
	box.value = key.key;
	box.focus();
	box.select();
	loadKeys();
});

// The clipboard is closed to pages that came over plain http; the selection is not.
$('key-copy').addEventListener('click', async () => {
	const box = made.querySelector('input');
	box.select();
	try {
		await (navigator.clipboard?.writeText(box.value) ?? Promise.reject());
	} catch {
		if (!document.execCommand('copy')) return say('Press Ctrl+C to copy the key.');
	}
	$('key-copy').textContent = 'Copied';
	setTimeout(() => { $('key-copy').textContent = 'Copy'; }, 2000);
	say('Copied.');
});
