/* Access tokens: ours are taken and no others. Hostile ones are also signed with the right secret, so that what lies behind the
 * signature is tried too. */
#include "base/jwt.h"

#include <jwt.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "tests/unit/support.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define OTHER  "fedcba9876543210fedcba9876543210"
#define USER   "0192f5a0-0000-7000-8000-000000000001"
#define LOGIN  "0192f5a0-0000-7000-8000-000000000002"
#define TOKEN  "0192f5a0-0000-7000-8000-000000000003"
#define NOW    1760000000
#define HEAD   "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
/* Claims with everything but the times. */
#define IDS   "\"iss\":\"llmchat\",\"use\":\"access\",\"sub\":\"" USER "\",\"sid\":\"" LOGIN "\",\"jti\":\"" TOKEN "\""
#define TIMES "\"iat\":1760000000,\"exp\":1760003600"

static const struct str secret = CONST_STR(SECRET);
static const struct jwt_claims sample = {{USER}, {LOGIN}, {TOKEN}, NOW, NOW + 3600};

static int start_crypto(void **state)
{
	crypto_init();
	return quiet(state);
}

static int check_at(struct str token, int64_t now_s)
{
	struct jwt_claims claims;
	int err;

	memset(&claims, 'X', sizeof(claims));
	err = jwt_check(token, &secret, 1, now_s, &claims);
	if (err)
		assert_int_equal(claims.user_id.text[0], 'X'); /* not touched */
	else
		assert_string_equal(claims.user_id.text, USER);
	return err;
}

static int check(struct str token)
{
	return check_at(token, NOW);
}

static void add_base64(struct buf *b, struct str s)
{
	char text[8192];

	assert_true(crypto_base64_size(s.len) <= sizeof(text));
	crypto_base64(s.p, s.len, text);
	buf_add_str(b, str_from(text));
}

/* Signs what is in b as it is. */
static void sign(struct buf *b)
{
	unsigned char mac[CRYPTO_MAC_BYTES];

	crypto_hmac(secret, buf_str(b), mac);
	buf_add_str(b, STR("."));
	add_base64(b, (struct str){(const char *)mac, sizeof(mac)});
}

/* What jwt_check says of a token with this header and these claims, rightly signed. */
static int check_signed(struct str head, struct str body, int64_t now_s)
{
	struct buf b = {0};
	int err;

	add_base64(&b, head);
	buf_add_str(&b, STR("."));
	add_base64(&b, body);
	sign(&b);
	err = check_at(buf_str(&b), now_s);
	buf_fini(&b);
	return err;
}

static int check_body(const char *body)
{
	return check_signed(STR(HEAD), str_from(body), NOW);
}

static void takes_what_it_made(void **state)
{
	char token[JWT_SIZE];
	struct jwt_claims back;

	(void)state;
	jwt_issue(secret, &sample, token);
	assert_int_equal(jwt_check(str_from(token), &secret, 1, NOW, &back), 0);
	assert_string_equal(back.user_id.text, USER);
	assert_string_equal(back.session_id.text, LOGIN);
	assert_string_equal(back.token_id.text, TOKEN);
	assert_true(back.issued_at_s == NOW && back.expires_at_s == NOW + 3600);
	/* the longest there is */
	back.issued_at_s = back.expires_at_s = INT64_MAX;
	jwt_issue(secret, &back, token);
	assert_int_equal(jwt_check(str_from(token), &secret, 1, INT64_MAX - 5, &back), 0);
	assert_int_equal(check_at(str_from(token), NOW), -ERR_TOKEN_INVALID);
}

static void takes_what_others_make_of_the_same_claims(void **state)
{
	(void)state;
	/* PyJWT 2.6 */
	assert_int_equal(
		check(str_from("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
			       "eyJpc3MiOiJsbG1jaGF0IiwidXNlIjoiYWNjZXNzIiwic3ViIjoiMDE5MmY1YTAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAx"
			       "Iiwic2lkIjoiMDE5MmY1YTAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAyIiwianRpIjoiMDE5MmY1YTAtMDAwMC03MDAwLTgw"
			       "MDAtMDAwMDAwMDAwMDAzIiwiaWF0IjoxNzYwMDAwMDAwLCJleHAiOjE3NjAwMDM2MDB9"
			       ".sO_Xc_jovDCjulSHxF6H4ymZjRZGY72r7zq9kFcoxKw")),
		0);
	assert_int_equal(check_signed(STR("{\"alg\":\"HS256\"}"), STR("{" IDS "," TIMES ",\"more\":[1,{}]}"), NOW), 0);
}

