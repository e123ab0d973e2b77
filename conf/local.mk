# conf: settings for the servers beside us, each with its reason.
serverconfdir = $(pkgdatadir)/conf
dist_serverconf_DATA = conf/redis.llmchat.conf
