/* SPDX-License-Identifier: MIT */
/* See sessions.h. */
#include "daemon/sessions.h"

#include <string.h>

#include "daemon/viewer.h"

enum { ENDED_POLL_MS = 60000 }; /* between two looks whether an ended session expired */

struct ma_session *ma_sessions_find(const struct ma_sessions *sessions, pid_t pid)
{
	struct ma_session *found = NULL;
	for (size_t i = 0; i < sessions->count; i++) {
		struct ma_session *session = sessions->all[i];
		if (session->pid != pid)
			continue;
		found = session;
		if (session->state == MA_SESSION_TRACKING)
			break;
	}
	return found;
}

static void drop(struct ma_sessions *sessions, size_t at)
{
	ma_session_destroy(sessions->all[at]);
	sessions->count--;
	memmove(&sessions->all[at], &sessions->all[at + 1],
		(sessions->count - at) * sizeof sessions->all[0]);
}

size_t ma_sessions_dismiss(struct ma_sessions *sessions, pid_t pid)
{
	size_t dropped = 0;
	for (size_t i = sessions->count; i > 0; i--) {
		const struct ma_session *session = sessions->all[i - 1];
		if (session->pid != pid || session->state == MA_SESSION_TRACKING)
			continue;
		drop(sessions, i - 1);
		dropped++;
	}
	return dropped;
}

int ma_sessions_add(struct ma_sessions *sessions, struct ma_session *session,
		    struct ma_error *error)
{
	ma_sessions_dismiss(sessions, session->pid);
	if (sessions->count == MA_SESSIONS) {
		int code = ma_error_set(error, MA_ERR_FAILED, 0, "serving one more process");
		ma_error_answer(error, "the daemon serves %d already, which is its limit",
				MA_SESSIONS);
		ma_error_remedy(error, "Detach from one that is no longer needed: "
				       "memattach detach PID.");
		return code;
	}
	session->native.cache = sessions->names;
	sessions->all[sessions->count++] = session;
	ma_log_line(sessions->log, "%d: tracking %s, Python %s", session->pid, session->executable,
		    session->python_version);
	return 0;
}

static void drop_surplus(struct ma_sessions *sessions)
{
	size_t ended = 0;
	for (size_t i = 0; i < sessions->count; i++)
		ended += sessions->all[i]->state != MA_SESSION_TRACKING;
	for (size_t i = 0; i < sessions->count && ended > MA_SESSIONS_ENDED;) {
		if (sessions->all[i]->state == MA_SESSION_TRACKING) {
			i++;
			continue;
		}
		drop(sessions, i);
		ended--;
	}
}

uint64_t ma_sessions_poll(struct ma_sessions *sessions, uint64_t now_ms)
{
	uint64_t next_ms = now_ms + ENDED_POLL_MS;
	for (size_t i = sessions->count; i > 0; i--) {
		struct ma_session *session = sessions->all[i - 1];
		uint64_t wanted_ms = ma_session_poll(session, now_ms);
		if (wanted_ms < next_ms)
			next_ms = wanted_ms;
		if (session->state != MA_SESSION_TRACKING && !session->end_logged) {
			session->end_logged = true;
			ma_log_line(sessions->log, "%d: %s", session->pid, session->end.sentence);
		}
		ma_viewer_tidy(session, now_ms);
		if (ma_session_is_stale(session, now_ms))
			drop(sessions, i - 1);
	}
	drop_surplus(sessions);
	return next_ms;
}

void ma_sessions_fini(struct ma_sessions *sessions)
{
	while (sessions->count)
		drop(sessions, sessions->count - 1);
}