static void refuses_a_token_that_was_touched(void **state)
{
	char token[JWT_SIZE], copy[JWT_SIZE + 1];
	size_t len;

	(void)state;
	jwt_issue(secret, &sample, token);
	len = strlen(token);
	for (size_t at = 0; at < len; at++) {
		static const char instead[] = "Aa0-_.=+ \n\x80";

		for (size_t i = 0; i < sizeof(instead); i++) { /* with its NUL */
			memcpy(copy, token, len);
			copy[at] = instead[i];
			if (copy[at] != token[at])
				assert_int_equal(check((struct str){copy, len}), -ERR_TOKEN_INVALID);
		}
		assert_int_equal(check((struct str){token, at}), -ERR_TOKEN_INVALID);           /* cut at the end */
		assert_int_equal(check(str_skip(str_from(token), at + 1)), -ERR_TOKEN_INVALID); /* or at the beginning */
	}
	memcpy(copy, token, len);
	copy[len] = '\0';
	assert_int_equal(check((struct str){copy, len + 1}), -ERR_TOKEN_INVALID);
	copy[len] = 'A';
	assert_int_equal(check((struct str){copy, len + 1}), -ERR_TOKEN_INVALID);
}

static void refuses_what_is_no_token(void **state)
{
	static const char *const wrong[] = {"",       ".", "..", "...", "a.b", "a.b.c", "eyJhbGciOiJIUzI1NiJ9..", "..eyJhbGciOiJIUzI1NiJ9",
					    "sk-AAAA"};
	static char longest[102400];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
		assert_int_equal(check(str_from(wrong[i])), -ERR_TOKEN_INVALID);
	assert_int_equal(check((struct str){NULL, 0}), -ERR_TOKEN_INVALID);
	memset(longest, 'A', sizeof(longest));
	for (size_t dots = 0; dots < 5; dots++) {
		for (size_t len = JWT_MAX_BYTES - 1; len <= JWT_MAX_BYTES + 1; len++)
			assert_int_equal(check((struct str){longest, len}), -ERR_TOKEN_INVALID);
		assert_int_equal(check((struct str){longest, sizeof(longest)}), -ERR_TOKEN_INVALID);
		longest[dots * 100 + 50] = '.';
	}
}

static void bounds_the_length_of_what_it_decodes(void **state)
{
	char body[4000];

	(void)state;
	for (size_t pad = 2600; pad < 3000; pad++) {
		size_t n = (size_t)snprintf(body, sizeof(body), "{%s,%s,\"pad\":\"%0*d\"}", IDS, TIMES, (int)pad, 0);
		size_t len = crypto_base64_size(sizeof(HEAD) - 1) + crypto_base64_size(n) + crypto_base64_size(CRYPTO_MAC_BYTES) - 1;

		assert_int_equal(check_body(body), len <= JWT_MAX_BYTES ? 0 : -ERR_TOKEN_INVALID); /* 4096 itself is among them */
	}
}

static void knows_two_secrets_while_they_change(void **state)
{
	const struct str both[] = {STR(OTHER), secret}, without[] = {STR(OTHER), STR("")}, none[] = {STR(OTHER)};
	char token[JWT_SIZE];
	struct jwt_claims claims;

	(void)state;
	jwt_issue(secret, &sample, token);
	assert_int_equal(jwt_check(str_from(token), both, 2, NOW, &claims), 0);
	assert_int_equal(jwt_check(str_from(token), without, 2, NOW, &claims), -ERR_TOKEN_INVALID);
	assert_int_equal(jwt_check(str_from(token), none, 1, NOW, &claims), -ERR_TOKEN_INVALID);
	assert_int_equal(jwt_check(str_from(token), none, 0, NOW, &claims), -ERR_TOKEN_INVALID);
}

/* An empty TOKEN_SECRET_PREVIOUS is no key that fits. */
static void a_short_secret_opens_nothing(void **state)
{
	const char *const shorts[] = {"", "x", "0123456789abcdef0123456789abcde"};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(shorts); i++) {
		const struct str secrets[] = {STR(OTHER), str_from(shorts[i])};
		unsigned char mac[CRYPTO_MAC_BYTES];
		struct jwt_claims claims;
		struct buf b = {0};

		add_base64(&b, STR(HEAD));
		buf_add_str(&b, STR("."));
		add_base64(&b, STR("{" IDS "," TIMES "}"));
		crypto_hmac(secrets[1], buf_str(&b), mac);
		buf_add_str(&b, STR("."));
		add_base64(&b, (struct str){(const char *)mac, sizeof(mac)});
		assert_int_equal(jwt_check(buf_str(&b), secrets, 2, NOW, &claims), -ERR_TOKEN_INVALID);
		buf_fini(&b);
	}
}

