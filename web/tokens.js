// Who is logged in. The access token lives in memory and is renewed before it expires; the refresh token lives in localStorage,
// so that all tabs are one login: docs/decisions/0011-the-page-keeps-its-refresh-token-in-localstorage.md. Knows no elements.
import { dataOf, request } from './api.js';

const KEY = 'llmchat.login';         // {user, refreshToken} as JSON
const EARLY_MS = 20000;              // renewed so long before its end
const PATIENCE_MS = 15000;           // for a renewal: other tabs wait for it

let forgetful = null;                // in place of the storage, if that is forbidden
let access = null;                   // {token, until}
let changed = () => {};

// The login that was needed has ended, or there was none. Whoever sees this has nothing to say: the form is on the screen.
export class LoginEnded extends Error {}

function stored() {
	try { return JSON.parse(localStorage.getItem(KEY)) ?? forgetful; } catch { return forgetful; }
}

function store(login) {
	forgetful = null;
	try {
		if (login) localStorage.setItem(KEY, JSON.stringify(login));
		else localStorage.removeItem(KEY);
	} catch {
		forgetful = login;
	}
}

function keepAccess({ token, expiresIn }) {
	access = { token, until: Date.now() + expiresIn * 1000 };
	return token;
}

// {id, username, email, role} of whom this tab works for, null for nobody.
export let me = stored()?.user ?? null;

// f(why) with why of 'in', 'out', 'ended' whenever it is somebody else, or nobody, from now on; 'needed' if somebody is asked for.
export function whenChanged(f) { changed = f; }

function settle(why, answer) {
	access = null;
	if (answer) keepAccess(answer);
	me = stored()?.user ?? null;
	changed(me ? 'in' : why);
}

// Other tabs log in and out too. A key of null means that all of the storage was cleared.
addEventListener('storage', (e) => {
	if (e.key !== null && e.key !== KEY) return;
	if (e.newValue === null) forgetful = null;
	if (stored()?.user.id !== me?.id) settle('out');
});

// ---- renewing ----

// One tab at a time, where the browser can (it cannot over plain http, but on localhost). Without that the server helps: it takes a
// used refresh token for ten seconds more.
const alone = (f) => navigator.locks ? navigator.locks.request(KEY, f) : f();
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

async function renewNow() {
	for (let tries = 1; ; tries++) {
		const login = stored();
		if (!login || login.user.id !== me?.id) {          // another tab was quicker than its storage event
			settle('out');
			throw new LoginEnded();
		}
		try {
			const signal = AbortSignal.timeout(PATIENCE_MS);
			const data = await dataOf(await request('/api/auth/refresh', { method: 'POST', body: { refreshToken: login.refreshToken }, signal }));
			// Logged out meanwhile, or renewed by another tab: what they stored counts.
			if (stored()?.refreshToken === login.refreshToken) store({ user: data.user, refreshToken: data.refreshToken });
			me = data.user;
			return keepAccess(data);
		} catch (e) {
			// The new token may have been lost on its way; the used one does for ten seconds.
			const again = e instanceof TypeError || stored()?.refreshToken !== login.refreshToken;
			if (again && tries < 3) {
				await pause(1000);
				continue;
			}
			if (e.status !== 401) throw e;
			store(null);
			settle('ended');
			throw new LoginEnded();
		}
	}
}

let renewing = null;                 // whoever asks meanwhile in this tab shares it
const renew = () => renewing ??= alone(renewNow).finally(() => { renewing = null; });

// An access token that is good for a while.
export async function token() {
	return access && Date.now() < access.until - EARLY_MS ? access.token : renew();
}

// A request by whoever is logged in, or by nobody. A token that is refused is renewed, once: the server's clock and its
// secrets have the last word.
export async function send(path, options) {
	if (!me) {
		return request(path, options).catch((e) => {
			if (e.code !== 'AUTHENTICATION_REQUIRED') throw e;
			changed('needed');
			throw new LoginEnded();
		});
	}
	const used = await token();
	try {
		return await request(path, { ...options, token: used });
	} catch (e) {
		if (!/^TOKEN_/.test(e.code)) throw e;
		return request(path, { ...options, token: access && access.token !== used ? access.token : await renew() });
	}
}

// ---- in and out ----

// way: login or register
export async function enter(way, fields) {
	const data = await dataOf(await request('/api/auth/' + way, { method: 'POST', body: fields }));
	store({ user: data.user, refreshToken: data.refreshToken });
	settle('out', data);
}

// This browser forgets the login whatever the server says; what it could not be told is thrown.
export async function leave() {
	try {
		await send('/api/auth/logout', { method: 'POST' });
	} catch (e) {
		if (e instanceof LoginEnded) return;
		throw e;
	} finally {
		if (me) {
			store(null);
			settle('out');
		}
	}
}
