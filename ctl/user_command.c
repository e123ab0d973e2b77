/* Making, listing and changing users: the rules are base/account_rules, the statements those of db/users. */
#include "ctl/user_command.h"

#include <stdio.h>

#include "base/account_rules.h"
#include "ctl/accounts.h"
#include "ctl/args.h"
#include "ctl/prompt.h"
#include "ctl/user_list.h"
#include "db/users.h"

const char user_help[] =
	"user add NAME       makes a user; --email ADDRESS, --admin for an administrator\n"
	"user list           shows all, by name; --json\n"
	"user passwd NAME    sets a new password, which ends all logins of the user\n"
	"user disable NAME   ends all logins and lets nobody in as this user; user enable NAME takes it back\n"
	"user grant NAME user|admin\n"
	"                    gives this role, and takes the other\n"
	"user unlock NAME    forgets the failed logins of this name\n"
	"add and passwd ask for the password at the terminal, or take one line of standard input if that is none; never an argument.\n"
	"  --password-stdin   says that it is to come from standard input\n"
	"  --random-password  makes one and prints it, once\n"
	"  --no-password      leaves the user without: keys and tokens are the only way in\n"
	"In names, letter case makes no difference. Behind -- come words that begin with a dash.\n";

enum option {
	OPT_EMAIL = 1,
	OPT_ADMIN = 2,
	OPT_PASSWORD_STDIN = 4,
	OPT_RANDOM_PASSWORD = 8,
	OPT_NO_PASSWORD = 16,
	OPT_JSON = 32,
	OPT_ANY_PASSWORD = OPT_PASSWORD_STDIN | OPT_RANDOM_PASSWORD | OPT_NO_PASSWORD
};

enum { MAX_WORDS = 2 };

/* What the command line says. */
struct order {
	const char *words[MAX_WORDS]; /* borrowed: the name, the role */
	int n_words;
	const char *email; /* borrowed; NULL: none */
	unsigned options;
};

struct action {
	const char *name;
	int (*run)(const struct order *order, struct accounts *a); /* with an open database; returns the exit status */
	int n_words;
	const char *words; /* in words of the user */
	unsigned options;  /* that it knows */
};

/* A new password and its hash. */
struct password {
	struct prompt_text text;
	char hash[CRYPTO_PASSWORD_HASH_SIZE]; /* empty: the user shall have none */
};

static int get_password(const struct order *order, const char *whose, struct password *p)
{
	const char *problem = NULL;

	p->hash[0] = '\0';
	p->text.len = 0;
	if (order->options & OPT_NO_PASSWORD)
		return EXIT_FINE;
	if (order->options & OPT_RANDOM_PASSWORD)
		prompt_random(&p->text);
	else
		problem = prompt_password(whose, &p->text);
	if (!problem && crypto_password_hash(prompt_str(&p->text), CRYPTO_COST, p->hash) != 0)
		problem = "There is not enough memory to hash the password.";
	return problem ? args_fail("%s", problem) : EXIT_FINE;
}

static const char *hash_of(const struct password *p)
{
	return *p->hash ? p->hash : NULL;
}

/* What was done; standard output is for the random password alone, so that a script can take it from there. */
static FILE *said(const struct order *order)
{
	return order->options & OPT_RANDOM_PASSWORD ? stderr : stdout;
}

static int show_password(const struct order *order, struct password *p)
{
	if (!(order->options & OPT_RANDOM_PASSWORD))
		return EXIT_FINE;
	p->text.p[p->text.len++] = '\n';
	return accounts_print_secret(prompt_str(&p->text));
}

static int store_new(const struct order *order, struct accounts *a, const struct password *p)
{
	const char *name = order->words[0], *role = order->options & OPT_ADMIN ? "admin" : "user";
	struct uuid id = uuid_new();
	const char *const params[] = {ACCOUNTS_WHO, id.text, name, order->email, hash_of(p), role, "user.created"};
	struct pg_result *rows = accounts_run(a, &users_add_statement, N_ELEMENTS(params), params);

	if (!rows)
		return EXIT_FAILED;
	pg_sync_free(rows);
	fprintf(said(order), "%s is a new %s%s.\n", name, order->options & OPT_ADMIN ? "administrator" : "user",
		*p->hash ? "" : " without a password");
	return EXIT_FINE;
}