static void refuses_every_other_algorithm(void **state)
{
	static const jwt_alg_t others[] = {JWT_ALG_HS384, JWT_ALG_HS512, JWT_ALG_NONE};
	static const char *const heads[] = {"{\"alg\":\"none\"}",
					    "{\"alg\":\"None\"}",
					    "{\"alg\":\"HS384\"}",
					    "{\"alg\":\"HS512\"}",
					    "{\"alg\":\"hs256\"}",
					    "{\"alg\":\"RS256\"}",
					    "{\"alg\":\"ES256\"}",
					    "{\"alg\":\"HS256 \"}",
					    "{\"alg\":\"\"}",
					    "{\"alg\":256}",
					    "{\"alg\":[\"HS256\"]}",
					    "{\"alg\":null}",
					    "{}",
					    "[]",
					    "\"HS256\"",
					    "x",
					    "{\"alg\":\"HS256\",\"crit\":[\"exp\"]}",
					    "{\"alg\":\"HS256\",\"crit\":\"exp\"}"};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(heads); i++) /* with a signature that is right as HS256 */
		assert_int_equal(check_signed(str_from(heads[i]), STR("{" IDS "," TIMES "}"), NOW), -ERR_TOKEN_INVALID);
	for (size_t i = 0; i < N_ELEMENTS(others); i++) { /* and with their own */
		jwt_t *jwt;
		char *text;

		assert_int_equal(jwt_new(&jwt), 0);
		assert_int_equal(jwt_add_grants_json(jwt, "{" IDS "," TIMES "}"), 0);
		if (others[i] != JWT_ALG_NONE)
			assert_int_equal(jwt_set_alg(jwt, others[i], (const unsigned char *)SECRET, sizeof(SECRET) - 1), 0);
		text = jwt_encode_str(jwt);
		assert_int_equal(check(str_from(text)), -ERR_TOKEN_INVALID);
		free(text);
		jwt_free(jwt);
	}
}

static void wants_every_claim_of_the_right_type(void **state)
{
	/* clang-format off */
	static const char *const names[] = {"iss", "use", "sub", "sid", "jti", "iat", "exp"};
	static const char *const right[] = {"\"llmchat\"", "\"access\"", "\"" USER "\"", "\"" LOGIN "\"", "\"" TOKEN "\"", "1760000000", "1760003600"};
	static const char *const wrong[] = {NULL, "null", "true", "\"\"", "\"x\"", "0", "-1", "1.5", "1760000000.0", "\"1760003600\"", "[]",
		"{}", "[\"llmchat\"]", "\"LLMChat\"", "\"llmchat \"", "\"llmchat\\u0000\"", "\"refresh\"", "\"0192f5a0-0000-7000-8000-00000000000\"",
		"\"0192f5a0-0000-7000-8000-0000000000011\"", "99999999999999999999", "1e400", "-9223372036854775808"};
	/* clang-format on */

	(void)state;
	for (size_t which = 0; which <= N_ELEMENTS(names); which++) {
		for (size_t k = 0; k < N_ELEMENTS(wrong); k++) {
			char body[1024] = "{\"first\":0";

			for (size_t i = 0; i < N_ELEMENTS(names); i++) {
				const char *value = i == which ? wrong[k] : right[i];

				if (value)
					snprintf(body + strlen(body), sizeof(body) - strlen(body), ",\"%s\":%s", names[i], value);
			}
			strcat(body, "}");
			if (which == N_ELEMENTS(names))
				assert_int_equal(check_body(body), 0);
			else if (check_body(body) != -ERR_TOKEN_INVALID)
				fail_msg("taken: %s", body);
		}
	}
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":1760000000}"), 0);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":\"1760000000\"}"), -ERR_TOKEN_INVALID);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":1.5}"), -ERR_TOKEN_INVALID);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":null}"), -ERR_TOKEN_INVALID);
}

