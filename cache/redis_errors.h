/* What an error of Redis says about Redis itself. */
#pragma once
struct resp_reply;

enum redis_trouble {
	NO_TROUBLE, /* no error, or one of the command's own */
	REFUSES,    /* it is there, and takes nothing that is written for now */
	USELESS,    /* another connection, perhaps to another host, is better */
};

enum redis_trouble redis_trouble(const struct resp_reply *reply);
