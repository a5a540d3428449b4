/* SPDX-License-Identifier: MIT */
/* The table of sub-commands; only what is built is in it. */
#include "cli/commands.h"

#include <stddef.h>
#include <string.h>

const struct ma_command ma_commands[MA_COMMANDS] = {
	[MA_COMMAND_SUMMARY] =
		{MA_COMMAND_SUMMARY, "", "PID...",
		 "attach if needed, watch, print the heap by site",
		 "Attaches to each process (unless that was done before), watches its allocations\n"
		 "for --wait, prints where its memory is held, and keeps tracking. Ctrl-C while\n"
		 "watching prints what is known so far. Of a process that ended, the last state "
		 "is\n"
		 "printed.",
		 MA_PIDS_REQUIRED},
	[MA_COMMAND_LIVE] =
		{MA_COMMAND_LIVE, "live", "PID",
		 "the same, continuously, full screen (also: --live PID)",
		 "Attaches if needed and shows the heap on the full screen: sites, call tree, "
		 "flame,\n"
		 "threads and timeline, with memory and what limits it; ? lists the keys. Leaving "
		 "goes\n"
		 "on tracking. Where stdout is no terminal, prints a table every --interval, or "
		 "with\n"
		 "--json a line of JSON, until the process ends, --duration is over or Ctrl-C.",
		 MA_PIDS_ONE},
	[MA_COMMAND_PS] =
		{MA_COMMAND_PS, "ps", "",
		 "list the Python processes here (also: no arguments at all)",
		 "Lists the Python processes that can be seen from here: resident memory, "
		 "memory\nlimit, Python version, whether attaching is possible, and since "
		 "when they are\nattached.",
		 MA_PIDS_NONE},
	[MA_COMMAND_ATTACH] = {MA_COMMAND_ATTACH, "attach", "PID...", "attach and keep tracking",
			       "Attaches to each process and returns. Tracking continues until "
			       "`memattach detach`,\n"
			       "or for 24 h after the last query.",
			       MA_PIDS_REQUIRED},
	[MA_COMMAND_DETACH] =
		{MA_COMMAND_DETACH, "detach", "PID...|--all", "take the hook out again",
		 "Ends tracking and removes everything of ours from the process but one page of\n"
		 "jumps (at most 8 KiB), which stays for code that copied an address.",
		 MA_PIDS_OPTIONAL},
	[MA_COMMAND_STATUS] =
		{MA_COMMAND_STATUS, "status", "[PID...]", "say what is attached and how it goes",
		 "Prints state, cost, sampling and losses of each attached process, and "
		 "how those\nthat ended did. Without a PID: of all of them.",
		 MA_PIDS_OPTIONAL},
	[MA_COMMAND_DUMP] =
		{MA_COMMAND_DUMP, "dump", "PID > snapshot.bin", "write the heap state as one file",
		 "Writes the live and peak heap by site as a gzip-compressed pprof profile, which\n"
		 "`go tool pprof` and other pprof readers open as it is. Attaches and watches "
		 "first,\n"
		 "if needed. A process that ended gives its last state.",
		 MA_PIDS_ONE},
	[MA_COMMAND_STACKS] =
		{MA_COMMAND_STACKS, "stacks", "PID", "what every thread does now, without a hook",
		 "Stops all threads for a moment, copies their stacks, and prints them with Python "
		 "and\n"
		 "native frames merged, thread names and who holds the GIL. Attaches nothing; how "
		 "long\n"
		 "the process stood still is printed.",
		 MA_PIDS_ONE},
	[MA_COMMAND_DOCTOR] =
		{MA_COMMAND_DOCTOR, "doctor", "[PID...]", "check whether attaching is possible",
		 "Runs every check of an attach without touching the process, and says what is\n"
		 "missing and how to get it. Without a PID: only what concerns this machine.",
		 MA_PIDS_OPTIONAL},
	[MA_COMMAND_DAEMON] =
		{MA_COMMAND_DAEMON, "daemon", "", "run the daemon in the foreground",
		 "Keeps the heap state of all attached processes of this user. It is started on\n"
		 "demand and leaves when idle; run it yourself under a service manager, or where\n"
		 "nobody adopts orphans (a container whose PID 1 is the program).",
		 MA_PIDS_NONE},
};

const struct ma_command *ma_command_find(const char *name)
{
	for (int i = 0; i < MA_COMMANDS; i++)
		if (ma_commands[i].name[0] && strcmp(ma_commands[i].name, name) == 0)
			return &ma_commands[i];
	return NULL;
}
