/* In whose words a route speaks: its path says it, the answers in handlers/reply.c heed it. */
#pragma once

enum face {
	FACE_API,    /* ours: the envelope */
	FACE_OPENAI, /* OpenAI's, for its clients */
};
