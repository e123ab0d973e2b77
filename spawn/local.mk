# spawn: the pool's supervisor script, the FastCGI probe it uses, and a systemd unit (below the prefix; see its first lines).
dist_sbin_SCRIPTS += spawn/llmchat-pool spawn/llmchat-probe
unitdir = $(prefix)/lib/systemd/system
unit_DATA = spawn/llmchat-pool.service
EXTRA_DIST += spawn/llmchat-pool.service.in
CLEANFILES += spawn/llmchat-pool.service

spawn/llmchat-pool.service: spawn/llmchat-pool.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) spawn && sed 's,@LLMCHAT_SBIN@,$(sbindir),g' $(srcdir)/spawn/llmchat-pool.service.in >$@.tmp && mv $@.tmp $@
