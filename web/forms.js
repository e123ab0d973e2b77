// Forms that the server judges: one at a time, what it says stands in the form, beside the field it is about.
import { sentence, ServerError } from './api.js';
import { LoginEnded } from './tokens.js';

// 4xx is about what was typed; of anything else the operator wants the code and the request's id.
const words = (e) => e instanceof ServerError && e.status < 500 ? e.plain : sentence(e);

function complain(form, e, fallback) {
	form.querySelector('.error').textContent = words(e);
	const field = form.elements[e.field] ?? (e.code === 'INVALID_CREDENTIALS' ? form.elements[fallback] : null);
	if (!field) return;
	field.setAttribute('aria-invalid', 'true');
	field.focus();
	field.select?.();
}

// action(fields) is awaited; a form whose action came back is emptied. fallback: the field that a wrong login is about.
export function onSubmit(form, action, fallback) {
	const error = form.querySelector('.error');
	for (const field of form.elements) if (field.name) field.setAttribute('aria-describedby', error.id);
	form.addEventListener('submit', async (event) => {
		event.preventDefault();
		if (form.hasAttribute('aria-busy')) return;
		form.setAttribute('aria-busy', 'true');
		reset(form);
		try {
			await action(Object.fromEntries(new FormData(form)));
			form.reset();
		} catch (e) {
			if (!(e instanceof LoginEnded)) complain(form, e, fallback);
		} finally {
			form.removeAttribute('aria-busy');
		}
	});
}

// What was said is taken back.
export function reset(form) {
	form.querySelector('.error').textContent = '';
	for (const field of form.elements) field.removeAttribute('aria-invalid');
}
