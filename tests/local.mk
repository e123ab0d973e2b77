include tests/sim/local.mk

dist_check_SCRIPTS += tests/config_doc.sh tests/layers.sh tests/nginx_routes.sh tests/statements.sh
include tests/unit/cache/local.mk
include tests/unit/db/local.mk
include tests/unit/ctl/local.mk
include tests/unit/auth/local.mk
include tests/unit/chat/local.mk
include tests/unit/handlers/local.mk
include tests/fuzz/local.mk
include tests/unit/base/local.mk
include tests/unit/fcgi/local.mk
include tests/unit/llm/local.mk
include tests/unit/net/local.mk
