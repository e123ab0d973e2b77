/* /api/admin: the audit log and what the system is. */
#pragma once
#include "handlers/flow.h"

extern const struct step admin_audit_steps[], admin_system_info_steps[];