static int add(const struct order *order, struct accounts *a)
{
	struct account other;
	struct password p;
	int status, found = accounts_find(a, order->words[0], &other);

	if (found < 0)
		return EXIT_FAILED;
	if (found)
		return args_fail("There is a user %s already.", other.username);
	status = get_password(order, order->words[0], &p);
	if (status == EXIT_FINE)
		status = store_new(order, a, &p);
	if (status == EXIT_FINE)
		status = show_password(order, &p);
	crypto_wipe(&p, sizeof(p));
	return status;
}

static int store_password(const struct order *order, struct accounts *a, const struct account *user, const struct password *p)
{
	const char *const params[] = {ACCOUNTS_WHO, user->id.text, hash_of(p), NULL, "user.password_reset", NULL, NULL};
	struct pg_result *rows = accounts_run(a, &users_set_password_statement, N_ELEMENTS(params), params);
	bool found = rows && pg_sync_n_rows(rows) > 0;

	pg_sync_free(rows);
	if (!rows)
		return EXIT_FAILED;
	if (!found)
		return args_fail("There is no user %s any more.", user->username);
	fprintf(said(order), "%s has %s password; all logins have ended.\n", user->username, *p->hash ? "a new" : "no");
	return EXIT_FINE;
}

static int passwd(const struct order *order, struct accounts *a)
{
	struct account user;
	struct password p;
	int status = accounts_need(a, order->words[0], &user);

	if (status != EXIT_FINE)
		return status;
	status = get_password(order, user.username, &p);
	if (status == EXIT_FINE)
		status = store_password(order, a, &user, &p);
	if (status == EXIT_FINE)
		status = show_password(order, &p);
	crypto_wipe(&p, sizeof(p));
	return status;
}

/* NULL leaves it as it is. */
static int update(const struct order *order, struct accounts *a, const char *role, const char *active, const char *done)
{
	struct account user = {.username = ""};
	const char *const params[] = {ACCOUNTS_WHO, user.id.text, NULL, NULL, role, active};
	struct pg_result *rows;
	int status = accounts_need(a, order->words[0], &user);

	if (status != EXIT_FINE)
		return status;
	rows = accounts_run(a, &users_update_statement, N_ELEMENTS(params), params);
	if (!rows)
		return EXIT_FAILED;
	if (pg_sync_n_rows(rows) == 0)
		status = args_fail("There is no user %s any more.", user.username);
	else if (*pg_sync_value(rows, 0, 0) == '0')
		status = args_fail("%s is the last active administrator; there must be one.", user.username);
	else
		printf("%s %s.\n", user.username, done);
	pg_sync_free(rows);
	return status;
}

static int disable(const struct order *order, struct accounts *a)
{
	return update(order, a, NULL, "false", "is disabled; all logins have ended");
}

static int enable(const struct order *order, struct accounts *a)
{
	return update(order, a, NULL, "true", "is enabled");
}

static int grant(const struct order *order, struct accounts *a)
{
	bool admin = strcmp(order->words[1], "admin") == 0;

	return update(order, a, order->words[1], NULL, admin ? "is an administrator" : "is a user");
}

static int unlock(const struct order *order, struct accounts *a)
{
	struct account user = {.username = ""};
	const char *const params[] = {ACCOUNTS_WHO, user.id.text};
	struct pg_result *rows;
	int status = accounts_need(a, order->words[0], &user);

	if (status != EXIT_FINE)
		return status;
	rows = accounts_run(a, &users_unlock_statement, N_ELEMENTS(params), params);
	if (!rows)
		return EXIT_FAILED;
	if (pg_sync_n_rows(rows) == 0)
		status = args_fail("There is no user %s any more.", user.username);
	else if (*pg_sync_value(rows, 0, 0) == '0')
		printf("%s had no failed logins.\n", user.username);
	else
		printf("The failed logins of %s are forgotten.\n", user.username);
	pg_sync_free(rows);
	return status;
}

