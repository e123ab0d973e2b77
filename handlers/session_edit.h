/* What owners do with their sessions: make, name, archive, restore and delete them, one or many. */
#pragma once
#include "handlers/flow.h"

extern const struct step session_create_steps[], session_title_steps[];
extern const struct step session_archive_steps[], session_restore_steps[], session_delete_steps[], session_batch_steps[];