static void a_minute_of_skew_and_no_more(void **state)
{
	char token[JWT_SIZE];

	(void)state;
	jwt_issue(secret, &sample, token);
	assert_int_equal(check_at(str_from(token), NOW + 3600), 0);
	assert_int_equal(check_at(str_from(token), NOW + 3660), 0);
	assert_int_equal(check_at(str_from(token), NOW + 3661), -ERR_TOKEN_EXPIRED);
	assert_int_equal(check_at(str_from(token), INT64_MAX), -ERR_TOKEN_EXPIRED);
	assert_int_equal(check_at(str_from(token), NOW - 60), 0);
	assert_int_equal(check_at(str_from(token), NOW - 61), -ERR_TOKEN_INVALID);
	assert_int_equal(check_at(str_from(token), 1), -ERR_TOKEN_INVALID);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":1760000060}"), 0);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":1760000061}"), -ERR_TOKEN_INVALID);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"nbf\":9223372036854775807}"), -ERR_TOKEN_INVALID);
	assert_int_equal(check_body("{" IDS ",\"iat\":1760000000,\"exp\":9223372036854775807}"), 0);
	assert_int_equal(check_body("{" IDS ",\"iat\":1,\"exp\":1}"), -ERR_TOKEN_EXPIRED);
	/* what is not ours at all is not called expired */
	assert_int_equal(check_body("{\"iss\":\"joe\",\"iat\":1,\"exp\":1}"), -ERR_TOKEN_INVALID);
}

static void survives_hostile_json(void **state)
{
	static const char *const bodies[] = {"",
					     "{",
					     "{}",
					     "[]",
					     "null",
					     "\"x\"",
					     "{\"a\":\"\\ud800\"}",
					     "{\"a\":\"\\u0000\"}",
					     "{\"\\u0000\":1}",
					     "{\"a\":1e999999}",
					     "{\"a\":-99999999999999999999999999}",
					     "{\"a\":0x10}",
					     "{\"a\":\"\xFF\xFE\"}"};
	char many[3000];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
		assert_int_equal(check_body(bodies[i]), -ERR_TOKEN_INVALID);
		assert_int_equal(check_signed(str_from(bodies[i]), STR("{" IDS "," TIMES "}"), NOW), -ERR_TOKEN_INVALID);
	}
	/* as many brackets as fit */
	for (const char *bracket = "[{"; *bracket; bracket++) {
		memset(many, *bracket, sizeof(many));
		assert_int_equal(check_signed(STR(HEAD), (struct str){many, 2900}, NOW), -ERR_TOKEN_INVALID);
		assert_int_equal(check_signed((struct str){many, 2900}, STR("{}"), NOW), -ERR_TOKEN_INVALID);
	}
	memset(many, '[', sizeof(many));
	memset(many + 1450, ']', 1450);
	assert_int_equal(check_signed(STR(HEAD), (struct str){many, 2900}, NOW), -ERR_TOKEN_INVALID);
	/* a duplicate is one claim, its last value, for every question asked of it */
	assert_int_equal(check_body("{" IDS "," TIMES ",\"exp\":1}"), -ERR_TOKEN_EXPIRED);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"sub\":\"x\"}"), -ERR_TOKEN_INVALID);
	assert_int_equal(check_body("{" IDS "," TIMES ",\"sub\":\"x\",\"sub\":\"" USER "\"}"), 0);
}

static void survives_hostile_base64(void **state)
{
	/* signed as they are; a part whose length no base64 has, padding, blanks, the other dialect, and parts that are empty */
	static const char *const texts[] = {"A.A",
					    "AAAAA.AAAA",
					    "eyJhbGciOiJIUzI1NiJ9.A",
					    "eyJhbGciOiJIUzI1NiJ9.",
					    ".eyJhbGciOiJIUzI1NiJ9",
					    ".",
					    "",
					    "eyJhbGciOiJIUzI1NiJ9",
					    "e30=.e30=",
					    "e30.e30\n",
					    "++.//",
					    "e30.e30.e30",
					    "e30.e30.",
					    "\xC3\xA4.\xC3\xA4",
					    "eyJhbGciOiJub25lIn0.e30"};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
		struct buf b = {0};

		buf_add_str(&b, str_from(texts[i]));
		sign(&b);
		assert_int_equal(check(buf_str(&b)), -ERR_TOKEN_INVALID);
		buf_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_it_made),
		cmocka_unit_test(takes_what_others_make_of_the_same_claims),
		cmocka_unit_test(refuses_a_token_that_was_touched),
		cmocka_unit_test(refuses_what_is_no_token),
		cmocka_unit_test(bounds_the_length_of_what_it_decodes),
		cmocka_unit_test(knows_two_secrets_while_they_change),
		cmocka_unit_test(a_short_secret_opens_nothing),
		cmocka_unit_test(refuses_every_other_algorithm),
		cmocka_unit_test(wants_every_claim_of_the_right_type),
		cmocka_unit_test(a_minute_of_skew_and_no_more),
		cmocka_unit_test(survives_hostile_json),
		cmocka_unit_test(survives_hostile_base64),
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
