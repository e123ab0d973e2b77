# dev, quickstart, runtests and the integration tests: not installed, but part of a release.
EXTRA_DIST += .ci/run quickstart runtests dev/stack dev/lib.sh dev/lib-services.sh dev/lib-redis.sh dev/install-packages dev/packages \
	$(wildcard $(srcdir)/tests/integration/*.py) \
	$(wildcard $(srcdir)/tests/integration/sdk/*.json) tests/integration/slow_resolver.c tests/integration/breaker_says.c
