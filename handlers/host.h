/* What a responder shows the others of its host. */
#pragma once

/* Brings the counts that siblings see up to date; arg is the struct app. Live turns are counted when they come and go. */
void host_publish(void *arg);
