/* The terminal without echo, and lines read byte by byte. */
#include "ctl/prompt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "base/account_rules.h"

enum { RANDOM_BYTES = 16 };

static const int signals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};

/* The terminal as it was, and what is done with signals meanwhile. They are blocked but for the moments that wait for a key. */
struct quiet_terminal {
	struct termios before;
	struct sigaction actions[N_ELEMENTS(signals)];
	sigset_t mask;
};

static volatile sig_atomic_t came; /* the last of the signals, or 0 */

static void on_signal(int n)
{
	came = n;
}

/* Waits until a byte can be read. False if one of the signals came instead. mask: NULL, or the signals blocked meanwhile. */
static bool wait_for_byte(const sigset_t *mask)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};

	if (!mask)
		return true;
	while (!came && ppoll(&fd, 1, NULL, mask) < 0 && errno == EINTR)
		;
	return !came;
}

/* One line, without its end. False if standard input is over, broken or interrupted before there is anything. Byte by byte: what is
 * behind the line belongs to whoever reads next, and no buffer keeps a copy. */
static bool read_line(struct prompt_text *out, const sigset_t *mask)
{
	bool any = false;
	char c = '\0';

	out->len = 0;
	while (wait_for_byte(mask)) {
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		any = true;
		if (c == '\n')
			break;
		if (out->len < sizeof(out->p))
			out->p[out->len++] = c;
	}
	if (c == '\n' && out->len > 0 && out->len < sizeof(out->p) && out->p[out->len - 1] == '\r')
		out->len--;
	crypto_wipe(&c, sizeof(c));
	return any && !came;
}

/* Also delivers the signal that came, as if it came now. */
static void go_back(const struct quiet_terminal *t)
{
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
	for (size_t i = 0; i < N_ELEMENTS(signals); i++)
		sigaction(signals[i], &t->actions[i], NULL);
	if (came)
		raise(came);
	sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

static bool go_quiet(struct quiet_terminal *t)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct termios silent;
	sigset_t ours;

	if (tcgetattr(STDIN_FILENO, &t->before) != 0)
		return false;
	came = 0;
	sigemptyset(&ours);
	for (size_t i = 0; i < N_ELEMENTS(signals); i++)
		sigaddset(&ours, signals[i]);
	sigprocmask(SIG_BLOCK, &ours, &t->mask);
	for (size_t i = 0; i < N_ELEMENTS(signals); i++) {
		sigaction(signals[i], NULL, &t->actions[i]);
		if (t->actions[i].sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	}
	silent = t->before;
	silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0)
		return true;
	go_back(t);
	return false;
}

static bool ask(const struct quiet_terminal *t, struct prompt_text *out)
{
	bool fine = read_line(out, &t->mask);

	fputc('\n', stderr);
	return fine;
}

static const char *ask_twice(const struct quiet_terminal *t, const char *whose, struct prompt_text *out)
{
	struct prompt_text again;
	const char *problem;

	fprintf(stderr, "New password for %s: ", whose);
	if (!ask(t, out))
		return "No password was given.";
	problem = password_problem(prompt_str(out));
	if (problem)
		return problem;
	fputs("The same again: ", stderr);
	if (!ask(t, &again))
		problem = "No password was given.";
	else if (again.len != out->len || !crypto_equal(again.p, out->p, out->len))
		problem = "The two passwords differ.";
	crypto_wipe(&again, sizeof(again));
	return problem;
}

const char *prompt_password(const char *whose, struct prompt_text *out)
{
	struct quiet_terminal t;
	const char *problem;
	int stopped_by;

	if (!isatty(STDIN_FILENO))
		return read_line(out, NULL) ? password_problem(prompt_str(out)) : "There is no password on standard input.";
	do {
		if (!go_quiet(&t))
			return "The terminal cannot be made silent.";
		problem = ask_twice(&t, whose, out);
		stopped_by = came;
		go_back(&t);
	} while (stopped_by); /* stopped, and continued: once more */
	return problem;
}

void prompt_random(struct prompt_text *out)
{
	unsigned char bytes[RANDOM_BYTES];

	crypto_random(bytes, sizeof(bytes));
	crypto_base64(bytes, sizeof(bytes), out->p);
	out->len = strlen(out->p);
	crypto_wipe(bytes, sizeof(bytes));
}