static int list(const struct order *order, struct accounts *a)
{
	return order->options & OPT_JSON ? user_list_json(a) : user_list(a);
}

static const struct action actions[] = {
	{"add", add, 1, "a NAME", OPT_EMAIL | OPT_ADMIN | OPT_ANY_PASSWORD},
	{"list", list, 0, "options", OPT_JSON},
	{"passwd", passwd, 1, "a NAME", OPT_ANY_PASSWORD},
	{"disable", disable, 1, "a NAME", 0},
	{"enable", enable, 1, "a NAME", 0},
	{"grant", grant, 2, "a NAME and a role", 0},
	{"unlock", unlock, 1, "a NAME", 0},
};

static unsigned flag_of(const char *word)
{
	static const struct {
		const char *name;
		enum option flag;
	} flags[] = {
		{"--admin", OPT_ADMIN},
		{"--password-stdin", OPT_PASSWORD_STDIN},
		{"--random-password", OPT_RANDOM_PASSWORD},
		{"--no-password", OPT_NO_PASSWORD},
		{"--json", OPT_JSON},
	};

	for (size_t i = 0; i < N_ELEMENTS(flags); i++)
		if (strcmp(word, flags[i].name) == 0)
			return flags[i].flag;
	return 0;
}

/* Of the words behind the action; EXIT_FINE, or EXIT_USAGE after telling the user. */
static int read_order(const struct args *args, const struct action *action, struct order *order)
{
	bool options_end = false;

	for (int i = 1; i < args->n; i++) {
		const char *word = args->words[i];
		int found = options_end ? 0 : args_option(args, &i, "--email", &order->email);
		unsigned flag = found ? OPT_EMAIL : flag_of(word);

		if (found < 0)
			return EXIT_USAGE;
		if (!options_end && word[0] == '-' && strcmp(word, "--") != 0) {
			if (!(flag & action->options))
				return args_refuse("user %s does not know %.*s.", action->name, (int)strcspn(word, "="),
						   word); /* its value may be a secret */
			order->options |= flag;
		} else if (!options_end && word[0] == '-') {
			options_end = true;
		} else if (order->n_words == action->n_words) {
			return args_refuse("user %s takes %s and nothing else.", action->name, action->words);
		} else {
			order->words[order->n_words++] = word;
		}
	}
	if (order->n_words < action->n_words)
		return args_refuse("user %s takes %s.", action->name, action->words);
	return EXIT_FINE;
}

/* What can be seen to be wrong without asking anybody. */
static int check_order(const struct action *action, const struct order *order)
{
	unsigned ways = order->options & OPT_ANY_PASSWORD;
	const char *problem = NULL;

	if (ways & (ways - 1))
		return args_refuse("--password-stdin, --random-password and --no-password exclude each other.");
	if (action->run == grant && strcmp(order->words[1], "user") != 0 && strcmp(order->words[1], "admin") != 0)
		return args_refuse("The role is user or admin.");
	if (action->run == add)
		problem = username_problem(str_from(order->words[0]));
	if (!problem && order->email)
		problem = email_problem(str_from(order->email));
	return problem ? args_refuse("%s", problem) : EXIT_FINE;
}

static int run(const struct args *args, const struct action *action)
{
	struct order order = {.words = {"", ""}};
	struct accounts a;
	int status = read_order(args, action, &order);

	if (status == EXIT_FINE)
		status = check_order(action, &order);
	if (status != EXIT_FINE)
		return status;
	status = accounts_open(&a, args);
	if (status == EXIT_FINE)
		status = action->run(&order, &a);
	accounts_close(&a);
	return status;
}

int user_command(const struct args *args)
{
	if (args->n == 0)
		return args_refuse("user what? add, list, passwd, disable, enable, grant or unlock.");
	for (size_t i = 0; i < N_ELEMENTS(actions); i++)
		if (strcmp(args->words[0], actions[i].name) == 0)
			return run(args, &actions[i]);
	return args_refuse("user does not know %s.", args->words[0]);
}
